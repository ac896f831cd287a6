package owner_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/internal/owner"
)

func TestAnOwnerIsFencedFromTheMomentANewerOneHasAcquired(t *testing.T) {
	fsys := afero.NewMemMapFs()
	if err := owner.MkdirAll(fsys, "/a/b"); err != nil {
		t.Fatal(err)
	}
	var owners []*owner.Owner
	for want := uint64(1); want <= 4; want++ {
		o, err := owner.Acquire(fsys, "/a/b")
		if err != nil {
			t.Fatal(err)
		}
		if o.Epoch() != want || o.Locked() {
			t.Errorf("epoch %d, locked %v", o.Epoch(), o.Locked())
		}
		for _, old := range owners {
			if err := old.Check(fsys); !errors.Is(err, persist.ErrFenced) {
				t.Errorf("epoch %d with %d about: %v", old.Epoch(), want, err)
			}
		}
		if err := o.Check(fsys); err != nil {
			t.Error(err)
		}
		owners = append(owners, o)
	}
	if o, err := owner.AcquireAbove(fsys, "/a/b", 10); err != nil || o.Epoch() != 11 {
		t.Errorf("above 10: %v", err)
	}
}

func TestEpochsNeverComeTwiceHoweverManyAcquireAtOnce(t *testing.T) {
	fsys := afero.NewBasePathFs(afero.NewOsFs(), t.TempDir()) // which hides the descriptors
	if err := fsys.Mkdir("d", 0o755); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[uint64]bool{}
	live := 0
	var owners []*owner.Owner
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			o, err := owner.Acquire(fsys, "d")
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if seen[o.Epoch()] {
				t.Errorf("epoch %d twice", o.Epoch())
			}
			seen[o.Epoch()] = true
			owners = append(owners, o)
		}()
	}
	wg.Wait()
	for _, o := range owners {
		if o.Check(fsys) == nil {
			live++
		}
	}
	if live > 1 {
		t.Errorf("%d owners think that it is theirs", live)
	}
}

func TestTheLockKeepsASecondOwnerOutUntilItIsReleased(t *testing.T) {
	fsys, dir := afero.NewOsFs(), t.TempDir()
	first, err := owner.Acquire(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Locked() {
		t.Skip("no flock here")
	}
	if _, err := owner.Acquire(fsys, dir); !errors.Is(err, persist.ErrLocked) {
		t.Errorf("a second owner: %v", err)
	}
	if err := first.Check(fsys); err != nil {
		t.Errorf("who failed to lock has fenced the owner: %v", err)
	}
	if err := errors.Join(first.Release(), first.Release()); err != nil {
		t.Error(err)
	}
	second, err := owner.Acquire(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = second.Release()
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if !owner.IsMark(e.Name()) {
			t.Errorf("%s is not known as a mark", filepath.Join(dir, e.Name()))
		}
	}
}
