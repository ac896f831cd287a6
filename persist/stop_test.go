package persist_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

func TestStopAndCloseHandleAllThatWasSentBefore(t *testing.T) {
	const n = 15000
	for _, how := range []string{"Stop", "Close"} {
		t.Run(how, func(t *testing.T) {
			inWorld(t, func(w *world) {
				pid := w.tree("m", "a")
				kid, _ := w.sys.Lookup("m/a")
				hold := make(chan struct{})
				for _, p := range []*actor.PID{pid, kid} {
					w.tell(p, func(*cell, *actor.Context) { <-hold })
					for range n {
						w.e.Send(p, 1)
					}
				}
				done := make(chan error)
				go func() {
					if how == "Stop" {
						done <- w.sys.Stop(w.ctx, pid)
					} else {
						done <- w.sys.Close(w.ctx)
					}
				}()
				synctest.Wait()
				close(hold)
				if err := <-done; err != nil {
					w.Fatal(err)
				}
				if a, b := w.saved("m"), w.saved("m/a"); a != n || b != n+1 {
					w.Errorf("handled %d and %d of %d", a, b-1, n)
				}
			})
		})
	}
}

func TestStopEndsChildrenFirstWithTheirFinalSaves(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a", "b")
		b, _ := w.sys.Lookup("m/b")
		w.run(b, func(_ *cell, c *actor.Context) { _, _ = w.cells.SpawnChild(c, "x", nil) })
		for _, key := range []persist.Key{"m", "m/a", "m/b", "m/b/x"} {
			w.on(actor.Stopped{}, key, func(a *cell, _ *actor.Context) { a.N = 50 })
		}
		w.clearNotes()
		before := len(w.store.committed())
		if err := w.sys.Stop(w.ctx, pid); err != nil {
			w.Fatal(err)
		}
		notes := w.noted()
		for child, parent := range map[string]string{"m/a": "m", "m/b": "m", "m/b/x": "m/b"} {
			if slices.Index(notes, "actor.Stopped "+child) > slices.Index(notes, "actor.Stopped "+parent) {
				w.Errorf("%s ended after %s: %v", child, parent, notes)
			}
		}
		var order []string
		for _, changes := range w.store.committed()[before:] {
			order = append(order, string(changes[0].Key))
		}
		if len(order) != 4 || order[3] != "m" || slices.Index(order, "m/b/x") > slices.Index(order, "m/b") {
			w.Errorf("the final saves: %v", order)
		}
		for _, key := range []persist.Key{"m", "m/a", "m/b", "m/b/x"} {
			if n := w.saved(key); n != 50 {
				w.Errorf("%s: what Stopped changed is not saved: %d", key, n)
			}
		}
		if w.registered() != 2 {
			w.Errorf("%d registered", w.registered())
		}
	})
}

func TestStopReturnsTheErrorOfAFinalSaveThatFails(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a", "b")
		full := errors.New("no space left on device")
		w.store.fail(func(op string, keys []persist.Key) error {
			if op == "commit" && keys[0] == "m/a" {
				return full
			}
			return nil
		})
		for _, key := range []persist.Key{"m", "m/a", "m/b"} {
			w.on(actor.Stopped{}, key, func(a *cell, _ *actor.Context) { a.N = 9 })
		}
		err := w.sys.Stop(w.ctx, pid)
		w.mustBe(err, full)
		if err != nil && !strings.Contains(err.Error(), "m/a") {
			w.Errorf("%v does not name the key", err)
		}
		if w.saved("m") != 9 || w.saved("m/b") != 9 || w.saved("m/a") != 1 {
			w.Error("the others are not saved, or the failed one is not as before")
		}
		if got := eventsOf[persist.SnapshotFailed](w); len(got) != 1 || got[0].Key != "m/a" {
			w.Errorf("events: %v", got)
		}
		if live := w.liveKeys(); len(live) != 0 {
			w.Errorf("still live: %v", live)
		}
	})
}

