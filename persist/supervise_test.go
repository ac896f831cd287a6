package persist_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

func TestAPanicRollsBackToTheLastSaveAndLeavesTheQueueUntouched(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		w.run(pid, func(a *cell, c *actor.Context) {
			a.N = 10
			if err := persist.Save(c); err != nil {
				w.Error(err)
			}
		})
		hold := make(chan struct{})
		w.tell(pid, func(*cell, *actor.Context) { <-hold })
		w.e.Send(pid, 1) // since the last save: rolled back
		w.tell(pid, func(a *cell, _ *actor.Context) { a.N = -1; panic("boom") })
		for range 5000 {
			w.e.Send(pid, 1)
		}
		close(hold)
		if n := w.value(pid); n != 5010 {
			w.Errorf("after the panic: %d", n)
		}
		want := "[actor.Initialized k actor.Started k actor.Stopped k actor.Initialized k actor.Started k]"
		if got := fmt.Sprint(w.noted()); got != want {
			w.Errorf("its lives: %s", got)
		}
	})
}

func TestChildrenLiveOnWhileTheirParentRestarts(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a")
		a, _ := w.sys.Lookup("m/a")
		w.e.Send(a, 41)
		w.on(actor.Started{}, "m", func(_ *cell, c *actor.Context) {
			again, err := w.cells.TryRespawnChild(c, "a", nil)
			if err != nil || !again.Equals(a) {
				w.Errorf("TryRespawnChild in the second life: %v, %v", again, err)
			}
		})
		w.tell(pid, func(*cell, *actor.Context) { panic("boom") })
		w.run(pid, func(_ *cell, c *actor.Context) {
			if len(c.Children()) != 1 || !c.Children()[0].Equals(a) {
				w.Errorf("children: %v", c.Children())
			}
		})
		if w.value(a) != 42 {
			w.Errorf("the child was restarted: %d", w.value(a))
		}
	})
}

// panicPlaces are the places where an actor may panic, and how the test makes it.
// It runs in the bubble of inWorld, where sleeping is free.
func panicPlaces(w *world, value any) map[string]func(pid *actor.PID) {
	boom := do(func(*cell, *actor.Context) { panic(value) })
	arm := func(life any) func(*actor.PID) {
		return func(pid *actor.PID) {
			first := true
			w.on(life, "m", func(*cell, *actor.Context) {
				if first {
					first = false
					panic(value)
				}
			})
			w.tell(pid, boom)
		}
	}
	return map[string]func(pid *actor.PID){
		"Receive":     func(pid *actor.PID) { w.tell(pid, boom) },
		"Initialized": arm(actor.Initialized{}),
		"Started":     arm(actor.Started{}),
		"Stopped":     arm(actor.Stopped{}),
		"constructor": func(pid *actor.PID) {
			w.panics["constructor"] = value
			w.tell(pid, boom)
			go func() { time.Sleep(1500 * time.Microsecond); w.disarm() }()
		},
	}
}

func TestNoPanicReachesTheEngine(t *testing.T) {
	for _, value := range []any{"boom", errors.New("boom"), &actor.InternalError{From: "here", Err: errors.New("boom")}, nil} {
		for place := range panicPlaces(&world{hooks: map[string]do{}, panics: map[string]any{}}, value) {
			t.Run(fmt.Sprintf("%s/%T", place, value), func(t *testing.T) {
				inWorld(t, func(w *world) {
					pid := w.tree("m", "a")
					w.run(pid, func(a *cell, c *actor.Context) { a.N = 7; _ = persist.Save(c) })
					panicPlaces(w, value)[place](pid)
					time.Sleep(time.Second)
					synctest.Wait()
					if w.value(pid) != 7 {
						w.Errorf("it goes on with %d", w.value(pid))
					}
					if n := len(eventsOf[actor.ActorRestartedEvent](w)) + len(eventsOf[actor.ActorMaxRestartsExceededEvent](w)); n > 0 {
						w.Error("the engine saw a panic")
					}
					restarted := eventsOf[persist.ActorRestarted](w)
					var pe *persist.PanicError
					if len(restarted) != 1 || !errors.As(restarted[0].Reason, &pe) || len(pe.Stack) == 0 {
						w.Errorf("ActorRestarted: %v", restarted)
					}
					if a, ok := w.sys.Lookup("m/a"); !ok || w.value(a) != 1 {
						w.Error("the child is gone")
					}
				})
			})
		}
	}
}

func TestAPanicInMiddlewareIsCaughtLikeAnyOther(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		w.e.Send(pid, "middleware")
		w.e.Send(pid, 1)
		if n := w.value(pid); n != 2 {
			w.Errorf("it goes on with %d", n)
		}
		if got := eventsOf[persist.ActorRestarted](w); len(got) != 1 {
			w.Errorf("ActorRestarted: %v", got)
		}
	}, func(_ *world, k *persist.KindOptions, _ *persist.Options) {
		k.Hollywood = append(k.Hollywood, actor.WithMiddleware(func(next actor.ReceiveFunc) actor.ReceiveFunc {
			return func(c *actor.Context) {
				if c.Message() == "middleware" {
					panic("in the middleware")
				}
				next(c)
			}
		}))
	})
}

