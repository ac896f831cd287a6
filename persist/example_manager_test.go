package persist_test

import (
	"fmt"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// Team is a manager: it has sub-actors, one player for each name.
type Team struct {
	Captain string
}

// Join asks a team to take a new player in.
type Join struct{ Name string }

func (t *Team) Receive(c *actor.Context) {
	switch m := c.Message().(type) {
	case actor.Started:
		// Right in the first life and in every later one: makes the captain, or
		// finds the one that came back together with this team.
		must(Players.TryRespawnChild(c, t.Captain, func(p *Player) { p.HP = 100 }))
	case Join:
		_, err := Players.SpawnChild(c, m.Name, func(p *Player) { p.Name, p.HP = m.Name, 50 })
		c.Respond(err)
	case Heal:
		for _, pid := range c.Children() {
			c.Send(pid, m)
		}
	}
}

var Teams = persist.Define("team", func() *Team { return &Team{} }, nil)

// hp shows the players of the red team, as far as they are live.
func hp(sys *persist.System) {
	var all []any
	for key := range sys.Keys(ctx, "red") {
		if pid, live := sys.Lookup(key); live && key != "red" {
			all = append(all, string(key), ask(sys, pid, GetHP{}))
		}
	}
	fmt.Println(all...)
}

func ExampleKind_SpawnChild() {
	sys, _ := start(Teams, Players)
	team := must(Teams.Spawn(ctx, sys, "red", func(t *Team) { t.Captain = "ann" }))
	fmt.Println(ask(sys, team, Join{"bob"}))
	fmt.Println(ask(sys, team, Join{"a/b"}))
	hp(sys)
	// Output:
	// <nil>
	// spawn child "a/b": bad key "a/b": a child's name is one segment
	// red/ann 100 red/bob 50
}

func ExampleKind_TryRespawnChild() {
	sys, store := start(Teams, Players)
	team := must(Teams.Spawn(ctx, sys, "red", func(t *Team) { t.Captain = "ann" }))
	ask(sys, team, Join{"bob"})
	sys.Engine().Send(team, Heal(7))
	must0(sys.SaveTree(ctx, team)) // behind the healing of the whole team

	sys = restart(store.Reopen(), Teams, Players) // the process died
	must(Teams.Respawn(ctx, sys, "red"))          // the team, and its players
	hp(sys)
	// Output:
	// red/ann 107 red/bob 57
}
