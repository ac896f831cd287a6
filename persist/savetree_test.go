package persist_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

func TestSaveTreeCommitsTheWholeTreeAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a", "b")
		detached := w.spawn("m/z/deep", 3) // top-level in the engine, but below m
		a, _ := w.sys.Lookup("m/a")
		for _, p := range []*actor.PID{pid, a, detached} {
			w.e.Send(p, 100)
		}
		before := len(w.store.committed())
		if err := w.sys.SaveTree(w.ctx, pid); err != nil {
			w.Fatal(err)
		}
		commits := w.store.committed()[before:]
		if len(commits) != 1 || len(commits[0]) != 3 { // m/b has not changed
			w.Errorf("%d commits, the first of %d", len(commits), len(commits[0]))
		}
		if w.saved("m") != 100 || w.saved("m/a") != 101 || w.saved("m/z/deep") != 103 {
			w.Error("not all of the tree is saved")
		}
		w.e.Send(a, 1)
		if err := w.sys.Save(w.ctx, a); err != nil || w.saved("m/a") != 102 {
			w.Errorf("a save after the tree's: %v", err)
		}
		if err := w.sys.SaveTree(w.ctx, pid); err != nil {
			w.Error(err)
		}
	})
}

func TestSaveTreeWithoutAtomicBatchesIsUnsupportedBeforeAnythingIsCaptured(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a")
		hold := make(chan struct{})
		w.tell(pid, func(*cell, *actor.Context) { <-hold })
		w.mustBe(w.sys.SaveTree(w.ctx, pid), errors.ErrUnsupported)
		close(hold)
	}, singleCommits)
}

// TestEverySavedTreeIsAConsistentCut lets cousins pass money about while trees
// are saved: whatever commit one looks at, the sum of all cells plus what is
// under way in it as sent but not received is what it was, and never more.
func TestEverySavedTreeIsAConsistentCut(t *testing.T) {
	for seed := range uint64(8) {
		inWorld(t, func(w *world) {
			root := w.tree("m", "a", "b")
			pids := []*actor.PID{root}
			for _, key := range []persist.Key{"m/a", "m/b"} {
				kid, _ := w.sys.Lookup(key)
				pids = append(pids, kid)
				for _, name := range []string{"x", "y"} {
					w.run(kid, func(_ *cell, c *actor.Context) {
						pid, err := w.cells.SpawnChild(c, name, nil)
						if err != nil {
							w.Fatal(err)
						}
						pids = append(pids, pid)
					})
				}
			}
			for _, pid := range pids {
				w.run(pid, func(a *cell, _ *actor.Context) { a.N = 1000; a.Tags = map[string]int{} })
			}
			const coins = 200
			rng := rand.New(rand.NewPCG(seed, 1))
			routes := make([][]int, coins)
			for i := range routes {
				for range 20 {
					routes[i] = append(routes[i], rng.IntN(len(pids)))
				}
			}
			for i := range coins { // each coin wanders along its route
				w.tell(pids[rng.IntN(len(pids))], w.wander(pids, i, routes[i]))
			}
			for range 15 {
				if err := w.sys.SaveTree(w.ctx, root); err != nil {
					w.Fatal(err)
				}
				w.checkCut()
			}
			synctest.Wait()
			if err := w.sys.SaveTree(w.ctx, root); err != nil {
				w.Fatal(err)
			}
			if sum := w.checkCut(); sum != 7000 {
				w.Errorf("when all is quiet the sum is %d", sum)
			}
		})
	}
}

// wander takes one from this cell and gives it to the next of the route.
func (w *world) wander(pids []*actor.PID, coin int, route []int) do {
	return func(a *cell, c *actor.Context) {
		if len(route) == 0 {
			return
		}
		a.N--
		next := route[0]
		c.Send(pids[next], do(func(b *cell, c *actor.Context) {
			b.N++
			w.wander(pids, coin, route[1:])(b, c)
		}))
	}
}

// checkCut sums up what the store has. A coin received and not sent would make
// the sum too large.
func (w *world) checkCut() (sum int) {
	for _, key := range []persist.Key{"m", "m/a", "m/a/x", "m/a/y", "m/b", "m/b/x", "m/b/y"} {
		sum += w.saved(key)
	}
	if sum > 7000 {
		w.Fatalf("the sum is %d: a message is in the cut as received and not as sent", sum)
	}
	return sum
}