func TestPlainPoisonSavesAndFreesTheKeyOnlyAfterwards(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a")
		kid, _ := w.sys.Lookup("m/a")
		w.run(pid, func(a *cell, _ *actor.Context) { a.N = 3 })
		w.run(kid, func(a *cell, _ *actor.Context) { a.N = 4 })
		gate := make(chan struct{})
		w.store.setGate(gate)
		poisoned := w.e.Poison(pid)
		synctest.Wait()
		if _, err := w.cells.Spawn(timeout(w, 1), w.sys, "m/a", nil); err == nil {
			w.Error("the key of the child was free before its final save")
		}
		w.store.setGate(nil)
		<-poisoned.Done()
		if w.saved("m") != 3 || w.saved("m/a") != 4 {
			w.Errorf("saved %d and %d", w.saved("m"), w.saved("m/a"))
		}
	})
}

func TestTwoPoisonsAreHarmless(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a")
		kid, _ := w.sys.Lookup("m/a")
		hold := make(chan struct{})
		w.tell(kid, func(a *cell, _ *actor.Context) { a.N = 8; <-hold })
		w.e.Poison(kid)
		w.e.Poison(kid) // its context never ends; nobody here waits for it
		done := make(chan error)
		go func() { done <- w.sys.Stop(w.ctx, pid) }()
		synctest.Wait()
		close(hold)
		if err := <-done; err != nil {
			w.Error(err)
		}
		if n := w.saved("m/a"); n != 8 {
			w.Errorf("saved %d", n)
		}
	})
}

func TestAChildEndingItselfWhileItsParentIsPoisonedHangsNobody(t *testing.T) {
	for round := range 60 {
		inWorld(t, func(w *world) {
			pid := w.tree("m", "a", "b", "c")
			for _, name := range []persist.Key{"m/a", "m/b", "m/c"} {
				kid, _ := w.sys.Lookup(name)
				switch round % 3 {
				case 0:
					w.tell(kid, func(_ *cell, c *actor.Context) { _ = persist.Stop(c) })
				case 1:
					go func() { _ = w.sys.Stop(w.ctx, kid) }()
				default:
					w.tell(kid, func(*cell, *actor.Context) { panic("end") })
				}
			}
			for range round % 7 {
				runtime.Gosched()
			}
			switch round % 2 {
			case 0:
				<-w.e.Poison(pid).Done()
			default:
				if err := w.sys.Stop(w.ctx, pid); err != nil && round%3 < 2 { // the panics are told
					w.Error(err)
				}
			}
		}, supervised(persist.Supervision{MaxRestarts: -1}))
	}
}

func TestOnlyTheParentsGoroutineEndsAPersistentChild(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a")
		kid, _ := w.sys.Lookup("m/a")
		hold := make(chan struct{})
		w.tell(pid, func(*cell, *actor.Context) { <-hold })
		done := make(chan error, 1)
		go func() { done <- w.sys.Stop(w.ctx, kid) }()
		synctest.Wait()
		if w.e.Registry.GetPID("persist", "m/a") == nil {
			w.Fatal("the child's process was ended while its parent was busy")
		}
		close(hold)
		if err := <-done; err != nil {
			w.Error(err)
		}
		w.run(pid, func(_ *cell, c *actor.Context) {
			if n := len(c.Children()); n != 0 {
				w.Errorf("the parent still shows %d children", n)
			}
		})
	})
}

func TestAParentMaySpawnAgainAChildThatIsEndingItself(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a")
		kid, _ := w.sys.Lookup("m/a")
		hold := make(chan struct{})
		w.tell(pid, func(_ *cell, c *actor.Context) {
			<-hold // the child has finished and waits for this goroutine to end it
			if _, err := w.cells.TryRespawnChild(c, "a", nil); err != nil {
				w.Error(err)
			}
		})
		w.tell(kid, func(_ *cell, c *actor.Context) { _ = persist.Stop(c) })
		synctest.Wait()
		close(hold)
		synctest.Wait()
		if kid, ok := w.sys.Lookup("m/a"); !ok || w.value(kid) != 1 {
			w.Error("it is not back")
		}
	})
}

