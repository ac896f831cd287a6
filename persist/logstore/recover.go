package logstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/internal/owner"
)

// Recovery changes nothing that an earlier recovery could need: it reads, makes
// the tail durable, and begins a segment of its own epoch whose header fixes
// what counts. Until that header is durable the next attempt starts from the
// same state; afterwards everything that the header does not name is litter.

// versionGap is how far version numbers jump at each open, so that none that a
// lost tail may have held comes again: more than the rows of the largest segment.
const versionGap = maxSegmentSize / rowLen

// found is the files of a log.
type found struct {
	segments []segID // by age
	hints    map[segID]bool
}

func (s *Store) listFiles() (*found, error) {
	names, err := owner.ReadNames(s.fs, s.dir)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", s.dir, err)
	}
	slices.Sort(names)
	f := &found{hints: map[segID]bool{}}
	for _, name := range names {
		if id, ok := segmentName(name, segmentExt); ok {
			f.segments = append(f.segments, id)
		} else if id, ok := segmentName(name, hintExt); ok {
			f.hints[id] = true
		}
	}
	slices.Sort(f.segments)
	return f, nil
}

// recover reads the log and makes the store ready to write. It runs before
// anybody else can see the store.
func (s *Store) recover() error {
	files, err := s.listFiles()
	if err != nil {
		return err
	}
	newest, err := s.findNewest(files)
	if err != nil {
		return err
	}
	known := map[segID]bool{}
	if newest != nil {
		for _, seg := range newest.live {
			if err := s.loadSegment(seg, newest, files); err != nil {
				return err
			}
			known[seg.id] = true
		}
		if err := s.secureTail(newest); err != nil {
			return err
		}
	}
	s.nextVersion = (s.nextVersion/versionGap + 2) * versionGap
	if len(s.damage) > 0 && s.opt.Damage == Refuse {
		errs := make([]error, len(s.damage))
		for i, d := range s.damage {
			errs[i] = d
		}
		return errors.Join(errs...)
	}
	if err := s.beginEpoch(); err != nil {
		return err
	}
	s.sweep(files, known)
	return nil
}

// tip is the newest segment, which says what else is live.
type tip struct {
	live   []*segment // by age, the newest last
	newest *segment
	scan   scanned
	hinted bool
}

// findNewest finds the newest segment that has an intact header. A newer one
// without was being prepared when its owner ended; if it nevertheless holds
// frames that prove that its header was once durable, that is damage.
func (s *Store) findNewest(files *found) (*tip, error) {
	for i := len(files.segments) - 1; i >= 0; i-- {
		id := files.segments[i]
		sc, hinted, err := s.scanNewest(id, files)
		if err != nil {
			return nil, err
		}
		s.damage = append(s.damage, sc.damage...)
		t := &tip{newest: &segment{id: id, path: s.segmentPath(id, segmentExt), end: sc.end}, scan: sc, hinted: hinted}
		var bad error
		ok := false
		dropped := map[segID]bool{}
		eachHead(sc.heads, func(f frameTable) bool {
			switch {
			case f.kind == kindHeader && f.off == 0:
				next, lines, parsed := parseHeaderTable(f.table)
				if !parsed {
					bad = &persist.CorruptError{Place: t.newest.path, Reason: "its header has a matching checksum and does not parse"}
					return false
				}
				ok = true
				s.nextVersion = max(s.nextVersion, next)
				for _, l := range lines {
					t.live = append(t.live, &segment{id: l.id, path: s.segmentPath(l.id, segmentExt), end: int64(l.end), damaged: l.damaged})
				}
			case f.kind == kindDrop:
				for b := f.table; len(b) >= 8; b = b[8:] {
					dropped[segID(le.Uint64(b))] = true
				}
			}
			return true
		})
		if bad != nil {
			return nil, bad
		}
		if !ok {
			if len(sc.damage) > 0 {
				s.quarantine(t.newest.path)
			}
			continue
		}
		t.newest.damaged = len(sc.damage) > 0
		t.live = slices.DeleteFunc(t.live, func(seg *segment) bool { return dropped[seg.id] })
		t.live = append(t.live, t.newest)
		return t, nil
	}
	return nil, nil
}

// scanNewest reads the newest segment, from its hint if that says that it was
// sealed, else frame by frame.
func (s *Store) scanNewest(id segID, files *found) (sc scanned, hinted bool, err error) {
	if files.hints[id] {
		if heads, end, ok := readHint(s.fs, s.segmentPath(id, hintExt), id); ok {
			sc := scanned{end: end, heads: heads}
			if eachHead(heads, func(f frameTable) bool { sc.sealed = f.kind == kindSeal; return true }) && sc.sealed {
				return sc, true, nil
			}
		}
	}
	sc, err = s.scanFile(id, -1)
	return sc, false, err
}

