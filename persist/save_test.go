package persist_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// asker is a plain actor that collects answers.
func (w *world) asker() (pid *actor.PID, answers func() []any) {
	var mu sync.Mutex
	var got []any
	pid = w.e.SpawnFunc(func(c *actor.Context) {
		switch c.Message().(type) {
		case actor.Initialized, actor.Started, actor.Stopped:
		default:
			mu.Lock()
			defer mu.Unlock()
			got = append(got, c.Message())
		}
	}, "asker", actor.WithID("1"))
	w.after = append(w.after, func() { <-w.e.Poison(pid).Done() })
	return pid, func() []any {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
}

// ask sends f as a message of asker.
func (w *world) ask(asker, pid *actor.PID, f do) { w.e.SendWithSender(pid, f, asker) }

// addAndReply adds one and answers with the sum once that is durable.
func (w *world) addAndReply(a *cell, c *actor.Context) {
	a.N++
	if err := persist.Reply(c, a.N); err != nil {
		w.Error(err)
	}
}

func TestSaveIsDurableWhenItReturns(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		w.run(pid, func(a *cell, c *actor.Context) {
			a.N = 2
			if err := persist.Save(c); err != nil {
				w.Error(err)
			}
			if n := w.saved("k"); n != 2 {
				w.Errorf("the store has %d", n)
			}
			a.N = 3 // after the save: a state of its own
		})
		w.e.Send(pid, 10)
		if err := w.sys.Save(w.ctx, pid); err != nil || w.saved("k") != 13 {
			w.Errorf("%v; the store has %d", err, w.saved("k"))
		}
	})
}

func TestSaveOfAnActorThatIsNotPersistentIsAnError(t *testing.T) {
	inWorld(t, func(w *world) {
		errs := make(chan error, 4)
		pid := w.e.SpawnFunc(func(c *actor.Context) {
			if _, ok := c.Message().(actor.Started); ok {
				errs <- persist.Save(c)
				errs <- persist.Reply(c, 1)
				errs <- persist.Stop(c)
				errs <- persist.Delete(c)
			}
		}, "plain", actor.WithID("1"))
		for range 4 {
			w.mustBe(<-errs, persist.ErrNotPersistent)
		}
		w.mustBe(w.sys.Save(w.ctx, pid), persist.ErrNotPersistent)
		w.mustBe(persist.Save(nil), persist.ErrNotPersistent)
		<-w.e.Poison(pid).Done()
	})
}

// failures of a store, and whether they always end the actor.
var failures = map[string]struct {
	err   error
	fatal bool
}{
	"a full disk":     {errors.New("no space left on device"), false},
	"unknown outcome": {fmt.Errorf("sync: %w", persist.ErrUnknownOutcome), true},
	"conflict":        {&persist.ConflictError{Key: "k"}, true},
	"fenced":          {persist.ErrFenced, true},
	"failed store":    {persist.ErrStoreFailed, true},
}

func TestAFailedSaveEndsTheActorWithoutAFinalSave(t *testing.T) {
	for name, f := range failures {
		for _, how := range []string{"inside", "outside", "policy"} {
			for _, action := range []persist.SaveFailure{persist.StopOnSaveFailure, persist.RestartOnSaveFailure} {
				if action == persist.RestartOnSaveFailure && !f.fatal {
					continue
				}
				policy := persist.OnStop()
				if how == "policy" {
					policy = persist.EveryMessages(1)
				}
				t.Run(fmt.Sprint(name, "/", how, "/", action), func(t *testing.T) {
					inWorld(t, func(w *world) {
						pid := w.spawn("k", 1)
						commits := 0
						w.store.fail(func(op string, _ []persist.Key) error {
							if op == "commit" {
								commits++
								return f.err
							}
							return nil
						})
						w.failingSave(pid, how, f.err)
						synctest.Wait()
						if _, ok := w.sys.Lookup("k"); ok {
							w.Error("it goes on")
						}
						if commits != 1 {
							w.Errorf("%d commits were tried", commits)
						}
						if got := eventsOf[persist.ActorFailed](w); len(got) != 1 || !errors.Is(got[0].Reason, f.err) {
							w.Errorf("ActorFailed: %v", got)
						}
						if got := eventsOf[persist.SnapshotFailed](w); len(got) != 1 {
							w.Errorf("SnapshotFailed: %v", got)
						}
						if got := eventsOf[persist.StoreFailed](w); (len(got) == 1) != errors.Is(f.err, persist.ErrStoreFailed) {
							w.Errorf("StoreFailed: %v", got)
						}
						w.store.fail(nil)
						if pid, err := w.cells.Respawn(w.ctx, w.sys, "k"); err != nil || w.value(pid) != 1 {
							w.Errorf("what was durable is not: %v", err)
						}
					}, saving(policy), supervised(persist.Supervision{OnSaveFailure: action}))
				})
			}
		}
	}
}

