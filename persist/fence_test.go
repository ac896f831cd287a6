package persist_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// overwrite plays another owner that saves key.
func (w *world) overwrite(key persist.Key, n int) {
	w.Helper()
	rec, v, err := w.store.mem.Load(w.ctx, key)
	if err == nil {
		rec.Payload, _ = persist.CBOR.Marshal(&cell{N: n})
		_, err = w.store.mem.Commit(w.ctx, persist.Change{Key: key, Put: &rec, If: v})
	}
	if err != nil {
		w.Fatal(err)
	}
}

func TestEveryWriteIsConditionalOnTheVersionLastSeen(t *testing.T) {
	for _, how := range []string{"inside", "outside", "policy", "at the end"} {
		t.Run(how, func(t *testing.T) {
			policy := persist.OnStop()
			if how == "policy" {
				policy = persist.EveryMessages(1)
			}
			inWorld(t, func(w *world) {
				pid := w.spawn("k", 1)
				w.overwrite("k", 700)
				if how == "at the end" {
					w.e.Send(pid, 1)
					w.mustBe(w.sys.Stop(w.ctx, pid), persist.ErrConflict)
				} else {
					w.failingSave(pid, how, persist.ErrConflict)
				}
				synctest.Wait()
				if n := w.saved("k"); n != 700 {
					w.Errorf("the other owner's save was overwritten by %d", n)
				}
				if _, ok := w.sys.Lookup("k"); ok {
					w.Error("the loser goes on")
				}
			}, saving(policy))
		})
	}
}

func TestABirthIsConditionalOnAbsence(t *testing.T) {
	inWorld(t, func(w *world) {
		w.store.fail(func(op string, _ []persist.Key) error {
			if op == "commit" { // another owner is born between the look and the commit
				w.store.fail(nil)
				rec := persist.Record{Key: "k", Kind: "cell", KindVersion: 1, Codec: "cbor", Payload: []byte{0xa0}}
				if _, err := w.store.mem.Commit(w.ctx, persist.Change{Key: "k", Put: &rec}); err != nil {
					w.Error(err)
				}
			}
			return nil
		})
		_, err := w.cells.Spawn(w.ctx, w.sys, "k", func(a *cell) { a.N = 5 })
		w.mustBe(err, persist.ErrExists)
		if n := w.saved("k"); n != 0 {
			w.Errorf("the other's birth was overwritten by %d", n)
		}
	})
}

func TestASaveInsideWaitsForTheOneInFlight(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		synctest.Wait()
		gate := make(chan struct{})
		w.store.setGate(gate)
		w.e.Send(pid, 1) // in flight
		synctest.Wait()
		saved := make(chan error, 1)
		w.tell(pid, func(a *cell, c *actor.Context) { a.N = 9; saved <- persist.Save(c) })
		gate <- struct{}{}
		synctest.Wait()
		gate <- struct{}{}
		if err := <-saved; err != nil || w.saved("k") != 9 {
			w.Errorf("%v; the store has %d", err, w.saved("k"))
		}
		w.store.setGate(nil)
	}, saving(persist.Always()))
}

func TestWhatAHandlerChangesAfterItsSaveIsSavedToo(t *testing.T) {
	for _, policy := range []persist.Policy{persist.OnStop(), persist.Always()} {
		inWorld(t, func(w *world) {
			pid := w.spawn("k", 1)
			w.run(pid, func(a *cell, c *actor.Context) {
				a.N = 2
				if err := persist.Save(c); err != nil {
					w.Error(err)
				}
				a.N = 3
			})
			if err := w.sys.Save(w.ctx, pid); err != nil || w.saved("k") != 3 {
				w.Errorf("%v; the store has %d", err, w.saved("k"))
			}
		}, saving(policy))
	}
}

func TestWhatASaveMadeDurableLeavesThoughItsMessagePanics(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		asker, answers := w.asker()
		synctest.Wait()
		gate := make(chan struct{})
		w.store.setGate(gate)
		w.ask(asker, pid, w.addAndReply) // in flight
		w.ask(asker, pid, w.addAndReply) // held
		synctest.Wait()
		w.ask(asker, pid, func(a *cell, c *actor.Context) {
			a.N = 50
			_ = persist.Reply(c, "never")
			if err := persist.Save(c); err != nil { // carries the second reply's state
				w.Error(err)
			}
			panic("boom")
		})
		synctest.Wait()
		w.store.setGate(nil)
		if got := fmt.Sprint(answers()); got != "[1 2]" || w.value(pid) != 50 {
			w.Errorf("left %v, goes on with %d", got, w.value(pid))
		}
	}, saving(persist.Always()))
}