func (s *Store) scanFile(id segID, limit int64) (scanned, error) {
	path := s.segmentPath(id, segmentExt)
	f, err := s.fs.Open(path)
	if err != nil {
		return scanned{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return scanned{}, err
	}
	return scanSegment(f, info.Size(), id, path, limit)
}

// loadSegment puts a live segment into the index. The newest was scanned
// already.
func (s *Store) loadSegment(seg *segment, t *tip, files *found) error {
	var heads []byte
	if seg == t.newest {
		heads, seg.hinted = t.scan.heads, t.hinted
		if !seg.hinted {
			seg.heads = heads
		}
	} else if files.hints[seg.id] {
		if h, end, ok := readHint(s.fs, s.segmentPath(seg.id, hintExt), seg.id); ok && end == seg.end {
			heads, seg.hinted = h, true
		}
	}
	if heads == nil {
		limit := seg.end
		sc, err := s.scanFile(seg.id, limit)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			s.damage = append(s.damage, &persist.CorruptError{Place: seg.path, Reason: "the file is missing"})
			return nil
		case err != nil:
			return err
		}
		if len(sc.damage) > 0 && !seg.damaged {
			s.damage = append(s.damage, sc.damage...)
			seg.damaged = true
		}
		heads, seg.heads = sc.heads, sc.heads
	}
	s.addSegment(seg)
	return s.replay(seg, heads)
}

// secureTail makes what the newest segment says durable: its owner may have
// been killed between a write and its sync, or seen that sync fail, after which
// the kernel calls the pages clean and forgets them. Writing the last group
// again makes them dirty, so that this sync speaks of the medium.
func (s *Store) secureTail(t *tip) error {
	if t.scan.sealed || t.scan.end == 0 {
		return nil
	}
	f, err := s.fs.OpenFile(t.newest.path, os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("secure the tail: %w", err)
	}
	w := &window{f: f, size: t.scan.end}
	err = func() error {
		for off := t.scan.last; off < t.scan.end; {
			b, err := w.at(off, windowLen)
			if err != nil {
				return err
			}
			if err := writeParts(f, off, b, nil); err != nil {
				return err
			}
			off += int64(len(b))
		}
		return f.Sync()
	}()
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("secure the tail of %s: %w", t.newest.path, err)
	}
	if t.scan.cut > 0 {
		s.stats.cut += uint64(t.scan.cut)
		s.log.Info("log had a torn tail, which was never acknowledged", "file", t.newest.path, "at", t.scan.end)
	}
	return nil
}

// beginEpoch writes the header of this owner's first segment and with it fixes
// what counts of the older ones.
func (s *Store) beginEpoch() error {
	seg, err := s.createSegment(s.numberSegment(), "")
	if err != nil {
		return fmt.Errorf("begin a segment: %w", err)
	}
	s.addSegment(seg)
	s.tail, s.newest = seg, seg.id
	hdr := s.headerFrame(seg)
	placeFrame(hdr, seg.id, 0, 0)
	f, err := s.writer(seg, "")
	if err == nil {
		err = errors.Join(writeParts(f, 0, hdr, nil))
	}
	if err == nil {
		err = syncData(f)
	}
	if err == nil {
		err = s.owner.Check(s.fs)
	}
	if err != nil {
		return fmt.Errorf("begin %s: %w", seg.path, err)
	}
	seg.end = int64(len(hdr))
	seg.heads = append(seg.heads, hdr[:headLen+le.Uint32(hdr[20:])]...)
	return nil
}

// sweep removes the files that the new header does not name and cuts what lies
// behind the end of those it does. A file that stays behind for an error costs
// room and nothing else; the next open tries again.
func (s *Store) sweep(files *found, known map[segID]bool) {
	for _, id := range files.segments {
		if known[id] {
			continue
		}
		path := s.segmentPath(id, segmentExt)
		if err := s.discard(s.fs, path); err != nil {
			s.log.Warn("log could not remove a file that is of no use", "file", path, "error", err)
		}
	}
	for _, id := range files.segments {
		if files.hints[id] && known[id] {
			delete(files.hints, id)
		}
	}
	for id := range files.hints {
		if known[id] {
			continue
		}
		path := s.segmentPath(id, hintExt)
		if err := s.discard(s.fs, path); err != nil {
			s.log.Warn("log could not remove a file that is of no use", "file", path, "error", err)
		}
	}
}

// quarantine keeps a file of which nothing can be used under another name.
func (s *Store) quarantine(path string) {
	if s.opt.Damage != Salvage {
		return
	}
	if err := s.fs.Rename(path, path+quarantineExt); err != nil {
		s.log.Warn("log could not put a damaged file aside", "file", path, "error", err)
	}
}