func TestAParentMayGiveBirthAgainToAChildThatIsBeingDeleted(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a")
		kid, _ := w.sys.Lookup("m/a")
		hold := make(chan struct{})
		w.tell(pid, func(_ *cell, c *actor.Context) {
			<-hold
			if _, err := w.cells.SpawnChild(c, "a", func(a *cell) { a.N = 60 }); err != nil {
				w.Error(err)
			}
		})
		w.tell(kid, func(_ *cell, c *actor.Context) { _ = persist.Delete(c) })
		synctest.Wait()
		close(hold)
		synctest.Wait()
		if n := w.saved("m/a"); n != 60 {
			w.Errorf("saved %d", n)
		}
	})
}

func TestWhatHappensToAKeyWaitsForWhatHappensBelowIt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.tree("m", "a")
		gate := make(chan struct{})
		w.store.setGate(gate)
		spawned, deleted := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := w.cells.Spawn(w.ctx, w.sys, "m/x", nil)
			spawned <- err
		}()
		synctest.Wait() // the birth below is being committed
		go func() { deleted <- w.sys.Delete(w.ctx, "m") }()
		synctest.Wait()
		if live := w.liveKeys(); len(live) != 2 {
			w.Errorf("Delete did not wait: live are %v", live)
		}
		w.store.setGate(nil)
		if err := errors.Join(<-spawned, <-deleted); err != nil {
			w.Error(err)
		}
		for key := range w.sys.Keys(w.ctx, "") {
			w.Errorf("%q is left", key)
		}
	})
}

func TestAWaitForALockEndsWithItsContextAndLeavesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("m", 1)
		hold := make(chan struct{})
		w.tell(pid, func(*cell, *actor.Context) { <-hold })
		go func() { _ = w.sys.Stop(w.ctx, pid) }()
		synctest.Wait()
		for range 3 {
			_, err := w.cells.Spawn(timeout(w, 1), w.sys, "m/x", nil)
			w.mustBe(err, context.DeadlineExceeded)
			w.mustBe(w.sys.Delete(timeout(w, 1), "m"), context.DeadlineExceeded)
		}
		close(hold)
		synctest.Wait()
		if _, err := w.cells.Spawn(w.ctx, w.sys, "m/x", nil); err != nil {
			w.Error(err)
		}
	})
}

func TestStopChildBlocksUntilTheChildIsGone(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a")
		other := w.spawn("o", 0)
		kid, _ := w.sys.Lookup("m/a")
		w.e.Send(kid, 41)
		w.run(pid, func(_ *cell, c *actor.Context) {
			w.mustBe(persist.StopChild(c, other), persist.ErrNotPersistent)
			if err := persist.StopChild(c, kid); err != nil {
				w.Error(err)
			}
			if _, ok := w.sys.Lookup("m/a"); ok || len(c.Children()) != 0 {
				w.Error("it is not gone")
			}
			w.mustBe(persist.StopChild(c, kid), persist.ErrNotPersistent)
		})
		if w.saved("m/a") != 42 {
			w.Errorf("saved %d", w.saved("m/a"))
		}
	})
}

func TestEveryWaitWithoutAContextIsBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a")
		kid, _ := w.sys.Lookup("m/a")
		hold := make(chan struct{})
		w.tell(kid, func(*cell, *actor.Context) { <-hold })
		start := time.Now()
		w.run(pid, func(_ *cell, c *actor.Context) {
			w.mustBe(persist.StopChild(c, kid), context.DeadlineExceeded)
		})
		w.store.setGate(make(chan struct{}))
		w.run(pid, func(_ *cell, c *actor.Context) {
			_, err := w.cells.SpawnChild(c, "b", nil)
			w.mustBe(err, context.DeadlineExceeded)
		})
		if d := time.Since(start); d != 10*time.Second {
			w.Errorf("waited %v", d)
		}
		w.store.setGate(nil)
		close(hold)
	}, func(_ *world, _ *persist.KindOptions, o *persist.Options) { o.SaveTimeout = 5 * time.Second })
}

