package logstore

import (
	"errors"
	"os"
	"slices"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist/internal/owner"
)

// keeper is the store's one goroutine. It prepares the next segment, writes
// hints, compacts, and unlinks what nobody reads any more, so that no save has
// to. What it cannot do now, for want of room or for an error that concerns no
// save, it leaves for the next time it is woken.
type keeper struct {
	wake chan struct{} // holds one
	stop chan struct{}
	done chan struct{}

	// Guarded by Store.mu.
	paused  bool     // compaction
	noSpare *segment // the tail whose successor could not be prepared
}

const keeperName = "logstore.keeper"

// spareAfter is how far a tail grows before the next segment is prepared; a
// small log never needs one.
const spareAfter = 1 << 20

func (s *Store) startKeeper() {
	s.keeper.wake = make(chan struct{}, 1)
	s.keeper.stop = make(chan struct{})
	s.keeper.done = make(chan struct{})
	s.keeper.paused = s.opt.NoCompaction
	s.opt.Go(keeperName, s.keep)
	s.mu.Lock()
	work := s.wantsKeeper()
	s.mu.Unlock()
	if work {
		s.kick()
	}
}

func (s *Store) stopKeeper() {
	close(s.keeper.stop)
	<-s.keeper.done
}

func (s *Store) kick() {
	select {
	case s.keeper.wake <- struct{}{}:
	default:
	}
}

// Pause stops compaction after the step it is in, until [Store.Resume]. The log
// grows meanwhile.
func (s *Store) Pause() {
	s.mu.Lock()
	s.keeper.paused = true
	s.mu.Unlock()
}

// Resume lets compaction go on.
func (s *Store) Resume() {
	s.mu.Lock()
	s.keeper.paused = false
	s.mu.Unlock()
	s.kick()
}

// keep is the keeper's life.
func (s *Store) keep() {
	defer close(s.keeper.done)
	for {
		select {
		case <-s.keeper.stop:
			return
		case <-s.keeper.wake:
		}
		s.yield(keeperName)
		for s.work() {
			select {
			case <-s.keeper.stop:
				return
			default:
			}
		}
	}
}

// wantsKeeper says whether there is something to do. The caller holds mu.
func (s *Store) wantsKeeper() bool {
	return s.failed == nil && (s.wantsSpare() || s.unhinted() != nil || s.victim() != nil || len(s.retired) > 0)
}

// work does one thing, and says whether there may be more.
func (s *Store) work() bool {
	s.mu.Lock()
	if s.failed != nil || s.closed {
		s.mu.Unlock()
		return false
	}
	spare, hint, victim := s.wantsSpare(), s.unhinted(), s.victim()
	s.mu.Unlock()
	var err error
	switch {
	case spare:
		err = s.prepareSpare()
	case hint != nil:
		err = s.hint(hint)
	case victim != nil:
		err = s.compact(victim)
		if err != nil && !errors.Is(err, errStopped) {
			s.mu.Lock()
			victim.stuck = true
			s.mu.Unlock()
		}
	default:
		return s.unlinkRetired()
	}
	if err != nil {
		s.log.Warn("log put off some work in the background", "dir", s.dir, "error", err)
		s.mu.Lock()
		s.stats.putOff++
		s.mu.Unlock()
		return false
	}
	return true
}

// unhinted returns a segment that no longer grows and lacks its hint. The
// caller holds mu.
func (s *Store) unhinted() *segment {
	for _, seg := range s.live {
		if seg != s.tail && !seg.hinted && !seg.damaged && len(seg.heads) > 0 {
			return seg
		}
	}
	return nil
}

// hint ends writing to a segment and writes its hint.
func (s *Store) hint(seg *segment) error {
	if err := seg.closeWriters(); err != nil {
		s.log.Warn("log could not close a segment", "file", seg.path, "error", err)
	}
	err := s.writeHint(seg)
	s.mu.Lock()
	seg.hinted = true // or never: an open then reads the segment itself
	seg.heads = nil
	s.mu.Unlock()
	return err
}

// wantsSpare says whether the tail will soon need a successor. Segments are
// prepared only where that makes saving cheaper. The caller holds mu.
func (s *Store) wantsSpare() bool {
	t := s.tail
	if s.spare != nil || s.stats.plain || s.keeper.noSpare == t {
		return false
	}
	if t.room == 0 {
		return t.end >= min(spareAfter, s.opt.SegmentSize/4)
	}
	return t.end >= t.room/2 || slices.ContainsFunc(s.retired, s.recyclable)
}

