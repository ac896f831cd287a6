package persist_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

func TestWhatEndsWhileItsTreeIsReadComesBackAsItEnded(t *testing.T) {
	end := map[string]func(w *world) (back func() error, c *actor.PID, end func()){
		"StopChild meets RespawnAll": func(w *world) (func() error, *actor.PID, func()) {
			p := w.tree("p", "c")
			c := w.live("p/c")
			return func() error { return w.sys.RespawnAll(w.ctx, "") }, c, func() { w.stopChild(p, c) }
		},
		"Poison meets Respawn": func(w *world) (func() error, *actor.PID, func()) {
			w.stop(w.spawn("p", 1))
			c := w.spawn("p/c", 1)
			return func() error { _, err := w.sys.Respawn(w.ctx, "p"); return err }, c, func() { <-w.e.Poison(c).Done() }
		},
	}
	for name, prepare := range end {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				back, c, end := prepare(w)
				reached, let := w.hold("load", "p")
				out := make(chan error, 1)
				go func() { out <- back() }()
				<-reached
				w.run(c, func(a *cell, _ *actor.Context) { a.N = 777 })
				end()
				if n := w.saved("p/c"); n != 777 {
					w.Fatalf("the final save has %d", n)
				}
				close(let)
				if err := <-out; err != nil {
					w.Error(err)
				}
				if n := w.value(w.live("p/c")); n != 777 {
					w.Errorf("it came back with %d, older than its final save", n)
				}
			})
		})
	}
}

func TestARespawnBringsBackADescendantThatWasEnding(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stop(w.spawn("p", 1))
		c := w.spawn("p/c", 1)
		w.run(c, func(a *cell, _ *actor.Context) { a.N = 777 })
		reached, let := w.hold("commit", "p/c")
		w.e.Poison(c)
		<-reached // its final save
		out := make(chan error, 1)
		go func() { _, err := w.sys.Respawn(w.ctx, "p"); out <- err }()
		synctest.Wait()
		close(let)
		if err := <-out; err != nil {
			w.Fatal(err)
		}
		if n := w.value(w.live("p/c")); n != 777 {
			w.Errorf("it came back with %d", n)
		}
	})
}

func TestAParentAndARespawnOfEverythingBringOneTreeBackTogether(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.tree("p", "c")
		c := w.live("p/c")
		w.run(c, func(_ *cell, x *actor.Context) { _, _ = w.cells.SpawnChild(x, "g", nil) })
		w.stopChild(p, c)
		reached, let := w.hold("load", "p/c")
		out := make(chan *actor.PID, 1)
		w.tell(p, func(_ *cell, x *actor.Context) {
			pid, err := w.cells.TryRespawnChild(x, "c", nil)
			if err != nil {
				w.Error(err)
			}
			out <- pid
		})
		<-reached
		w.store.fail(nil)
		if err := w.sys.RespawnAll(w.ctx, ""); err != nil {
			w.Error(err)
		}
		close(let)
		if pid := <-out; pid == nil || !pid.Equals(w.live("p/c")) {
			w.Errorf("the parent got %v", pid)
		}
		w.live("p/c/g")
		if failed := eventsOf[persist.ActorRestarted](w); len(failed) > 0 {
			w.Errorf("somebody panicked: %v", failed)
		}
	})
}

func TestTryRespawnChildReturnsNoActorBeforeItIsUp(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.tree("p", "c")
		w.stopChild(p, w.live("p/c"))
		up := false
		reached, let := make(chan struct{}), make(chan struct{})
		w.on(actor.Started{}, "p/c", func(*cell, *actor.Context) { close(reached); <-let; up = true })
		all, child := make(chan error, 1), make(chan error, 1)
		go func() { all <- w.sys.RespawnAll(w.ctx, "") }()
		<-reached // it brings the child up
		w.tell(p, func(_ *cell, x *actor.Context) {
			_, err := w.cells.TryRespawnChild(x, "c", nil)
			if !up {
				w.Error("the child is not up")
			}
			child <- err
		})
		synctest.Wait()
		close(let)
		if err := errors.Join(<-all, <-child); err != nil {
			w.Error(err)
		}
	})
}

