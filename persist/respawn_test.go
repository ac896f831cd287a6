package persist_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// stoppedTree saves a tree of three levels and ends it.
func (w *world) stoppedTree() {
	w.Helper()
	pid := w.tree("m", "a", "b", "c")
	for _, key := range []persist.Key{"m/a", "m/b"} {
		kid, _ := w.sys.Lookup(key)
		w.run(kid, func(_ *cell, c *actor.Context) {
			if _, err := w.cells.SpawnChild(c, "x", func(a *cell) { a.N = 10 }); err != nil {
				w.Error(err)
			}
		})
	}
	if err := w.sys.Stop(w.ctx, pid); err != nil {
		w.Fatal(err)
	}
	w.clearNotes()
}

func (w *world) liveKeys() (keys []persist.Key) {
	for key, err := range w.sys.Keys(w.ctx, "") {
		if err != nil {
			w.Fatal(err)
		}
		if _, ok := w.sys.Lookup(key); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

func TestRespawnOfALiveKeyReturnsThatActor(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		w.run(pid, func(a *cell, _ *actor.Context) { a.N = 2 })
		for _, respawn := range []func() (*actor.PID, error){
			func() (*actor.PID, error) { return w.cells.Respawn(w.ctx, w.sys, "k") },
			func() (*actor.PID, error) { return w.cells.TryRespawn(w.ctx, w.sys, "k", nil) },
			func() (*actor.PID, error) { return w.sys.Respawn(w.ctx, "k") },
		} {
			again, err := respawn()
			if err != nil || !again.Equals(pid) || w.value(again) != 2 {
				w.Errorf("got %v, %v", again, err)
			}
		}
		if w.made != 1 {
			w.Errorf("constructed %d times", w.made)
		}
	})
}

func TestConcurrentRespawnsGetOneActor(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stoppedTree()
		before := w.made
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				key := []persist.Key{"m", "m/a", "m/a/x", "m/b"}[i%4]
				if _, err := w.sys.Respawn(w.ctx, key); err != nil {
					w.Error(err)
				}
			})
		}
		wg.Wait()
		if n := w.made - before; n != 6 {
			w.Errorf("six actors were constructed %d times", n)
		}
		started := 0
		for _, n := range w.noted() {
			if strings.HasPrefix(n, "actor.Started") {
				started++
			}
		}
		if started != 6 {
			w.Errorf("started %d times: %v", started, w.noted())
		}
	})
}

func TestRespawnBringsTheWholeTreeBackChildrenBeforeTheirParentsStarted(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stoppedTree()
		var children []string
		w.on(actor.Started{}, "m", func(_ *cell, c *actor.Context) {
			for _, kid := range c.Children() {
				children = append(children, kid.ID)
			}
			slices.Sort(children)
			if _, ok := w.sys.Lookup("m/b/x"); !ok {
				w.Error("the grandchild is not up")
			}
		})
		pid, err := w.cells.Respawn(w.ctx, w.sys, "m")
		if err != nil {
			w.Fatal(err)
		}
		want := []string{
			"actor.Initialized m/a/x", "actor.Started m/a/x", "actor.Initialized m/a", "actor.Started m/a",
			"actor.Initialized m/b/x", "actor.Started m/b/x", "actor.Initialized m/b", "actor.Started m/b",
			"actor.Initialized m/c", "actor.Started m/c", "actor.Initialized m", "actor.Started m",
		}
		if got := w.noted(); !slices.Equal(got, want) {
			w.Errorf("the order of births:\n%s", strings.Join(got, "\n"))
		}
		if fmt.Sprint(children) != "[persist/m/a persist/m/b persist/m/c]" {
			w.Errorf("its Hollywood children are %v", children)
		}
		kid, _ := w.sys.Lookup("m/b/x")
		if w.value(kid) != 10 {
			w.Error("the grandchild lost its state")
		}
		w.run(pid, func(*cell, *actor.Context) {})
		if got := eventsOf[persist.Respawned](w); len(got) != 6 {
			w.Errorf("%d Respawned events", len(got))
		}
	})
}

func TestRespawnZeroesWhatTheConstructorPutIntoExportedFields(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		w.run(pid, func(a *cell, _ *actor.Context) { delete(a.Tags, "made"); a.Tags["axe"] = 2 })
		if err := w.sys.Stop(w.ctx, pid); err != nil {
			w.Fatal(err)
		}
		pid, err := w.cells.Respawn(w.ctx, w.sys, "k")
		if err != nil {
			w.Fatal(err)
		}
		w.run(pid, func(a *cell, _ *actor.Context) {
			if fmt.Sprint(a.Tags) != "map[axe:2]" {
				w.Errorf("a deleted entry came back: %v", a.Tags)
			}
		})
	})
}

