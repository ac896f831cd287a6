package persist_test

import (
	"fmt"
	"strings"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// CustomerV1 is a customer as version 1 of the program saved it. It stays in
// the program as long as such snapshots may turn up.
type CustomerV1 struct {
	Name string
}

// Receive makes it an actor, as it was then.
func (*CustomerV1) Receive(*actor.Context) {}

// Customer is the actor of today.
type Customer struct {
	First, Last string
}

func (cu *Customer) Receive(c *actor.Context) {
	if _, ok := c.Message().(string); ok {
		c.Respond(cu.Last + ", " + cu.First)
	}
}

func ExampleMigrate() {
	then := persist.Define("client", func() *CustomerV1 { return &CustomerV1{} }, nil)
	sys, store := start(then)
	must(then.Spawn(ctx, sys, "customers/1", func(c *CustomerV1) { c.Name = "Ada Lovelace" }))
	must0(sys.Close(ctx))

	now := persist.Define("customer", func() *Customer { return &Customer{} }, &persist.KindOptions{
		FormerNames: []string{"client"},
		Version:     2,
		Migrations: []persist.Migration{
			persist.Migrate(1, func(old CustomerV1) (Customer, error) {
				first, last, ok := strings.Cut(old.Name, " ")
				if !ok {
					return Customer{}, fmt.Errorf("no last name in %q", old.Name)
				}
				return Customer{First: first, Last: last}, nil
			}),
		},
	})
	sys = restart(store.Reopen(), now)
	pid := must(now.Respawn(ctx, sys, "customers/1"))
	fmt.Println(ask(sys, pid, "name"))
	// Output:
	// Lovelace, Ada
}