func TestStopOfAForeignActorIsErrNotPersistent(t *testing.T) {
	inWorld(t, func(w *world) {
		plain := w.e.SpawnFunc(func(*actor.Context) {}, "plain")
		for _, pid := range []*actor.PID{nil, plain, actor.NewPID("elsewhere:4000", "persist/k"), actor.NewPID("local", "persist/none")} {
			w.mustBe(w.sys.Stop(w.ctx, pid), persist.ErrNotPersistent)
			w.mustBe(w.sys.Save(w.ctx, pid), persist.ErrNotPersistent)
			w.mustBe(w.sys.SaveTree(w.ctx, pid), persist.ErrNotPersistent)
			if _, ok := w.sys.KeyOf(pid); ok {
				w.Errorf("%v has a key", pid)
			}
		}
		<-w.e.Poison(plain).Done()
	})
}

func TestStopWhoseContextEndsReturnsAndTheEndingGoesOn(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		hold := make(chan struct{})
		w.tell(pid, func(a *cell, _ *actor.Context) { <-hold; a.N = 2 })
		w.mustBe(w.sys.Stop(timeout(w, 1), pid), context.DeadlineExceeded)
		close(hold)
		synctest.Wait()
		if _, ok := w.sys.Lookup("k"); ok || w.saved("k") != 2 {
			w.Errorf("it did not end; saved %d", w.saved("k"))
		}
	})
}

func TestDeleteEndsTheTreeWithoutFinalSavesAndDeletesItInOneCommit(t *testing.T) {
	inWorld(t, func(w *world) {
		w.tree("m", "a", "b")
		w.spawn("m2", 5)
		kid, _ := w.sys.Lookup("m/a")
		w.run(kid, func(a *cell, _ *actor.Context) { a.N = 99 })
		before := len(w.store.committed())
		if err := w.sys.Delete(w.ctx, "m"); err != nil {
			w.Fatal(err)
		}
		commits := w.store.committed()[before:]
		if len(commits) != 1 || len(commits[0]) != 3 {
			w.Errorf("commits: %v", commits)
		}
		for _, c := range commits[0] {
			if c.Put != nil || c.If == persist.Any || c.If == persist.Absent {
				w.Errorf("not a conditional delete: %+v", c)
			}
		}
		for _, key := range []persist.Key{"m", "m/a", "m/b"} {
			if _, err := w.stored(key); !errors.Is(err, persist.ErrNotFound) {
				w.Errorf("%s: %v", key, err)
			}
		}
		if w.saved("m2") != 5 {
			w.Error("a neighbour is gone")
		}
		w.mustBe(w.sys.Delete(w.ctx, "m"), persist.ErrNotFound)
		w.spawn("m", 1) // the key is free
	})
}

func TestDeleteWithoutBatchesGoesLeavesFirst(t *testing.T) {
	inWorld(t, func(w *world) {
		w.tree("m", "a", "b")
		before := len(w.store.committed())
		if err := w.sys.Delete(w.ctx, "m"); err != nil {
			w.Fatal(err)
		}
		var order []persist.Key
		for _, c := range w.store.committed()[before:] {
			order = append(order, c[0].Key)
		}
		if fmt.Sprint(order) != "[m/b m/a m]" {
			w.Errorf("deleted in the order %v", order)
		}
	}, singleCommits)
}

