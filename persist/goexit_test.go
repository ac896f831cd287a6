package persist_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// exitCodec ends the goroutine that takes the snapshot of a cell so tagged.
type exitCodec struct{ persist.Codec }

func (exitCodec) Name() string { return "exit" }

func (c exitCodec) Marshal(v any) ([]byte, error) {
	if a, ok := v.(*cell); ok && a.Tags["exit"] > 0 {
		runtime.Goexit()
	}
	return c.Codec.Marshal(v)
}

func exiting(_ *world, k *persist.KindOptions, _ *persist.Options) { k.Codec = exitCodec{persist.CBOR} }

// exitIn makes the first op end its goroutine.
func (w *world) exitIn(op string) {
	exited := false
	w.store.fail(func(o string, _ []persist.Key) error {
		if o == op && !exited {
			exited = true
			runtime.Goexit()
		}
		return nil
	})
}

func TestGoexitWhileATreeComesBackLeavesNoKeyTaken(t *testing.T) {
	for _, c := range []struct {
		life any
		key  persist.Key
	}{{actor.Initialized{}, "p"}, {actor.Started{}, "p"}, {actor.Initialized{}, "p/b"}, {actor.Started{}, "p/b"}} {
		t.Run(fmt.Sprintf("%T %s", c.life, c.key), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.stop(w.tree("p", "a", "b", "c"))
				w.on(c.life, c.key, func(*cell, *actor.Context) { runtime.Goexit() })
				select {
				case <-aside(func() { _, _ = w.sys.Respawn(timeout(w, 100), "p") }):
				case <-time.After(time.Hour):
					w.Error("Respawn hangs")
				}
				w.calmHooks()
				synctest.Wait()
				if _, err := w.sys.Respawn(timeout(w, 100), "p"); err != nil {
					w.Error("the next respawn:", err)
				}
				if live := w.liveKeys(); len(live) != 4 {
					w.Errorf("live are %v", live)
				}
			})
		})
	}
}

func TestGoexitInOneTreeLeavesTheKeysOfTheOthersFree(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, key := range []persist.Key{"a", "b", "c"} {
			w.stop(w.spawn(key, 1))
		}
		w.on(actor.Started{}, "a", func(*cell, *actor.Context) { runtime.Goexit() })
		<-aside(func() { _ = w.sys.RespawnAll(w.ctx, "") })
		if _, err := w.sys.Respawn(timeout(w, 100), "c"); err != nil {
			w.Error("the next respawn:", err)
		}
	})
}

func TestGoexitInAConstructorIsNamedAsAFailure(t *testing.T) {
	made, fatal := 0, 0 // the constructor that exits, counted from its arming
	inWorld(t, func(w *world) {
		const kids = 99 // enough for several goroutines
		var names []string
		for i := range kids {
			names = append(names, fmt.Sprint("k", i))
		}
		w.stop(w.tree("p", names...))
		kind := persist.Define("cell", func() *cell {
			w.mu.Lock()
			defer w.mu.Unlock()
			if made++; made == fatal {
				runtime.Goexit()
			}
			return &cell{w: w}
		}, nil)
		w.store.mem = w.store.mem.Reopen()
		sys, err := persist.New(w.e, w.store.opened(), &persist.Options{Kinds: persist.Kinds{kind}})
		if err != nil {
			w.Fatal(err)
		}
		made, fatal = 0, 50
		<-aside(func() {
			_, err := sys.Respawn(w.ctx, "p")
			var pe *persist.PanicError
			if !errors.As(err, &pe) {
				w.Errorf("Respawn returned %v", err)
			}
		})
		if _, err := sys.Respawn(timeout(w, 100), "p"); err != nil {
			w.Error("the next respawn:", err)
		}
		if err := sys.Close(w.ctx); err != nil {
			w.Error(err)
		}
	})
}

func TestGoexitWhileATreeIsCapturedFailsTheTreeSave(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.tree("p", "c")
		w.run(p, func(a *cell, _ *actor.Context) { a.N = 50 })
		w.run(w.live("p/c"), func(a *cell, _ *actor.Context) { a.N = 51; a.Tags = map[string]int{"exit": 1} })
		if err := w.sys.SaveTree(timeout(w, 100), p); err == nil {
			w.Error("a member is missing from the cut, and SaveTree returned nil")
		}
		if n := w.saved("p"); n != 0 {
			w.Errorf("half a cut is saved: %d", n)
		}
	}, exiting)
}

func TestGoexitInACommitLeavesTheOutcomeUnknown(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.spawn("p", 1)
		w.exitIn("commit")
		w.e.Send(p, 1)
		synctest.Wait()
		failed := eventsOf[persist.SnapshotFailed](w)
		if len(failed) != 1 || !errors.Is(failed[0].Err, persist.ErrUnknownOutcome) {
			w.Errorf("SnapshotFailed: %v", failed)
		}
		if live := w.liveKeys(); len(live) > 0 {
			w.Errorf("live are %v", live)
		}
	}, saving(persist.Always()))
}

func TestGoexitInATreesCommitHangsNobody(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.tree("p", "a")
		w.run(p, func(a *cell, _ *actor.Context) { a.N = 4 })
		w.exitIn("commit")
		<-aside(func() { _ = w.sys.SaveTree(w.ctx, p) })
		failed := eventsOf[persist.SnapshotFailed](w)
		if len(failed) != 1 || failed[0].Key != "p" || !errors.Is(failed[0].Err, persist.ErrUnknownOutcome) {
			w.Errorf("SnapshotFailed: %v", failed)
		}
		if live := w.liveKeys(); len(live) > 0 {
			w.Errorf("live are %v", live)
		}
	})
}

func TestGoexitBehindStartedIsNoFailureToStart(t *testing.T) {
	for range 50 { // the race detector looks at whom launch asks
		inWorld(t, func(w *world) {
			w.stop(w.spawn("p", 1))
			w.on(actor.Started{}, "p", func(_ *cell, c *actor.Context) {
				w.tell(c.PID(), func(*cell, *actor.Context) { runtime.Goexit() })
			})
			if _, err := w.sys.Respawn(w.ctx, "p"); err != nil {
				w.Error(err)
			}
		})
	}
}
