package filestore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/fsim"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/filestore"
)

// deep says whether the large budgets are asked for.
var deep = os.Getenv("UNDERSTUDY_DEEP") != ""

// sequential makes a store do everything on the goroutine that calls it, so
// that a run makes the same calls in the same order each time.
func sequential() *filestore.Options { return &filestore.Options{Readers: 1} }

// step is one commit of a script. A value of "" deletes.
type step map[persist.Key]string

// script is what the tests of this file do to a store: births in new folders,
// updates, a batch that makes, changes and deletes, a delete that empties
// folders, a birth in their place.
var script = []step{
	{"a": "1"},
	{"a/b/c": "2"},
	{"a": "3"},
	{"a": "4", "a/b/c": "", "d/e": "4"},
	{"d/e": ""},
	{"d/e": "6"},
	{"d/e": "7", "f": "7"},
	{"f": ""},
}

func changes(s step) []persist.Change {
	var cs []persist.Change
	for _, k := range slices.Sorted(maps.Keys(s)) {
		c := persist.Change{Key: k, If: persist.Any}
		if s[k] != "" {
			c.Put = rec(k, s[k])
		}
		cs = append(cs, c)
	}
	return cs
}

func rec(key persist.Key, text string) *persist.Record {
	return &persist.Record{Key: key, Kind: "k", Codec: "c", Payload: []byte(text)}
}

// states returns what the store holds after each number of steps.
func states(script []step) []map[persist.Key]string {
	now := map[persist.Key]string{}
	all := []map[persist.Key]string{maps.Clone(now)}
	for _, s := range script {
		for k, v := range s {
			if now[k] = v; v == "" {
				delete(now, k)
			}
		}
		all = append(all, maps.Clone(now))
	}
	return all
}

// contents reads everything that a store holds, by LoadTree, and checks that
// Load and List agree.
func contents(s *filestore.Store) (map[persist.Key]string, error) {
	ctx := context.Background()
	all := map[persist.Key]string{}
	versions := map[persist.Key]persist.Version{}
	for l, err := range s.LoadTree(ctx, "") {
		if err != nil {
			return nil, err
		}
		if l.Fallback != nil {
			return nil, fmt.Errorf("fell back: %w", l.Fallback)
		}
		all[l.Key], versions[l.Key] = string(l.Payload), l.Version
	}
	n := 0
	for e, err := range s.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		if n++; versions[e.Key] != e.Version {
			return nil, fmt.Errorf("list says %q of %q, its tree %q", e.Version, e.Key, versions[e.Key])
		}
	}
	if n != len(all) {
		return nil, fmt.Errorf("list has %d keys, the tree %d", n, len(all))
	}
	for k, v := range all {
		got, version, err := s.Load(ctx, k)
		if err != nil || string(got.Payload) != v || version != versions[k] {
			return nil, fmt.Errorf("load %q: %q %q %v, its tree said %q", k, got.Payload, version, err, v)
		}
	}
	return all, nil
}

// play opens a store, plays the script, and tells ack of each success. It
// returns how many steps succeeded, and the first error.
func play(fsys afero.Fs, script []step, ack func(done int)) (int, error) {
	s, err := filestore.Open(fsys, "/store", sequential())
	if err != nil {
		return 0, err
	}
	ack(0)
	for i, st := range script {
		if _, err := s.Commit(context.Background(), changes(st)...); err != nil {
			return i, errors.Join(err, s.Close())
		}
		ack(i + 1)
	}
	return len(script), s.Close()
}

