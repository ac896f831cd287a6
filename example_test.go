package understudy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/filestore"
)

// The code of the README's tour, run by the Example at its end.

type Hit struct{ Points int }

// Player is an ordinary Hollywood actor. Its exported fields are its snapshot.
type Player struct {
	Name  string
	HP    int
	sword *actor.PID // unexported: not saved
}

// Players tells how players are made, and when they are saved.
var Players = persist.Define("player", func() *Player { return &Player{} },
	&persist.KindOptions{Save: persist.EveryMessages(100)})

func (p *Player) Receive(c *actor.Context) {
	switch msg := c.Message().(type) {
	case actor.Started: // in the first life, and in every later one
		var err error
		if p.sword, err = Swords.TryRespawnChild(c, "sword", forge); err != nil {
			panic(err) // the player does not start
		}
	case Hit:
		p.HP -= msg.Points
		c.Send(p.sword, Parry{})
		if err := persist.Reply(c, p.HP); err != nil { // leaves when this state is durable
			panic(err) // the player is rolled back to its last snapshot
		}
	}
}

type Sword struct{ Sharpness int }

var Swords = persist.Define("sword", func() *Sword { return &Sword{} }, nil)

func forge(s *Sword) { s.Sharpness = 100 }

type (
	Parry struct{}
	Look  struct{}
)

func (s *Sword) Receive(c *actor.Context) {
	switch c.Message().(type) {
	case Parry:
		s.Sharpness--
	case Look:
		c.Respond(s.Sharpness)
	}
}

// live is one life of a program.
func live(dir string) error {
	ctx := context.Background()
	engine, err := actor.NewEngine(actor.NewEngineConfig())
	if err != nil {
		return err
	}
	store, err := filestore.Open(afero.NewOsFs(), dir, nil)
	if err != nil {
		return err
	}
	sys, err := persist.New(engine, store, &persist.Options{Kinds: persist.Kinds{Players, Swords}})
	if err != nil {
		return err
	}
	return errors.Join(play(ctx, sys), sys.Close(ctx)) // Close saves what is live
}

func play(ctx context.Context, sys *persist.System) error {
	james, err := Players.TryRespawn(ctx, sys, "players/james", func(p *Player) {
		p.Name, p.HP = "james", 100 // only where nothing was ever saved
	})
	if err != nil {
		return err
	}
	left, err := sys.Engine().Request(james, Hit{10}, time.Second).Result()
	if err != nil {
		return err
	}
	sword, _ := sys.Lookup("players/james/sword")
	sharp, err := sys.Engine().Request(sword, Look{}, time.Second).Result()
	fmt.Println("HP", left, "sharpness", sharp)
	return errors.Join(err, sys.SaveTree(ctx, james)) // both, in one atomic commit
}

func Example() {
	dir, err := os.MkdirTemp("", "game-")
	if err != nil {
		fmt.Println(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for range 3 {
		if err := live(dir); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// HP 90 sharpness 99
	// HP 80 sharpness 98
	// HP 70 sharpness 97
}
