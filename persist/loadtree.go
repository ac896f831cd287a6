package persist

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
)

// loadTree reads the records at and below a place, in key order and from one
// state of the store. What single keys could not give comes as errs, in key
// order too.
func (s *System) loadTree(ctx context.Context, at place) (found []Loaded, errs []*RespawnError, err error) {
	ctx = s.as(ctx, "respawn "+string(at.key))
	if at.mount.tree != nil {
		return collect(at, at.mount.tree.LoadTree(ctx, at.rel))
	}
	const tries = 10
	for range tries {
		found, errs, steady, err := s.loadEach(ctx, at)
		if steady || err != nil {
			return found, errs, err
		}
	}
	return nil, nil, fmt.Errorf("load the tree of %q: %w: it changed during each of %d readings", string(at.key), ErrConflict, tries)
}

func collect(at place, tree iter.Seq2[Loaded, error]) (found []Loaded, errs []*RespawnError, err error) {
	for rec, err := range tree {
		switch {
		case err == nil:
			found = append(found, rec)
		case rec.Key == "":
			return nil, nil, fmt.Errorf("load the tree of %q: %w", string(at.key), err)
		default:
			errs = append(errs, &RespawnError{Key: at.mount.canonical(rec.Key), Err: err})
		}
	}
	return found, errs, nil
}

// loadEach reads a tree key by key. The view is consistent where every key
// still has the version that the listing gave.
func (s *System) loadEach(ctx context.Context, at place) (found []Loaded, errs []*RespawnError, steady bool, err error) {
	var entries []Entry
	for e, err := range at.mount.store.List(ctx, at.rel) {
		if err != nil {
			return nil, nil, false, fmt.Errorf("list the tree of %q: %w", string(at.key), err)
		}
		entries = append(entries, e)
	}
	recs := make([]Loaded, len(entries))
	reasons := make([]error, len(entries))
	s.sideBySide(len(entries), func(i int) {
		recs[i].Record, recs[i].Version, reasons[i] = at.mount.store.Load(ctx, entries[i].Key)
	})
	for i, err := range reasons {
		switch {
		case err == nil && recs[i].Version != entries[i].Version, errors.Is(err, ErrNotFound):
			return nil, nil, false, nil
		case err != nil:
			errs = append(errs, &RespawnError{Key: at.mount.canonical(entries[i].Key), Err: err})
		default:
			found = append(found, recs[i])
		}
	}
	return found, errs, true, nil
}

// sideBySide calls f for 0 to n-1, on several goroutines where that pays.
func (s *System) sideBySide(n int, f func(i int)) {
	workers := min(s.opts.LoadParallel, n/16)
	if workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Add(1)
		s.start(fmt.Sprintf("load %d", w), func() {
			defer wg.Done()
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	wg.Wait()
}
