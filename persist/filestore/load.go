package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist"
)

// Load returns the newest state of key; see [persist.Store]. It waits for a
// commit of that key that is under way, so what it returns is durable. A
// damaged newest generation is moved aside first, and what is older is returned
// with Fallback set, now and until the next commit of the key.
func (s *Store) Load(ctx context.Context, key persist.Key) (persist.Record, persist.Version, error) {
	l, err := s.load(ctx, key)
	if err != nil {
		return persist.Record{}, persist.Absent, fmt.Errorf("load %q: %w", string(key), err)
	}
	s.numbers.loads.Add(1)
	return l.Record, l.Version, nil
}

func (s *Store) load(ctx context.Context, key persist.Key) (persist.Loaded, error) {
	if err := s.begin(ctx); err != nil {
		return persist.Loaded{}, err
	}
	if err := persist.CheckStoreKey(key); err != nil {
		return persist.Loaded{}, err
	}
	fsys := s.filesystem(ctx, "")
	right := &claim{read: []persist.Key{key}}
	if err := s.claims.take(ctx, right); err != nil {
		return persist.Loaded{}, err
	}
	l, err := s.loadNewest(fsys, key)
	s.claims.release(right)
	var damage *persist.CorruptError
	if !errors.As(err, &damage) {
		return l, err
	}
	return s.loadDamaged(ctx, fsys, key, func(h history) history { return h }, err)
}

// loadNewest reads the newest generation of key, and moves nothing.
func (s *Store) loadNewest(fsys afero.Fs, key persist.Key) (persist.Loaded, error) {
	if err := s.certain(key); err != nil {
		return persist.Loaded{}, err
	}
	folder := s.pathOf(key)
	names, _, err := readFolder(fsys, folder)
	if err != nil {
		return persist.Loaded{}, err
	}
	h := readHistory(names)
	if h.current() == persist.Absent {
		return persist.Loaded{}, h.absent(key, folder)
	}
	return s.read(fsys, key, folder, h)
}

// absent is the error for a key without a current state: one whose only
// generations were moved aside by hand is not taken for one that never was.
func (h history) absent(key persist.Key, folder string) error {
	if len(h.bad) > 0 && (len(h.states) == 0 || h.states[0].compare(h.bad[0]) < 0) {
		return &persist.CorruptError{Key: key, Place: filepath.Join(folder, h.bad[0].name()+badSuffix),
			Reason: "it was found damaged and moved aside, and no older generation is left"}
	}
	return persist.ErrNotFound
}

// read reads the newest state in h, which is a record. It reports a damaged
// generation above it that was moved aside earlier.
func (s *Store) read(fsys afero.Fs, key persist.Key, folder string, h history) (persist.Loaded, error) {
	newest := h.states[0]
	path := filepath.Join(folder, newest.name())
	b, err := readFile(fsys, path, persist.MaxRecordLen)
	if err != nil {
		return persist.Loaded{}, err
	}
	r, err := persist.DecodeRecord(b, key, path)
	if err != nil {
		return persist.Loaded{}, err
	}
	if len(h.bad) > 0 && h.bad[0].compare(newest.generation) > 0 {
		r.Fallback = &persist.CorruptError{Key: key, Place: filepath.Join(folder, h.bad[0].name()+badSuffix),
			Reason: "an earlier load found it damaged and moved it aside"}
	}
	return persist.Loaded{Record: r, Version: newest.version()}, nil
}

// loadPast finds the newest intact generation of key among those that choose
// leaves, and moves the damaged ones above it aside. Where none is intact it
// moves nothing. The caller has the right to write key.
func (s *Store) loadPast(fsys afero.Fs, key persist.Key, choose func(history) history) (persist.Loaded, error) {
	if err := s.certain(key); err != nil {
		return persist.Loaded{}, err
	}
	folder := s.pathOf(key)
	names, _, err := readFolder(fsys, folder)
	if err != nil {
		return persist.Loaded{}, err
	}
	h := choose(readHistory(names))
	if h.current() == persist.Absent {
		return persist.Loaded{}, h.absent(key, folder)
	}
	var first *persist.CorruptError
	var damaged []generation
	for ; len(h.states) > 0 && !h.states[0].gone; h.states = h.states[1:] { // a delete ends what is older
		l, err := s.read(fsys, key, folder, h)
		var damage *persist.CorruptError
		switch {
		case errors.As(err, &damage):
			if first == nil {
				first = damage
			}
			damaged = append(damaged, h.states[0].generation)
			continue
		case err != nil:
			return persist.Loaded{}, err
		case first == nil:
			return l, nil
		}
		if err := s.moveAside(fsys, folder, damaged, first); err != nil {
			return persist.Loaded{}, err
		}
		l.Fallback = first
		return l, nil
	}
	return persist.Loaded{}, first
}

// moveAside renames damaged generations, for good, so that no later commit
// takes them for old ones to be removed, and reports the newest. It changes
// damage to tell the new place.
func (s *Store) moveAside(fsys afero.Fs, folder string, damaged []generation, damage *persist.CorruptError) error {
	if err := s.trust(); err != nil {
		return joinErrors(damage, err)
	}
	if err := s.owner.Check(fsys); err != nil {
		return s.explain(fsys, joinErrors(damage, err))
	}
	for _, g := range damaged {
		from := filepath.Join(folder, g.name())
		if _, err := fsys.Stat(from + badSuffix); !errors.Is(err, fs.ErrNotExist) {
			return joinErrors(damage, fmt.Errorf("move %s aside: its place is taken: %w", from, joinErrors(err, fs.ErrExist)))
		}
		if err := fsys.Rename(from, from+badSuffix); err != nil {
			return joinErrors(damage, fmt.Errorf("move it aside: %w", err))
		}
	}
	if err := s.settleFolder(fsys, folder); err != nil {
		return s.fail(joinErrors(damage, err))
	}
	damage.Place = filepath.Join(folder, damaged[0].name()+badSuffix)
	s.numbers.fallbacks.Add(int64(len(damaged)))
	if s.opts.Report != nil {
		reported := *damage
		s.opts.Report(&reported)
	}
	return nil
}
