package persist_test

import (
	"context"
	"testing"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/storetest"
)

type player struct {
	Name string
	HP   int
}

func (p *player) Receive(c *actor.Context) {
	switch m := c.Message().(type) {
	case int:
		p.HP += m
	case string:
		if m == "boom" {
			p.HP = -1
			panic("boom")
		}
		if m == "save" {
			if err := persist.Save(c); err != nil {
				panic(err)
			}
			c.Respond(p.HP)
		}
		if m == "hp" {
			c.Respond(p.HP)
		}
	}
}

func TestSmoke(t *testing.T) {
	players := persist.Define("player", func() *player { return &player{} }, nil)
	e, _ := actor.NewEngine(actor.NewEngineConfig())
	mem := storetest.NewMemory("mem://test")
	sys, err := persist.New(e, mem, &persist.Options{Kinds: persist.Kinds{players}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	pid, err := players.Spawn(ctx, sys, "players/james", func(p *player) { p.Name, p.HP = "james", 100 })
	if err != nil {
		t.Fatal(err)
	}
	e.Send(pid, 5)
	if err := sys.Save(ctx, pid); err != nil {
		t.Fatal(err)
	}
	e.Send(pid, 5)
	e.Send(pid, "boom")
	r, err := e.Request(pid, "hp", 1e9).Result()
	if r != 105 {
		t.Fatal(r, err)
	}
	if err := sys.Stop(ctx, pid); err != nil {
		t.Fatal(err)
	}
	pid, err = players.Respawn(ctx, sys, "players/james")
	if err != nil {
		t.Fatal(err)
	}
	r, err = e.Request(pid, "hp", 1e9).Result()
	if r != 105 {
		t.Fatal(r, err)
	}
	if err := sys.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
