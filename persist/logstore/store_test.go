package logstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/storetest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	disks := map[string]func() afero.Fs{
		"os":  afero.NewOsFs,
		"mem": func() afero.Fs { return afero.NewMemMapFs() },
	}
	for name, fresh := range disks {
		t.Run(name, func(t *testing.T) {
			fsys, dir := fresh(), filepath.Join(t.TempDir(), "log")
			var last *Store
			open := func() (persist.Store, error) {
				s, err := Open(fsys, dir, nil)
				if err == nil {
					last = s
				}
				return s, err
			}
			damage := func(key persist.Key) error {
				id, ok := last.index.find(key)
				if !ok {
					return fmt.Errorf("%q is not there", key)
				}
				e := last.index.at(id)
				return flip(fsys, last.slots[e.slot].path, int64(e.off)+int64(e.size)/2)
			}
			err := storetest.Run(open, &storetest.Options{Damage: damage, Rounds: deep(5, 50), Large: deep(0, 1) == 1})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// flip inverts a bit of a file.
func flip(fsys afero.Fs, path string, off int64) error {
	f, err := fsys.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, off); err != nil {
		return err
	}
	b[0] ^= 1 << (off % 8)
	_, err = f.WriteAt(b, off)
	return err
}

func TestABitFlippedAnywhereIsReportedOrHarmless(t *testing.T) {
	made := newDisk(nil)
	s, err := Open(made, "/log", crashOptions)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	want := map[persist.Key]string{}
	for i := range 60 {
		key := persist.Key(fmt.Sprintf("k/%d", i%7))
		st := step{number: i}
		want[key] = st.payload(key)
		if _, err := s.Commit(ctx, put(key, persist.Any, want[key])); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, hints := range []bool{true, false} {
		files := made.current()
		if !hints { // so that all is read from the segments
			maps.DeleteFunc(files, func(name string, _ []byte) bool { return strings.HasSuffix(name, hintExt) })
		}
		flipAll(t, files, want)
	}
}

func flipAll(t *testing.T, files map[string][]byte, want map[persist.Key]string) {
	ctx := context.Background()
	stride := deep(131, 3)
	flips, refused, reported, harmless := 0, 0, 0, 0
	for name, data := range files {
		for off := 0; off < len(data); off += stride {
			d := newDisk(files)
			if err := flip(d, name, int64(off)); err != nil {
				t.Fatal(err)
			}
			flips++
			s, err := Open(d, "/log", crashOptions)
			if errors.Is(err, persist.ErrCorrupt) {
				refused++
				continue
			}
			if err != nil {
				t.Fatalf("%s, byte %d: %v", name, off, err)
			}
			bad := 0
			for key, value := range want {
				rec, _, err := s.Load(ctx, key)
				switch {
				case errors.Is(err, persist.ErrCorrupt):
					bad++
				case err != nil:
					t.Fatalf("%s, byte %d: %v", name, off, err)
				case string(rec.Payload) != value:
					t.Fatalf("%s, byte %d: %q is another value, and nothing is said", name, off, key)
				}
			}
			if bad > 0 {
				reported++
			} else {
				harmless++
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d flips: %d refused by Open, %d reported by Load, %d without effect", flips, refused, reported, harmless)
	if refused+reported == 0 {
		t.Error("no flip was found out")
	}
}

func TestSalvageGoesOnWithWhatIsIntactAndKeepsTheEvidence(t *testing.T) {
	ctx := context.Background()
	fsys, dir := afero.NewOsFs(), filepath.Join(t.TempDir(), "log")
	s, err := Open(fsys, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if _, err := s.Commit(ctx, put(persist.Key(fmt.Sprint(i)), persist.Absent, "value")); err != nil {
			t.Fatal(err)
		}
	}
	path := s.tail.path
	id, _ := s.index.find("4")
	off := int64(s.index.at(id).off) - rowLen - 1 // in the table before it
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := flip(fsys, path, off); err != nil {
		t.Fatal(err)
	}
	hints, _ := filepath.Glob(filepath.Join(dir, "*"+hintExt))
	for _, h := range hints {
		_ = os.Remove(h)
	}
	var damage *persist.CorruptError
	if _, err := Open(fsys, dir, nil); !errors.As(err, &damage) || damage.Place == "" {
		t.Fatalf("open by default: %v", err)
	}
	s, err = Open(fsys, dir, &Options{Damage: Salvage, NoCompaction: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Damage()) != 1 {
		t.Errorf("damage: %v", s.Damage())
	}
	if got := contents(t, s); len(got) != 9 {
		t.Errorf("%d of the 9 intact keys are there", len(got))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Known damage no longer keeps it from opening, and compaction moves what is
	// intact elsewhere and puts the file aside.
	s, err = Open(fsys, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for s.work() {
	}
	if got := contents(t, s); len(got) != 9 {
		t.Errorf("%d of the 9 intact keys are there", len(got))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + quarantineExt); err != nil {
		t.Errorf("the evidence: %v", err)
	}
}

func TestAnOlderGenerationAnswersForADamagedOne(t *testing.T) {
	ctx := context.Background()
	fsys, dir := afero.NewOsFs(), filepath.Join(t.TempDir(), "log")
	o := &Options{Keep: 2}
	s, err := Open(fsys, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if _, err := s.Commit(ctx, put("a", persist.Any, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	id, _ := s.index.find("a")
	e := *s.index.at(id)
	if err := flip(fsys, s.tail.path, int64(e.off)+50); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		rec, v, err := s.Load(ctx, "a")
		if err != nil || string(rec.Payload) != "2" || rec.Fallback == nil || rec.Fallback.Key != "a" || v != formatVersion(e.version) {
			t.Fatalf("%q, version %q, fallback %v: %v", rec.Payload, v, rec.Fallback, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(fsys, dir, o); err != nil {
			t.Fatal(err)
		}
	}
	// A delete ends what came before, damage or not.
	if _, err := s.Commit(ctx, persist.Change{Key: "a", If: persist.Any}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Load(ctx, "a"); !errors.Is(err, persist.ErrNotFound) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAFullDiskIsAnErrorThatGoesAway(t *testing.T) {
	ctx := context.Background()
	d := newDisk(nil)
	s, err := Open(d, "/log", crashOptions)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(ctx, put("a", persist.Absent, "1")); err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	d.fault = func(_ int, op, _ string) fault {
		if op == "write" || op == "create" {
			return fault{err: syscall.ENOSPC}
		}
		return fault{}
	}
	d.mu.Unlock()
	for range 3 {
		_, err := s.Commit(ctx, put("a", persist.Any, "2"), put("b", persist.Absent, "2"))
		if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, persist.ErrUnknownOutcome) || errors.Is(err, persist.ErrStoreFailed) {
			t.Fatalf("on a full disk: %v", err)
		}
		if rec, _, err := s.Load(ctx, "a"); err != nil || string(rec.Payload) != "1" {
			t.Fatalf("reads must go on: %q, %v", rec.Payload, err)
		}
		if _, _, err := s.Load(ctx, "b"); !errors.Is(err, persist.ErrNotFound) {
			t.Fatalf("the birth that failed: %v", err)
		}
	}
	d.mu.Lock()
	d.fault = nil
	d.mu.Unlock()
	if _, err := s.Commit(ctx, put("a", persist.Any, "3")); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, got, err := reopened(t, d.current(), false); err != nil || got["a"] != "3" || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAFailedSyncFailsTheGroupAndTheStore(t *testing.T) {
	ctx := context.Background()
	d := newDisk(nil)
	s, err := Open(d, "/log", crashOptions)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(ctx, put("a", persist.Absent, "1"), put("b", persist.Absent, "1")); err != nil {
		t.Fatal(err)
	}
	once := sync.Once{}
	d.mu.Lock()
	d.fault = func(_ int, op, _ string) (ft fault) {
		if op == "sync" {
			once.Do(func() { ft.err = syscall.EIO })
		}
		return ft
	}
	d.mu.Unlock()
	if _, err := s.Commit(ctx, put("a", persist.Any, "2")); !errors.Is(err, persist.ErrUnknownOutcome) || !errors.Is(err, syscall.EIO) {
		t.Errorf("the commit: %v", err)
	}
	if _, err := s.Commit(ctx, put("b", persist.Any, "2")); !errors.Is(err, persist.ErrStoreFailed) || errors.Is(err, persist.ErrUnknownOutcome) {
		t.Errorf("the next: %v", err)
	}
	if _, _, err := s.Load(ctx, "a"); !errors.Is(err, persist.ErrUnknownOutcome) {
		t.Errorf("load of what it touched: %v", err)
	}
	if rec, _, err := s.Load(ctx, "b"); err != nil || string(rec.Payload) != "1" {
		t.Errorf("load of what it did not touch: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestASecondOwnerIsLockedOutOrFencesTheFirst(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "log")
	first, err := Open(afero.NewOsFs(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(afero.NewOsFs(), dir, nil); !errors.Is(err, persist.ErrLocked) {
		t.Errorf("a second open: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	mem := afero.NewMemMapFs()
	old, err := Open(mem, "/log", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Commit(ctx, put("a", persist.Absent, "1")); err != nil {
		t.Fatal(err)
	}
	young, err := Open(mem, "/log", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Commit(ctx, put("a", persist.Any, "2")); !errors.Is(err, persist.ErrFenced) || !errors.Is(err, persist.ErrUnknownOutcome) {
		t.Errorf("a commit of the fenced owner: %v", err)
	}
	if rec, _, err := young.Load(ctx, "a"); err != nil || string(rec.Payload) != "1" {
		t.Errorf("%q, %v", rec.Payload, err)
	}
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	if err := young.Close(); err != nil {
		t.Error(err)
	}
	third, err := Open(mem, "/log", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := contents(t, third); len(got) != 1 || got["a"] != "1" {
		t.Errorf("what a fenced owner wrote came back: %q", got)
	}
	_ = third.Close()
}
