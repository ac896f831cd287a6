package logstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/understudy-go/understudy/persist"
)

// A script is what a test saves: commits one after another, each with a number
// that all its payloads carry, so that what comes back can be told apart.
type step struct {
	number  int
	keys    []persist.Key
	deletes bool
}

type begun struct{ step step }
type ended struct {
	step step
	err  error
}

func (s step) payload(key persist.Key) string {
	return fmt.Sprintf("%d %s %s", s.number, key, strings.Repeat("x", s.number*977%3000))
}

func (s step) run(store *Store) error {
	var changes []persist.Change
	for _, key := range s.keys {
		c := persist.Change{Key: key, If: persist.Any}
		if !s.deletes {
			c.Put = record(key, uint64(s.number), []byte(s.payload(key)))
		}
		changes = append(changes, c)
	}
	_, err := store.Commit(context.Background(), changes...)
	return err
}

// script draws steps over keys of its own.
func script(rnd *rand.Rand, prefix string, first, n int) []step {
	var steps []step
	for i := range n {
		st := step{number: first + i, deletes: rnd.Intn(5) == 0}
		for range 1 + rnd.Intn(2)*rnd.Intn(4) {
			key := persist.Key(fmt.Sprintf("%s/%d", prefix, rnd.Intn(6)))
			if !slices.Contains(st.keys, key) {
				st.keys = append(st.keys, key)
			}
		}
		steps = append(steps, st)
	}
	return steps
}

// expect reads off the notes on a disk what must be found.
func expect(log []diskOp) (acked map[persist.Key]string, open []step) {
	acked = map[persist.Key]string{}
	running := map[int]step{}
	for _, op := range log {
		switch n := op.note.(type) {
		case begun:
			running[n.step.number] = n.step
		case ended:
			switch {
			case n.err == nil:
				delete(running, n.step.number)
				for _, key := range n.step.keys {
					if n.step.deletes {
						delete(acked, key)
					} else {
						acked[key] = n.step.payload(key)
					}
				}
			case !errors.Is(n.err, persist.ErrUnknownOutcome):
				delete(running, n.step.number) // it says that it left nothing behind
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(running)) {
		open = append(open, running[n])
	}
	return acked, open
}

// judge compares what a store holds with what it must hold: every acknowledged
// state, or one of a step whose outcome is open, which is there in full or not
// at all.
func judge(got, acked map[persist.Key]string, open []step) error {
	want := maps.Clone(acked)
	for _, st := range open {
		shown := 0
		for _, key := range st.keys {
			value, ok := got[key]
			if st.deletes && !ok || !st.deletes && value == st.payload(key) {
				shown++
			}
		}
		old := 0
		for _, key := range st.keys {
			value, ok := got[key]
			if before, had := acked[key]; ok == had && value == before {
				old++
			}
		}
		switch {
		case old == len(st.keys):
		case shown == len(st.keys):
			for _, key := range st.keys {
				if st.deletes {
					delete(want, key)
				} else {
					want[key] = st.payload(key)
				}
			}
		default:
			return fmt.Errorf("step %d over %q shows in %d places and not in %d", st.number, st.keys, shown, old)
		}
	}
	show := func(s string) string { return fmt.Sprintf("%.20q", s) }
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			return fmt.Errorf("%q is %s, not %s", key, show(got[key]), show(want[key]))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			return fmt.Errorf("%q is %s, and should not be there", key, show(got[key]))
		}
	}
	return nil
}

var crashOptions = &Options{SegmentSize: 64 << 10}

// reopened opens the log on files and returns what it says, and the disk.
func reopened(t testing.TB, files map[string][]byte, plain bool) (*disk, map[persist.Key]string, error) {
	d := newDisk(files)
	d.plain = plain
	s, err := Open(d, "/log", crashOptions)
	if err != nil {
		return d, nil, err
	}
	got := contents(t, s)
	return d, got, s.Close()
}

// runScripts runs scripts at the same time.
func runScripts(t testing.TB, d *disk, o *Options, scripts ...[]step) {
	s, err := Open(d, "/log", o)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, steps := range scripts {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for _, st := range steps {
				d.note(begun{st})
				d.note(ended{st, st.run(s)})
			}
		}()
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatWasAcknowledgedSurvivesACrashAfterEveryOperation(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for seed := range int64(deep(1, 12)) {
			t.Run(fmt.Sprintf("plain=%v/seed=%d", plain, seed), func(t *testing.T) {
				rnd := rand.New(rand.NewSource(seed))
				d := newDisk(nil)
				d.plain = plain
				runScripts(t, d, crashOptions, script(rnd, "a", 0, 150))
				runScripts(t, d, crashOptions, script(rnd, "a", 1000, 60), script(rnd, "b", 2000, 60), script(rnd, "c", 3000, 60))
				states, nested := 0, 0
				crashes(nil, d.log, deep(11, 1), rnd, func(at int, cs crashState) {
					if t.Failed() {
						return
					}
					states++
					acked, open := expect(d.log[:at+1])
					again, got, err := reopened(t, cs.files, plain)
					if err == nil {
						err = judge(got, acked, open)
					}
					if err != nil {
						t.Errorf("%s after operation %d: %v", cs.name, at, err)
						return
					}
					// What recovery found it must find again, whatever happens to it.
					if states%deep(23, 5) != 0 {
						return
					}
					first := got
					crashes(cs.files, again.log, 1, rnd, func(at2 int, cs2 crashState) {
						nested++
						_, got, err := reopened(t, cs2.files, plain)
						if err == nil {
							err = judge(got, acked, open)
						}
						if err == nil && (cs2.name == "killed" || at2 == len(again.log)-1) && !maps.Equal(got, first) && at2 > len(again.log)/2 {
							err = fmt.Errorf("recovery said something else before")
						}
						if err != nil && !t.Failed() {
							t.Errorf("%s after operation %d, then %s after operation %d of recovery: %v", cs.name, at, cs2.name, at2, err)
						}
					})
				})
				t.Logf("%d operations, %d states, %d nested", len(d.log), states, nested)
			})
		}
	}
}

