package persist_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// Room runs functions on its goroutine, so that an example can show what an
// actor does inside its Receive.
type Room struct {
	Guests int
}

func (r *Room) Receive(c *actor.Context) {
	if f, ok := c.Message().(func(r *Room, c *actor.Context)); ok {
		f(r, c)
	}
}

var Rooms = persist.Define("room", func() *Room { return &Room{} }, nil)

// within runs f inside the Receive of a room and waits for it.
func within(sys *persist.System, room *actor.PID, f func(r *Room, c *actor.Context)) {
	done := make(chan struct{})
	sys.Engine().Send(room, func(r *Room, c *actor.Context) { defer close(done); f(r, c) })
	<-done
}

func ExampleSend() {
	sys, store := start(Rooms)
	room := must(Rooms.Spawn(ctx, sys, "rooms/1", nil))
	durable := make(chan bool)
	desk := sys.Engine().SpawnFunc(func(c *actor.Context) {
		if msg, ok := c.Message().(string); ok {
			record, _, err := store.Load(ctx, "rooms/1")
			fmt.Println(msg, err)
			durable <- record.Seq == 2
		}
	}, "desk")

	within(sys, room, func(r *Room, c *actor.Context) {
		r.Guests++
		must0(persist.Send(c, desk, "a guest has come")) // leaves when the guest is saved
	})
	fmt.Println("durable:", <-durable)
	// Output:
	// a guest has come <nil>
	// durable: true
}

func ExampleStop() {
	sys, store := start(Rooms)
	room := must(Rooms.Spawn(ctx, sys, "rooms/1", nil))
	within(sys, room, func(r *Room, c *actor.Context) {
		r.Guests = 2
		must0(persist.Stop(c)) // returns at once; what was sent before is still handled
	})
	must0(sys.Close(ctx)) // waits for it

	sys = restart(store.Reopen(), Rooms)
	room = must(Rooms.Respawn(ctx, sys, "rooms/1"))
	within(sys, room, func(r *Room, _ *actor.Context) { fmt.Println("guests:", r.Guests) })
	// Output:
	// guests: 2
}

func ExampleStopChild() {
	sys, _ := start(Rooms, Players)
	room := must(Rooms.Spawn(ctx, sys, "rooms/1", nil))
	within(sys, room, func(_ *Room, c *actor.Context) {
		pid := must(Players.SpawnChild(c, "james", func(p *Player) { p.HP = 100 }))
		c.Send(pid, Heal(5))
		must0(persist.StopChild(c, pid)) // the healing is handled, and saved
		fmt.Println("children:", len(c.Children()))

		pid = must(Players.TryRespawnChild(c, "james", nil))
		fmt.Println("hp", must(c.Request(pid, GetHP{}, time.Minute).Result()))
	})
	// Output:
	// children: 0
	// hp 105
}

func ExampleDelete() {
	sys, _ := start(Rooms)
	room := must(Rooms.Spawn(ctx, sys, "rooms/1", nil))
	gone := make(chan struct{})
	sys.Engine().Subscribe(sys.Engine().SpawnFunc(func(c *actor.Context) {
		if e, ok := c.Message().(actor.ActorStoppedEvent); ok && e.PID.Equals(room) {
			close(gone)
		}
	}, "listener"))
	within(sys, room, func(_ *Room, c *actor.Context) {
		must0(persist.Delete(c)) // returns at once
	})
	<-gone
	_, err := Rooms.Respawn(ctx, sys, "rooms/1") // waits until the deletion is through
	fmt.Println(errors.Is(err, persist.ErrNotFound))
	// Output:
	// true
}

func ExampleKind_TryRespawnUnder() {
	// A lobby is a plain actor. In each of its lives it wants the same player.
	lobby := func(sys *persist.System, greet chan<- int) func(*actor.Context) {
		return func(c *actor.Context) {
			if _, ok := c.Message().(actor.Started); ok {
				pid := must(Players.TryRespawnUnder(c, sys, "players/james", func(p *Player) { p.HP = 100 }))
				c.Send(pid, Heal(1))
				hp := c.Request(pid, GetHP{}, time.Minute)
				go func() { greet <- must(hp.Result()).(int) }()
			}
		}
	}
	greet := make(chan int)
	sys, store := start(Players)
	sys.Engine().SpawnFunc(lobby(sys, greet), "lobby")
	fmt.Println("hp", <-greet)
	must0(sys.Close(ctx))

	sys = restart(store.Reopen(), Players)
	sys.Engine().SpawnFunc(lobby(sys, greet), "lobby")
	fmt.Println("hp", <-greet)
	// Output:
	// hp 101
	// hp 102
}

func ExampleSystem_Respawn() {
	sys, store := start(Rooms, Players)
	must(Rooms.Spawn(ctx, sys, "a", nil))
	must(Players.Spawn(ctx, sys, "b", nil))
	must0(sys.Close(ctx))

	sys = restart(store.Reopen(), Rooms) // Players was forgotten
	pid, err := sys.Respawn(ctx, "a")    // the kind is in the record
	fmt.Println(pid.GetID(), err)
	_, err = sys.Respawn(ctx, "b")
	fmt.Println(err)
	// Output:
	// persist/a <nil>
	// respawn "b": unknown kind "player": it is not among Options.Kinds
}

func ExampleSystem_Close() {
	sys, _ := start(Players)
	pid := must(Players.Spawn(ctx, sys, "players/james", nil))
	fmt.Println(sys.Close(ctx)) // final saves, children first; then the store
	fmt.Println(sys.Close(ctx))
	fmt.Println(errors.Is(sys.Save(ctx, pid), persist.ErrClosed))
	// Output:
	// <nil>
	// <nil>
	// true
}
