package logstore

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/internal/owner"
)

// group is what is written and synced together.
//
// Groups follow one another strictly: each is durable before the next is
// written. The first request of a group leads it: at once if nobody leads, else
// when the leader before it hands over. The leader lets others join, writes,
// syncs, settles everybody and hands over to the group that has queued
// meanwhile. A lone saver therefore does all on its own goroutine.
type group struct {
	reqs    []*request
	parts   [][]byte // what to write, back to back
	size    int64
	ownTail bool          // the last part is a buffer of the group's, not a request's
	settled chan struct{} // closed when it is settled; nil as long as only the leader is in it
}

const (
	maxGroup   = 16 << 20 // bytes; one request may be larger
	keepBuffer = 4 << 20
)

// groupFor returns the group that a request of n bytes joins. The caller holds
// mu.
func (s *Store) groupFor(n int64) *group {
	if k := len(s.pending); k > 0 {
		g := s.pending[k-1]
		if g.size+n <= min(maxGroup, s.opt.SegmentSize/2) {
			return g
		}
	}
	g := s.freeGroup
	if g == nil {
		g = &group{}
	}
	s.freeGroup = nil
	s.pending = append(s.pending, g)
	return g
}

// tailPart is the part that the next head goes to.
func (g *group) tailPart() int {
	if !g.ownTail {
		g.parts = append(g.parts, nil)
		g.ownTail = true
	}
	return len(g.parts) - 1
}

// reset empties g for another use, keeping a buffer of moderate size.
func (g *group) reset() {
	clear(g.reqs)
	g.reqs, g.size, g.ownTail, g.settled = g.reqs[:0], 0, false, nil
	if len(g.parts) > 0 && cap(g.parts[0]) <= keepBuffer {
		first := g.parts[0][:0]
		clear(g.parts)
		g.parts, g.ownTail = append(g.parts[:0], first), true
		return
	}
	clear(g.parts)
	g.parts = g.parts[:0]
}

// pace lets others join the next group until nobody does. It costs a lone saver
// nothing worth measuring, and where many save at once it is what makes groups
// large.
func (s *Store) pace() {
	if s.opt.Yield != nil {
		s.opt.Yield("logstore.pace")
		return
	}
	for n := s.queued.Load(); ; {
		runtime.Gosched()
		m := s.queued.Load()
		if m == n {
			return
		}
		n = m
	}
}

// lead writes the oldest pending group, which r is the first of, and settles it.
func (s *Store) lead(r *request) {
	s.pace()
	s.mu.Lock()
	g := s.pending[0]
	n := copy(s.pending, s.pending[1:])
	s.pending[n] = nil
	s.pending = s.pending[:n]
	failed := s.failed
	s.mu.Unlock()
	s.queued.Add(-int64(len(g.reqs)))

	var where spot
	var err error
	if failed != nil {
		err = failed
	} else {
		where, err = s.write(g, persist.Caller(r.ctx))
	}

	s.mu.Lock()
	if err == nil {
		s.settle(g, where)
	} else {
		s.abandon(g, err)
	}
	if s.settled != nil {
		close(s.settled)
		s.settled = nil
	}
	var next *request
	if len(s.pending) > 0 {
		next = s.pending[0].reqs[0]
	} else {
		s.leading = false
	}
	work := s.wantsKeeper()
	s.mu.Unlock()
	if work {
		s.kick()
	}
	if next != nil {
		next.wake <- struct{}{}
	}
	if g.settled != nil {
		close(g.settled)
	}
	g.reset()
	s.mu.Lock()
	s.freeGroup = g
	s.mu.Unlock()
}

// spot is where a group was written.
type spot struct {
	seg    *segment
	off    int64
	header []byte // written before it, where it begins the segment
}

// errNothingDone marks an error after which the log is as it was before.
var errNothingDone = errors.New("nothing was written")

// write makes g durable and checks that the log is still ours. Only the leader
// calls it. An error that wraps errNothingDone has left nothing behind; after
// any other the group may be found by the next open, or not.
func (s *Store) write(g *group, who string) (spot, error) {
	at, err := s.placeFor(g, who)
	if err != nil {
		return spot{}, fmt.Errorf("begin a segment: %w: %w", errNothingDone, err)
	}
	f, err := s.writer(at.seg, who)
	if err != nil {
		return spot{}, fmt.Errorf("open %s for writing: %w: %w", at.seg.path, errNothingDone, err)
	}
	start, off := at.off, at.off
	if at.header != nil {
		placeFrame(at.header, at.seg.id, 0, 0)
		off = int64(len(at.header))
		at.off = off
	}
	for _, r := range g.reqs {
		placeFrame(g.parts[r.part][r.pos:], at.seg.id, off+r.at, start)
	}
	err = writeParts(f, start, at.header, g.parts)
	if err == nil {
		err = syncData(f)
		if err != nil {
			return at, fmt.Errorf("sync %s: %w", at.seg.path, err)
		}
		if err = s.owner.Check(s.fsFor(who)); err == nil {
			at.seg.noteHeads(g, at.header)
		}
		return at, err
	}
	err = fmt.Errorf("write %s: %w", at.seg.path, err)
	if !isFull(err) {
		return at, err
	}
	// No room. If what did arrive can be taken back for good, nothing happened.
	if cut := errors.Join(f.Truncate(start), f.Sync()); cut != nil {
		return at, errors.Join(err, fmt.Errorf("take back what was written: %w", cut))
	}
	s.mu.Lock()
	at.seg.room = 0
	s.mu.Unlock()
	return at, fmt.Errorf("%w: %w", errNothingDone, err)
}

