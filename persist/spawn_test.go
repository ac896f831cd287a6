package persist_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

func TestSpawnReturnsAfterTheFirstSnapshotIsDurable(t *testing.T) {
	inWorld(t, func(w *world) {
		gate := make(chan struct{})
		w.store.setGate(gate)
		var returned atomic.Bool
		go func() {
			w.spawn("players/james", 7)
			returned.Store(true)
		}()
		synctest.Wait()
		if returned.Load() {
			w.Fatal("Spawn returned before the store had committed")
		}
		if _, ok := w.sys.Lookup("players/james"); ok || len(w.noted()) > 0 {
			w.Errorf("the actor lives before its first snapshot is durable: %v", w.noted())
		}
		gate <- struct{}{}
		synctest.Wait()
		if !returned.Load() || w.saved("players/james") != 7 {
			w.Errorf("returned %v, saved %d", returned.Load(), w.saved("players/james"))
		}
	})
}

func TestSpawnFailsWhereTheKeyOrAnythingBelowIsSavedOrLive(t *testing.T) {
	inWorld(t, func(w *world) {
		live := w.tree("a", "b")
		w.spawn("saved/below", 1)
		pid, _ := w.sys.Lookup("saved/below")
		if err := w.sys.Stop(w.ctx, pid); err != nil {
			w.Fatal(err)
		}
		for _, key := range []persist.Key{"a", "a/b", "saved/below", "saved"} {
			_, err := w.cells.Spawn(w.ctx, w.sys, key, nil)
			w.mustBe(err, persist.ErrExists)
			if err != nil && !strings.Contains(err.Error(), string(key)) {
				w.Errorf("%v does not name %q", err, key)
			}
		}
		if got, _ := w.sys.Lookup("a"); got == nil || got.ID != live.ID {
			w.Errorf("the live actor was disturbed: %v", got)
		}
		if n := w.saved("saved/below"); n != 1 {
			w.Errorf("what was saved was disturbed: %d", n)
		}
	})
}

func TestSpawnOfOneKeyByManyGivesOneActor(t *testing.T) {
	inWorld(t, func(w *world) {
		var won, lost atomic.Int32
		for range 50 {
			go func() {
				switch _, err := w.cells.Spawn(w.ctx, w.sys, "one", nil); {
				case err == nil:
					won.Add(1)
				case errors.Is(err, persist.ErrExists):
					lost.Add(1)
				default:
					w.Error(err)
				}
			}()
		}
		synctest.Wait()
		if won.Load() != 1 || lost.Load() != 49 {
			w.Errorf("%d won, %d lost", won.Load(), lost.Load())
		}
	})
}

func TestSpawnReportsAPanicAndLeavesTheKeyFree(t *testing.T) {
	for _, in := range []string{"constructor", "init", "Initialized", "Started"} {
		t.Run(in, func(t *testing.T) {
			inWorld(t, func(w *world) {
				boom := do(func(*cell, *actor.Context) { panic("boom in " + in) })
				init := func(*cell) {}
				switch in {
				case "constructor":
					w.panics["constructor"] = "boom in constructor"
				case "init":
					init = func(*cell) { panic("boom in init") }
				case "Initialized":
					w.on(actor.Initialized{}, "k", boom)
				case "Started":
					w.on(actor.Started{}, "k", boom)
				}
				_, err := w.cells.Spawn(w.ctx, w.sys, "k", init)
				var pe *persist.PanicError
				if !errors.As(err, &pe) || fmt.Sprint(pe.Value) != "boom in "+in || len(pe.Stack) == 0 {
					w.Fatalf("got %v", err)
				}
				if _, ok := w.sys.Lookup("k"); ok || w.registered() != 2 {
					w.Errorf("something lives: %d registered", w.registered())
				}
				_, stored := w.stored("k")
				if born := in == "Initialized" || in == "Started"; born != (stored == nil) {
					w.Errorf("what is saved: %v", stored)
				}
				w.disarm()
				w.hooks = map[string]do{}
				if _, err := w.cells.TryRespawn(w.ctx, w.sys, "k", nil); err != nil {
					w.Errorf("the key is not usable again: %v", err)
				}
			})
		})
	}
}

func TestSpawnWithAnUnknownOutcomeLeavesNothingLive(t *testing.T) {
	inWorld(t, func(w *world) {
		w.store.failAfter(func(string, []persist.Key) error { return fmt.Errorf("disk: %w", persist.ErrUnknownOutcome) })
		_, err := w.cells.Spawn(w.ctx, w.sys, "k", nil)
		w.mustBe(err, persist.ErrUnknownOutcome)
		if _, ok := w.sys.Lookup("k"); ok {
			w.Error("it lives")
		}
		w.store.failAfter(nil)
		if _, err := w.cells.TryRespawn(w.ctx, w.sys, "k", nil); err != nil {
			w.Errorf("the store had it after all, and it does not come back: %v", err)
		}
	})
}