func TestRespawnErrorNamesEveryKeyThatFailedAndNothingComesUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stoppedTree()
		damage := func(b []byte) []byte { b[len(b)-5] ^= 1; return b }
		for _, key := range []persist.Key{"m/a", "m/c"} {
			if err := w.store.mem.Edit(key, damage); err != nil {
				w.Fatal(err)
			}
		}
		_, err := w.cells.Respawn(w.ctx, w.sys, "m")
		w.mustBe(err, persist.ErrCorrupt)
		failed := respawnErrors(err)
		if fmt.Sprint(failed) != "[m/a m/a/x m/c]" {
			w.Errorf("named: %v in %v", failed, err)
		}
		if live := w.liveKeys(); len(live) != 0 {
			w.Errorf("these are up: %v", live)
		}
		if got := eventsOf[persist.RespawnFailed](w); len(got) != 3 {
			w.Errorf("events: %v", got)
		}
		for _, key := range []persist.Key{"m/a", "m/c"} { // mend the evidence: it was not touched
			if err := w.store.mem.Edit(key, damage); err != nil {
				w.Fatal(err)
			}
		}
		if _, err := w.cells.Respawn(w.ctx, w.sys, "m"); err != nil {
			w.Error(err)
		}
	})
}

// respawnErrors returns the keys of all RespawnErrors in err.
func respawnErrors(err error) (keys []persist.Key) {
	switch e := err.(type) {
	case nil:
	case *persist.RespawnError:
		keys = append(keys, e.Key)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			keys = append(keys, respawnErrors(err)...)
		}
	case interface{ Unwrap() error }:
		keys = respawnErrors(e.Unwrap())
	}
	slices.SortFunc(keys, persist.Key.Compare)
	return slices.Compact(keys)
}

func TestRespawnPartialBringsUpTheRest(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stoppedTree()
		if err := w.store.mem.Edit("m/a", func(b []byte) []byte { return b[:20] }); err != nil {
			w.Fatal(err)
		}
		pid, err := w.cells.Respawn(w.ctx, w.sys, "m")
		if pid == nil || fmt.Sprint(respawnErrors(err)) != "[m/a m/a/x]" {
			w.Errorf("got %v, %v", pid, err)
		}
		if live := w.liveKeys(); fmt.Sprint(live) != "[m m/b m/b/x m/c]" {
			w.Errorf("up are %v", live)
		}
		if _, err := w.cells.Respawn(w.ctx, w.sys, "m/a"); !errors.Is(err, persist.ErrCorrupt) {
			w.Errorf("the damaged one alone: %v", err)
		}
	}, partial)
}

func TestAChildThatPanicsInStartedTakesTheTreeDownAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stoppedTree()
		w.on(actor.Started{}, "m/b/x", func(*cell, *actor.Context) { panic("no") })
		_, err := w.sys.Respawn(w.ctx, "m")
		var pe *persist.PanicError
		if !errors.As(err, &pe) || pe.Key != "m/b/x" {
			w.Errorf("got %v", err)
		}
		synctest.Wait()
		if live := w.liveKeys(); len(live) != 0 || w.registered() != 2 {
			w.Errorf("still up: %v, %d registered", live, w.registered())
		}
		w.hooks = map[string]do{}
		if _, err := w.sys.Respawn(w.ctx, "m"); err != nil {
			w.Error(err)
		}
	})
}

func TestADescendantThatIsLiveStaysWhereItIs(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stoppedTree()
		early, err := w.sys.Respawn(w.ctx, "m/a")
		if err != nil {
			w.Fatal(err)
		}
		w.run(early, func(a *cell, _ *actor.Context) { a.N = 77 })
		x, _ := w.sys.Lookup("m/a/x")
		if err := w.sys.Stop(w.ctx, x); err != nil { // saved below a live one, not live
			w.Fatal(err)
		}
		if _, err := w.sys.Respawn(w.ctx, "m"); err != nil {
			w.Fatal(err)
		}
		if w.value(early) != 77 {
			w.Error("the live descendant was replaced")
		}
		if live := w.liveKeys(); len(live) != 6 {
			w.Errorf("up are %v", live)
		}
		m, _ := w.sys.Lookup("m")
		if err := w.sys.Stop(w.ctx, m); err != nil {
			w.Fatal(err)
		}
		if live := w.liveKeys(); len(live) != 0 || w.saved("m/a") != 77 {
			w.Errorf("Stop goes by key space: still up %v, saved %d", live, w.saved("m/a"))
		}
	})
}