// look opens what is left, twice, and checks that it holds the state after some
// number of steps, done ≤ n ≤ done+1, both times the same.
func look(fsys afero.Fs, script []step, done int) error {
	all := states(script)
	var before map[persist.Key]string
	for range 2 {
		s, err := filestore.Open(fsys, "/store", sequential())
		if err != nil {
			return err
		}
		got, err := contents(s)
		if err != nil {
			return errors.Join(err, s.Close())
		}
		ok := maps.Equal(got, all[done]) || done+1 < len(all) && maps.Equal(got, all[done+1])
		if !ok {
			return errors.Join(fmt.Errorf("%d steps were acknowledged, %v came back", done, got), s.Close())
		}
		if before != nil && !maps.Equal(before, got) {
			return errors.Join(fmt.Errorf("the first open shows %v, the second %v", before, got), s.Close())
		}
		before = got
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}

// judge is look, and then the store must go on.
func judge(fsys afero.Fs, script []step, done int) error {
	if err := look(fsys, script, done); err != nil {
		return err
	}
	s, err := filestore.Open(fsys, "/store", sequential())
	if err != nil {
		return err
	}
	for _, k := range []persist.Key{"a", "d/e", "g/h"} {
		if _, err := s.Commit(context.Background(), persist.Change{Key: k, Put: rec(k, "later"), If: persist.Any}); err != nil {
			return errors.Join(fmt.Errorf("after recovery: %w", err), s.Close())
		}
	}
	return s.Close()
}

// A power cut at every instant, in the legal states of every profile.
func TestNoPowerCutLosesOrInventsAnything(t *testing.T) {
	for _, p := range fsim.Profiles() {
		t.Run(p.String(), func(t *testing.T) {
			o := &fsim.ExploreOptions{Profile: p, Budget: 1500, Deviations: 1}
			if deep {
				o.Budget, o.Deviations = 200_000, 2
			}
			explore(t, script, o)
		})
	}
}

// The same with a second power cut, during the recovery or right after it.
func TestNoPowerCutDuringRecoveryDoesEither(t *testing.T) {
	short := []step{{"a": "1", "b/c": "1"}, {"a": "", "b/c": "2"}}
	o := &fsim.ExploreOptions{Depth: 1, Budget: 1500, Deviations: 1}
	if deep {
		o.Budget = 100_000
	}
	explore(t, short, o)
}

func explore(t *testing.T, script []step, o *fsim.ExploreOptions) {
	t.Helper()
	report, err := fsim.Explore(func(d *fsim.Disk) error {
		_, err := play(d, script, func(done int) { d.Ack(done) })
		return err
	}, func(d *fsim.Disk, acked []any) error {
		done := 0
		if len(acked) > 0 {
			done = acked[len(acked)-1].(int)
		}
		if o.Depth > 0 {
			return look(d, script, done)
		}
		return judge(d, script, done)
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	if report.Failure != nil {
		t.Fatalf("%v\n%v", report, report.Failure)
	}
	t.Log(report)
}

// A process that is killed leaves what it did, durable or not. What the next
// one finds is durable: a power cut right after it changes nothing any more.
func TestNoKillAtAnyCallLosesOrInventsAnything(t *testing.T) {
	for n := 1; ; n++ {
		disk := fsim.New(fsim.Linux)
		mortal := &killed{Fs: disk, left: n}
		done := 0
		_, err := play(mortal, script, func(d int) { done = d })
		if err == nil && mortal.left >= 0 {
			t.Logf("%d calls", n)
			return
		}
		if err := afterKill(disk, done); err != nil {
			t.Fatalf("killed before call %d, with %d steps acknowledged: %v", n+1, done, err)
		}
		if err := judge(disk, script, done); err != nil {
			t.Fatalf("killed before call %d, with %d steps acknowledged: %v", n+1, done, err)
		}
	}
}

// afterKill opens the store, reads it, and cuts the power.
func afterKill(disk *fsim.Disk, done int) error {
	s, err := filestore.Open(disk, "/store", sequential())
	if err != nil {
		return err
	}
	shown, err := contents(s)
	if err != nil {
		return err
	}
	if err := afterCut(disk, shown); err != nil {
		return fmt.Errorf("the next owner saw %v: %w", shown, err)
	}
	return s.Close()
}

// afterCut checks that the store holds want whatever a power cut takes.
func afterCut(disk *fsim.Disk, want map[persist.Key]string) error {
	crash, err := disk.Crash()
	if err != nil {
		return err
	}
	for _, x := range fsim.Extremes() {
		s, err := filestore.Open(crash.Extreme(x).Mount(nil), "/store", sequential())
		if err != nil {
			return fmt.Errorf("after a power cut, %v: %w", x, err)
		}
		got, err := contents(s)
		if err = errors.Join(err, s.Close()); err != nil {
			return fmt.Errorf("after a power cut, %v: %w", x, err)
		}
		if !maps.Equal(got, want) {
			return fmt.Errorf("after a power cut (%v) there is %v", x, got)
		}
	}
	return nil
}

// A power cut during the recovery from a kill.
func TestNoPowerCutAfterAKillLosesOrInventsAnything(t *testing.T) {
	short := []step{{"a": "1", "b/c": "1"}, {"a": "", "b/c": "2"}}
	every := 13
	if deep {
		every = 1
	}
	for n := 1; ; n += every {
		for m := 1; ; m++ {
			disk := fsim.New(fsim.Linux)
			first := &killed{Fs: disk, left: n}
			done := 0
			if _, err := play(first, short, func(d int) { done = d }); err == nil && first.left >= 0 {
				return
			}
			second := &killed{Fs: disk, left: m}
			s, err := filestore.Open(second, "/store", sequential())
			crash, crashErr := disk.Crash()
			if crashErr != nil {
				t.Fatal(crashErr)
			}
			for _, x := range fsim.Extremes() {
				if err := look(crash.Extreme(x).Mount(nil), short, done); err != nil {
					t.Fatalf("killed after %d calls with %d steps acknowledged, then a power cut (%v) after %d calls of the next owner: %v", n, done, x, m, err)
				}
			}
			if err == nil {
				_ = s.Close()
				break
			}
		}
	}
}

// A failing call is reported, loses nothing that was acknowledged, and a store
// that is opened again shows what was there before or after.
func TestNoErrorAtAnyCallLosesOrInventsAnything(t *testing.T) {
	for _, text := range faults {
		t.Run(strings.ReplaceAll(text, " ", "_"), func(t *testing.T) {
			fault, err := fsim.ParseFault(text)
			if err != nil {
				t.Fatal(err)
			}
			runs, struck := 0, 0
			for swept := range fsim.Sweep(fault, func(f fsim.Fault) (*fsim.Disk, error) {
				disk := fsim.New(fsim.Linux)
				disk.SetFaults(f)
				return disk, endure(disk)
			}) {
				if runs++; swept.Err != nil {
					t.Fatalf("%v at %v: %v", swept.Fault, swept.Call, swept.Err)
				}
				if swept.Struck {
					struck++
				}
			}
			if struck == 0 {
				t.Fatal("the fault never struck")
			}
			t.Logf("%d runs", runs)
		})
	}
}

var faults = []string{
	"EIO", "EIO when=after", "ENOSPC open,mkdir,write,sync,rename", "EDQUOT write,sync", "short write n=3", "silent write n=3", "EACCES open,mkdir,rename,remove",
}

// endure plays the script on a disk that fails once, going on after each error
// as an owner would: clean errors are tried again, others open the store again.
func endure(disk *fsim.Disk) error {
	all := states(script)
	ctx := context.Background()
	open := func() (*filestore.Store, error) {
		s, err := filestore.Open(disk, "/store", sequential())
		if err != nil { // the fault struck here, and strikes once
			s, err = filestore.Open(disk, "/store", sequential())
		}
		return s, err
	}
	s, err := open()
	if err != nil {
		return fmt.Errorf("open again after an error: %w", err)
	}
	for i := 0; i < len(script); i++ {
		struck := len(disk.Strikes())
		_, err := s.Commit(ctx, changes(script[i])...)
		if err == nil {
			if len(disk.Strikes()) > struck { // it made do with an error: is it durable all the same?
				if err := afterCut(disk, all[i+1]); err != nil {
					return fmt.Errorf("step %d was acknowledged: %w", i, err)
				}
			}
			continue
		}
		unknown, failed := errors.Is(err, persist.ErrUnknownOutcome), errors.Is(err, persist.ErrStoreFailed)
		if unknown && !failed {
			return fmt.Errorf("step %d: an unknown outcome without a failed store: %w", i, err)
		}
		if unknown {
			if err := stayFailed(s, script[i]); err != nil {
				return err
			}
		}
		if failed {
			_ = s.Close()
			if s, err = open(); err != nil {
				return fmt.Errorf("open again after step %d: %w", i, err)
			}
		}
		got, readErr := contents(s)
		if readErr != nil {
			return fmt.Errorf("read after step %d, which failed with %v: %w", i, err, readErr)
		}
		switch {
		case unknown && maps.Equal(got, all[i+1]):
			continue
		case !maps.Equal(got, all[i]):
			return fmt.Errorf("step %d failed with %v, and then there is %v", i, err, got)
		}
		i-- // once more
	}
	if err := s.Close(); err != nil {
		if s, err = open(); err != nil {
			return err
		}
		_ = s.Close()
	}
	left, err := disk.Kill() // the same without the fault, if it has not struck yet
	if err != nil {
		return err
	}
	return judge(left.Mount(nil), script, len(script))
}

// stayFailed checks what a store says after a commit of unknown outcome.
func stayFailed(s *filestore.Store, st step) error {
	for k := range st {
		if _, _, err := s.Load(context.Background(), k); !errors.Is(err, persist.ErrUnknownOutcome) {
			return fmt.Errorf("load %q after an unknown outcome: %v", k, err)
		}
		_, err := s.Commit(context.Background(), persist.Change{Key: k, Put: rec(k, "x"), If: persist.Any})
		if !errors.Is(err, persist.ErrStoreFailed) || errors.Is(err, persist.ErrUnknownOutcome) {
			return fmt.Errorf("commit %q on a failed store: %v", k, err)
		}
	}
	return nil
}
