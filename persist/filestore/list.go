package filestore

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist"
)

// found is one folder that belongs to a key, with what is in it.
type found struct {
	key     persist.Key
	path    string
	history history
	inside  []string // names that may be folders of children
	err     error
}

// List yields the keys at and below prefix in order; see [persist.Store]. It
// reads the names in folders and nothing else, several folders at a time.
func (s *Store) List(ctx context.Context, prefix persist.Key) iter.Seq2[persist.Entry, error] {
	return func(yield func(persist.Entry, error) bool) {
		err := s.walk(ctx, prefix, func(f *found) (bool, error) {
			if err := s.begin(ctx); err != nil {
				return false, err
			}
			v := f.history.current()
			return v == persist.Absent || yield(persist.Entry{Key: f.key, Version: v}, nil), nil
		})
		if err != nil {
			yield(persist.Entry{}, fmt.Errorf("list %q: %w", string(prefix), err))
		}
	}
}

// walk calls visit for the folder of every key at and below prefix, in the order
// of the keys, folders without generations included, until it returns false.
func (s *Store) walk(ctx context.Context, prefix persist.Key, visit func(*found) (bool, error)) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	if err := persist.CheckStorePrefix(prefix); err != nil {
		return err
	}
	w := &walker{store: s, ctx: ctx, visit: visit}
	top := w.look(s.filesystem(ctx, ""), prefix, s.pathOf(prefix))
	if _, err := w.descend(&top, prefix == ""); err != nil {
		return err
	}
	return nil
}

type walker struct {
	store *Store
	ctx   context.Context
	visit func(*found) (bool, error)
}

// look reads the names of one folder.
func (w *walker) look(fsys afero.Fs, key persist.Key, path string) found {
	f := found{key: key, path: path}
	if f.err = w.store.begin(w.ctx); f.err != nil {
		return f
	}
	names, _, err := readFolder(fsys, path)
	f.err = err
	own := 0
	for _, name := range names {
		if name != "" && name[0] == mark {
			names[own] = name
			own++
		} else {
			f.inside = append(f.inside, name)
		}
	}
	f.history = readHistory(names[:own])
	return f
}

// descend visits a folder and those inside it.
func (w *walker) descend(f *found, root bool) (bool, error) {
	if f.err != nil {
		return false, f.err
	}
	if !root && len(f.history.states)+len(f.history.bad) > 0 {
		if more, err := w.visit(f); !more || err != nil {
			return false, err
		}
	}
	if len(f.inside) == 0 {
		return true, nil
	}
	children, err := w.children(f.path, f.inside)
	if err != nil {
		return false, err
	}
	s, failed := w.store, error(nil)
	done := ordered(len(children), s.opts.Readers, readAhead*s.opts.Readers, s.opts.Go, func(who string, i int) found {
		c := children[i]
		key := f.key.Child(c.segment)
		if len(key) > persist.MaxKeyLen {
			return found{} // a stranger's: no key is that long
		}
		return w.look(s.filesystem(w.ctx, who), key, c.path)
	}, func(_ int, c found) bool {
		more, err := w.descend(&c, false)
		failed = err
		return more && err == nil
	})
	return done, failed
}

// child is a folder that holds one segment below another.
type child struct{ segment, path string }

// children returns the segments whose folders lie in path, in their order.
// Names that no segment escapes to are strangers.
func (w *walker) children(path string, names []string) ([]child, error) {
	var all []child
	for _, name := range names {
		if strings.HasSuffix(name, "+") {
			long, err := w.rest(filepath.Join(path, name), name, true, "")
			if err != nil {
				return nil, err
			}
			all = append(all, long...)
		} else if seg, ok := unescapeSegment(name); ok && len(name) <= pieceLen && validSegment(seg) {
			all = append(all, child{seg, filepath.Join(path, name)})
		}
	}
	slices.SortFunc(all, func(a, b child) int { return strings.Compare(a.segment, b.segment) })
	return all, nil
}

// rest follows the pieces of a long segment: path is a folder of that name, and
// text what the pieces above it have said.
func (w *walker) rest(path, name string, first bool, text string) ([]child, error) {
	piece, more, ok := continues(name, first)
	text += piece
	switch {
	case !ok || len(text) > 3*persist.MaxSegmentLen:
		return nil, nil
	case !more:
		seg, ok := unescapeSegment(text)
		if !ok || !validSegment(seg) || len(text) <= pieceLen {
			return nil, nil
		}
		return []child{{seg, path}}, nil
	}
	names, _, err := readFolder(w.store.filesystem(w.ctx, ""), path)
	if err != nil {
		return nil, err
	}
	var all []child
	for _, inner := range names {
		below, err := w.rest(filepath.Join(path, inner), inner, false, text)
		if err != nil {
			return nil, err
		}
		all = append(all, below...)
	}
	return all, nil
}

// validSegment says whether seg can be part of a key.
func validSegment(seg string) bool {
	return persist.CheckStoreKey(persist.Key(seg)) == nil && !strings.Contains(seg, "/")
}
