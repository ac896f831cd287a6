package logstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist"
)

// Compaction copies what is still of use in a segment to the tail, as frames
// that join the groups of ordinary saves, and then drops the segment. A crash
// at any step leaves either the segment in the log, with some of its records
// there twice, or out of it.

const (
	// moveBytes is how much compaction adds to one group: about a millisecond
	// of a slow disk.
	moveBytes = 256 << 10
	// moveRows bounds the time for which settling a move holds the lock.
	moveRows = 512
)

// victim returns the segment that compaction should empty next, or nil. The log
// may take up twice what is live and two segments, which are the tail and its
// successor; the others may hold a little less than twice what is live before
// the one that gives back most is emptied. The caller holds mu.
func (s *Store) victim() *segment {
	if s.keeper.paused {
		return nil
	}
	var size, used int64
	var best *segment
	for _, seg := range s.live {
		used += seg.used
		if seg == s.tail {
			continue
		}
		size += max(seg.end, seg.room)
		if seg.stuck {
			continue
		}
		if seg.used == 0 || seg.damaged {
			return seg
		}
		if best == nil || seg.used*best.end < best.used*seg.end {
			best = seg
		}
	}
	if best == nil || size <= used+used*7/8 {
		return nil
	}
	return best
}

// compact empties one segment and drops it.
func (s *Store) compact(seg *segment) error {
	heads, err := s.headsOf(seg)
	if err != nil {
		return fmt.Errorf("compact %s: %w", seg.path, err)
	}
	inSegment := s.countDeleted(heads)
	f, release, err := s.reader(seg, keeperName)
	if err != nil {
		return fmt.Errorf("compact %s: %w", seg.path, err)
	}
	stuck, err := s.moveRows(seg, f, heads, inSegment)
	release()
	if err != nil || stuck {
		if stuck {
			s.mu.Lock()
			seg.stuck = true
			s.stats.stuck++
			s.mu.Unlock()
		}
		return err
	}
	r := newRequest(persist.WithCaller(context.Background(), keeperName), kindDrop)
	defer r.free()
	r.drop = []*segment{seg}
	s.mu.Lock()
	if err := s.submit(r); err != nil {
		return fmt.Errorf("drop %s: %w", seg.path, err)
	}
	s.forget(heads)
	s.mu.Lock()
	s.retire(seg)
	s.mu.Unlock()
	return nil
}

// headsOf returns the heads and tables of a segment.
func (s *Store) headsOf(seg *segment) ([]byte, error) {
	s.mu.Lock()
	heads := seg.heads
	s.mu.Unlock()
	if len(heads) > 0 {
		return heads, nil
	}
	if heads, end, ok := readHint(s.fs, s.segmentPath(seg.id, hintExt), seg.id); ok && end == seg.end {
		return heads, nil
	}
	sc, err := s.scanFile(seg.id, seg.end)
	if err != nil {
		return nil, err
	}
	if len(sc.damage) > 0 && !seg.damaged {
		s.mu.Lock()
		seg.stuck = true
		s.stats.stuck++
		s.mu.Unlock()
		return nil, sc.damage[0]
	}
	return sc.heads, nil
}

// eachRow calls f with the rows of a list of heads and tables, until it returns
// false.
func eachRow(heads []byte, f func(r *row) bool) {
	eachHead(heads, func(t frameTable) bool {
		if t.kind != kindCommit && t.kind != kindMove {
			return true
		}
		for r, ok := range t.rows(t.table) {
			if !ok || !f(&r) {
				return false
			}
		}
		return true
	})
}

// countDeleted counts the rows of each key that is deleted by now. If they are
// all the rows that the key has anywhere, its delete need not be kept.
func (s *Store) countDeleted(heads []byte) map[uint32]uint32 {
	counts := map[uint32]uint32{}
	s.inBatches(heads, func(r *row) {
		if id, ok := s.index.find(r.key); ok && s.index.at(id).size == 0 && s.index.at(id).version != 0 {
			counts[id]++
		}
	})
	return counts
}

// inBatches calls f with every row, holding mu for moveRows of them at a time.
func (s *Store) inBatches(heads []byte, f func(r *row)) {
	n := 0
	s.mu.Lock()
	eachRow(heads, func(r *row) bool {
		f(r)
		if n++; n%moveRows == 0 {
			s.mu.Unlock()
			s.yield(keeperName)
			s.mu.Lock()
		}
		return true
	})
	s.mu.Unlock()
}

func (s *Store) forget(heads []byte) { s.inBatches(heads, func(r *row) { s.forgetRow(r.key) }) }

var errStopped = errors.New("stopped")

// moveRows copies what is of use. stuck says that something could not be read
// and must stay where it is.
func (s *Store) moveRows(seg *segment, f afero.File, heads []byte, inSegment map[uint32]uint32) (stuck bool, err error) {
	w := &window{f: f, size: seg.end}
	var r *request
	flush := func() error {
		if r == nil || len(r.rows) == 0 {
			return nil
		}
		err := s.submitMove(r)
		r = nil
		return err
	}
	eachRow(heads, func(old *row) bool {
		from := place{slot: seg.slot, off: old.off, size: old.size, sum: old.sum}
		if !s.useful(old, from, inSegment) {
			return true
		}
		var rec []byte
		if old.size > 0 {
			if rec, err = w.at(int64(old.off), int(old.size)); err != nil {
				return false
			}
			if len(rec) < int(old.size) || !intactRecord(rec, old.sum) {
				stuck = true
				return true
			}
		}
		if r == nil {
			r = newRequest(persist.WithCaller(context.Background(), keeperName), kindMove)
		}
		moved := *old
		moved.key, moved.off = persist.Key(strings.Clone(string(old.key))), uint32(len(r.recs))
		r.recs = append(r.recs, rec...)
		r.rows, r.from = append(r.rows, moved), append(r.from, from)
		if len(r.recs) >= moveBytes || len(r.rows) >= moveRows {
			if err = flush(); err == nil && s.stopping() {
				err = errStopped
			}
		}
		return err == nil
	})
	if err == nil {
		err = flush()
	} else if r != nil {
		r.free()
	}
	if err != nil {
		return stuck, fmt.Errorf("compact %s: %w", seg.path, err)
	}
	return stuck, nil
}

func (s *Store) submitMove(r *request) error {
	size := int64(len(r.recs))
	s.mu.Lock()
	s.stats.moved += uint64(size)
	err := s.submit(r)
	r.free()
	return err
}

// stopping says whether compaction should leave off.
func (s *Store) stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed || s.keeper.paused || s.failed != nil
}

// useful says whether a row at this place is what the index goes by, or an
// older generation that is kept.
func (s *Store) useful(r *row, at place, inSegment map[uint32]uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.index.find(r.key)
	if !ok {
		return false
	}
	e := s.index.at(id)
	if e.version == r.version && e.place == at {
		return r.size > 0 || e.rows > inSegment[id]
	}
	for _, g := range s.index.older[id] {
		if g.version == r.version && g.place == at {
			return true
		}
	}
	return false
}