func TestTryRespawnCreatesOnlyWhenTheStoreSaysNotFound(t *testing.T) {
	inWorld(t, func(w *world) {
		pid, err := w.cells.TryRespawn(w.ctx, w.sys, "k", func(a *cell) { a.N = 5 })
		if err != nil || w.saved("k") != 5 {
			w.Fatal(err)
		}
		if err := w.sys.Stop(w.ctx, pid); err != nil {
			w.Fatal(err)
		}
		var good []byte
		_ = w.store.mem.Edit("k", func(b []byte) []byte { good = slices.Clone(b); return b })
		disk := errors.New("input/output error")
		bad := map[string]struct {
			edit func([]byte) []byte
			fail error
			want error
		}{
			"a flipped bit": {edit: func(b []byte) []byte { b[40] ^= 4; return b }, want: persist.ErrCorrupt},
			"empty":         {edit: func([]byte) []byte { return nil }, want: persist.ErrCorrupt},
			"zeros":         {edit: func(b []byte) []byte { return make([]byte, len(b)) }, want: persist.ErrCorrupt},
			"truncated":     {edit: func(b []byte) []byte { return b[:len(b)-1] }, want: persist.ErrCorrupt},
			"unreadable":    {edit: func(b []byte) []byte { return b }, fail: disk, want: disk},
		}
		for name, c := range bad {
			var evidence []byte
			_ = w.store.mem.Edit("k", func([]byte) []byte { evidence = c.edit(slices.Clone(good)); return evidence })
			w.store.fail(func(op string, _ []persist.Key) error {
				if op == "load" {
					return c.fail
				}
				return nil
			})
			made := w.made
			_, err := w.cells.TryRespawn(w.ctx, w.sys, "k", func(a *cell) { a.N = -1 })
			w.mustBe(err, c.want)
			if w.made != made && c.fail == nil {
				w.Errorf("%s: an actor was made", name)
			}
			_ = w.store.mem.Edit("k", func(b []byte) []byte {
				if !slices.Equal(b, evidence) {
					w.Errorf("%s: the evidence was touched", name)
				}
				return good
			})
		}
		w.store.fail(nil)
		if pid, err := w.cells.TryRespawn(w.ctx, w.sys, "k", nil); err != nil || w.value(pid) != 5 {
			w.Errorf("%v", err)
		}
	})
}

func TestEveryBitAndEveryLengthOfARecordIsChecked(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 5)
		if err := w.sys.Stop(w.ctx, pid); err != nil {
			w.Fatal(err)
		}
		var good []byte
		_ = w.store.mem.Edit("k", func(b []byte) []byte { good = slices.Clone(b); return b })
		try := func(what string, bad []byte) {
			_ = w.store.mem.Edit("k", func([]byte) []byte { return bad })
			if _, err := w.cells.TryRespawn(w.ctx, w.sys, "k", nil); !errors.Is(err, persist.ErrCorrupt) {
				w.Fatalf("%s: %v", what, err)
			}
		}
		for i := range good {
			try(fmt.Sprintf("cut to %d", i), good[:i])
			for bit := range 8 {
				bad := slices.Clone(good)
				bad[i] ^= 1 << bit
				try(fmt.Sprintf("bit %d of byte %d", bit, i), bad)
			}
		}
	})
}

func TestRespawnLoadsOneConsistentView(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stoppedTree()
		var loads, writes atomic.Int32
		rewrite := func() { // another owner saves m and m/c together, between two loads
			for _, key := range []persist.Key{"m", "m/c"} {
				rec, v, err := w.store.mem.Load(w.ctx, key)
				if err != nil {
					w.Fatal(err)
				}
				rec.Payload, _ = persist.CBOR.Marshal(&cell{N: 900})
				if _, err := w.store.mem.Commit(w.ctx, persist.Change{Key: key, Put: &rec, If: v}); err != nil {
					w.Fatal(err)
				}
			}
			writes.Add(1)
		}
		w.store.fail(func(op string, keys []persist.Key) error {
			if op == "load" && keys[0] == "m/b" && loads.Add(1) == 1 {
				rewrite()
			}
			return nil
		})
		pid, err := w.sys.Respawn(w.ctx, "m")
		if err != nil {
			w.Fatal(err)
		}
		c, _ := w.sys.Lookup("m/c")
		if a, b := w.value(pid), w.value(c); writes.Load() != 1 || a != 900 || b != 900 {
			w.Errorf("a mixed tree came back: m=%d m/c=%d", a, b)
		}
	}, singleCommits)
}