func TestAnEndAskedForTwiceLeavesTheNextLifeAlone(t *testing.T) {
	for name, end := range map[string]func(c *actor.Context) error{"Stop": persist.Stop, "Delete": persist.Delete} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				p := w.spawn("p", 1)
				in, let := make(chan struct{}), make(chan struct{})
				w.tell(p, func(_ *cell, c *actor.Context) { _ = end(c) })
				w.tell(p, func(_ *cell, c *actor.Context) { close(in); <-let; _ = end(c) })
				<-in
				synctest.Wait()
				next := make(chan error, 1)
				go func() { // between the two in the queue of the key's lock
					_, err := w.cells.TryRespawn(w.ctx, w.sys, "p", func(a *cell) { a.N = 9 })
					next <- err
				}()
				synctest.Wait()
				close(let)
				if err := <-next; err != nil {
					w.Fatal(err)
				}
				synctest.Wait()
				want := map[string]int{"Stop": 1, "Delete": 9}[name]
				if n := w.value(w.live("p")); n != want || w.saved("p") != want {
					w.Errorf("the next life has %d, saved is %d", n, w.saved("p"))
				}
			})
		})
	}
}

func TestADeletionUnderWayIsFinishedBeforeTheStoreIsClosed(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.spawn("p", 1)
		w.e.Send(p, 1)
		reached, let := w.hold("commit", "p")
		w.tell(p, func(_ *cell, c *actor.Context) { _ = persist.Delete(c) })
		<-reached // the actor has ended without a final save
		closed := make(chan error, 1)
		go func() { closed <- w.sys.Close(w.ctx) }()
		synctest.Wait()
		close(let)
		if err := <-closed; err != nil {
			w.Error(err)
		}
		if n, err := w.stored("p"); !errors.Is(err, persist.ErrNotFound) {
			w.Errorf("neither deleted nor saved: %d, %v", n, err)
		}
	})
}

func TestATreeSaveThatWaitedForAnEndSavesTheNextLife(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.spawn("p", 1)
		reached, let := w.hold("commit", "p")
		w.e.Send(p, 1)
		out := make(chan error, 3)
		go func() { out <- w.sys.Stop(w.ctx, p) }()
		<-reached
		go func() { _, err := w.sys.Respawn(w.ctx, "p"); out <- err }()
		synctest.Wait()
		go func() { out <- w.sys.SaveTree(w.ctx, p) }()
		synctest.Wait()
		close(let)
		for range 3 {
			if err := <-out; err != nil {
				w.Error(err)
			}
		}
		if n := w.value(w.live("p")); n != 2 {
			w.Errorf("the next life has %d", n)
		}
	})
}

func TestACutReachesBelowAMemberThatIsEnding(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.tree("p", "a")
		a, top := w.live("p/a"), w.spawn("p/a/t", 1)
		w.e.Send(a, 10)
		w.e.Send(top, 10)
		synctest.Wait()
		reached, let := w.hold("commit", "p/a")
		w.e.Poison(a) // its descendant is no child of it and lives on
		<-reached
		out := make(chan error, 1)
		go func() { out <- w.sys.SaveTree(timeout(w, 100), p) }()
		synctest.Wait()
		close(let)
		if err := <-out; err != nil || w.saved("p/a") != 11 || w.saved("p/a/t") != 11 {
			w.Errorf("%v; saved %d and %d", err, w.saved("p/a"), w.saved("p/a/t"))
		}
	})
}

func TestABirthUnderWayIsFinishedBeforeTheSystemCloses(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.spawn("p", 1)
		reached, let := w.hold("commit", "p/a")
		out := make(chan error, 2)
		w.tell(p, func(_ *cell, c *actor.Context) { _, err := w.cells.SpawnChild(c, "a", nil); out <- err })
		<-reached
		go func() { out <- w.sys.Close(w.ctx) }()
		synctest.Wait()
		close(let)
		if err := errors.Join(<-out, <-out); err != nil {
			w.Error(err)
		}
		w.saved("p/a")
		notes := w.noted()
		if slices.Index(notes, "actor.Stopped p/a") < slices.Index(notes, "actor.Started p/a") {
			w.Errorf("the child was not ended: %v", notes)
		}
	})
}

func TestAnActorMayEndItselfWhileItStarts(t *testing.T) {
	for _, life := range []any{actor.Initialized{}, actor.Started{}} {
		t.Run(fmt.Sprintf("%T", life), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.on(life, "p/a", func(a *cell, c *actor.Context) {
					a.N = 8
					_, _ = persist.Stop(c), persist.Stop(c)
				})
				w.on(actor.Stopped{}, "p", func(_ *cell, c *actor.Context) {
					_ = persist.Stop(c)
					_, err := w.cells.SpawnChild(c, "late", nil)
					w.mustBe(err, persist.ErrStopped)
				})
				p := w.tree("p", "a")
				synctest.Wait()
				if _, ok := w.sys.Lookup("p/a"); ok || w.saved("p/a") != 8 {
					w.Errorf("it lives, or %d is not what Started left", w.saved("p/a"))
				}
				w.stop(p)
			})
		})
	}
}
