package filestore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist"
)

// LoadTree yields the records at and below prefix, all from one state of the
// store; see [persist.TreeStore]. Commits at and below prefix wait while the
// folders are listed, not while the records are read and yielded: until the
// sequence ends nothing of what was listed is removed. The loop may call
// everything that the store has.
func (s *Store) LoadTree(ctx context.Context, prefix persist.Key) iter.Seq2[persist.Loaded, error] {
	return func(yield func(persist.Loaded, error) bool) {
		p := s.pin(prefix)
		defer s.unpin(ctx, p)
		listed, err := s.listTree(ctx, prefix)
		if err != nil {
			yield(persist.Loaded{}, fmt.Errorf("load the tree of %q: %w", string(prefix), err))
			return
		}
		type result struct {
			loaded persist.Loaded
			err    error
		}
		ordered(len(listed), s.opts.Readers, readAhead*s.opts.Readers, s.opts.Go, func(who string, i int) (r result) {
			if r.err = s.begin(ctx); r.err == nil {
				r.loaded, r.err = s.loadListed(ctx, s.filesystem(ctx, who), &listed[i])
			}
			return r
		}, func(i int, r result) bool {
			if err := s.begin(ctx); err != nil {
				yield(persist.Loaded{}, fmt.Errorf("load the tree of %q: %w", string(prefix), err))
				return false
			}
			if r.err == nil {
				s.numbers.loads.Add(1)
				return yield(r.loaded, nil)
			}
			key := listed[i].key
			r.loaded = persist.Loaded{Record: persist.Record{Key: key}, Version: listed[i].history.current()}
			return yield(r.loaded, fmt.Errorf("load %q: %w", string(key), r.err))
		})
	}
}

// readAhead is how many records each reader may be ahead of the loop.
const readAhead = 32

// listTree returns the folders of the keys at and below prefix as they are at
// one instant at which no commit there is under way.
func (s *Store) listTree(ctx context.Context, prefix persist.Key) ([]found, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	if err := persist.CheckStorePrefix(prefix); err != nil {
		return nil, err
	}
	right := &claim{tree: true, prefix: prefix}
	if err := s.claims.take(ctx, right); err != nil {
		return nil, err
	}
	defer s.claims.release(right)
	var listed []found
	err := s.walk(ctx, prefix, func(f *found) (bool, error) {
		if f.history.current() != persist.Absent {
			listed = append(listed, found{key: f.key, path: f.path, history: f.history})
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	// A newer owner's commits are not held back; this one's view ends with it.
	err = s.owner.Check(s.filesystem(ctx, ""))
	if errors.Is(err, persist.ErrFenced) {
		s.fence()
	}
	return listed, err
}

// loadListed reads the state that f had when it was listed, or what is next
// older where that is damaged.
func (s *Store) loadListed(ctx context.Context, fsys afero.Fs, f *found) (persist.Loaded, error) {
	if err := s.certain(f.key); err != nil {
		return persist.Loaded{}, err
	}
	l, err := s.read(fsys, f.key, f.path, f.history)
	if err == nil {
		return l, nil
	}
	path := filepath.Join(f.path, f.history.states[0].name())
	if _, statErr := fsys.Stat(path); !errors.Is(err, persist.ErrCorrupt) && statErr == nil {
		return persist.Loaded{}, err
	}
	listed := f.history.states[0].generation // damaged, or moved aside since
	return s.loadDamaged(ctx, fsys, f.key, func(h history) history { return h.upTo(listed) }, err)
}

// loadDamaged is loadPast for a caller without any right; damage is what it
// saw.
func (s *Store) loadDamaged(ctx context.Context, fsys afero.Fs, key persist.Key, choose func(history) history, damage error) (persist.Loaded, error) {
	if err := s.beginCommit(ctx); err != nil { // Close is to wait for what is moved
		return persist.Loaded{}, joinErrors(damage, err)
	}
	defer s.endCommit()
	right := &claim{write: []persist.Key{key}}
	if err := s.claims.take(ctx, right); err != nil {
		return persist.Loaded{}, err
	}
	defer s.claims.release(right)
	return s.loadPast(fsys, key, choose)
}
