package logstore

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"github.com/understudy-go/understudy/persist"
)

// LoadTree yields the records at and below prefix in order, all from one state
// of the store. See [persist.TreeStore]. It reads ahead by up to 1 MiB.
func (s *Store) LoadTree(ctx context.Context, prefix persist.Key) iter.Seq2[persist.Loaded, error] {
	return func(yield func(persist.Loaded, error) bool) {
		fail := func(err error) { yield(persist.Loaded{}, fmt.Errorf("load the tree of %q: %w", string(prefix), err)) }
		if err := persist.CheckStorePrefix(prefix); err != nil {
			fail(err)
			return
		}
		s.mu.Lock()
		if err := s.usable(ctx); err != nil {
			s.mu.Unlock()
			fail(err)
			return
		}
		var items []item
		s.ordered().from(s.index, prefix, func(id uint32) bool {
			e := s.index.at(id)
			if !e.key.In(prefix) {
				return false
			}
			items = append(items, s.item(id, e))
			return true
		})
		failed := s.failed
		s.mu.Unlock()
		defer s.unpinAll(items)
		ahead := readAhead{s: s, who: persist.Caller(ctx)}
		for i := range items {
			it := &items[i]
			if err := ctx.Err(); err != nil {
				fail(err)
				return
			}
			var rec persist.Record
			var err error
			if it.unknown {
				err = fmt.Errorf("%q: %w", string(it.key), unknown(failed))
			} else {
				rec, err = ahead.read(items[i:])
			}
			loaded := persist.Loaded{Record: rec, Version: formatVersion(it.version)}
			if err != nil {
				loaded = persist.Loaded{Record: persist.Record{Key: it.key}, Version: formatVersion(it.version)}
				err = fmt.Errorf("load: %w", err)
			}
			if !yield(loaded, err) {
				return
			}
		}
	}
}

func (s *Store) unpinAll(items []item) {
	s.mu.Lock()
	for i := range items {
		items[i].seg.pins--
		for _, o := range items[i].older {
			o.seg.pins--
		}
	}
	wake := len(s.retired) > 0
	s.mu.Unlock()
	if wake {
		s.kick()
	}
}

// readAhead reads records that lie close together with one call.
type readAhead struct {
	s   *Store
	who string
	buf []byte
	seg *segment
	off int64 // of buf in seg
}

// aheadGap is how much that nobody asked for is read rather than skipped.
const aheadGap = 4 << 10

// read returns the record of the first item. The items after it say what it is
// worth to read along.
func (a *readAhead) read(items []item) (persist.Record, error) {
	it := &items[0]
	if !a.holds(it) {
		a.fill(items)
	}
	if a.holds(it) {
		b := bytes.Clone(a.buf[int64(it.place.off)-a.off:][:it.place.size])
		rec, err := decode(b, it.key, it.place.sum, func() string { return "" })
		if err == nil {
			return rec, nil
		}
	}
	return a.s.readItem(it, a.who) // which knows what to do about whatever is wrong
}

func (a *readAhead) holds(it *item) bool {
	return a.seg == it.seg && int64(it.place.off) >= a.off &&
		int64(it.place.off)+int64(it.place.size) <= a.off+int64(len(a.buf))
}

// fill reads from the first item on as far as the next ones follow it closely.
func (a *readAhead) fill(items []item) {
	start := int64(items[0].place.off)
	end := start + int64(items[0].place.size)
	a.seg, a.buf = nil, a.buf[:0]
	n := 1
	for ; n < len(items); n++ {
		off := int64(items[n].place.off)
		next := off + int64(items[n].place.size)
		if items[n].seg != items[0].seg || off < end || off > end+aheadGap || next > start+windowLen {
			break
		}
		end = next
	}
	if n == 1 {
		return
	}
	f, release, err := a.s.reader(items[0].seg, a.who)
	if err != nil {
		return
	}
	defer release()
	if int64(cap(a.buf)) < end-start {
		a.buf = make([]byte, windowLen)
	}
	a.buf = a.buf[:end-start]
	m, _ := f.ReadAt(a.buf, start) // what is missing is read again, one by one
	a.seg, a.off, a.buf = items[0].seg, start, a.buf[:m]
}
