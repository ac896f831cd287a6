package persist_test

import (
	"fmt"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// Till counts money. Whoever gets its receipt may rely on it.
type Till struct {
	Cents int
}

// Pay is answered with the new balance, once that is durable.
type Pay struct{ Cents int }

func (t *Till) Receive(c *actor.Context) {
	if m, ok := c.Message().(Pay); ok {
		t.Cents += m.Cents
		// The till goes on to the next customer at once; the receipt leaves when
		// the state behind it is durable.
		if err := persist.Reply(c, t.Cents); err != nil {
			panic(err)
		}
	}
}

func ExampleReply() {
	tills := persist.Define("till", func() *Till { return &Till{} }, &persist.KindOptions{Save: persist.Always()})
	sys, store := start(tills)
	pid := must(tills.Spawn(ctx, sys, "till", nil))

	var receipts []*actor.Response
	for range 100 {
		receipts = append(receipts, sys.Engine().Request(pid, Pay{5}, time.Minute))
	}
	for _, r := range receipts {
		must(r.Result())
	}

	sys = restart(store.Reopen(), tills) // the process died, without any stop
	pid = must(tills.Respawn(ctx, sys, "till"))
	fmt.Println("after 100 receipts:", ask(sys, pid, Pay{0}))
	// Output:
	// after 100 receipts: 500
}