func TestOnlyTheKindsOfTheOptionsAreKnown(t *testing.T) {
	inWorld(t, func(w *world) {
		stranger := persist.Define("stranger", func() *cell { return &cell{w: w} }, nil)
		twin := persist.Define("cell", func() *cell { return &cell{w: w} }, nil)
		for _, k := range []*persist.Kind[cell]{stranger, twin} {
			_, err := k.Spawn(w.ctx, w.sys, "k", nil)
			w.mustBe(err, persist.ErrUnknownKind)
		}
		if _, err := w.stored("k"); !errors.Is(err, persist.ErrNotFound) {
			w.Errorf("something was saved: %v", err)
		}
	})
}

func TestAPIDIsDerivedFromTheKeyAloneAndTheSameInEveryLife(t *testing.T) {
	inWorld(t, func(w *world) {
		first := w.tree("a", "b")
		child, _ := w.sys.Lookup("a/b")
		if err := w.sys.Stop(w.ctx, first); err != nil {
			w.Fatal(err)
		}
		second, err := w.cells.Respawn(w.ctx, w.sys, "a")
		if err != nil {
			w.Fatal(err)
		}
		childAgain, _ := w.sys.Lookup("a/b")
		if !first.Equals(second) || !child.Equals(childAgain) {
			w.Errorf("%v then %v, %v then %v", first, second, child, childAgain)
		}
		if n := w.value(first); n != 0 {
			w.Errorf("the old PID leads to %d", n)
		}
		if w.value(child) != 1 {
			w.Error("the old PID of the child does not lead to it")
		}
	})
}

func TestAnIDHeldByAForeignActorIsErrExists(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		id := strings.TrimPrefix(pid.ID, "persist/")
		if err := w.sys.Stop(w.ctx, pid); err != nil {
			w.Fatal(err)
		}
		stranger := w.e.SpawnFunc(func(*actor.Context) {}, "persist", actor.WithID(id))
		_, err := w.cells.Respawn(w.ctx, w.sys, "k")
		w.mustBe(err, persist.ErrExists)
		if err := w.sys.Delete(w.ctx, "k"); err != nil {
			w.Fatal(err)
		}
		_, err = w.cells.Spawn(w.ctx, w.sys, "k", nil)
		w.mustBe(err, persist.ErrExists)
		if _, err := w.stored("k"); !errors.Is(err, persist.ErrNotFound) {
			w.Errorf("something was saved all the same: %v", err)
		}
		if w.e.Registry.GetPID("persist", id) == nil {
			w.Error("the stranger is gone")
		}
		<-w.e.Poison(stranger).Done()
	})
}

func TestSpawnChildUnderAPlainActorIsErrNotPersistent(t *testing.T) {
	inWorld(t, func(w *world) {
		errs := make(chan error, 2)
		pid := w.e.SpawnFunc(func(c *actor.Context) {
			if _, ok := c.Message().(actor.Started); ok {
				_, err := w.cells.SpawnChild(c, "x", nil)
				errs <- err
				_, err = w.cells.TryRespawnChild(c, "x", nil)
				errs <- err
			}
		}, "plain", actor.WithID("1"))
		w.mustBe(<-errs, persist.ErrNotPersistent)
		w.mustBe(<-errs, persist.ErrNotPersistent)
		<-w.e.Poison(pid).Done()
	})
}

func TestSpawnUnderMakesAChildOfAPlainActorWithAnExplicitKey(t *testing.T) {
	inWorld(t, func(w *world) {
		var kid, parent *actor.PID
		plain := w.e.SpawnFunc(func(c *actor.Context) {
			if _, ok := c.Message().(actor.Started); ok {
				var err error
				if kid, err = w.cells.TryRespawnUnder(c, w.sys, "deep/kid", func(a *cell) { a.N = 1 }); err != nil {
					w.Error(err)
				}
			}
		}, "plain", actor.WithID("1"))
		w.run(kid, func(a *cell, c *actor.Context) { a.N, parent = 2, c.Parent() })
		if !parent.Equals(plain) {
			w.Errorf("its parent is %v", parent)
		}
		<-w.e.Poison(plain).Done()
		if n := w.saved("deep/kid"); n != 2 {
			w.Errorf("the plain parent's end saved %d", n)
		}
		if _, ok := w.sys.Lookup("deep/kid"); ok {
			w.Error("the child outlived its parent")
		}
	})
}

