package logstore

import (
	"slices"
	"strings"

	"github.com/understudy-go/understudy/persist"
)

// settle makes what a durable group says true. The caller holds mu.
func (s *Store) settle(g *group, at spot) {
	seg := at.seg
	for _, r := range g.reqs {
		table := le.Uint32(g.parts[r.part][r.pos+20:])
		recs := at.off + r.at + headLen + int64(table)
		for i := range r.rows {
			r.rows[i].off += uint32(recs)
			switch r.kind {
			case kindCommit:
				s.settleChange(seg, r.ids[i], &r.rows[i])
			case kindMove:
				s.settleMove(seg, r, i)
			}
		}
		for _, old := range r.drop {
			s.settleDrop(old)
		}
	}
	seg.end = at.off + g.size
	s.stats.groups++
	s.stats.frames += uint64(len(g.reqs))
	s.stats.written += uint64(g.size)
}

// noteHeads copies the heads and tables of a durable group for the hint. The
// segment is the tail, of which these belong to the leader.
func (seg *segment) noteHeads(g *group, header []byte) {
	if header != nil {
		seg.heads = append(seg.heads, header[:headLen+le.Uint32(header[20:])]...)
	}
	for _, r := range g.reqs {
		b := g.parts[r.part][r.pos:]
		seg.heads = append(seg.heads, b[:headLen+le.Uint32(b[20:])]...)
	}
}

// settleChange applies a change that is newer than all before.
func (s *Store) settleChange(seg *segment, id uint32, r *row) {
	e := s.index.at(id)
	e.flags &^= entryBusy | entryUnknown
	existed := e.exists()
	e.rows++
	s.addRow(seg, id, r)
	if exists := e.exists(); exists != existed {
		s.reorder(id, exists)
	}
}

// reorder notes that a key came into being or ceased to exist.
func (s *Store) reorder(id uint32, exists bool) {
	if exists {
		s.index.count++
	} else {
		s.index.count--
	}
	switch {
	case s.order == nil:
	case exists:
		s.order.insert(s.index, id)
	default:
		s.order.remove(s.index, id)
	}
}

// giveUp settles a change that did not happen, or of which nobody knows whether
// it did. The caller holds mu.
func (s *Store) giveUp(id uint32, unknown bool) {
	e := s.index.at(id)
	e.flags &^= entryBusy
	switch {
	case unknown:
		e.flags |= entryUnknown
	case e.rows == 0:
		s.index.remove(id)
	}
}

// addRow lets the entry know of one more row for its key, in any order of
// versions: the newest decides, up to Options.Keep before it are kept, and what
// is superseded or deleted no longer counts as used in its segment.
func (s *Store) addRow(seg *segment, id uint32, r *row) {
	e := s.index.at(id)
	p := place{slot: seg.slot, off: r.off, size: r.size, sum: r.sum}
	switch {
	case r.version == e.version: // a copy made by compaction
		s.release(e.key, e.place, e.flags&entryIdle != 0)
		e.place, e.flags = p, e.flags&^entryIdle
		seg.used += r.cost()
	case r.version > e.version:
		old := generation{version: e.version, birth: e.flags&entryBirth != 0, place: e.place}
		idle := e.flags&entryIdle != 0
		e.version, e.place = r.version, p
		e.flags &^= entryIdle | entryBirth
		if r.birth {
			e.flags |= entryBirth
		}
		seg.used += r.cost()
		if s.opt.Keep > 0 && old.version != 0 {
			s.keepOlder(id, old, idle)
		} else if old.version != 0 {
			s.release(e.key, old.place, idle)
		}
	case s.opt.Keep > 0:
		seg.used += r.cost()
		s.keepOlder(id, generation{version: r.version, birth: r.birth, place: p}, false)
	}
	s.checkIdle(e)
}

// checkIdle takes a delete out of what is used when there is no older row left
// that it hides.
func (s *Store) checkIdle(e *entry) {
	if e.version != 0 && e.size == 0 && e.rows <= 1 && e.flags&entryIdle == 0 {
		e.flags |= entryIdle
		s.slots[e.slot].used -= rowCost(e.key, 0)
	} else if e.flags&entryIdle != 0 && e.rows > 1 {
		e.flags &^= entryIdle
		s.slots[e.slot].used += rowCost(e.key, 0)
	}
}

