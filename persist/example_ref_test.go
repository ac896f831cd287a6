package persist_test

import (
	"fmt"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// Quest links to a player that is not its child.
type Quest struct {
	Hero persist.Ref[Player]
}

func (q *Quest) Receive(c *actor.Context) {
	if m, ok := c.Message().(Heal); ok {
		pid, live := q.Hero.PID(c)
		if live {
			c.Send(pid, m)
		}
		c.Respond(fmt.Sprint(q.Hero.Key(), " live: ", live))
	}
}

func ExampleRef() {
	quests := persist.Define("quest", func() *Quest { return &Quest{} }, nil)
	sys, store := start(quests, Players)
	must(Players.Spawn(ctx, sys, "players/james", nil))
	must(quests.Spawn(ctx, sys, "quests/ring", func(q *Quest) { q.Hero = persist.RefTo[Player]("players/james") }))
	must0(sys.Close(ctx))

	sys = restart(store.Reopen(), quests, Players)
	quest := must(quests.Respawn(ctx, sys, "quests/ring"))
	fmt.Println(ask(sys, quest, Heal(1))) // a link never respawns
	must(Players.Respawn(ctx, sys, "players/james"))
	fmt.Println(ask(sys, quest, Heal(1)))
	// Output:
	// players/james live: false
	// players/james live: true
}
