package persist_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/storetest"
)

func TestAPartialRespawnNamesWhatPanickedAtItsStart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stop(w.tree("p", "a", "b"))
		w.on(actor.Started{}, "p/a", func(*cell, *actor.Context) { panic("no") })
		pid, err := w.sys.Respawn(w.ctx, "p")
		if pid == nil || err == nil || !strings.Contains(err.Error(), "p/a") {
			w.Errorf("got %v, %v", pid, err)
		}
		if live := w.liveKeys(); fmt.Sprint(live) != "[p p/b]" {
			w.Errorf("up are %v", live)
		}
	}, partial)
}

func TestAParentFindsItsChildrenUpInInitialized(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stop(w.tree("p", "a"))
		w.on(actor.Initialized{}, "p", func(_ *cell, c *actor.Context) {
			if pid, err := w.cells.TryRespawnChild(c, "a", nil); err != nil || w.value(pid) != 1 {
				w.Errorf("got %v, %v", pid, err)
			}
		})
		from := time.Now()
		if _, err := w.sys.Respawn(w.ctx, "p"); err != nil || time.Since(from) > 0 {
			w.Errorf("%v, after %v", err, time.Since(from))
		}
	})
}

func TestAnErrNotFoundFromElsewhereIsNotTheStores(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stop(w.spawn("p", 1))
		w.on(actor.Started{}, "p", func(*cell, *actor.Context) {
			_, err := w.sys.Respawn(context.Background(), "q") // ErrNotFound
			panic(err)
		})
		_, err := w.cells.TryRespawn(w.ctx, w.sys, "p", nil)
		var pe *persist.PanicError
		if !errors.As(err, &pe) || errors.Is(err, persist.ErrExists) || w.saved("p") != 1 {
			w.Errorf("got %v; saved is %d", err, w.saved("p"))
		}
	})
}

func TestAMiddlewareThatPanicsWhenItIsMadeIsAnError(t *testing.T) {
	var armed atomic.Bool
	arm := func(_ *world, k *persist.KindOptions, _ *persist.Options) {
		k.Hollywood = append(k.Hollywood, actor.WithMiddleware(func(next actor.ReceiveFunc) actor.ReceiveFunc {
			if armed.Load() {
				panic("no middleware today")
			}
			return next
		}))
	}
	mustPanic := func(w *world, err error) {
		w.Helper()
		var pe *persist.PanicError
		if !errors.As(err, &pe) || pe.Value != "no middleware today" {
			w.Errorf("got %v", err)
		}
	}
	t.Run("spawn", func(t *testing.T) {
		inWorld(t, func(w *world) {
			armed.Store(true)
			_, err := w.cells.Spawn(w.ctx, w.sys, "p", nil)
			armed.Store(false)
			mustPanic(w, err)
		}, arm)
	})
	t.Run("restart", func(t *testing.T) {
		inWorld(t, func(w *world) {
			p := w.spawn("p", 1)
			armed.Store(true)
			w.tell(p, func(*cell, *actor.Context) { panic("boom") })
			time.Sleep(time.Minute)
			armed.Store(false)
			if seen := eventsOf[actor.ActorRestartedEvent](w); len(seen) > 0 {
				w.Errorf("it reached the engine: %v", seen)
			}
			failed := eventsOf[persist.ActorFailed](w)
			if len(failed) != 1 {
				w.Fatalf("ActorFailed: %v", failed)
			}
			mustPanic(w, failed[0].Reason)
		}, arm)
	})
	t.Run("respawn of many", func(t *testing.T) { // on goroutines of their own
		inWorld(t, func(w *world) {
			var names []string
			for i := range 40 {
				names = append(names, fmt.Sprint("k", i))
			}
			w.stop(w.tree("p", names...))
			armed.Store(true)
			_, err := w.sys.Respawn(w.ctx, "p")
			armed.Store(false)
			mustPanic(w, err)
		}, arm)
	})
}

func TestNewRefusesAKindThatIsNil(t *testing.T) {
	for name, k := range map[string]persist.AnyKind{"typed nil": (*persist.Kind[cell])(nil), "zero": &persist.Kind[cell]{}} {
		t.Run(name, func(t *testing.T) {
			e, err := actor.NewEngine(actor.NewEngineConfig())
			if err != nil {
				t.Fatal(err)
			}
			_, err = persist.New(e, storetest.NewMemory("memory://t"), &persist.Options{Kinds: persist.Kinds{k}})
			if !errors.Is(err, persist.ErrBadKind) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAnEngineMayServeTwoSystems(t *testing.T) {
	inWorld(t, func(w *world) {
		kind := persist.Define("cell", func() *cell { return &cell{w: w} }, nil)
		other, err := persist.New(w.e, storetest.NewMemory("memory://other"), &persist.Options{Kinds: persist.Kinds{kind}})
		if err != nil {
			w.Fatal(err)
		}
		p := w.spawn("p", 1)
		_, err = kind.Spawn(w.ctx, other, "p", nil)
		w.mustBe(err, persist.ErrExists)
		w.mustBe(other.Stop(w.ctx, p), persist.ErrNotPersistent)
		w.mustBe(other.Save(w.ctx, p), persist.ErrNotPersistent)
		w.run(p, func(a *cell, c *actor.Context) {
			a.N = 70
			_, err := kind.SpawnChild(c, "k", nil)
			w.mustBe(err, persist.ErrUnknownKind)
			if _, err := kind.SpawnUnder(c, other, "p/k", nil); err == nil {
				w.Error("a child of two systems")
			}
		})
		reached, let := w.hold("commit", "p")
		w.e.Poison(p)
		<-reached // the id is free, the final save under way
		if _, err := kind.TryRespawn(w.ctx, other, "p", nil); err != nil {
			w.Error(err)
		}
		close(let)
		synctest.Wait()
		if n := w.saved("p"); n != 70 {
			w.Errorf("the final save has %d", n)
		}
		if err := w.sys.Close(timeout(w, 100)); err != nil {
			w.Error(err)
		}
		if _, ok := other.Lookup("p"); !ok {
			w.Error("the other system's actor is gone")
		}
		if err := other.Close(w.ctx); err != nil {
			w.Error(err)
		}
	})
}
