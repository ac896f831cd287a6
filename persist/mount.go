package persist

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// mount is a store at its place in the key space.
type mount struct {
	store  Store
	tree   TreeStore // nil where commits of several keys are not atomic
	base   Key
	isBase bool
	failed sync.Once
}

// place is a key together with the store that serves it.
type place struct {
	mount *mount
	key   Key // canonical: relative in the base store, absolute elsewhere
	rel   Key // as the store knows it
}

func (s *System) mount(store Store) error {
	if store == nil {
		return errors.New("the store is nil")
	}
	base, err := ParseKey(string(store.Base()))
	if err != nil {
		return fmt.Errorf("base of the store: %w", err)
	}
	if !base.IsAbsolute() {
		return fmt.Errorf("base of the store: %w", badKey(string(base), "it is not absolute"))
	}
	for _, m := range s.mounts {
		if base.In(m.base) || m.base.In(base) {
			return fmt.Errorf("base of the store: %w", badKey(string(base), fmt.Sprintf("it overlaps with the store at %q", string(m.base))))
		}
	}
	tree, _ := store.(TreeStore)
	s.mounts = append(s.mounts, &mount{store: store, tree: tree, base: base, isBase: len(s.mounts) == 0})
	return nil
}

// canonical returns the system-wide form of a store-relative key.
func (m *mount) canonical(rel Key) Key {
	if m.isBase {
		return rel
	}
	if rel == "" {
		return m.base
	}
	return m.base + "/" + rel
}

// resolve finds the store of a key.
func (s *System) resolve(key Key) (place, error) {
	k, err := ParseKey(string(key))
	if err != nil {
		return place{}, err
	}
	at, err := s.resolvePrefix(k)
	if err == nil && at.rel == "" {
		err = badKey(string(key), "it is the base of a store, not an actor in it")
	}
	if err == nil {
		err = CheckStoreKey(at.rel)
	}
	return at, err
}

func (s *System) resolvePrefix(k Key) (place, error) {
	if !k.IsAbsolute() {
		return place{s.mounts[0], k, k}, nil
	}
	for _, m := range s.mounts {
		if k.In(m.base) {
			rel := k[len(m.base):]
			if rel != "" {
				rel = rel[1:]
			}
			return place{m, m.canonical(rel), rel}, nil
		}
	}
	return place{}, badKey(string(k), "no store of this system serves it")
}

// placesIn returns where to look for the keys in prefix.
func (s *System) placesIn(prefix Key) ([]place, error) {
	if prefix == "" {
		var all []place
		for _, m := range s.mounts {
			all = append(all, place{m, m.canonical(""), ""})
		}
		return all, nil
	}
	k, err := ParseKey(string(prefix))
	if err != nil {
		return nil, err
	}
	at, err := s.resolvePrefix(k)
	return []place{at}, err
}

// commit hands changes to the store and checks what comes back. A panic of the
// store leaves the outcome unknown.
func (s *System) commit(ctx context.Context, m *mount, changes []Change) (versions []Version, err error) {
	finished := false
	defer func() {
		if !finished {
			pe := &PanicError{Key: m.base, In: "Store.Commit", Value: recover(), Stack: debug.Stack()}
			versions, err = nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, pe)
		}
		if errors.Is(err, ErrStoreFailed) {
			m.failed.Do(func() { s.engine.BroadcastEvent(StoreFailed{Base: m.base, Err: err}) })
		}
	}()
	versions, err = m.store.Commit(ctx, changes...)
	finished = true
	if err == nil && len(versions) != len(changes) {
		err = fmt.Errorf("%w: the store returned %d versions for %d changes", ErrUnknownOutcome, len(versions), len(changes))
	}
	return versions, err
}

// isFatal says whether after err it is unknown, or known to be otherwise than
// thought, what is durable.
func isFatal(err error) bool {
	return errors.Is(err, ErrUnknownOutcome) || errors.Is(err, ErrConflict) ||
		errors.Is(err, ErrFenced) || errors.Is(err, ErrStoreFailed)
}
