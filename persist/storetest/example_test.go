package storetest_test

import (
	"context"
	"fmt"

	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/storetest"
)

// The conformance suite wants to open the same storage several times.
func ExampleRun() {
	memory := storetest.NewMemory("")
	err := storetest.Run(func() (persist.Store, error) { return memory.Reopen(), nil }, nil)
	fmt.Println(err)
	// Output: <nil>
}

// A store for tests, with a restart and a damaged record.
func ExampleMemory() {
	ctx := context.Background()
	store := storetest.NewMemory("memory://game")
	james := persist.Key("players/james")
	record := &persist.Record{Key: james, Kind: "player", Codec: "json", Payload: []byte(`{"HP":100}`)}
	if _, err := store.Commit(ctx, persist.Change{Key: james, Put: record, If: persist.Absent}); err != nil {
		fmt.Println(err)
	}

	store = store.Reopen()
	got, version, err := store.Load(ctx, james)
	fmt.Printf("%s %q %v\n", got.Payload, version, err)

	_ = store.Edit(james, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	_, _, err = store.Load(ctx, james)
	fmt.Println(err)
	// Output:
	// {"HP":100} "1" <nil>
	// load "players/james": corrupt snapshot of "players/james" in memory: its checksum does not match
}
