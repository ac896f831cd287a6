package logstore_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/logstore"
)

func save(store persist.Store, key persist.Key, payload string) (persist.Version, error) {
	rec := &persist.Record{Key: key, Kind: "player", KindVersion: 1, Codec: "json", Seq: 1, Payload: []byte(payload)}
	versions, err := store.Commit(context.Background(), persist.Change{Key: key, Put: rec, If: persist.Absent})
	if err != nil {
		return "", err
	}
	return versions[0], nil
}

// A log is opened, written to, closed, and opened again.
func ExampleOpen() {
	ctx := context.Background()
	fsys := afero.NewMemMapFs() // afero.NewOsFs() on a real disk
	store, err := logstore.Open(fsys, "/var/lib/game", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(store.Base())
	if _, err := save(store, "players/james", `{"HP":100}`); err != nil {
		fmt.Println(err)
	}
	fmt.Println("close:", store.Close())

	if store, err = logstore.Open(fsys, "/var/lib/game", nil); err != nil {
		fmt.Println(err)
		return
	}
	rec, _, err := store.Load(ctx, "players/james")
	fmt.Printf("%s %s %v\n", rec.Kind, rec.Payload, err)
	_, _, err = store.Load(ctx, "players/anna")
	fmt.Println(err)
	fmt.Println("close:", store.Close())
	// Output:
	// log:///var/lib/game
	// close: <nil>
	// player {"HP":100} <nil>
	// load "players/anna": no snapshot
	// close: <nil>
}

// Verify reads a log that nobody has open, and says where it is damaged.
func ExampleVerify() {
	ctx := context.Background()
	fsys := afero.NewMemMapFs()
	store, err := logstore.Open(fsys, "/game", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, key := range []persist.Key{"players/anna", "players/james"} {
		if _, err := save(store, key, `{"HP":100}`); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println("close:", store.Close())

	report, err := logstore.Verify(ctx, fsys, "/game", nil)
	fmt.Println(report.Keys, "keys,", report.Records, "records,", len(report.Damage), "damaged,", err)

	const segment = "/game/00000001-00000001.log"
	b, _ := afero.ReadFile(fsys, segment)
	b[bytes.Index(b, []byte(`"HP"`))] ^= 1
	_ = afero.WriteFile(fsys, segment, b, 0o644)
	report, err = logstore.Verify(ctx, fsys, "/game", nil)
	fmt.Println(report.Keys, "keys,", report.Records, "records,", len(report.Damage), "damaged,", err)
	for _, damage := range report.Damage {
		fmt.Println(damage)
	}
	// Output:
	// close: <nil>
	// 2 keys, 2 records, 0 damaged, <nil>
	// 2 keys, 2 records, 1 damaged, <nil>
	// corrupt snapshot of "players/anna" in 00000001-00000001.log at byte 120: its checksum does not match
}

// Stats are numbers and words in a fixed order.
func ExampleStore_Stats() {
	store, err := logstore.Open(afero.NewMemMapFs(), "/game", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	if _, err := save(store, "players/james", `{"HP":100}`); err != nil {
		fmt.Println(err)
	}
	for _, stat := range store.Stats()[:6] {
		fmt.Println(stat.Name, stat.Value)
	}
	// Output:
	// keys 1
	// segments 1
	// bytes 208
	// live bytes 118
	// groups 1
	// frames 1
}

// An archive carries all actors from one store to another.
func ExampleExport() {
	ctx := context.Background()
	from, err := logstore.Open(afero.NewMemMapFs(), "/old", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer from.Close()
	for _, key := range []persist.Key{"players/james", "players/james/sword"} {
		if _, err := save(from, key, `{}`); err != nil {
			fmt.Println(err)
		}
	}
	var archive bytes.Buffer
	n, err := logstore.Export(ctx, from, &archive, nil)
	fmt.Println("exported", n, err)

	to, err := logstore.Open(afero.NewMemMapFs(), "/new", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer to.Close()
	n, err = logstore.Import(ctx, to, &archive, nil)
	fmt.Println("imported", n, err)
	for entry, err := range to.List(ctx, "") {
		fmt.Println(entry.Key, err)
	}
	// Output:
	// exported 2 <nil>
	// imported 2 <nil>
	// players/james <nil>
	// players/james/sword <nil>
}

// With a nil store, Import only checks an archive.
func ExampleImport() {
	ctx := context.Background()
	store, err := logstore.Open(afero.NewMemMapFs(), "/game", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	if _, err := save(store, "players/james", `{"HP":100}`); err != nil {
		fmt.Println(err)
	}
	var archive bytes.Buffer
	if _, err := logstore.Export(ctx, store, &archive, nil); err != nil {
		fmt.Println(err)
	}
	whole := archive.Bytes()
	_, err = logstore.Import(ctx, nil, bytes.NewReader(whole), nil)
	fmt.Println(err)
	_, err = logstore.Import(ctx, nil, bytes.NewReader(whole[:len(whole)-3]), nil)
	fmt.Println(err)
	// Output:
	// <nil>
	// import: corrupt snapshot in the archive at byte 110: it ends early
}