// release takes a place out of what is used, unless it was already.
func (s *Store) release(key persist.Key, p place, idle bool) {
	if !idle {
		s.slots[p.slot].used -= rowCost(key, p.size)
	}
}

// keepOlder sorts g in among the older generations of an entry and releases
// those that are of an earlier life or too many.
func (s *Store) keepOlder(id uint32, g generation, idle bool) {
	e := s.index.at(id)
	list := s.index.older[id]
	i, same := slices.BinarySearchFunc(list, g.version, func(x generation, v uint64) int {
		switch { // newest first
		case x.version > v:
			return -1
		case x.version < v:
			return +1
		}
		return 0
	})
	if same {
		s.release(e.key, list[i].place, false)
		list[i] = g
	} else {
		list = slices.Insert(list, i, g)
	}
	keep := 0
	ended := e.size == 0 || e.flags&entryBirth != 0
	for keep < len(list) && keep < s.opt.Keep && !ended && list[keep].size != 0 {
		ended = list[keep].birth
		keep++
	}
	for _, gone := range list[keep:] {
		s.release(e.key, gone.place, idle && gone.version == g.version)
	}
	if list = slices.Delete(list, keep, len(list)); len(list) == 0 {
		delete(s.index.older, id)
	} else {
		s.index.older[id] = list
	}
}

// settleMove points what still lies where compaction found it at the copy.
func (s *Store) settleMove(seg *segment, r *request, i int) {
	w := &r.rows[i]
	id, ok := s.index.find(w.key)
	if !ok {
		return // the key was deleted and forgotten meanwhile
	}
	e := s.index.at(id)
	e.rows++
	p := place{slot: seg.slot, off: w.off, size: w.size, sum: w.sum}
	switch {
	case e.version == w.version && e.place == r.from[i]:
		s.release(e.key, e.place, e.flags&entryIdle != 0)
		e.place, e.flags = p, e.flags&^entryIdle
		seg.used += w.cost()
	default:
		for j := range s.index.older[id] {
			if g := &s.index.older[id][j]; g.version == w.version && g.place == r.from[i] {
				s.release(e.key, g.place, false)
				g.place = p
				seg.used += w.cost()
			}
		}
	}
	s.checkIdle(e)
}

// settleDrop takes a segment that holds nothing of use out of the log. Its rows
// are still counted, and it keeps its slot, until compaction has forgotten them.
func (s *Store) settleDrop(seg *segment) {
	s.live = slices.DeleteFunc(s.live, func(x *segment) bool { return x == seg })
	s.stats.dropped++
}

// retire gives a dropped segment, whose rows are forgotten, to the keeper to be
// unlinked. The caller holds mu.
func (s *Store) retire(seg *segment) {
	s.slots[seg.slot] = nil
	s.freeSlots = append(s.freeSlots, seg.slot)
	s.retired = append(s.retired, seg)
}

// forgetRow takes back one row of a segment that is being dropped.
func (s *Store) forgetRow(key persist.Key) {
	id, ok := s.index.find(key)
	if !ok {
		return
	}
	e := s.index.at(id)
	e.rows--
	if e.rows > 0 {
		s.checkIdle(e)
		return
	}
	if e.flags&entryBusy == 0 {
		s.index.remove(id)
		return
	}
	flags := e.flags & entryBusy
	*e = entry{key: e.key, flags: flags} // it waits for its birth
}

// replayRow applies a row that recovery found.
func (s *Store) replayRow(seg *segment, r *row) {
	id, ok := s.index.find(r.key)
	if !ok {
		r.key = persist.Key(strings.Clone(string(r.key)))
		id = s.index.add(r.key)
	}
	e := s.index.at(id)
	existed := e.exists()
	e.rows++
	s.addRow(seg, id, r)
	if exists := e.exists(); exists != existed {
		s.reorder(id, exists)
	}
	s.nextVersion = max(s.nextVersion, r.version+1)
}
