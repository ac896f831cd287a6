package filestore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/filestore"
)

// A store on a real disk: what is committed is there after the next open, in a
// file that ls shows.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "game")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	store, err := filestore.Open(afero.NewOsFs(), dir, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	james := &persist.Record{Key: "players/James", Kind: "player", Codec: "json", Payload: []byte(`{"HP":100}`)}
	versions, err := store.Commit(ctx, persist.Change{Key: james.Key, Put: james, If: persist.Absent})
	fmt.Println(versions, err, store.Close())

	store, err = filestore.Open(afero.NewOsFs(), dir, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	got, version, err := store.Load(ctx, "players/James")
	fmt.Printf("%s %q %v\n", got.Payload, version, err)

	files, _ := filepath.Glob(filepath.Join(dir, "players", "+james", "*"))
	for _, f := range files {
		rel, _ := filepath.Rel(dir, f)
		fmt.Println(filepath.ToSlash(rel))
	}
	// Output:
	// [1.1] <nil> <nil>
	// {"HP":100} "1.1" <nil>
	// players/+james/@00000001.000000000001
}