func TestDeleteWaitsForCommitsInFlightAndDropsHeldReplies(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		gate := make(chan struct{})
		w.store.setGate(gate)
		replies := make(chan any, 2)
		asker := w.e.SpawnFunc(func(c *actor.Context) {
			if n, ok := c.Message().(int); ok {
				replies <- n
			}
		}, "asker", actor.WithID("1"))
		for i := range 2 {
			w.e.SendWithSender(pid, do(func(a *cell, c *actor.Context) {
				a.N = 10 + i
				if err := persist.Reply(c, a.N); err != nil {
					w.Error(err)
				}
			}), asker)
			synctest.Wait() // the first is in flight, the second is held
		}
		done := make(chan error, 1)
		go func() { done <- w.sys.Delete(w.ctx, "k") }()
		synctest.Wait()
		select {
		case err := <-done:
			w.Fatalf("Delete did not wait: %v", err)
		default:
		}
		w.store.setGate(nil)
		if err := <-done; err != nil {
			w.Error(err)
		}
		synctest.Wait()
		close(replies)
		var got []any
		for r := range replies {
			got = append(got, r)
		}
		if fmt.Sprint(got) != "[10]" { // durable before it was deleted; the other never was
			w.Errorf("replies that left: %v", got)
		}
		if _, err := w.stored("k"); !errors.Is(err, persist.ErrNotFound) {
			w.Errorf("it is still saved: %v", err)
		}
		<-w.e.Poison(asker).Done()
	})
}

func TestDeleteAndStopFromInside(t *testing.T) {
	inWorld(t, func(w *world) {
		w.tree("m", "a", "b")
		a, _ := w.sys.Lookup("m/a")
		b, _ := w.sys.Lookup("m/b")
		w.run(a, func(_ *cell, c *actor.Context) {
			if err := persist.Delete(c); err != nil {
				w.Error(err)
			}
		})
		w.run(b, func(a *cell, c *actor.Context) {
			a.N = 6
			if err := persist.Stop(c); err != nil {
				w.Error(err)
			}
		})
		synctest.Wait()
		if live := w.liveKeys(); fmt.Sprint(live) != "[m]" || w.saved("m/b") != 6 {
			w.Errorf("live %v, saved %d", live, w.saved("m/b"))
		}
		if _, err := w.stored("m/a"); !errors.Is(err, persist.ErrNotFound) {
			w.Errorf("m/a: %v", err)
		}
	})
}

func TestAStaleOwnersWriteAfterDeleteAndSpawnIsAConflict(t *testing.T) {
	inWorld(t, func(w *world) {
		w.spawn("k", 1)
		other := &world{T: w.T, store: w.store, opts: w.opts, ctx: w.ctx, hooks: map[string]do{}, panics: map[string]any{}}
		other.cells = w.cells
		other.boot() // a second owner of the same store
		if err := other.sys.Delete(w.ctx, "k"); err != nil {
			w.Fatal(err)
		}
		fresh := other.spawn("k", 100)
		stale, _ := w.sys.Lookup("k")
		w.e.Send(stale, 1)
		err := w.sys.Save(w.ctx, stale)
		w.mustBe(err, persist.ErrConflict)
		synctest.Wait()
		if _, ok := w.sys.Lookup("k"); ok {
			w.Error("the stale owner goes on")
		}
		if got := eventsOf[persist.ActorFailed](w); len(got) != 1 || !errors.Is(got[0].Reason, persist.ErrConflict) {
			w.Errorf("events: %v", got)
		}
		if n := w.saved("k"); n != 100 {
			w.Errorf("the store has %d", n)
		}
		if err := other.sys.Stop(w.ctx, fresh); err != nil {
			w.Error(err)
		}
	})
}

func TestCloseWhoseContextEndsNamesWhatIsUnfinishedAndMayBeCalledAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a")
		hold := make(chan struct{})
		w.tell(pid, func(*cell, *actor.Context) { <-hold })
		err := w.sys.Close(timeout(w, 1))
		w.mustBe(err, context.DeadlineExceeded)
		for _, key := range []string{`"m"`, `"m/a"`} {
			if err != nil && !strings.Contains(err.Error(), key) {
				w.Errorf("%v does not name %s", err, key)
			}
		}
		if _, _, err := w.store.mem.Load(w.ctx, "m"); err != nil {
			w.Errorf("the store is closed already: %v", err)
		}
		_, err = w.cells.Spawn(w.ctx, w.sys, "n", nil)
		w.mustBe(err, persist.ErrClosed)
		close(hold)
		if err := w.sys.Close(w.ctx); err != nil {
			w.Error(err)
		}
		if _, _, err := w.store.mem.Load(w.ctx, "m"); !errors.Is(err, persist.ErrClosed) {
			w.Errorf("the store is not closed: %v", err)
		}
		if err := w.sys.Close(w.ctx); err != nil {
			w.Errorf("a third Close: %v", err)
		}
	})
}

