package filestore_test

import (
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/fsim"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/filestore"
)

// newInterrupted makes a filesystem that never dies and is interrupted before
// call at, counted from when started is true.
func newInterrupted(fsys afero.Fs, at int, started func() bool, run func()) afero.Fs {
	calls := 0
	return &killed{Fs: fsys, left: 1 << 30, before: func() {
		if !started() {
			return
		}
		if calls++; calls == at {
			run()
		}
	}}
}

// A second owner may come at any call of the first one's commits. Whatever the
// first is told, nothing changes any more after the second has looked, and what
// the first was told is durable is seen by the second.
func TestAnOwnerThatIsReplacedAtAnyCallChangesNothingAnyMore(t *testing.T) {
	for n := 1; ; n++ {
		disk := fsim.New(fsim.Linux)
		var second *filestore.Store
		var shown map[persist.Key]string
		opened := false
		first := newInterrupted(disk, n, func() bool { return opened }, func() {
			var err error
			if second, err = filestore.Open(disk, "/store", sequential()); err != nil {
				t.Fatalf("call %d: the second owner: %v", n, err)
			}
			if shown, err = contents(second); err != nil {
				t.Fatalf("call %d: the second owner: %v", n, err)
			}
		})
		done, err := play(first, script, func(int) { opened = true })
		if second == nil {
			t.Logf("%d calls", n)
			return
		}
		if err != nil && !errors.Is(err, persist.ErrFenced) {
			t.Fatalf("call %d: the first owner was told %v after %d steps", n, err, done)
		}
		now, readErr := contents(second)
		if readErr != nil || !maps.Equal(now, shown) {
			t.Fatalf("call %d: the second owner saw %v, and when the first had ended (%v) there was %v (%v)", n, shown, err, now, readErr)
		}
		all := states(script)
		if !maps.Equal(now, all[done]) && (done+1 >= len(all) || !maps.Equal(now, all[done+1])) {
			t.Fatalf("call %d: %d steps were acknowledged, %v is there", n, done, now)
		}
		if _, err := second.Commit(context.Background(), changes(step{"a": "second", "z": "second"})...); err != nil {
			t.Fatalf("call %d: the second owner: %v", n, err)
		}
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFencedOwnerSaysSoForEver(t *testing.T) {
	disk := fsim.New(fsim.Linux)
	ctx := context.Background()
	first, err := filestore.Open(disk, "/store", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Commit(ctx, changes(step{"a": "1"})...); err != nil {
		t.Fatal(err)
	}
	second, err := filestore.Open(disk, "/store", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, st := range []step{{"a": "2"}, {"a": ""}, {"a": "2", "b": "2"}} {
			if _, err := first.Commit(ctx, changes(st)...); !errors.Is(err, persist.ErrFenced) {
				t.Fatalf("expected ErrFenced, got %v", err)
			}
		}
	}
	for _, err := range first.LoadTree(ctx, "") {
		if !errors.Is(err, persist.ErrFenced) {
			t.Fatalf("a tree of a fenced owner: expected ErrFenced, got %v", err)
		}
	}
	got, err := contents(second)
	if err != nil || !maps.Equal(got, map[persist.Key]string{"a": "1"}) {
		t.Fatalf("%v %v", got, err)
	}
	if err := errors.Join(first.Close(), second.Close()); err != nil {
		t.Fatal(err)
	}
}

// A directory that was copied without the store's own folder has lost its
// epoch; its keys are read and not overwritten.
func TestAGenerationOfALaterEpochIsNotOverwritten(t *testing.T) {
	fsys, ctx := afero.NewMemMapFs(), context.Background()
	for range 3 {
		s, err := filestore.Open(fsys, "/store", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Commit(ctx, changes(step{"a": "1"})...); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := fsys.RemoveAll("/store/@store"); err != nil {
		t.Fatal(err)
	}
	s, err := filestore.Open(fsys, "/store", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(ctx, changes(step{"a": "2"})...); !errors.Is(err, persist.ErrFenced) {
		t.Fatalf("expected ErrFenced, got %v", err)
	}
	if r, _, err := s.Load(ctx, "a"); err != nil || string(r.Payload) != "1" {
		t.Fatalf("%q %v", r.Payload, err)
	}
}