func TestTheFourthAndTheThousandthPanicOfALifetimeAreHarmless(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		for i := range 1000 {
			w.tell(pid, func(*cell, *actor.Context) { panic(i) })
			time.Sleep(10 * time.Second)
		}
		w.e.Send(pid, 1)
		if n := w.value(pid); n != 1 {
			w.Errorf("after a thousand panics: %d", n)
		}
		if got := eventsOf[persist.ActorRestarted](w); len(got) != 1000 {
			w.Errorf("%d restarts", len(got))
		}
	})
}

func TestPastItsBudgetTheActorStopsCleanly(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a")
		a, _ := w.sys.Lookup("m/a")
		w.e.Send(a, 41)
		start := time.Now()
		for range 4 {
			w.tell(pid, func(x *cell, _ *actor.Context) { x.N = -1; panic("boom") })
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		if live := w.liveKeys(); len(live) != 0 {
			w.Errorf("live are %v", live)
		}
		failed := eventsOf[persist.ActorFailed](w)
		if len(failed) != 1 || failed[0].Key != "m" || !strings.Contains(failed[0].Reason.Error(), "3 restarts within 1m0s") {
			w.Errorf("ActorFailed: %v", failed)
		}
		if w.saved("m") != 0 || w.saved("m/a") != 42 {
			w.Errorf("saved %d and %d: the child's final save, and none of a broken state", w.saved("m"), w.saved("m/a"))
		}
		restarts := eventsOf[persist.ActorRestarted](w)
		if len(restarts) != 3 || restarts[2].Restarts != 3 || time.Since(start) < 3*time.Second {
			w.Errorf("restarts: %v", restarts)
		}
		if _, err := w.cells.Respawn(w.ctx, w.sys, "m"); err != nil {
			w.Error(err)
		}
	}, supervised(persist.Supervision{MaxRestarts: 3, Window: time.Minute, BackOff: time.Second, MaxBackOff: 2 * time.Second}))
}

func TestRestartsBackOffAndTheQueueWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		var waits []time.Duration
		for range 6 {
			start := time.Now()
			w.tell(pid, func(*cell, *actor.Context) { panic("boom") })
			w.run(pid, func(*cell, *actor.Context) {})
			waits = append(waits, time.Since(start))
		}
		if got := fmt.Sprint(waits); got != "[0s 1s 2s 4s 5s 5s]" {
			w.Errorf("waited %s", got)
		}
	}, supervised(persist.Supervision{BackOff: time.Second, MaxBackOff: 5 * time.Second}))
}

func TestCloseCutsABackOffShort(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 3)
		for range 3 {
			w.tell(pid, func(*cell, *actor.Context) { panic("boom") })
		}
		synctest.Wait()
		start := time.Now()
		if err := w.sys.Close(w.ctx); err != nil {
			w.Error(err)
		}
		if d := time.Since(start); d > time.Second || w.saved("k") != 3 {
			w.Errorf("Close took %v; saved %d", d, w.saved("k"))
		}
	}, supervised(persist.Supervision{BackOff: time.Hour, MaxBackOff: time.Hour}))
}

func TestARollbackThatFindsAnotherOwnersRecordStopsTheActor(t *testing.T) {
	for _, what := range []string{"newer", "deleted", "damaged"} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, func(w *world) {
				pid := w.spawn("k", 1)
				rec, v, err := w.store.mem.Load(w.ctx, "k")
				if err != nil {
					w.Fatal(err)
				}
				want := persist.ErrConflict
				switch what {
				case "newer":
					_, err = w.store.mem.Commit(w.ctx, persist.Change{Key: "k", Put: &rec, If: v})
				case "deleted":
					_, err = w.store.mem.Commit(w.ctx, persist.Change{Key: "k", If: v})
				case "damaged":
					want = persist.ErrCorrupt
					err = w.store.mem.Edit("k", func(b []byte) []byte { return b[:30] })
				}
				if err != nil {
					w.Fatal(err)
				}
				before := len(w.store.committed())
				w.tell(pid, func(*cell, *actor.Context) { panic("boom") })
				failed := eventsOf[persist.ActorFailed](w)
				if len(failed) != 1 || !errors.Is(failed[0].Reason, want) {
					w.Errorf("ActorFailed: %v", failed)
				}
				if n := len(w.store.committed()) - before; n != 0 {
					w.Errorf("it wrote %d times", n)
				}
			})
		})
	}
}