// failingSave makes the actor save in one of three ways.
func (w *world) failingSave(pid *actor.PID, how string, want error) {
	switch how {
	case "inside":
		w.run(pid, func(a *cell, c *actor.Context) {
			a.N = 50
			w.mustBe(persist.Save(c), want)
		})
	case "outside":
		w.run(pid, func(a *cell, _ *actor.Context) { a.N = 50 })
		w.mustBe(w.sys.Save(w.ctx, pid), want)
	default:
		w.e.Send(pid, 49)
	}
}

func TestAFailedSaveRollsBackWhereSupervisionSaysSo(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		full := errors.New("no space left on device")
		var fail atomic.Bool
		fail.Store(true)
		w.store.fail(func(op string, _ []persist.Key) error {
			if op == "commit" && fail.Load() {
				return full
			}
			return nil
		})
		w.run(pid, func(a *cell, c *actor.Context) {
			a.N = 50
			w.mustBe(persist.Save(c), full)
		})
		if n := w.value(pid); n != 1 {
			w.Errorf("it goes on with %d", n)
		}
		fail.Store(false)
		w.run(pid, func(a *cell, c *actor.Context) {
			a.N = 2
			if err := persist.Save(c); err != nil {
				w.Error(err)
			}
		})
		if got := eventsOf[persist.ActorRestarted](w); len(got) != 1 || !errors.Is(got[0].Reason, full) || w.saved("k") != 2 {
			w.Errorf("restarts %v, saved %d", got, w.saved("k"))
		}
	}, supervised(persist.Supervision{OnSaveFailure: persist.RestartOnSaveFailure}))
}

func TestAFailedSaveMayBeTriedAgainWithinTheMessage(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		tries := 0
		w.store.fail(func(op string, _ []persist.Key) error {
			if op == "commit" {
				if tries++; tries == 1 {
					return errors.New("no space left on device")
				}
			}
			return nil
		})
		w.run(pid, func(a *cell, c *actor.Context) {
			a.N = 2
			if persist.Save(c) == nil {
				w.Error("the first try did not fail")
			}
			if err := persist.Save(c); err != nil {
				w.Error(err)
			}
		})
		if w.value(pid) != 2 || w.saved("k") != 2 {
			w.Error("the actor did not survive a failure that it mended")
		}
	})
}

func TestAStateThatEqualsTheLastSubmittedIsNotWrittenAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		for range 3 {
			if err := w.sys.Save(w.ctx, pid); err != nil {
				w.Error(err)
			}
			w.run(pid, func(_ *cell, c *actor.Context) {
				if err := persist.Save(c); err != nil {
					w.Error(err)
				}
			})
		}
		if err := w.sys.Stop(w.ctx, pid); err != nil {
			w.Error(err)
		}
		if _, err := w.cells.Respawn(w.ctx, w.sys, "k"); err != nil {
			w.Error(err)
		}
		if n := len(w.store.committed()); n != 1 {
			w.Errorf("%d commits for one state", n)
		}
	})
}

func TestASaveBackToAnEarlierValueWhileANewerOneIsInFlightIsWritten(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 1)
		gate := make(chan struct{})
		w.store.setGate(gate)
		w.e.Send(pid, 1)
		first := make(chan error, 1)
		go func() { first <- w.sys.Save(w.ctx, pid) }() // 2, in flight
		synctest.Wait()
		w.e.Send(pid, -1)
		second := make(chan error, 1)
		go func() { second <- w.sys.Save(w.ctx, pid) }() // 1 again, equal to what is durable now
		synctest.Wait()
		select {
		case err := <-second:
			w.Fatalf("acknowledged while 2 was on its way: %v", err)
		default:
		}
		w.store.setGate(nil)
		if err := errors.Join(<-first, <-second); err != nil || w.saved("k") != 1 {
			w.Errorf("%v; the store has %d, acknowledged was 1", err, w.saved("k"))
		}
	})
}

