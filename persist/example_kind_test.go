package persist_test

import (
	"errors"
	"fmt"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

func ExampleKind_Spawn() {
	sys, store := start(Players)
	pid := must(Players.Spawn(ctx, sys, "players/james", func(p *Player) { p.Name, p.HP = "james", 100 }))
	fmt.Println("hp", ask(sys, pid, GetHP{}))

	// The first snapshot is durable already: the name is taken, in every later
	// life of the program too.
	sys = restart(store.Reopen(), Players)
	_, err := Players.Spawn(ctx, sys, "players/james", nil)
	fmt.Println(errors.Is(err, persist.ErrExists))
	// Output:
	// hp 100
	// true
}

func ExampleKind_Respawn() {
	sys, store := start(Players)
	pid := must(Players.Spawn(ctx, sys, "players/james", func(p *Player) { p.HP = 100 }))
	sys.Engine().Send(pid, Heal(5))
	must0(sys.Save(ctx, pid))
	sys.Engine().Send(pid, Heal(1000)) // not saved

	sys = restart(store.Reopen(), Players) // the process died
	pid = must(Players.Respawn(ctx, sys, "players/james"))
	fmt.Println("hp", ask(sys, pid, GetHP{}))

	again := must(Players.Respawn(ctx, sys, "players/james"))
	fmt.Println("the live one:", again.Equals(pid))

	_, err := Players.Respawn(ctx, sys, "players/nobody")
	fmt.Println(errors.Is(err, persist.ErrNotFound))
	// Output:
	// hp 105
	// the live one: true
	// true
}

func ExampleKind_TryRespawn() {
	sys, store := start(Players)
	newborn := func(p *Player) { p.HP = 100 }
	pid := must(Players.TryRespawn(ctx, sys, "players/james", newborn)) // spawns
	sys.Engine().Send(pid, Heal(5))
	must0(sys.Close(ctx))

	sys = restart(store.Reopen(), Players)
	pid = must(Players.TryRespawn(ctx, sys, "players/james", newborn)) // respawns
	fmt.Println("hp", ask(sys, pid, GetHP{}))
	must0(sys.Close(ctx))

	// A damaged snapshot is never taken for a missing one.
	must0(store.Edit("players/james", func(b []byte) []byte { b[len(b)-9] ^= 1; return b }))
	sys = restart(store.Reopen(), Players)
	_, err := Players.TryRespawn(ctx, sys, "players/james", newborn)
	fmt.Println(errors.Is(err, persist.ErrCorrupt))
	// Output:
	// hp 105
	// true
}

func ExampleKind_SpawnUnder() {
	sys, store := start(Players)
	done := make(chan *actor.PID)
	lobby := func(c *actor.Context) { // a plain actor, as Hollywood knows them
		if _, ok := c.Message().(actor.Started); ok {
			_, err := Players.SpawnChild(c, "james", nil)
			fmt.Println(errors.Is(err, persist.ErrNotPersistent))
			pid := must(Players.SpawnUnder(c, sys, "players/james", nil))
			fmt.Println("children:", len(c.Children()))
			go func() { done <- pid }()
		}
	}
	parent := sys.Engine().SpawnFunc(lobby, "lobby")
	fmt.Println(sys.KeyOf(<-done))

	<-sys.Engine().Poison(parent).Done() // takes the child along, saved
	_, live := sys.Lookup("players/james")
	_, _, err := store.Load(ctx, "players/james")
	fmt.Println(live, err)
	// Output:
	// true
	// children: 1
	// players/james true
	// false <nil>
}
