package persist_test

import (
	"context"
	"fmt"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/storetest"
)

// Player is the actor of the examples that need one.
type Player struct {
	Name string
	HP   int
}

type (
	Heal   int      // adds to HP
	GetHP  struct{} // is answered with HP
	SaveMe struct{} // is answered with the error of a Save
)

func (p *Player) Receive(c *actor.Context) {
	switch m := c.Message().(type) {
	case Heal:
		p.HP += int(m)
	case GetHP:
		c.Respond(p.HP)
	case SaveMe:
		c.Respond(persist.Save(c))
	}
}

var (
	ctx     = context.Background()
	Players = persist.Define("player", func() *Player { return &Player{} }, nil)
)

// start starts a system on a new engine, with a store in memory.
func start(kinds ...persist.AnyKind) (*persist.System, *storetest.Memory) {
	store := storetest.NewMemory("memory://game")
	return restart(store, kinds...), store
}

// restart starts a system on a new engine, with what a store has.
func restart(store persist.Store, kinds ...persist.AnyKind) *persist.System {
	engine := must(actor.NewEngine(actor.NewEngineConfig()))
	return must(persist.New(engine, store, &persist.Options{Kinds: kinds}))
}

// ask sends a message and waits for the answer.
func ask(sys *persist.System, pid *actor.PID, msg any) any {
	return must(sys.Engine().Request(pid, msg, time.Minute).Result())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func must0(err error) {
	if err != nil {
		panic(err)
	}
}

func ExampleNew() {
	engine := must(actor.NewEngine(actor.NewEngineConfig()))
	store := storetest.NewMemory("memory://game")
	sys, err := persist.New(engine, store, &persist.Options{
		Kinds:       persist.Kinds{Players},
		SaveTimeout: 10 * time.Second,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	pid := must(Players.Spawn(ctx, sys, "players/james", nil))
	fmt.Println(sys.KeyOf(pid))
	fmt.Println(sys.Close(ctx)) // closes the store too
	// Output:
	// players/james true
	// <nil>
}

func ExampleNew_wrongKind() {
	wrong := persist.Define("wrong", func() *Session { return &Session{} }, nil)
	engine := must(actor.NewEngine(actor.NewEngineConfig()))
	_, err := persist.New(engine, storetest.NewMemory(""), &persist.Options{Kinds: persist.Kinds{wrong}})
	fmt.Println(err)
	// Output:
	// start persistent system: kind "wrong": bad kind: Session.Client: an actor.PID does not outlive the process; use persist.Ref
}

// Session has a field that cannot come back.
type Session struct{ Client *actor.PID }

func (*Session) Receive(*actor.Context) {}

func ExampleParseKey() {
	fmt.Println(persist.ParseKey("players/james"))
	fmt.Println(persist.ParseKey("S3://Bucket/players/James"))
	fmt.Println(persist.ParseKey("players/../admin"))
	key := persist.Key("players/james").Child("sword")
	parent, _ := key.Parent()
	fmt.Println(key, key.Name(), parent, key.In("players"))
	// Output:
	// players/james <nil>
	// s3://bucket/players/James <nil>
	//  bad key "players/../admin": the segment ".." would leave its place
	// players/james/sword sword players/james true
}

func ExamplePolicy() {
	// Save after every hundredth message, and at the latest a second after the
	// first message that was not saved yet.
	often := persist.EveryMessages(100).Or(persist.Every(time.Second))
	players := persist.Define("player", func() *Player { return &Player{} }, &persist.KindOptions{Save: often})
	fmt.Println(players.Err())

	never := persist.EveryMessages(0)
	fmt.Println(persist.Define("player", func() *Player { return &Player{} }, &persist.KindOptions{Save: never}).Err())
	// Output:
	// <nil>
	// kind "player": bad kind: EveryMessages(0): at least 1 is needed
}
