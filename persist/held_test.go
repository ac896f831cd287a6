package persist_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

func TestRepliesOutliveATreeSaveThatFails(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.tree("p", "a")
		a := w.live("p/a")
		w.e.Send(a, 3)
		w.e.Send(p, 3)
		asker, answers := w.asker()
		synctest.Wait()
		full := errors.New("disk full")
		reached, let := w.holdThen("commit", "p", full)
		out := make(chan error, 1)
		go func() { out <- w.sys.SaveTree(w.ctx, p) }()
		<-reached
		for range 5 {
			w.ask(asker, a, w.addAndReply)
		}
		saved := make(chan error, 1)
		go func() { saved <- w.sys.Save(w.ctx, p) }() // of the very state that is in flight
		synctest.Wait()
		if got := answers(); len(got) > 0 {
			w.Errorf("left before they were durable: %v", got)
		}
		close(let)
		w.mustBe(<-out, full)
		if err := <-saved; err != nil {
			w.Error(err)
		}
		if got := fmt.Sprint(answers()); got != "[5 6 7 8 9]" || w.saved("p/a") != 9 || w.saved("p") != 3 {
			w.Errorf("left %s, saved %d and %d", got, w.saved("p/a"), w.saved("p"))
		}
	})
}

func TestWhatIsHeldInEveryMessageOfALifeLeaves(t *testing.T) {
	for name, policy := range map[string]persist.Policy{"OnStop": persist.OnStop(), "Always": persist.Always(), "EveryMessages": persist.EveryMessages(100)} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				asker, answers := w.asker()
				for _, key := range []persist.Key{"p", "p/a"} {
					for _, life := range []any{actor.Initialized{}, actor.Started{}, actor.Stopped{}} {
						w.on(life, key, func(_ *cell, c *actor.Context) { _ = persist.Send(c, asker, 1) })
					}
				}
				expect := func(when string, n int) {
					w.Helper()
					if got := len(answers()); got != n {
						w.Errorf("after %s %d have left, want %d", when, got, n)
					}
				}
				p := w.tree("p", "a")
				expect("the births", 4)
				w.stop(p)
				expect("the end", 6)
				p, _ = w.sys.Respawn(w.ctx, "p")
				expect("the respawn", 10)
				w.tell(p, func(*cell, *actor.Context) { panic("boom") })
				expect("the rollback, whose Stopped may not send", 12)
				<-w.e.Poison(p).Done()
				expect("the pill", 14)
			}, saving(policy))
		})
	}
}

func TestARollbackWaitsForTheTreeSaveInFlight(t *testing.T) {
	for name, outcome := range map[string]error{"lands": nil, "fails": errors.New("disk full")} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				p := w.tree("p", "a")
				a := w.live("p/a")
				asker, answers := w.asker()
				w.e.Send(a, 40)
				synctest.Wait()
				reached, let := w.holdThen("commit", "p/a", outcome)
				out := make(chan error, 1)
				go func() { out <- w.sys.SaveTree(w.ctx, p) }()
				<-reached
				w.ask(asker, a, w.addAndReply)
				w.tell(a, func(x *cell, _ *actor.Context) { x.N = -1; panic("boom") })
				synctest.Wait()
				close(let)
				w.mustBe(<-out, outcome)
				want := 41
				if outcome != nil {
					want = 1
				}
				if n := w.value(a); n != want {
					w.Errorf("it goes on with %d, want %d", n, want)
				}
				if got := answers(); len(got) > 0 {
					w.Errorf("a reply for a lost state left: %v", got)
				}
				w.e.Send(a, 1)
				if err := w.sys.SaveTree(w.ctx, p); err != nil || w.saved("p/a") != want+1 {
					w.Errorf("%v; saved %d", err, w.saved("p/a"))
				}
			})
		})
	}
}

func TestAReplyInStartedAfterARollbackHasNobodyToGoTo(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.spawn("p", 1)
		w.on(actor.Started{}, "p", func(_ *cell, c *actor.Context) {
			if persist.Reply(c, "hello") == nil {
				w.Errorf("it went to %v, who sent what panicked", c.Sender())
			}
		})
		answer, err := w.e.Request(p, do(func(*cell, *actor.Context) { panic("boom") }), time.Second).Result()
		if err == nil {
			w.Errorf("the requester got %v", answer)
		}
	})
}

func TestEveryMessagesDoesNotCountTheMessageThatSaved(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.spawn("p", 0)
		w.run(p, func(a *cell, c *actor.Context) { a.N = 1; _ = persist.Save(c) })
		w.e.Send(p, 1)
		w.e.Send(p, 1)
		synctest.Wait()
		if n := w.saved("p"); n != 1 {
			w.Errorf("saved %d after two messages", n)
		}
		w.e.Send(p, 1)
		synctest.Wait()
		if n := w.saved("p"); n != 4 {
			w.Errorf("saved %d after three messages", n)
		}
	}, saving(persist.EveryMessages(3)))
}