func writeParts(f afero.File, off int64, hdr []byte, parts [][]byte) error {
	for i := -1; i < len(parts); i++ {
		p := hdr
		if i >= 0 {
			p = parts[i]
		}
		if len(p) == 0 {
			continue
		}
		n, err := f.WriteAt(p, off)
		if err == nil && n < len(p) {
			err = fmt.Errorf("only %d of %d bytes were taken", n, len(p))
		}
		if err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}

// placeFor says where g goes. Where that is a new segment, a header is to be
// written with it; the two are then one group.
func (s *Store) placeFor(g *group, who string) (spot, error) {
	s.mu.Lock()
	t := s.tail
	switch {
	case t.end == 0: // a segment whose first group found no room
		hdr := s.headerFrame(t)
		s.mu.Unlock()
		return spot{t, 0, hdr}, nil
	case t.end+g.size <= s.tailLimit(t):
		at := spot{t, t.end, nil}
		s.mu.Unlock()
		return at, nil
	}
	next := s.spare
	s.spare = nil
	var id segID
	if next == nil {
		id = s.numberSegment()
		s.newest = id
	} else {
		s.newest = next.id
	}
	s.mu.Unlock()
	if next == nil {
		var err error
		if next, err = s.createSegment(id, who); err != nil {
			return spot{}, err
		}
	}
	s.mu.Lock()
	s.addSegment(next)
	s.tail = next
	hdr := s.headerFrame(next)
	s.mu.Unlock()
	return spot{next, 0, hdr}, nil
}

// tailLimit is the length up to which the tail is filled. One that grows by
// appending gives way early to a preallocated one. The caller holds mu.
func (s *Store) tailLimit(t *segment) int64 {
	if s.spare != nil && t.room == 0 && s.spare.room > 0 {
		return min(spareAfter, s.opt.SegmentSize)
	}
	return s.opt.SegmentSize
}

// headerFrame is the header of next: all that is live besides it. The caller
// holds mu.
func (s *Store) headerFrame(next *segment) []byte {
	lines := make([]liveSegment, 0, len(s.live))
	for _, seg := range s.live {
		if seg != next {
			lines = append(lines, liveSegment{id: seg.id, end: uint32(seg.end), damaged: seg.damaged})
		}
	}
	return buildFrame(kindHeader, appendHeaderTable(nil, s.nextVersion, lines))
}

// abandon settles a group that failed. The caller holds mu.
func (s *Store) abandon(g *group, err error) {
	known := err == s.failed || errors.Is(err, errNothingDone)
	if !known {
		s.fail(err)
	}
	for _, r := range g.reqs {
		r.err = err
		if !known {
			r.err = unknown(err)
		}
		for i := range r.rows {
			if r.kind == kindCommit {
				s.giveUp(r.ids[i], !known)
			}
		}
	}
	for _, r := range g.reqs {
		if !known {
			for _, seg := range r.drop {
				seg.stuck = true
			}
		}
	}
}

// fail ends all writing until the store is opened again. The caller holds mu.
func (s *Store) fail(err error) {
	if errors.Is(err, persist.ErrFenced) {
		s.failed = err
	} else {
		s.failed = fmt.Errorf("%w: %w", persist.ErrStoreFailed, err)
	}
	s.log.Error("log takes no more commits until it is opened again", "dir", s.dir, "error", err)
}

// sealTail ends the log in good order. The store is closed and nobody leads.
func (s *Store) sealTail() error {
	if s.failed != nil {
		return nil
	}
	t := s.tail
	err := func() error {
		if err := s.owner.Check(s.fs); err != nil {
			return err
		}
		if t.end == 0 || t.end+headLen > maxFrame {
			return nil
		}
		f, err := s.writer(t, "")
		if err != nil {
			return err
		}
		seal := buildFrame(kindSeal, nil)
		placeFrame(seal, t.id, t.end, t.end)
		if err := errors.Join(writeParts(f, t.end, seal, nil), syncData(f)); err != nil {
			return err
		}
		t.heads = append(t.heads, seal[:headLen]...)
		t.end += int64(len(seal))
		if t.room > t.end {
			if err := f.Truncate(t.end); err != nil {
				return err
			}
		}
		if err := s.writeHint(t); err != nil {
			return err
		}
		if s.spare != nil {
			return s.discard(s.fs, s.spare.path)
		}
		return nil
	}()
	if errors.Is(err, persist.ErrFenced) {
		return nil // it is not ours to seal
	}
	if err == nil {
		return owner.SyncDir(s.fs, s.dir)
	}
	return fmt.Errorf("seal the log: %w", err)
}