func TestAMemberHoldsStillUntilAllAreCaptured(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a", "b")
		a, _ := w.sys.Lookup("m/a")
		b, _ := w.sys.Lookup("m/b")
		hold := make(chan struct{})
		w.tell(a, func(*cell, *actor.Context) { <-hold }) // a is busy
		done := make(chan error, 1)
		go func() { done <- w.sys.SaveTree(w.ctx, pid) }()
		synctest.Wait() // m and b are captured, a is not
		var handled atomic.Bool
		w.tell(b, func(x *cell, c *actor.Context) { x.N--; c.Send(a, 1); handled.Store(true) })
		synctest.Wait()
		if handled.Load() {
			w.Error("a captured member handled a message")
		}
		close(hold)
		if err := <-done; err != nil {
			w.Fatal(err)
		}
		if sum := w.saved("m/a") + w.saved("m/b"); sum != 3 {
			w.Errorf("the cut sums up to %d", sum)
		}
		synctest.Wait()
		if !handled.Load() || w.value(a)+w.value(b) != 3 {
			w.Error("the members do not go on")
		}
	})
}

func TestTheContextOfSaveTreeEndsTheWaitReleasesAllAndCommitsNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a", "b")
		a, _ := w.sys.Lookup("m/a")
		b, _ := w.sys.Lookup("m/b")
		hold := make(chan struct{})
		w.tell(a, func(*cell, *actor.Context) { <-hold })
		w.e.Send(b, 100)
		before := len(w.store.committed())
		w.mustBe(w.sys.SaveTree(timeout(w, 1), pid), context.DeadlineExceeded)
		if n := w.value(b); n != 102 {
			w.Errorf("a member is not released: %d", n)
		}
		close(hold)
		synctest.Wait()
		if n := len(w.store.committed()) - before; n != 0 {
			w.Errorf("%d commits", n)
		}
		if err := w.sys.SaveTree(w.ctx, pid); err != nil || w.saved("m/b") != 102 {
			w.Errorf("the next one: %v", err)
		}
	})
}

func TestAFailedCaptureFailsTheWholeTree(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a", "b")
		a, _ := w.sys.Lookup("m/a")
		b, _ := w.sys.Lookup("m/b")
		w.e.Send(b, 100)
		w.run(a, func(x *cell, _ *actor.Context) { x.Tags = nil })
		before := len(w.store.committed())
		err := w.sys.SaveTree(w.ctx, pid)
		if err == nil {
			w.Fatal("no error")
		}
		if n := len(w.store.committed()) - before; n != 0 || w.saved("m/b") != 2 {
			w.Errorf("%d commits", n)
		}
		if n := w.value(b); n != 102 {
			w.Errorf("the others do not go on: %d", n)
		}
	}, withBadTags)
}

func TestATreeCommitThatFailsLeavesTheMembersAsTheyAre(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a", "b")
		a, _ := w.sys.Lookup("m/a")
		w.e.Send(a, 100)
		full := errors.New("no space left on device")
		w.store.fail(func(op string, _ []persist.Key) error {
			if op == "commit" {
				return full
			}
			return nil
		})
		w.mustBe(w.sys.SaveTree(w.ctx, pid), full)
		w.store.fail(nil)
		if live := w.liveKeys(); len(live) != 3 || w.value(a) != 101 {
			w.Errorf("live are %v", live)
		}
		if err := w.sys.SaveTree(w.ctx, pid); err != nil || w.saved("m/a") != 101 {
			w.Errorf("the next one: %v", err)
		}
	})
}

func TestATreeCommitOfUnknownOutcomeEndsItsMembers(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a", "b")
		a, _ := w.sys.Lookup("m/a")
		w.e.Send(a, 100)
		w.store.failAfter(func(string, []persist.Key) error { return persist.ErrUnknownOutcome })
		w.mustBe(w.sys.SaveTree(w.ctx, pid), persist.ErrUnknownOutcome)
		w.store.failAfter(nil)
		synctest.Wait()
		if live := w.liveKeys(); fmt.Sprint(live) != "[m m/b]" { // they were not in the commit
			w.Errorf("live are %v", live)
		}
	})
}

