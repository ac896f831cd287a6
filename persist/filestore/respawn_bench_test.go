package filestore_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/anthdm/hollywood/actor"
	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/filestore"
)

type heavyActor struct{ Data []byte }

func (*heavyActor) Receive(*actor.Context) {}

// BenchmarkRespawn brings 10,000 actors of 1 KB back: read, decoded and started.
// Compare with BenchmarkLoadTree, which reads the same files.
func BenchmarkRespawn(b *testing.B) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	kinds := persist.Define("kilobyte", func() *heavyActor { return &heavyActor{} }, nil)
	dir, ctx := b.TempDir(), context.Background()
	start := func() *persist.System {
		e, err := actor.NewEngine(actor.NewEngineConfig())
		if err != nil {
			b.Fatal(err)
		}
		store, err := filestore.Open(afero.NewOsFs(), dir, nil)
		if err != nil {
			b.Fatal(err)
		}
		sys, err := persist.New(e, store, &persist.Options{Kinds: persist.Kinds{kinds}})
		if err != nil {
			b.Fatal(err)
		}
		return sys
	}
	sys := start()
	for i := range 10_000 {
		if _, err := kinds.Spawn(ctx, sys, persist.Key(fmt.Sprintf("all/%05d", i)), func(k *heavyActor) { k.Data = make([]byte, 1000) }); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		b.StopTimer()
		if err := sys.Close(ctx); err != nil {
			b.Fatal(err)
		}
		sys = start()
		b.StartTimer()
		if err := sys.RespawnAll(ctx, "all"); err != nil {
			b.Fatal(err)
		}
	}
	if err := sys.Close(ctx); err != nil {
		b.Fatal(err)
	}
}