func TestGoexitEndsTheActorAndTakesNothingElseAlong(t *testing.T) {
	for _, where := range []string{"Receive", "Stopped"} {
		t.Run(where, func(t *testing.T) {
			inWorld(t, func(w *world) {
				pid := w.tree("m", "a")
				a, _ := w.sys.Lookup("m/a")
				w.e.Send(a, 41)
				waiting := make(chan error, 1)
				if where == "Stopped" {
					w.on(actor.Stopped{}, "m", func(*cell, *actor.Context) { runtime.Goexit() })
					w.e.Poison(pid)
				} else {
					w.tell(pid, func(x *cell, _ *actor.Context) { x.N = -1; runtime.Goexit() })
					go func() { waiting <- w.sys.Save(w.ctx, pid) }()
				}
				synctest.Wait()
				if live := w.liveKeys(); len(live) != 0 {
					w.Errorf("live are %v", live)
				}
				if where == "Receive" {
					if err := <-waiting; !errors.Is(err, persist.ErrStopped) && !errors.Is(err, persist.ErrNotPersistent) {
						w.Errorf("a caller got %v", err)
					}
				}
				if w.saved("m") != 0 || w.saved("m/a") != 42 {
					w.Errorf("saved %d and %d", w.saved("m"), w.saved("m/a"))
				}
				w.hooks = map[string]do{}
				back, err := w.cells.Respawn(w.ctx, w.sys, "m")
				if err != nil {
					w.Fatal(err)
				}
				w.e.Send(back, 5)
				if n := w.value(back); n != 5 {
					w.Errorf("the next life has %d", n)
				}
			})
		})
	}
}

func TestAPanicInStoppedDoesNotKeepTheStateFromBeingSaved(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		w.e.Send(pid, 1)
		w.on(actor.Stopped{}, "k", func(a *cell, _ *actor.Context) { a.N = -1; panic("late") })
		err := w.sys.Stop(w.ctx, pid)
		var pe *persist.PanicError
		if !errors.As(err, &pe) || pe.In != "Stopped" {
			w.Errorf("Stop returned %v", err)
		}
		if n := w.saved("k"); n != 2 {
			w.Errorf("saved %d, and what Stopped left half-done is -1", n)
		}
	})
}

func TestAPanicInSnapshotIsAFailedSave(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		w.run(pid, func(a *cell, c *actor.Context) {
			a.Tags = nil
			var pe *persist.PanicError
			if err := persist.Save(c); !errors.As(err, &pe) || pe.In != "Snapshot" {
				w.Errorf("Save returned %v", err)
			}
		})
		synctest.Wait()
		if _, ok := w.sys.Lookup("k"); ok || w.saved("k") != 1 {
			w.Error("it goes on, or what was durable is not")
		}
	}, withBadTags)
}

func TestMessagesToAnActorThatHasFinishedAreDeadLetters(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		hold := make(chan struct{})
		w.tell(pid, func(*cell, *actor.Context) { <-hold })
		done := make(chan error, 1)
		go func() { done <- w.sys.Stop(w.ctx, pid) }()
		synctest.Wait()
		w.e.Send(pid, 100) // behind the end
		close(hold)
		if err := <-done; err != nil {
			w.Error(err)
		}
		w.e.Send(pid, 200)
		lost := 0
		for _, e := range eventsOf[actor.DeadLetterEvent](w) {
			if n, ok := e.Message.(int); ok {
				lost += n
			}
		}
		if lost != 300 || w.saved("k") != 1 {
			w.Errorf("dead letters %d, saved %d", lost, w.saved("k"))
		}
	})
}

func TestMessagesThatLookLikeTheEnginesAreOrdinaryMessages(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		for _, m := range []any{actor.Stopped{}, actor.Started{}, actor.Initialized{}} {
			w.e.Send(pid, m)
		}
		w.e.Send(pid, 1)
		if n := w.value(pid); n != 2 {
			w.Errorf("it goes on with %d", n)
		}
	})
}

func TestTheShellIsTheReceiver(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		w.run(pid, func(a *cell, c *actor.Context) {
			if _, isCell := c.Receiver().(*cell); isCell {
				w.Error("c.Receiver() is the user's actor: the binding is gone")
			}
			key, ok := persist.KeyOf(c)
			sys, ok2 := persist.SystemOf(c)
			if key != "k" || !ok || sys != w.sys || !ok2 {
				w.Errorf("KeyOf %q, SystemOf %v", key, sys)
			}
			if _, ok := persist.KeyOf(nil); ok {
				w.Error("a nil context has a key")
			}
			c.SpawnChildFunc(func(c *actor.Context) {
				if _, ok := persist.KeyOf(c); ok {
					w.Error("a plain child inherits the binding")
				}
			}, "plain", actor.WithID("1"))
		})
	})
}

func TestTheFieldsOfTheEngineAreWhereTheyWere(t *testing.T) {
	c, pid := &actor.Context{}, &actor.PID{}
	persist.SetMessage(c, 42, pid)
	if c.Message() != 42 {
		t.Error("field \"message\" of actor.Context does not carry the message")
	}
	if c.Sender() != pid {
		t.Error("field \"sender\" of actor.Context does not carry the sender")
	}
}