func TestOneCommitInFlightPerKeyAndTheNewestWins(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		gate := make(chan struct{})
		w.store.setGate(gate)
		const n = 100
		acked := make(chan int, n)
		for i := range n {
			w.e.Send(pid, 1)
			go func() {
				if err := w.sys.Save(w.ctx, pid); err != nil {
					w.Error(err)
				}
				if w.saved("k") < i+1 {
					w.Errorf("caller %d was acknowledged by a commit of %d", i+1, w.saved("k"))
				}
				acked <- i
			}()
			synctest.Wait()
		}
		gate <- struct{}{} // the first commit, of state 1
		synctest.Wait()
		if len(acked) != 1 {
			w.Errorf("the first commit acknowledged %d callers", len(acked))
		}
		gate <- struct{}{}
		synctest.Wait()
		if len(acked) != n {
			w.Errorf("the second commit left %d callers waiting", n-len(acked))
		}
		if c := len(w.store.committed()); c != 3 { // birth, the first, all others
			w.Errorf("%d commits", c)
		}
	})
}

func TestPolicies(t *testing.T) {
	cases := map[string]struct {
		policy persist.Policy
		want   []int // what the store has after each of six messages, a second apart
	}{
		"OnStop":           {persist.OnStop(), []int{0, 0, 0, 0, 0, 0}},
		"EveryMessages(3)": {persist.EveryMessages(3), []int{0, 0, 3, 3, 3, 6}}, // Initialized and Started do not count
		"Every(2.5s)":      {persist.Every(2500 * time.Millisecond), []int{0, 0, 0, 3, 3, 3}},
		"Always":           {persist.Always(), []int{1, 2, 3, 4, 5, 6}},
		"either":           {persist.EveryMessages(100).Or(persist.Always()), []int{1, 2, 3, 4, 5, 6}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				pid := w.spawn("k", 0)
				synctest.Wait()
				var got []int
				for range 6 {
					w.e.Send(pid, 1)
					synctest.Wait()
					got = append(got, w.saved("k"))
					time.Sleep(time.Second)
				}
				if !slices.Equal(got, c.want) {
					w.Errorf("saved %v, want %v", got, c.want)
				}
				if err := w.sys.Stop(w.ctx, pid); err != nil || w.saved("k") != 6 {
					w.Errorf("%v; at the end %d", err, w.saved("k"))
				}
			}, saving(c.policy))
		})
	}
}

func TestReplyAndSendLeaveOnlyWhenTheStateIsDurable(t *testing.T) {
	for name, policy := range map[string]persist.Policy{"Always": persist.Always(), "OnStop": persist.OnStop(), "EveryMessages": persist.EveryMessages(100)} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				pid := w.spawn("k", 0)
				asker, answers := w.asker()
				synctest.Wait()
				gate := make(chan struct{})
				w.store.setGate(gate)
				for range 5 {
					w.ask(asker, pid, w.addAndReply)
				}
				w.ask(asker, pid, func(_ *cell, c *actor.Context) {
					if err := persist.Send(c, asker, "sent"); err != nil {
						w.Error(err)
					}
				})
				if got := answers(); len(got) != 0 {
					w.Fatalf("left before anything was durable: %v", got)
				}
				for range 10 {
					select {
					case gate <- struct{}{}:
					default:
					}
					got, durable := answers(), w.saved("k")
					for _, m := range got {
						if n, ok := m.(int); ok && n > durable {
							w.Errorf("%v left while the store has %d", m, durable)
						}
					}
				}
				if got := fmt.Sprint(answers()); got != "[1 2 3 4 5 sent]" {
					w.Errorf("in the end: %v", got)
				}
			}, saving(policy))
		})
	}
}

func TestReplyWithoutASenderIsAnError(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		w.run(pid, func(_ *cell, c *actor.Context) {
			if persist.Reply(c, 1) == nil || persist.Send(c, nil, 1) == nil {
				w.Error("no error")
			}
		})
	})
}

