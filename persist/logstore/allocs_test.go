//go:build !race

// The race detector makes allocations of its own, so there is no such test under it.

package logstore

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist"
)

func TestALoneSaveAllocatesAtMostThrice(t *testing.T) {
	s, err := Open(afero.NewOsFs(), filepath.Join(t.TempDir(), "log"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	rec := record("players/james", 1, make([]byte, 1024))
	changes := []persist.Change{{Key: rec.Key, Put: rec, If: persist.Any}}
	allocs := testing.AllocsPerRun(deep(100, 1000), func() {
		versions, err := s.Commit(ctx, changes...)
		if err != nil {
			t.Fatal(err)
		}
		changes[0].If = versions[0]
	})
	t.Logf("%.1f allocations a save", allocs)
	if allocs > 3 { // the store's two, and what the owner's Stat makes
		t.Errorf("%.1f allocations a save", allocs)
	}
}