func TestAChildOfAPlainActorEndsByItselfWithoutHangingIt(t *testing.T) {
	for round := range 20 {
		inWorld(t, func(w *world) {
			var kid *actor.PID
			plain := w.e.SpawnFunc(func(c *actor.Context) {
				if _, ok := c.Message().(actor.Started); ok {
					kid, _ = w.cells.SpawnUnder(c, w.sys, "kid", nil)
				}
			}, "plain", actor.WithID("1"))
			w.tell(kid, func(_ *cell, c *actor.Context) { _ = persist.Stop(c) })
			if round%2 == 0 {
				synctest.Wait()
			}
			<-w.e.Poison(plain).Done()
			synctest.Wait()
			if pid, err := w.cells.Respawn(w.ctx, w.sys, "kid"); err != nil || w.value(pid) != 0 {
				w.Errorf("it does not come back: %v", err)
			}
		})
	}
}

func TestAChildsNameIsOneSegment(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("p", 0)
		for _, name := range []string{"", ".", "..", "a/b", "/a", "x\x00", strings.Repeat("n", 300), "q?x", "file:///etc/passwd"} {
			w.run(pid, func(_ *cell, c *actor.Context) {
				_, err := w.cells.SpawnChild(c, name, nil)
				w.mustBe(err, persist.ErrBadKey)
			})
		}
	})
}

func TestHostileKeysAreRefusedEverywhere(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, key := range []persist.Key{"", "..", "a/../b", "a//b", "/a", "a/", "a\x00b", "s3://bucket/x", "memory://test",
			"memory://testing/x", persist.Key(strings.Repeat("x", 256)), persist.Key(strings.Repeat("x/", 512)) + "x", "a?b", "a#b", "a\xffb", "http://u:p@h/x"} {
			for verb, f := range map[string]func() error{
				"spawn":   func() error { _, err := w.cells.Spawn(w.ctx, w.sys, key, nil); return err },
				"respawn": func() error { _, err := w.cells.Respawn(w.ctx, w.sys, key); return err },
				"try":     func() error { _, err := w.cells.TryRespawn(w.ctx, w.sys, key, nil); return err },
				"untyped": func() error { _, err := w.sys.Respawn(w.ctx, key); return err },
				"delete":  func() error { return w.sys.Delete(w.ctx, key) },
			} {
				if err := f(); !errors.Is(err, persist.ErrBadKey) {
					w.Errorf("%s %.20q: %v", verb, key, err)
				}
			}
		}
		for _, key := range []persist.Key{"%2e%2e", `C:\`, `..\..`, "con", "ünï", "a b", "~", "memory://test/abs"} {
			if _, err := w.cells.Spawn(w.ctx, w.sys, key, nil); err != nil {
				w.Errorf("%q: %v", key, err)
			}
		}
		if _, ok := w.sys.Lookup("abs"); !ok {
			w.Error("an absolute key in the base store is not the relative one")
		}
	})
}

func TestASecondStoreServesItsOwnPrefix(t *testing.T) {
	inWorld(t, func(w *world) {
		pid, err := w.cells.Spawn(w.ctx, w.sys, "other://x/a/b", func(a *cell) { a.N = 3 })
		if err != nil {
			w.Fatal(err)
		}
		if key, ok := w.sys.KeyOf(pid); !ok || key != "other://x/a/b" {
			w.Errorf("its key is %q", key)
		}
		if err := w.sys.Stop(w.ctx, pid); err != nil {
			w.Fatal(err)
		}
		var keys []persist.Key
		w.spawn("z", 0)
		for k, err := range w.sys.Keys(w.ctx, "") {
			if err != nil {
				w.Fatal(err)
			}
			keys = append(keys, k)
		}
		if fmt.Sprint(keys) != "[z other://x/a/b]" {
			w.Errorf("keys: %q", keys)
		}
		if err := w.sys.RespawnAll(w.ctx, "other://x"); err != nil {
			w.Fatal(err)
		}
		if w.value(pid) != 3 {
			w.Error("it did not come back")
		}
		if _, err := w.cells.Spawn(w.ctx, w.sys, "other://y/a", nil); !errors.Is(err, persist.ErrBadKey) {
			w.Errorf("a key that no store serves: %v", err)
		}
	}, func(w *world, _ *persist.KindOptions, o *persist.Options) {
		o.Stores = []persist.Store{memoryAt("other://x")}
	})
}

func TestStoresMayNotOverlap(t *testing.T) {
	e, _ := actor.NewEngine(actor.NewEngineConfig())
	for _, base := range []persist.Key{"memory://test", "memory://test/below", "relative", "memory://user@test"} {
		other := memoryAt(base)
		_, err := persist.New(e, memoryAt("memory://test"), &persist.Options{Stores: []persist.Store{other}})
		if !errors.Is(err, persist.ErrBadKey) {
			t.Errorf("base %q: %v", base, err)
		}
		if _, _, err := other.Load(context.Background(), "k"); !errors.Is(err, persist.ErrClosed) {
			t.Errorf("base %q: the store stays open: %v", base, err)
		}
	}
}