func TestAnErrorAtAnyCallIsReportedAndLosesNothing(t *testing.T) {
	faults := map[string]fault{
		"EIO":       {err: syscall.EIO},
		"EIO late":  {err: syscall.EIO, done: true},
		"full":      {err: syscall.ENOSPC},
		"full late": {err: syscall.ENOSPC, done: true},
	}
	made := newDisk(nil)
	runScripts(t, made, crashOptions, script(rand.New(rand.NewSource(6)), "a", 0, 120))
	base := made.current()
	var before []diskOp // what was acknowledged then
	for _, op := range made.log {
		if op.kind == "note" {
			before = append(before, op)
		}
	}
	for name, ft := range faults {
		t.Run(name, func(t *testing.T) {
			seen := map[string]int{}
			for call := 1; ; call += deep(17, 1) {
				var hit atomic.Bool
				rnd := rand.New(rand.NewSource(7))
				d := newDisk(base)
				d.log = slices.Clone(before)
				d.fault = func(n int, op, _ string) fault {
					if n != call {
						return fault{}
					}
					hit.Store(true)
					seen[op]++
					return ft
				}
				s, err := Open(d, "/log", crashOptions)
				if err == nil {
					for _, st := range script(rnd, "a", 1000, 60) {
						d.note(begun{st})
						d.note(ended{st, st.run(s)})
					}
					_ = s.Close()
				}
				for kind := range 2 {
					acked, open := expect(d.log)
					files := d.current()
					if kind == 1 {
						crashes(base, d.log, 1, rnd, func(at int, cs crashState) {
							if at == len(d.log)-1 && cs.name == "synced only" {
								files = cs.files
							}
						})
					}
					_, got, err := reopened(t, files, false)
					if err == nil {
						err = judge(got, acked, open)
					}
					if err != nil {
						t.Fatalf("fault at call %d, reopened (%d): %v", call, kind, err)
					}
				}
				if !hit.Load() {
					break
				}
			}
			t.Log(seen)
		})
	}
}

func TestWhatAnOpenShowedAfterAKillSurvivesAPowerCut(t *testing.T) {
	rnd := rand.New(rand.NewSource(3))
	d := newDisk(nil)
	runScripts(t, d, crashOptions, script(rnd, "a", 0, 100))
	shown := 0
	crashes(nil, d.log, deep(11, 1), rnd, func(at int, cs crashState) {
		if cs.name != "killed" || t.Failed() {
			return
		}
		second := newDisk(cs.files)
		s, err := Open(second, "/log", crashOptions)
		if err != nil {
			t.Fatal(err)
		}
		got := contents(t, s)
		s.stopKeeper()
		all := append(slices.Clone(d.log[:at+1]), continued(d.log[:at+1], cs.files, second.log)...)
		crashes(nil, all, 1, rnd, func(at2 int, cs2 crashState) {
			if at2 != len(all)-1 {
				return
			}
			shown++
			_, again, err := reopened(t, cs2.files, false)
			if err == nil && !maps.Equal(got, again) {
				err = errors.New("it says something else now")
			}
			if err != nil && !t.Failed() {
				t.Errorf("killed after operation %d, opened, then %s: %v", at, cs2.name, err)
			}
		})
	})
	t.Logf("%d states", shown)
}

// continued is the log of a disk that was made of files, the state after the
// operations before, with the inodes of those operations.
func continued(before []diskOp, files map[string][]byte, log []diskOp) []diskOp {
	names, next := map[string]int{}, 0
	for _, op := range before {
		next = max(next, op.inode+1)
		switch op.kind {
		case "name":
			names[op.name] = op.inode
		case "unname":
			delete(names, op.name)
		case "rename":
			names[op.to] = names[op.name]
			delete(names, op.name)
		}
	}
	inode := map[int]int{}
	for i, name := range slices.Sorted(maps.Keys(files)) {
		inode[i] = names[name]
	}
	out := slices.Clone(log)
	for i := range out {
		op := &out[i]
		if op.kind != "write" && op.kind != "truncate" && op.kind != "sync" && op.kind != "name" {
			continue
		}
		to, ok := inode[op.inode]
		if !ok {
			to = next
			next++
			inode[op.inode] = to
		}
		op.inode = to
	}
	return out
}