func TestAlwaysGoesOnWhileSavesAreInFlight(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		asker, answers := w.asker()
		w.store.setGate(make(chan struct{}))
		for range 1000 {
			w.ask(asker, pid, w.addAndReply)
		}
		if n := w.value(pid); n != 1000 {
			w.Errorf("it handled %d", n)
		}
		before := len(w.store.committed())
		w.store.setGate(nil)
		if n := len(answers()); n != 1000 {
			w.Errorf("%d replies", n)
		}
		if n := len(w.store.committed()) - before; n > 2 {
			w.Errorf("%d commits carried what one or two could", n)
		}
	}, saving(persist.Always()))
}

func TestAPanicWhileASaveIsInFlightKeepsWhatIsAcknowledged(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		asker, answers := w.asker()
		synctest.Wait()
		gate := make(chan struct{})
		w.store.setGate(gate)
		w.ask(asker, pid, w.addAndReply) // 1, in flight
		synctest.Wait()
		w.tell(pid, func(a *cell, _ *actor.Context) { a.N = -100; panic("boom") })
		w.ask(asker, pid, w.addAndReply)
		synctest.Wait()
		w.store.setGate(nil)
		if got := fmt.Sprint(answers()); got != "[1 2]" || w.saved("k") != 2 {
			w.Errorf("acknowledged %v, durable %d", got, w.saved("k"))
		}
	}, saving(persist.Always()))
}

func TestARollbackDropsWhatWasHeldForLostStates(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		asker, answers := w.asker()
		synctest.Wait()
		gate := make(chan struct{})
		w.store.setGate(gate)
		w.ask(asker, pid, w.addAndReply) // 1, in flight
		w.ask(asker, pid, w.addAndReply) // 2, held
		waiting := make(chan error, 1)
		go func() { waiting <- w.sys.Save(w.ctx, pid) }()
		synctest.Wait()
		w.tell(pid, func(a *cell, c *actor.Context) {
			_ = persist.Reply(c, "never")
			panic("boom")
		})
		w.ask(asker, pid, func(a *cell, c *actor.Context) { c.Respond(fmt.Sprint("is ", a.N)) })
		synctest.Wait()
		w.store.setGate(nil)
		if got := fmt.Sprint(answers()); got != "[1 is 1]" {
			w.Errorf("left: %v", got)
		}
		w.mustBe(<-waiting, persist.ErrRolledBack)
	}, saving(persist.Always()))
}

func TestASaveFromStoppedAfterAPanicIsRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 200)
		var inside []error
		w.on(actor.Stopped{}, "k", func(_ *cell, c *actor.Context) {
			inside = append(inside, persist.Save(c), persist.Reply(c, 1))
			_, err := w.cells.SpawnChild(c, "x", nil)
			inside = append(inside, err)
		})
		asker, _ := w.asker()
		w.ask(asker, pid, func(a *cell, _ *actor.Context) { a.N = 190; panic("between two accounts") })
		if n := w.value(pid); n != 200 {
			w.Errorf("it goes on with %d", n)
		}
		if len(inside) != 3 {
			w.Fatalf("Stopped ran %d times", len(inside)/3)
		}
		w.mustBe(inside[0], persist.ErrRolledBack)
		w.mustBe(inside[1], persist.ErrRolledBack)
		w.mustBe(inside[2], persist.ErrStopped)
		if w.saved("k") != 200 {
			w.Errorf("half a transfer was saved: %d", w.saved("k"))
		}
		w.hooks = map[string]do{}
	})
}

func TestASaveFromOutsideThatMeetsTheActorsEndIsAnswered(t *testing.T) {
	for round := range 30 {
		inWorld(t, func(w *world) {
			pid := w.spawn("k", 0)
			hold := make(chan struct{})
			w.tell(pid, func(*cell, *actor.Context) { <-hold })
			answered := make(chan error, 3)
			for range 3 {
				go func() { answered <- w.sys.Save(w.ctx, pid) }()
			}
			if round%2 == 0 {
				synctest.Wait()
			}
			w.e.Stop(pid) // what lies behind the pill is dropped by the engine
			go func() { answered <- w.sys.Save(w.ctx, pid) }()
			synctest.Wait()
			close(hold)
			for range 4 {
				if err := <-answered; err != nil && !errors.Is(err, persist.ErrStopped) && !errors.Is(err, persist.ErrNotPersistent) {
					w.Errorf("%v", err)
				}
			}
		})
	}
}
