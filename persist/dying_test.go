package persist_test

import (
	"testing"
	"testing/synctest"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

func TestARespawnWaitsForAnActorThatIsFailing(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.tree("p", "a")
		w.e.Send(w.live("p/a"), 10)
		synctest.Wait()
		reached, let := w.hold("commit", "p/a")
		w.tell(p, func(*cell, *actor.Context) { panic("past the budget") })
		<-reached // p has failed and waits for the final save of its child
		out := make(chan *actor.PID, 1)
		go func() {
			pid, err := w.cells.TryRespawn(w.ctx, w.sys, "p", nil)
			if err != nil {
				w.Error(err)
			}
			out <- pid
		}()
		synctest.Wait()
		close(let)
		w.run(<-out, func(*cell, *actor.Context) {})
	}, supervised(persist.Supervision{MaxRestarts: -1}))
}

func TestARespawnWaitsForADescendantThatIsFailing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stop(w.spawn("p", 1))
		c := w.spawn("p/c", 1)
		w.run(c, func(_ *cell, x *actor.Context) { _, _ = w.cells.SpawnChild(x, "g", nil) })
		w.e.Send(w.live("p/c/g"), 10)
		synctest.Wait()
		reached, let := w.hold("commit", "p/c/g")
		w.tell(c, func(*cell, *actor.Context) { panic("past the budget") })
		<-reached
		out := make(chan error, 1)
		go func() { _, err := w.sys.Respawn(w.ctx, "p"); out <- err }()
		synctest.Wait()
		close(let)
		if err := <-out; err != nil {
			w.Error(err)
		}
		synctest.Wait()
		if live := w.liveKeys(); len(live) != 3 {
			w.Errorf("live are %v", live)
		}
	}, supervised(persist.Supervision{MaxRestarts: -1}))
}
