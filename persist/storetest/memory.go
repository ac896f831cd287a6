package storetest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"sync"

	"github.com/understudy-go/understudy/persist"
)

// Memory is a [persist.TreeStore] in memory: the contract in its plainest form,
// for tests. It keeps encoded records, so that what a test reads back has been
// through the same encoding as on a disk, and so that [Memory.Edit] can damage
// it. Nothing survives the process; [Memory.Reopen] plays the restart.
type Memory struct {
	base persist.Key
	data *memoryData

	mu     sync.Mutex // guards closed; taken before data.mu
	closed bool
}

// memoryData is what survives a Reopen.
type memoryData struct {
	mu   sync.Mutex
	last uint64 // the last version given out, so that none comes twice
	keys map[persist.Key]memoryState
}

// memoryState is one state of one key. Its bytes are never changed in place.
type memoryState struct {
	version persist.Version
	bytes   []byte
}

// NewMemory returns an empty store that serves base, an absolute key; "" stands
// for "memory://test".
func NewMemory(base persist.Key) *Memory {
	if base == "" {
		base = "memory://test"
	}
	return &Memory{base: base, data: &memoryData{keys: map[persist.Key]memoryState{}}}
}

// Reopen closes m and returns a new store with the same contents, as a restart
// of the process would.
func (m *Memory) Reopen() *Memory {
	_ = m.Close() // never fails
	return &Memory{base: m.base, data: m.data}
}

// Edit replaces the stored bytes of key by edit(bytes), which may change the
// slice it is given: the way to damage a record, or to make one from another
// format. The version stays. It returns ErrNotFound where nothing is stored,
// and works on a closed store too.
func (m *Memory) Edit(key persist.Key, edit func([]byte) []byte) error {
	m.data.mu.Lock()
	defer m.data.mu.Unlock()
	s, ok := m.data.keys[key]
	if !ok {
		return fmt.Errorf("edit %q: %w", string(key), persist.ErrNotFound)
	}
	s.bytes = edit(slices.Clone(s.bytes))
	m.data.keys[key] = s
	return nil
}

// Base returns the key that NewMemory was given.
func (m *Memory) Base() persist.Key { return m.base }

// Load returns the state of key; see [persist.Store].
func (m *Memory) Load(ctx context.Context, key persist.Key) (persist.Record, persist.Version, error) {
	var s memoryState
	var found bool
	err := m.do(ctx, func(d *memoryData) error {
		if err := persist.CheckStoreKey(key); err != nil {
			return err
		}
		s, found = d.keys[key]
		return nil
	})
	if err == nil && !found {
		err = persist.ErrNotFound
	}
	if err != nil {
		return persist.Record{}, persist.Absent, fmt.Errorf("load %q: %w", string(key), err)
	}
	r, err := s.decode(key)
	if err != nil {
		return persist.Record{}, persist.Absent, fmt.Errorf("load %q: %w", string(key), err)
	}
	return r, s.version, nil
}

// Commit makes all changes or none; see [persist.Store].
func (m *Memory) Commit(ctx context.Context, changes ...persist.Change) ([]persist.Version, error) {
	var versions []persist.Version
	err := m.do(ctx, func(d *memoryData) error {
		if err := persist.CheckChanges(changes); err != nil {
			return err
		}
		for _, c := range changes {
			if have := d.keys[c.Key].version; c.If != persist.Any && c.If != have {
				return &persist.ConflictError{Key: c.Key, Want: c.If, Have: have}
			}
		}
		for _, c := range changes {
			versions = append(versions, d.apply(c))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return versions, nil
}

// List yields the keys at and below prefix; see [persist.Store].
func (m *Memory) List(ctx context.Context, prefix persist.Key) iter.Seq2[persist.Entry, error] {
	return func(yield func(persist.Entry, error) bool) {
		entries, _, err := m.view(ctx, prefix)
		for _, e := range entries {
			if err = ctx.Err(); err != nil || !yield(e, nil) {
				break
			}
		}
		if err != nil {
			yield(persist.Entry{}, fmt.Errorf("list %q: %w", string(prefix), err))
		}
	}
}

// LoadTree yields the records at and below prefix from one state; see
// [persist.TreeStore].
func (m *Memory) LoadTree(ctx context.Context, prefix persist.Key) iter.Seq2[persist.Loaded, error] {
	return func(yield func(persist.Loaded, error) bool) {
		entries, states, err := m.view(ctx, prefix)
		for i, e := range entries {
			if err = ctx.Err(); err != nil {
				break
			}
			r, bad := states[i].decode(e.Key)
			loaded := persist.Loaded{Record: r, Version: e.Version}
			if bad != nil {
				bad = fmt.Errorf("load %q: %w", string(e.Key), bad)
				loaded = persist.Loaded{Record: persist.Record{Key: e.Key}, Version: e.Version}
			}
			if !yield(loaded, bad) {
				return
			}
		}
		if err != nil {
			yield(persist.Loaded{}, fmt.Errorf("load the tree of %q: %w", string(prefix), err))
		}
	}
}

// Close ends the store. It never fails, and a second Close does nothing.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

// do runs f on the data of an open store while nobody else does.
func (m *Memory) do(ctx context.Context, f func(*memoryData) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return persist.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.data.mu.Lock()
	defer m.data.mu.Unlock()
	return f(m.data)
}

// view returns the keys at and below prefix in order, with their states, as
// they are at one instant.
func (m *Memory) view(ctx context.Context, prefix persist.Key) (entries []persist.Entry, states []memoryState, err error) {
	err = m.do(ctx, func(d *memoryData) error {
		if err := persist.CheckStorePrefix(prefix); err != nil {
			return err
		}
		for key, s := range d.keys {
			if key.In(prefix) {
				entries = append(entries, persist.Entry{Key: key, Version: s.version})
			}
		}
		slices.SortFunc(entries, func(a, b persist.Entry) int { return a.Key.Compare(b.Key) })
		for _, e := range entries {
			states = append(states, d.keys[e.Key])
		}
		return nil
	})
	return entries, states, err
}

func (d *memoryData) apply(c persist.Change) persist.Version {
	if c.Put == nil {
		delete(d.keys, c.Key)
		return persist.Absent
	}
	d.last++
	v := persist.Version(strconv.FormatUint(d.last, 10))
	d.keys[c.Key] = memoryState{version: v, bytes: c.Put.Append(nil)}
	return v
}

// decode reads the state as a record that shares no memory with the store.
func (s memoryState) decode(key persist.Key) (persist.Record, error) {
	return persist.DecodeRecord(slices.Clone(s.bytes), key, "memory")
}
