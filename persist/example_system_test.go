package persist_test

import (
	"errors"
	"fmt"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

func ExampleSave() {
	sys, store := start(Players)
	pid := must(Players.Spawn(ctx, sys, "players/james", nil))
	sys.Engine().Send(pid, Heal(42))
	fmt.Println(ask(sys, pid, SaveMe{})) // in Receive: c.Respond(persist.Save(c))

	sys = restart(store.Reopen(), Players) // the process died
	fmt.Println("hp", ask(sys, must(Players.Respawn(ctx, sys, "players/james")), GetHP{}))

	// An actor that is not persistent is told so.
	plain := sys.Engine().Spawn(func() actor.Receiver { return &Player{} }, "plain")
	fmt.Println(ask(sys, plain, SaveMe{}))
	// Output:
	// <nil>
	// hp 42
	// save: not a persistent actor
}

func ExampleSystem_Save() {
	sys, store := start(Players)
	pid := must(Players.Spawn(ctx, sys, "players/james", nil))
	for range 1000 {
		sys.Engine().Send(pid, Heal(1))
	}
	must0(sys.Save(ctx, pid)) // behind all that was sent before

	sys = restart(store.Reopen(), Players) // the process died
	fmt.Println("hp", ask(sys, must(Players.Respawn(ctx, sys, "players/james")), GetHP{}))
	// Output:
	// hp 1000
}

func ExampleSystem_SaveTree() {
	sys, store := start(Teams, Players)
	team := must(Teams.Spawn(ctx, sys, "red", func(t *Team) { t.Captain = "ann" }))
	ask(sys, team, Join{"bob"})
	for range 10 {
		sys.Engine().Send(team, Heal(1)) // passed on to every player
	}
	must0(sys.SaveTree(ctx, team)) // one atomic commit: no player is ahead of another

	sys = restart(store.Reopen(), Teams, Players) // the process died
	must(sys.Respawn(ctx, "red"))
	hp(sys)
	// Output:
	// red/ann 110 red/bob 60
}

func ExampleSystem_Stop() {
	sys, _ := start(Players)
	pid := must(Players.Spawn(ctx, sys, "players/james", nil))
	for range 20_000 {
		sys.Engine().Send(pid, Heal(1))
	}
	must0(sys.Stop(ctx, pid)) // handles all 20,000 and saves

	_, live := sys.Lookup("players/james")
	fmt.Println("live:", live)
	fmt.Println("hp", ask(sys, must(Players.Respawn(ctx, sys, "players/james")), GetHP{}))
	// Output:
	// live: false
	// hp 20000
}

func ExampleSystem_Delete() {
	sys, _ := start(Teams, Players)
	must(Teams.Spawn(ctx, sys, "red", func(t *Team) { t.Captain = "ann" }))
	must0(sys.Delete(ctx, "red")) // the team and its players

	_, err := sys.Respawn(ctx, "red/ann")
	fmt.Println(errors.Is(err, persist.ErrNotFound))
	fmt.Println(errors.Is(sys.Delete(ctx, "red"), persist.ErrNotFound))
	// Output:
	// true
	// true
}

func ExampleSystem_RespawnAll() {
	sys, store := start(Teams, Players)
	must(Teams.Spawn(ctx, sys, "red", func(t *Team) { t.Captain = "ann" }))
	must(Players.Spawn(ctx, sys, "players/james", func(p *Player) { p.HP = 9 }))
	must0(sys.Close(ctx))

	sys = restart(store.Reopen(), Teams, Players)
	must0(sys.RespawnAll(ctx, ""))
	hp(sys)
	james, live := sys.Lookup("players/james")
	fmt.Println(live, ask(sys, james, GetHP{}))
	// Output:
	// red/ann 100
	// true 9
}

func ExampleSystem_Keys() {
	sys, _ := start(Teams, Players)
	must(Teams.Spawn(ctx, sys, "red", func(t *Team) { t.Captain = "ann" }))
	must(Players.Spawn(ctx, sys, "players/james", nil))
	must(Players.Spawn(ctx, sys, "players/ada", nil))
	for key, err := range sys.Keys(ctx, "players") {
		fmt.Println(key, err)
	}
	// Output:
	// players/ada <nil>
	// players/james <nil>
}

func ExampleSystem_Lookup() {
	sys, _ := start(Players)
	pid := must(Players.Spawn(ctx, sys, "players/james", nil))
	found, live := sys.Lookup("players/james")
	fmt.Println(live, found.Equals(pid))
	key, ok := sys.KeyOf(pid)
	fmt.Println(key, ok)

	must0(sys.Stop(ctx, pid)) // saved, but not live: Lookup never respawns
	_, live = sys.Lookup("players/james")
	fmt.Println(live)
	// Output:
	// true true
	// players/james true
	// false
}

func ExampleKeyOf() {
	sys, _ := start(Badges)
	pid := must(Badges.Spawn(ctx, sys, "badges/7", nil))
	fmt.Println(ask(sys, pid, "who are you?"))
	// Output:
	// I am badges/7, below badges
}

// Badge knows its own key.
type Badge struct{}

func (*Badge) Receive(c *actor.Context) {
	if _, ok := c.Message().(string); ok {
		key, _ := persist.KeyOf(c)
		parent, _ := key.Parent()
		c.Respond(fmt.Sprintf("I am %s, below %s", key, parent))
	}
}

var Badges = persist.Define("badge", func() *Badge { return &Badge{} }, nil)

func ExampleRespawned() {
	sys, store := start(Players)
	must(Players.Spawn(ctx, sys, "players/james", nil))
	must0(sys.Close(ctx))

	sys = restart(store.Reopen(), Players)
	events := make(chan any)
	listener := sys.Engine().SpawnFunc(func(c *actor.Context) {
		switch e := c.Message().(type) {
		case persist.Respawned, persist.RespawnFailed:
			events <- e
		}
	}, "listener")
	sys.Engine().Subscribe(listener)

	must(Players.Respawn(ctx, sys, "players/james"))
	e := (<-events).(persist.Respawned)
	fmt.Println(e.Kind, e.Key)

	_, err := Players.Respawn(ctx, sys, "players/nobody")
	f := (<-events).(persist.RespawnFailed)
	fmt.Println(f.Key, errors.Is(f.Err, persist.ErrNotFound), err != nil)
	// Output:
	// player players/james
	// players/nobody true true
}