func TestATreeCommitThatMeetsAConflictEndsOnlyTheMemberInConflict(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a", "b")
		for _, key := range []persist.Key{"m/a", "m/b"} {
			kid, _ := w.sys.Lookup(key)
			w.e.Send(kid, 100)
		}
		rec, v, err := w.store.mem.Load(w.ctx, "m/a")
		if err != nil {
			w.Fatal(err)
		}
		if _, err := w.store.mem.Commit(w.ctx, persist.Change{Key: "m/a", Put: &rec, If: v}); err != nil {
			w.Fatal(err)
		}
		w.mustBe(w.sys.SaveTree(w.ctx, pid), persist.ErrConflict)
		synctest.Wait()
		if live := w.liveKeys(); fmt.Sprint(live) != "[m m/b]" || w.saved("m/b") != 2 {
			w.Errorf("live are %v", live)
		}
	})
}

func TestSavesInFlightSettleBeforeTheTreeIsCaptured(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a")
		a, _ := w.sys.Lookup("m/a")
		synctest.Wait()
		gate := make(chan struct{})
		w.store.setGate(gate)
		w.e.Send(a, 1) // its save is in flight
		synctest.Wait()
		w.e.Send(a, 1)
		done := make(chan error, 1)
		go func() { done <- w.sys.SaveTree(w.ctx, pid) }()
		synctest.Wait()
		gate <- struct{}{}
		synctest.Wait()
		w.e.Send(a, 1) // after the cut: waits for the tree's commit
		synctest.Wait()
		if n := w.saved("m/a"); n != 2 {
			w.Errorf("before the tree's commit the store has %d", n)
		}
		gate <- struct{}{}
		if err := <-done; err != nil {
			w.Error(err)
		}
		w.store.setGate(nil)
		synctest.Wait()
		if n := w.saved("m/a"); n != 4 {
			w.Errorf("in the end the store has %d", n)
		}
	}, saving(persist.Always()))
}

func TestAnActorThatEndsBeforeItsMarkerIsInTheCutWithItsFinalState(t *testing.T) {
	for _, how := range []string{"stops", "is poisoned", "is stopped by the engine"} {
		t.Run(how, func(t *testing.T) {
			inWorld(t, func(w *world) {
				pid := w.tree("m", "a", "b")
				a, _ := w.sys.Lookup("m/a")
				below := w.spawn("m/a/z/deep", 1) // lives on, marked by nobody else
				hold := make(chan struct{})
				w.tell(a, func(x *cell, _ *actor.Context) { <-hold; x.N = 50 })
				if how == "stops" {
					w.tell(a, func(_ *cell, c *actor.Context) { _ = persist.Stop(c) })
				}
				if how == "is poisoned" {
					w.e.Poison(a)
				}
				if how == "is stopped by the engine" {
					w.e.Stop(a) // the marker lies behind the pill and is dropped
				}
				w.e.Send(below, 7)
				done := make(chan error, 1)
				go func() { done <- w.sys.SaveTree(timeout(w, 60), pid) }()
				synctest.Wait()
				close(hold)
				if err := <-done; err != nil {
					w.Fatal(err)
				}
				if w.saved("m/a") != 50 || w.saved("m/a/z/deep") != 8 {
					w.Errorf("saved %d and %d", w.saved("m/a"), w.saved("m/a/z/deep"))
				}
			})
		})
	}
}

func TestASiblingsSaveTreeDuringARespawn(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.tree("m/1", "a")
		two := w.tree("m/2", "a")
		if err := w.sys.Stop(w.ctx, two); err != nil {
			w.Fatal(err)
		}
		w.on(actor.Started{}, "m/2", func(*cell, *actor.Context) { // in the middle of the respawn
			w.e.Send(one, 5)
			done := make(chan error, 1)
			go func() { done <- w.sys.SaveTree(w.ctx, one) }()
			if err := <-done; err != nil {
				w.Error(err)
			}
		})
		if _, err := w.sys.Respawn(w.ctx, "m/2"); err != nil {
			w.Fatal(err)
		}
		if w.saved("m/1") != 5 {
			w.Errorf("saved %d", w.saved("m/1"))
		}
	})
}
