package persist_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

func TestAMessageThatSavesNothingAllocatesNothing(t *testing.T) {
	for name, policy := range map[string]persist.Policy{
		"OnStop": persist.OnStop(), "EveryMessages": persist.EveryMessages(1 << 30), "Every": persist.Every(time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				pid := w.spawn("k", 0)
				w.e.Send(pid, 1) // an Every has its timer now
				var c *actor.Context
				w.run(pid, func(_ *cell, x *actor.Context) { c = x })
				synctest.Wait() // the actor is idle: the test stands for the engine
				persist.SetMessage(c, 1, nil)
				receive := c.Receiver().Receive
				if n := testing.AllocsPerRun(1000, func() { receive(c) }); n != 0 {
					w.Errorf("%v allocations a message", n)
				}
				if n := w.value(pid); n != 1002 { // and one to warm up
					w.Errorf("handled %d", n)
				}
			}, saving(policy))
		})
	}
}
