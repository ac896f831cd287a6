package persist_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

func TestASaveInsideStoppedStandsThoughStoppedPanics(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.spawn("p", 1)
		w.e.Send(p, 4)
		w.on(actor.Stopped{}, "p", func(a *cell, c *actor.Context) {
			a.N = 100
			if err := persist.Save(c); err != nil {
				w.Error(err)
			}
			panic("late")
		})
		if w.sys.Stop(w.ctx, p) == nil {
			w.Error("the panic is not told")
		}
		if n := w.saved("p"); n != 100 {
			w.Errorf("saved is %d, acknowledged was 100", n)
		}
	})
}

func TestTheFinalSaveMakesGoodWhatFailedInFlightThoughStoppedPanics(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.spawn("p", 0)
		reached, let := w.holdThen("commit", "p", errors.New("disk full"))
		w.on(actor.Stopped{}, "p", func(a *cell, _ *actor.Context) { a.N = -1; panic("late") })
		w.e.Send(p, 7)
		<-reached
		out := make(chan error, 1)
		go func() { out <- w.sys.Stop(w.ctx, p) }()
		synctest.Wait()
		close(let)
		<-out
		if n := w.saved("p"); n != 7 {
			w.Errorf("saved is %d, the state before Stopped was 7", n)
		}
	}, saving(persist.Always()))
}

func TestStopTellsOfAnActorThatFailedBeforeItsTurn(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.tree("p", "a")
		for _, key := range []persist.Key{"p", "p/a"} {
			let := make(chan struct{})
			pid := w.live(key)
			w.tell(pid, func(a *cell, _ *actor.Context) { <-let; a.N = 5 })
			w.tell(pid, func(*cell, *actor.Context) { panic("past the budget") })
			out := make(chan error, 1)
			go func() { out <- w.sys.Stop(w.ctx, p) }()
			synctest.Wait()
			close(let)
			if err := <-out; err == nil || !strings.Contains(err.Error(), string(key)) {
				w.Errorf("the state of %s is lost, and Stop returned %v", key, err)
			}
			if p, _ = w.sys.Respawn(w.ctx, "p"); p == nil {
				w.Fatal("it does not come back")
			}
		}
	}, supervised(persist.Supervision{MaxRestarts: -1}))
}

func TestCloseHandlesWhatWasSentBehindAPanic(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.spawn("p", 1)
		let := make(chan struct{})
		w.tell(p, func(*cell, *actor.Context) { <-let })
		for range 2 { // the second meets a back-off
			w.tell(p, func(*cell, *actor.Context) { panic("boom") })
		}
		w.e.Send(p, 10)
		out := make(chan error, 1)
		go func() { out <- w.sys.Close(w.ctx) }()
		synctest.Wait()
		close(let)
		if err := <-out; err != nil || w.saved("p") != 11 {
			w.Errorf("%v; saved %d", err, w.saved("p"))
		}
	})
}

func TestAFinalSaveThatFailsIsToldAndWhatItHoldsNeverLeaves(t *testing.T) {
	for _, failure := range []error{persist.ErrFenced, persist.ErrUnknownOutcome, persist.ErrStoreFailed, persist.ErrConflict, errors.New("disk full")} {
		for name, policy := range map[string]persist.Policy{"OnStop": persist.OnStop(), "Always": persist.Always()} {
			t.Run(fmt.Sprint(failure, " ", name), func(t *testing.T) {
				inWorld(t, func(w *world) {
					p := w.tree("p", "a")
					asker, answers := w.asker()
					w.store.fail(func(op string, keys []persist.Key) error {
						if op == "commit" && keys[0] == "p" {
							return failure
						}
						return nil
					})
					in, let := make(chan struct{}), make(chan struct{})
					w.tell(p, func(*cell, *actor.Context) { close(in); <-let })
					<-in
					w.ask(asker, p, w.addAndReply)
					out := make(chan error, 1)
					go func() { out <- w.sys.Stop(w.ctx, p) }()
					synctest.Wait()
					close(let)
					w.mustBe(<-out, failure)
					if got := answers(); len(got) > 0 || w.saved("p") != 0 {
						w.Errorf("left %v, saved %d", got, w.saved("p"))
					}
				}, saving(policy))
			})
		}
	}
}

func TestOneObjectIsShownStoppedOnce(t *testing.T) {
	cases := map[string]struct {
		budget int
		flaky  int // loads that fail, each of which is one try
	}{
		"rolled back":         {3, 0},
		"after flaky loads":   {5, 3},
		"past the budget":     {-1, 0},
		"past it by its load": {2, 9},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				p := w.spawn("p", 1)
				n := 0
				w.store.fail(func(op string, _ []persist.Key) error {
					if op == "load" {
						if n++; n <= c.flaky {
							return errors.New("flaky")
						}
					}
					return nil
				})
				w.clearNotes()
				w.tell(p, func(*cell, *actor.Context) { panic("boom") })
				time.Sleep(time.Minute)
				if k := strings.Count(fmt.Sprint(w.noted()), "actor.Stopped p"); k != 1 {
					w.Errorf("Stopped was shown %d times: %v", k, w.noted())
				}
			}, supervised(persist.Supervision{MaxRestarts: c.budget, BackOff: time.Millisecond}))
		})
	}
}