func TestRespawnThatMeetsAStoppingActorWaitsForItsFinalSave(t *testing.T) {
	for _, how := range []string{"Stop", "Poison"} {
		t.Run(how, func(t *testing.T) {
			inWorld(t, func(w *world) {
				pid := w.spawn("k", 1)
				w.run(pid, func(a *cell, _ *actor.Context) { a.N = 2 })
				gate := make(chan struct{})
				w.store.setGate(gate)
				if how == "Stop" {
					go func() { _ = w.sys.Stop(w.ctx, pid) }()
				} else {
					w.e.Poison(pid)
				}
				synctest.Wait() // the final save waits at the gate
				var back atomic.Pointer[actor.PID]
				go func() {
					pid, err := w.cells.Respawn(w.ctx, w.sys, "k")
					if err != nil {
						w.Error(err)
					}
					back.Store(pid)
				}()
				synctest.Wait()
				if back.Load() != nil {
					w.Fatal("Respawn did not wait")
				}
				_, err := w.cells.Spawn(timeout(w, 1), w.sys, "k", nil)
				if err == nil {
					w.Fatal("the key was free before the final save")
				}
				w.store.setGate(nil)
				synctest.Wait()
				if pid := back.Load(); pid == nil || w.value(pid) != 2 {
					w.Errorf("came back as %v", pid)
				}
			})
		})
	}
}

func TestRespawnOfWhatIsNotThereIsErrNotFound(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stoppedTree()
		for _, key := range []persist.Key{"none", "m/none", "m/a/x/y"} {
			_, err := w.sys.Respawn(w.ctx, key)
			w.mustBe(err, persist.ErrNotFound)
			if fmt.Sprint(respawnErrors(err)) != fmt.Sprint([]persist.Key{key}) {
				w.Errorf("%v does not carry %q", err, key)
			}
		}
	})
}

func TestRespawnAsAnotherKindIsErrWrongKind(t *testing.T) {
	other := persist.Define("other", func() *kindless { return &kindless{} }, nil)
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		for range 2 {
			_, err := other.Respawn(w.ctx, w.sys, "k")
			w.mustBe(err, persist.ErrWrongKind)
			_, err = other.TryRespawn(w.ctx, w.sys, "k", nil)
			w.mustBe(err, persist.ErrWrongKind)
			_ = w.sys.Stop(w.ctx, pid)
		}
	}, func(_ *world, _ *persist.KindOptions, o *persist.Options) { o.Kinds = append(o.Kinds, other) })
}

type kindless struct{}

func (*kindless) Receive(*actor.Context) {}

func TestRespawnAllBringsEveryTreeBackAndNamesTheRest(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, key := range []persist.Key{"p/1", "p/2", "p/3", "q"} {
			w.tree(key, "kid")
		}
		w.reboot()
		if err := w.store.mem.Edit("p/2/kid", func(b []byte) []byte { return b[:9] }); err != nil {
			w.Fatal(err)
		}
		err := w.sys.RespawnAll(w.ctx, "p")
		if fmt.Sprint(respawnErrors(err)) != "[p/2/kid]" {
			w.Errorf("got %v", err)
		}
		if live := w.liveKeys(); fmt.Sprint(live) != "[p/1 p/1/kid p/3 p/3/kid]" {
			w.Errorf("up are %v", live)
		}
		if err := w.sys.RespawnAll(w.ctx, "q"); err != nil {
			w.Error(err)
		}
		if err := w.sys.RespawnAll(w.ctx, "nothing/there"); err != nil {
			w.Error(err)
		}
	})
}

func TestRespawnBringsThousandsBackInOrder(t *testing.T) {
	inWorld(t, func(w *world) {
		const n = 2000
		pid := w.spawn("m", 0)
		w.run(pid, func(_ *cell, c *actor.Context) {
			for i := range n {
				if _, err := w.cells.SpawnChild(c, fmt.Sprintf("k%04d", i), func(a *cell) { a.N = i }); err != nil {
					w.Fatal(err)
				}
			}
		})
		w.reboot()
		w.clearNotes()
		if err := w.sys.RespawnAll(w.ctx, ""); err != nil {
			w.Fatal(err)
		}
		for i, note := range w.noted() {
			if want := fmt.Sprintf("k%04d", i/2); i < 2*n && !strings.HasSuffix(note, want) {
				w.Fatalf("%d: %s, want %s", i, note, want)
			}
		}
		for i := 0; i < n; i += 97 {
			kid, _ := w.sys.Lookup(persist.Key(fmt.Sprintf("m/k%04d", i)))
			if w.value(kid) != i {
				w.Errorf("child %d came back as %d", i, w.value(kid))
			}
		}
	})
}

func TestTheParentOfAGapInTheKeysIsTheNearestAncestor(t *testing.T) {
	inWorld(t, func(w *world) {
		w.spawn("a", 1)
		w.spawn("a/b/c", 2)
		w.reboot()
		pid, err := w.sys.Respawn(w.ctx, "a")
		if err != nil {
			w.Fatal(err)
		}
		kid, _ := w.sys.Lookup("a/b/c")
		w.run(kid, func(_ *cell, c *actor.Context) {
			if !c.Parent().Equals(pid) {
				w.Errorf("its parent is %v", c.Parent())
			}
		})
		if _, err := w.cells.Spawn(w.ctx, w.sys, "a/b", nil); !errors.Is(err, persist.ErrExists) {
			w.Errorf("a birth between them: %v", err)
		}
	})
}
