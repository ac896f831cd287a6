package filestore_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/filestore"
)

// kilobyte is a payload of a typical size.
var kilobyte = bytes.Repeat([]byte("0123456789abcdef"), 64)

func must(b testing.TB, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

// BenchmarkCommit compares a commit of one record of 1 KB with the four steps
// of which it consists, by hand: write and sync a temporary file, rename it,
// sync the folder.
func BenchmarkCommit(b *testing.B) {
	dir := b.TempDir()
	record := &persist.Record{Key: "players/james", Kind: "player", Codec: "cbor", Payload: kilobyte}
	b.Run("hand", func(b *testing.B) {
		folder, temp := filepath.Join(dir, "hand"), filepath.Join(dir, "temp")
		must(b, os.MkdirAll(folder, 0o755))
		encoded := record.Append(nil)
		n := 0
		for b.Loop() {
			f, err := os.Create(temp)
			must(b, err)
			_, err = f.Write(encoded)
			must(b, err)
			must(b, f.Sync())
			must(b, f.Close())
			must(b, os.Rename(temp, filepath.Join(folder, fmt.Sprintf("%08d", n%2))))
			d, err := os.Open(folder)
			must(b, err)
			must(b, d.Sync())
			must(b, d.Close())
			n++
		}
	})
	b.Run("store", func(b *testing.B) {
		s, err := filestore.Open(afero.NewOsFs(), filepath.Join(dir, "store"), nil)
		must(b, err)
		ctx, version := context.Background(), persist.Absent
		if _, v, err := s.Load(ctx, record.Key); err == nil {
			version = v // of an earlier run
		}
		for b.Loop() {
			record.Seq++
			versions, err := s.Commit(ctx, persist.Change{Key: record.Key, Put: record, If: version})
			must(b, err)
			version = versions[0]
		}
		must(b, s.Close())
	})
}

// BenchmarkLoadTree compares a tree of 10,000 actors of 1 KB with reading the
// same files with os.ReadFile in 8 goroutines.
func BenchmarkLoadTree(b *testing.B) {
	const actors = 10_000
	dir := b.TempDir()
	s, err := filestore.Open(afero.NewOsFs(), dir, nil)
	must(b, err)
	ctx := context.Background()
	var changes []persist.Change
	for i := range actors {
		key := persist.Key(fmt.Sprintf("players/p%05d", i))
		changes = append(changes, persist.Change{Key: key, Put: &persist.Record{Key: key, Kind: "player", Codec: "cbor", Payload: kilobyte}})
	}
	_, err = s.Commit(ctx, changes...)
	must(b, err)
	var files []string
	must(b, filepath.Walk(filepath.Join(dir, "players"), func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			files = append(files, path)
		}
		return err
	}))
	if len(files) != actors {
		b.Fatalf("%d files", len(files))
	}
	b.Run("hand", func(b *testing.B) {
		for b.Loop() {
			var all sync.WaitGroup
			for w := range 8 {
				all.Add(1)
				go func() {
					defer all.Done()
					for i := w; i < len(files); i += 8 {
						if _, err := os.ReadFile(files[i]); err != nil {
							b.Error(err)
						}
					}
				}()
			}
			all.Wait()
		}
	})
	b.Run("store", func(b *testing.B) {
		for b.Loop() {
			n := 0
			for _, err := range s.LoadTree(ctx, "players") {
				must(b, err)
				n++
			}
			if n != actors {
				b.Fatalf("%d actors", n)
			}
		}
	})
	must(b, s.Close())
}
