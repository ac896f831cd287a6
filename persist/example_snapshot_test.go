package persist_test

import (
	"fmt"
	"slices"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// Index is an actor whose state is not what one wants to store.
type Index struct {
	words map[string]bool
}

// IndexState is the snapshot of an Index.
type IndexState struct {
	Words []string
}

func (x *Index) Receive(c *actor.Context) {
	switch m := c.Message().(type) {
	case []string:
		for _, w := range m {
			x.words[w] = true
		}
	case string:
		c.Respond(x.words[m])
	}
}

// Snapshot is called when the actor is saved.
func (x *Index) Snapshot() IndexState {
	var s IndexState
	for w := range x.words {
		s.Words = append(s.Words, w)
	}
	slices.Sort(s.Words) // equal states give equal bytes, and are not written twice
	return s
}

// Restore is called on a newly constructed Index when it comes back.
func (x *Index) Restore(s IndexState) error {
	for _, w := range s.Words {
		if w == "" {
			return fmt.Errorf("an empty word in the index")
		}
		x.words[w] = true
	}
	return nil
}

func ExampleDefineSnapshot() {
	indexes := persist.DefineSnapshot("index", func() *Index {
		return &Index{words: map[string]bool{}}
	}, &persist.KindOptions{Codec: persist.JSON})

	sys, store := start(indexes)
	pid := must(indexes.Spawn(ctx, sys, "index", nil))
	sys.Engine().Send(pid, []string{"to", "be", "or"})
	must0(sys.Close(ctx))

	store = store.Reopen()
	record, _, _ := store.Load(ctx, "index")
	fmt.Printf("%s\n", record.Payload)

	sys = restart(store, indexes)
	pid = must(indexes.Respawn(ctx, sys, "index"))
	fmt.Println(ask(sys, pid, "be"), ask(sys, pid, "not"))
	// Output:
	// {"Words":["be","or","to"]}
	// true false
}
