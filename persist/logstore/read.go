package logstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"

	"github.com/understudy-go/understudy/persist"
)

// Load returns the newest state of key. See [persist.Store].
//
// Where the newest record is damaged and [Options.Keep] kept an older
// generation that is not, that one is returned with the damage in
// Record.Fallback, under the version of the newest, so that the next commit can
// supersede it. A key whose last commit has an unknown outcome is
// [persist.ErrUnknownOutcome] until the store is opened again.
func (s *Store) Load(ctx context.Context, key persist.Key) (persist.Record, persist.Version, error) {
	if err := persist.CheckStoreKey(key); err != nil {
		return persist.Record{}, "", fmt.Errorf("load: %w", err)
	}
	s.mu.Lock()
	if err := s.usable(ctx); err != nil {
		s.mu.Unlock()
		return persist.Record{}, "", fmt.Errorf("load %q: %w", string(key), err)
	}
	id, ok := s.index.find(key)
	var e *entry
	if ok {
		e = s.index.at(id)
	}
	switch {
	case ok && e.flags&entryUnknown != 0:
		err := s.failed
		s.mu.Unlock()
		return persist.Record{}, "", fmt.Errorf("load %q: %w", string(key), unknown(err))
	case !ok || !e.exists():
		s.mu.Unlock()
		return persist.Record{}, "", fmt.Errorf("load %q: %w", string(key), persist.ErrNotFound)
	}
	it := s.item(id, e)
	s.mu.Unlock()
	rec, err := s.readItem(&it, persist.Caller(ctx))
	s.unpinItem(&it)
	if err != nil {
		return persist.Record{}, "", fmt.Errorf("load: %w", err)
	}
	return rec, formatVersion(it.version), nil
}

// item is one key of a consistent view, its segments pinned.
type item struct {
	key     persist.Key
	version uint64
	seg     *segment
	place   place
	unknown bool
	older   []olderItem
}

type olderItem struct {
	seg   *segment
	place place
}

// item makes an item of an entry. The caller holds mu.
func (s *Store) item(id uint32, e *entry) item {
	it := item{key: e.key, version: e.version, seg: s.slots[e.slot], place: e.place, unknown: e.flags&entryUnknown != 0}
	it.seg.pin()
	if s.opt.Keep > 0 {
		for _, g := range s.index.older[id] {
			seg := s.slots[g.slot]
			seg.pin()
			it.older = append(it.older, olderItem{seg, g.place})
		}
	}
	return it
}

func (s *Store) unpinItem(it *item) {
	s.unpin(it.seg)
	for _, o := range it.older {
		s.unpin(o.seg)
	}
}

// readItem reads the record of an item, or of an older generation.
func (s *Store) readItem(it *item, who string) (persist.Record, error) {
	rec, err := s.readRecord(it.key, it.seg, it.place, who)
	damage, ok := err.(*persist.CorruptError)
	if !ok {
		return rec, err
	}
	for _, o := range it.older {
		if rec, olderErr := s.readRecord(it.key, o.seg, o.place, who); olderErr == nil {
			rec.Fallback = damage
			return rec, nil
		}
	}
	return rec, err
}

// readRecord reads and checks one record. Damage is a *persist.CorruptError and
// nothing around it.
func (s *Store) readRecord(key persist.Key, seg *segment, p place, who string) (persist.Record, error) {
	f, release, err := s.reader(seg, who)
	if err != nil {
		return persist.Record{}, fmt.Errorf("read %q: %w", string(key), s.orClosed(err))
	}
	b := make([]byte, p.size)
	n, err := f.ReadAt(b, int64(p.off))
	release()
	at := func() string { return fmt.Sprintf("%s at byte %d", seg.path, p.off) }
	switch {
	case n == len(b): // whatever the error: io.EOF may come with the last bytes
	case err == io.EOF || err == nil:
		return persist.Record{}, &persist.CorruptError{Key: key, Place: at(), Reason: fmt.Sprintf("%d of its %d bytes are missing", len(b)-n, len(b))}
	default:
		return persist.Record{}, fmt.Errorf("read %q in %s: %w", string(key), at(), s.orClosed(err))
	}
	return decode(b, key, p.sum, at)
}

// orClosed blames an error on Close where that took the file away.
func (s *Store) orClosed(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed && errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("%w: %w", persist.ErrClosed, err)
	}
	return err
}

// decode checks a record against the checksum in its row, so that an intact
// record of another time is not taken for this one, and decodes it.
func decode(b []byte, key persist.Key, sum uint32, at func() string) (persist.Record, error) {
	if recordSum(b) != sum {
		return persist.Record{}, &persist.CorruptError{Key: key, Place: at(), Reason: "it is not the record that was written there"}
	}
	rec, err := persist.DecodeRecord(b, key, "")
	if err != nil {
		return persist.DecodeRecord(b, key, at()) // again, with a place worth its cost
	}
	return rec, nil
}

// listBatch is how many entries a listing takes at a time.
const listBatch = 512

// List yields the keys at and below prefix in order. See [persist.Store].
func (s *Store) List(ctx context.Context, prefix persist.Key) iter.Seq2[persist.Entry, error] {
	return func(yield func(persist.Entry, error) bool) {
		fail := func(err error) { yield(persist.Entry{}, fmt.Errorf("list %q: %w", string(prefix), err)) }
		if err := persist.CheckStorePrefix(prefix); err != nil {
			fail(err)
			return
		}
		type found struct {
			key     persist.Key
			version uint64
		}
		batch := make([]found, 0, listBatch)
		next, skip := prefix, false
		for {
			s.mu.Lock()
			if err := s.usable(ctx); err != nil {
				s.mu.Unlock()
				fail(err)
				return
			}
			batch = batch[:0]
			s.ordered().from(s.index, next, func(id uint32) bool {
				e := s.index.at(id)
				if !e.key.In(prefix) {
					return false
				}
				if !skip || e.key != next {
					batch = append(batch, found{e.key, e.version})
				}
				return len(batch) < listBatch
			})
			s.mu.Unlock()
			for _, f := range batch {
				if err := ctx.Err(); err != nil {
					fail(err)
					return
				}
				if !yield(persist.Entry{Key: f.key, Version: formatVersion(f.version)}, nil) {
					return
				}
			}
			if len(batch) < listBatch {
				if err := ctx.Err(); err != nil {
					fail(err)
				}
				return
			}
			next, skip = batch[len(batch)-1].key, true
		}
	}
}

// ordered returns the keys in order. The caller holds mu.
func (s *Store) ordered() *order {
	if s.order == nil {
		s.order = buildOrder(s.index)
	}
	return s.order
}
