package logstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist"
)

func record(key persist.Key, seq uint64, payload []byte) *persist.Record {
	return &persist.Record{Key: key, Kind: "t", Codec: "raw", Seq: seq, Payload: payload}
}

func put(key persist.Key, v persist.Version, payload string) persist.Change {
	return persist.Change{Key: key, Put: record(key, 1, []byte(payload)), If: v}
}

// contents returns all that the store says, by three ways that must agree.
func contents(t testing.TB, s *Store) map[persist.Key]string {
	t.Helper()
	ctx := context.Background()
	all := map[persist.Key]string{}
	var keys []persist.Key
	for e, err := range s.List(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		rec, v, err := s.Load(ctx, e.Key)
		if err != nil || v != e.Version {
			t.Fatalf("load %q: version %q, listed %q: %v", e.Key, v, e.Version, err)
		}
		all[e.Key] = string(rec.Payload)
		keys = append(keys, e.Key)
	}
	if !slices.IsSortedFunc(keys, persist.Key.Compare) {
		t.Fatal("listed out of order")
	}
	i := 0
	for l, err := range s.LoadTree(ctx, "") {
		if err != nil || i >= len(keys) || l.Key != keys[i] || string(l.Payload) != all[l.Key] {
			t.Fatalf("LoadTree gives %q at %d: %v", l.Key, i, err)
		}
		i++
	}
	if i != len(keys) {
		t.Fatalf("LoadTree gives %d keys, List %d", i, len(keys))
	}
	return all
}

// checkAccounts compares what the store keeps count of with a recount.
func checkAccounts(t testing.TB, s *Store) {
	t.Helper()
	s.Pause()
	s.stopKeeper()
	defer s.startKeeper()
	s.mu.Lock()
	defer s.mu.Unlock()
	used := map[uint32]int64{}
	exist := 0
	for id := range s.index.next {
		e := s.index.at(id)
		if e.flags&entryFree != 0 {
			continue
		}
		if e.version != 0 && e.flags&entryIdle == 0 {
			used[e.slot] += rowCost(e.key, e.size)
		}
		for _, g := range s.index.older[id] {
			used[g.slot] += rowCost(e.key, g.size)
		}
		if e.exists() {
			exist++
		}
	}
	if exist != s.index.count {
		t.Errorf("%d keys exist, counted %d", exist, s.index.count)
	}
	rows := map[persist.Key]uint32{}
	for _, seg := range s.live {
		heads := seg.heads
		if len(heads) == 0 {
			var ok bool
			if heads, _, ok = readHint(s.fs, s.segmentPath(seg.id, hintExt), seg.id); !ok {
				sc, err := s.scanFile(seg.id, seg.end)
				if err != nil {
					t.Fatal(err)
				}
				heads = sc.heads
			}
		}
		eachRow(heads, func(r *row) bool { rows[persist.Key(strings.Clone(string(r.key)))]++; return true })
	}
	for id := range s.index.next {
		if e := s.index.at(id); e.flags&entryFree == 0 && rows[e.key] != e.rows {
			t.Errorf("%q has %d rows, counted %d", e.key, rows[e.key], e.rows)
		}
	}
	for _, seg := range s.live {
		if seg.used != used[seg.slot] {
			t.Errorf("segment %v: %d bytes used, counted %d", seg.id, used[seg.slot], seg.used)
		}
	}
}

func TestStoreAgreesWithAMapThroughReopeningAndCompaction(t *testing.T) {
	for _, keep := range []int{0, 2} {
		for seed := range int64(deep(2, 60)) {
			for name, fsys := range map[string]afero.Fs{"os": afero.NewOsFs(), "mem": afero.NewMemMapFs()} {
				t.Run(fmt.Sprintf("%s/keep=%d/seed=%d", name, keep, seed), func(t *testing.T) {
					steps := deep(1500, 3000)
					if name == "os" { // where every commit is a sync
						steps = deep(200, 3000)
					}
					runModel(t, fsys, filepath.Join(t.TempDir(), "log"), seed, keep, steps)
				})
			}
		}
	}
}

func deep(short, long int) int {
	if os.Getenv("UNDERSTUDY_DEEP") != "" {
		return long
	}
	return short
}

func runModel(t *testing.T, fsys afero.Fs, dir string, seed int64, keep, steps int) {
	ctx := context.Background()
	rnd := rand.New(rand.NewSource(seed))
	o := &Options{SegmentSize: 64 << 10, Keep: keep}
	s, err := Open(fsys, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	type state struct {
		version persist.Version
		payload string
	}
	model := map[persist.Key]state{}
	seen := map[persist.Version]bool{}
	for step := range steps {
		var changes []persist.Change
		used := map[persist.Key]bool{}
		for range 1 + rnd.Intn(3)*rnd.Intn(3) {
			key := persist.Key(fmt.Sprintf("a/%d/b%d", rnd.Intn(8), rnd.Intn(12)))
			if used[key] {
				continue
			}
			used[key] = true
			c := persist.Change{Key: key, If: model[key].version}
			if rnd.Intn(4) == 0 {
				c.If = persist.Any
			}
			if rnd.Intn(4) > 0 || c.If == persist.Absent {
				c.Put = record(key, uint64(step), make([]byte, rnd.Intn(3000)))
				rnd.Read(c.Put.Payload)
			}
			changes = append(changes, c)
		}
		versions, err := s.Commit(ctx, changes...)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range changes {
			if c.Put == nil {
				delete(model, c.Key)
				continue
			}
			if seen[versions[i]] {
				t.Fatalf("version %q came again", versions[i])
			}
			seen[versions[i]] = true
			model[c.Key] = state{versions[i], string(c.Put.Payload)}
		}
		if step%100 == 0 {
			checkAccounts(t, s)
			if t.Failed() {
				t.Fatal(step)
			}
		}
		if rnd.Intn(300) == 0 {
			checkAccounts(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = Open(fsys, dir, o); err != nil {
				t.Fatal(err)
			}
			checkAccounts(t, s)
		}
	}
	got := contents(t, s)
	if len(got) != len(model) {
		t.Errorf("%d keys, want %d", len(got), len(model))
	}
	for key, want := range model {
		if got[key] != want.payload {
			t.Errorf("%q differs", key)
		}
		if _, err := s.Commit(ctx, put(key, "1", "x")); !errors.Is(err, persist.ErrConflict) {
			t.Errorf("a commit on a stale version: %v", err)
		}
	}
	checkAccounts(t, s)
	t.Log(s.Stats())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
