package persist_test

import (
	"fmt"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// Thermostat is an actor whose exported fields are its snapshot.
type Thermostat struct {
	Room   string
	Target map[string]float64 // degrees by hour

	sensor string // not saved: the constructor gives it in every life
}

func (t *Thermostat) Receive(c *actor.Context) {
	switch m := c.Message().(type) {
	case map[string]float64:
		t.Target = m
	case string:
		c.Respond(fmt.Sprintf("%s by %s: %v", t.Room, t.sensor, t.Target))
	}
}

func ExampleDefine() {
	sensor := "sensor 1"
	thermostats := persist.Define("thermostat", func() *Thermostat {
		return &Thermostat{Target: map[string]float64{"night": 16}, sensor: sensor}
	}, nil)

	sys, store := start(thermostats)
	pid := must(thermostats.Spawn(ctx, sys, "house/kitchen", func(t *Thermostat) { t.Room = "kitchen" }))
	fmt.Println(ask(sys, pid, "show"))
	sys.Engine().Send(pid, map[string]float64{"day": 20.5})
	must0(sys.Close(ctx)) // saves

	sensor = "sensor 2"
	sys = restart(store.Reopen(), thermostats)
	pid = must(thermostats.Respawn(ctx, sys, "house/kitchen"))
	fmt.Println(ask(sys, pid, "show"))
	// Output:
	// kitchen by sensor 1: map[night:16]
	// kitchen by sensor 2: map[day:20.5]
}