func TestEverythingIsErrClosedAfterClose(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		if err := w.sys.Close(w.ctx); err != nil {
			w.Fatal(err)
		}
		for verb, f := range map[string]func() error{
			"Spawn":      func() error { _, err := w.cells.Spawn(w.ctx, w.sys, "x", nil); return err },
			"Respawn":    func() error { _, err := w.cells.Respawn(w.ctx, w.sys, "k"); return err },
			"TryRespawn": func() error { _, err := w.cells.TryRespawn(w.ctx, w.sys, "k", nil); return err },
			"untyped":    func() error { _, err := w.sys.Respawn(w.ctx, "k"); return err },
			"RespawnAll": func() error { return w.sys.RespawnAll(w.ctx, "") },
			"Save":       func() error { return w.sys.Save(w.ctx, pid) },
			"SaveTree":   func() error { return w.sys.SaveTree(w.ctx, pid) },
			"Stop":       func() error { return w.sys.Stop(w.ctx, pid) },
			"Delete":     func() error { return w.sys.Delete(w.ctx, "k") },
			"Keys": func() (err error) {
				for _, err = range w.sys.Keys(w.ctx, "") {
				}
				return err
			},
		} {
			if err := f(); !errors.Is(err, persist.ErrClosed) {
				w.Errorf("%s: %v", verb, err)
			}
		}
	})
}

func TestACancelledContextChangesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.spawn("k", 1)
		ctx, cancel := context.WithCancel(w.ctx)
		cancel()
		_, err := w.cells.Spawn(ctx, w.sys, "x", nil)
		w.mustBe(err, context.Canceled)
		w.mustBe(w.sys.Delete(ctx, "k"), context.Canceled)
		if _, err := w.stored("x"); !errors.Is(err, persist.ErrNotFound) {
			w.Errorf("x: %v", err)
		}
		if w.saved("k") != 1 {
			w.Error("k is gone")
		}
	})
}

func TestThousandsOfSpawnsAndStopsLeaveNothingBehind(t *testing.T) {
	inWorld(t, func(w *world) {
		parent := w.spawn("m", 0)
		base := runtime.NumGoroutine()
		var failed atomic.Int32
		for range 10 {
			var wg sync.WaitGroup
			for i := range 1000 {
				wg.Go(func() {
					key := persist.Key(fmt.Sprintf("t/%d", i))
					pid, err := w.cells.TryRespawn(w.ctx, w.sys, key, nil)
					if err == nil {
						w.e.Send(pid, 1)
						err = w.sys.Stop(w.ctx, pid)
					}
					if err != nil {
						failed.Add(1)
					}
				})
			}
			wg.Wait()
			w.run(parent, func(_ *cell, c *actor.Context) {
				for i := range 20 {
					kid, err := w.cells.TryRespawnChild(c, fmt.Sprint(i), nil)
					if err == nil {
						err = persist.StopChild(c, kid)
					}
					if err != nil {
						w.Error(err)
					}
				}
				if n := len(c.Children()); n != 0 {
					w.Errorf("%d children are left", n)
				}
			})
		}
		synctest.Wait()
		if failed.Load() > 0 || w.saved("t/7") != 10 {
			w.Errorf("%d failed; t/7 is %d", failed.Load(), w.saved("t/7"))
		}
		if n := runtime.NumGoroutine(); n > base {
			w.Errorf("%d goroutines, %d before", n, base)
		}
		if n := w.registered(); n != 3 {
			w.Errorf("%d registered", n)
		}
	})
}