// recyclable says whether the file of a retired segment can serve again. Files
// of an earlier owner are never written to: it might still have them open. The
// caller holds mu.
func (s *Store) recyclable(seg *segment) bool {
	return seg.id.epoch() == s.owner.Epoch() && seg.pins == 0 && seg.room == s.opt.SegmentSize && !seg.damaged
}

// prepareSpare makes the next segment: a retired one of this life under a new
// name, or a new one filled with zeros. Filling matters: blocks that were never
// written cost a journal commit at their first sync.
func (s *Store) prepareSpare() error {
	s.mu.Lock()
	id := s.numberSegment()
	var old *segment
	if i := slices.IndexFunc(s.retired, s.recyclable); i >= 0 {
		old = s.retired[i]
		s.retired = slices.Delete(s.retired, i, i+1)
	}
	s.mu.Unlock()
	seg := &segment{id: id, path: s.segmentPath(id, segmentExt), room: s.opt.SegmentSize}
	var err error
	if old != nil {
		err = s.recycle(old, seg)
	} else {
		err = s.preallocate(seg)
	}
	for err == nil {
		s.mu.Lock()
		if s.stats.plain || s.newest < seg.id {
			if !s.stats.plain {
				s.spare = seg
			}
			s.mu.Unlock()
			return nil
		}
		// The log went on without it meanwhile. Segments are told apart by age
		// by their names, so it needs a newer one.
		seg.id = s.numberSegment()
		s.mu.Unlock()
		newer := s.segmentPath(seg.id, segmentExt)
		if err = s.fs.Rename(seg.path, newer); err == nil {
			seg.path = newer
			err = owner.SyncDir(s.fs, s.dir)
		}
	}
	s.mu.Lock()
	s.keeper.noSpare = s.tail
	s.mu.Unlock()
	return errors.Join(err, seg.closeWriters(), s.discard(s.fs, seg.path))
}

// recycle gives the file of a retired segment to a new one. What it still holds
// carries the old name in every head and cannot be taken for anything newer.
func (s *Store) recycle(old, seg *segment) error {
	s.closeSegment(old)
	if err := s.discard(s.fs, s.segmentPath(old.id, hintExt)); err != nil {
		return err
	}
	if err := s.fs.Rename(old.path, seg.path); err != nil {
		return err
	}
	return owner.SyncDir(s.fs, s.dir)
}

func (s *Store) preallocate(seg *segment) error {
	f, err := s.fs.OpenFile(seg.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	if !canSyncData(f) {
		s.mu.Lock()
		s.stats.plain = true
		s.mu.Unlock()
		return errors.Join(f.Close(), s.discard(s.fs, seg.path))
	}
	seg.keepWriter("", f)
	zero := make([]byte, min(windowLen, seg.room))
	for off := int64(0); off < seg.room; off += int64(len(zero)) {
		if err := writeParts(f, off, zero[:min(int64(len(zero)), seg.room-off)], nil); err != nil {
			return err
		}
		if err := syncData(f); err != nil { // little at a time, so that no save waits for all of it
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return owner.SyncDir(s.fs, s.dir)
}

// unlinkRetired removes the files of one segment that nobody reads any more.
func (s *Store) unlinkRetired() bool {
	s.mu.Lock()
	var seg *segment
	if i := slices.IndexFunc(s.retired, func(x *segment) bool { return x.pins == 0 }); i >= 0 {
		seg = s.retired[i]
		s.retired = slices.Delete(s.retired, i, i+1)
	}
	s.mu.Unlock()
	if seg == nil {
		return false
	}
	s.closeSegment(seg)
	err := s.discard(s.fs, s.segmentPath(seg.id, hintExt))
	if seg.damaged {
		err = errors.Join(err, s.fs.Rename(seg.path, seg.path+quarantineExt))
	} else {
		err = errors.Join(err, s.discard(s.fs, seg.path))
	}
	if err != nil { // the next open tries again
		s.log.Warn("log could not remove a segment that is empty", "file", seg.path, "error", err)
	}
	return true
}

// closeSegment closes the handles of a segment that is out of the log.
func (s *Store) closeSegment(seg *segment) {
	s.mu.Lock()
	var open []afero.File
	for _, f := range seg.writers {
		open = append(open, f)
	}
	open = append(open, seg.readers...)
	seg.writers, seg.readers = nil, nil
	s.mu.Unlock()
	for _, f := range open {
		_ = f.Close()
	}
}