func TestAMessageHeldByAStoppedThatPanicsNeverLeaves(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		asker, answers := w.asker()
		w.e.Send(pid, 1)
		w.on(actor.Stopped{}, "k", func(a *cell, c *actor.Context) {
			a.N = 99
			if err := persist.Send(c, asker, "ninety-nine"); err != nil {
				w.Error(err)
			}
			panic("late")
		})
		if w.sys.Stop(w.ctx, pid) == nil {
			w.Error("Stop returned no error")
		}
		if got := answers(); len(got) != 0 || w.saved("k") != 2 {
			w.Errorf("left %v, saved %d", got, w.saved("k"))
		}
	})
}

func TestAMessageHeldInStoppedLeavesAfterTheFinalSave(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		asker, answers := w.asker()
		w.on(actor.Stopped{}, "k", func(a *cell, c *actor.Context) {
			a.N = 7
			if err := persist.Send(c, asker, "bye"); err != nil {
				w.Error(err)
			}
		})
		if err := w.sys.Stop(w.ctx, pid); err != nil {
			w.Error(err)
		}
		if got := fmt.Sprint(answers()); got != "[bye]" || w.saved("k") != 7 {
			w.Errorf("left %v, saved %d", got, w.saved("k"))
		}
	})
}

func TestASaveInFlightWhoseOutcomeIsUnknownAtTheEndMeansNoFinalSave(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		synctest.Wait()
		gate := make(chan struct{})
		w.store.setGate(gate)
		tried := 0
		w.store.fail(func(op string, _ []persist.Key) error {
			if op == "commit" {
				tried++
				return persist.ErrUnknownOutcome
			}
			return nil
		})
		w.e.Send(pid, 1) // in flight
		synctest.Wait()
		w.e.Send(pid, 1)
		done := make(chan error, 1)
		hold := make(chan struct{})
		w.tell(pid, func(*cell, *actor.Context) { <-hold })
		go func() { done <- w.sys.Stop(w.ctx, pid) }()
		synctest.Wait()
		close(hold)
		synctest.Wait() // the end has begun and waits for the commit
		w.store.setGate(nil)
		w.mustBe(<-done, persist.ErrUnknownOutcome)
		if tried != 1 {
			w.Errorf("%d commits were tried", tried)
		}
	}, saving(persist.Always()))
}

func TestAnActorThatFailsWhileSomebodySpawnsBelowItWaitsForThat(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("m", 1)
		gate := make(chan struct{})
		w.store.setGate(gate)
		spawned := make(chan error, 1)
		go func() {
			_, err := w.cells.Spawn(w.ctx, w.sys, "m/x", nil)
			spawned <- err
		}()
		synctest.Wait() // its birth is being committed
		w.tell(pid, func(*cell, *actor.Context) { panic("boom") })
		synctest.Wait()
		w.store.setGate(nil)
		if err := <-spawned; err != nil {
			w.Error(err)
		}
		synctest.Wait()
		if live := w.liveKeys(); len(live) != 0 {
			w.Errorf("live are %v", live)
		}
	}, supervised(persist.Supervision{MaxRestarts: -1}))
}

func TestEveryMessagesCountsFromTheRestart(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		w.tell(pid, func(*cell, *actor.Context) { panic("boom") })
		w.e.Send(pid, 1)
		w.e.Send(pid, 1)
		synctest.Wait()
		if n := w.saved("k"); n != 0 {
			w.Errorf("after two messages the store has %d", n)
		}
		w.e.Send(pid, 1)
		synctest.Wait()
		if n := w.saved("k"); n != 3 {
			w.Errorf("after three messages the store has %d", n)
		}
	}, saving(persist.EveryMessages(3)))
}

func TestAStoreThatFailedIsAnnouncedOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		pids := []*actor.PID{w.spawn("a", 1), w.spawn("b", 1), w.spawn("c", 1)}
		w.store.fail(func(op string, _ []persist.Key) error {
			if op == "commit" {
				return fmt.Errorf("sync: %w: %w", persist.ErrUnknownOutcome, persist.ErrStoreFailed)
			}
			return nil
		})
		for _, pid := range pids {
			w.e.Send(pid, 1)
			w.mustBe(w.sys.Save(w.ctx, pid), persist.ErrStoreFailed)
		}
		got := eventsOf[persist.StoreFailed](w)
		if len(got) != 1 || got[0].Base != "memory://test" || len(eventsOf[persist.ActorFailed](w)) != 3 {
			w.Errorf("StoreFailed: %v", got)
		}
		w.store.fail(nil)
	})
}

func TestAStoreThatPanicsLeavesTheOutcomeUnknown(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		w.store.fail(func(op string, _ []persist.Key) error {
			if op == "commit" {
				panic("a bug in a store")
			}
			return nil
		})
		w.e.Send(pid, 1)
		err := w.sys.Save(w.ctx, pid)
		w.mustBe(err, persist.ErrUnknownOutcome)
		var pe *persist.PanicError
		if !errors.As(err, &pe) {
			w.Errorf("the panic is lost: %v", err)
		}
		w.store.fail(nil)
	})
}
