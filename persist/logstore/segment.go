package logstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist/internal/owner"
)

const (
	segmentExt    = ".log"
	hintExt       = ".hint"
	quarantineExt = ".damaged"
)

// segment is one file of the log.
type segment struct {
	id   segID
	slot uint32
	path string

	// Guarded by Store.mu.
	end     int64  // the bytes that count; grows in the tail alone
	room    int64  // the length it was preallocated to, 0 if it grows by appending
	used    int64  // what its rows cost that are neither superseded nor deleted
	heads   []byte // the heads and tables of its frames, for its hint; nil once that is written
	hinted  bool
	pins    int  // readers that may still look into it
	stuck   bool // a record that is live in it cannot be read, so it stays
	damaged bool // it is kept under another name when nothing in it is live any more

	writers map[string]afero.File // by caller; "" where callers are not told apart
	readers []afero.File          // idle
	shared  bool                  // a handle may serve several readers at once
}

// segmentName parses the name of a segment or hint file.
func segmentName(name, ext string) (segID, bool) {
	stem, ok := strings.CutSuffix(name, ext)
	if !ok || len(stem) != 17 || stem[8] != '-' || strings.ToLower(stem) != stem {
		return 0, false
	}
	epoch, err1 := strconv.ParseUint(stem[:8], 16, 32)
	number, err2 := strconv.ParseUint(stem[9:], 16, 32)
	return newSegID(epoch, uint32(number)), err1 == nil && err2 == nil
}

func (s *Store) segmentPath(id segID, ext string) string {
	return filepath.Join(s.dir, id.String()+ext)
}

// writer returns the caller's handle on the segment for writing, opening it if
// need be. Only the leader calls it.
func (s *Store) writer(seg *segment, who string) (afero.File, error) {
	if _, ok := s.fs.(interface{ As(who string) afero.Fs }); !ok {
		who = ""
	}
	if f := seg.writers[who]; f != nil {
		return f, nil
	}
	f, err := s.fsFor(who).OpenFile(seg.path, os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	seg.keepWriter(who, f)
	return f, nil
}

func (seg *segment) keepWriter(who string, f afero.File) {
	if seg.writers == nil {
		seg.writers = map[string]afero.File{}
	}
	seg.writers[who] = f
}

// closeWriters ends writing to the segment.
func (seg *segment) closeWriters() error {
	var errs []error
	for _, f := range seg.writers {
		errs = append(errs, f.Close())
	}
	seg.writers = nil
	return errors.Join(errs...)
}

// reader returns a handle for reading, which nobody else uses unless the
// segment's handles may be shared, and a function that gives it back. The
// caller has pinned the segment.
func (s *Store) reader(seg *segment, who string) (afero.File, func(), error) {
	if _, ok := s.fs.(interface{ As(who string) afero.Fs }); ok && who != "" {
		f, err := s.fsFor(who).Open(seg.path)
		if err != nil {
			return nil, nil, err
		}
		return f, func() { _ = f.Close() }, nil
	}
	s.mu.Lock()
	if n := len(seg.readers); n > 0 {
		f := seg.readers[n-1]
		if !seg.shared {
			seg.readers = seg.readers[:n-1]
		}
		s.mu.Unlock()
		return f, func() { s.putReader(seg, f) }, nil
	}
	s.mu.Unlock()
	f, err := s.fs.Open(seg.path)
	if err != nil {
		return nil, nil, err
	}
	// An *os.File reads with pread and is safe to share. afero.MemMapFs moves
	// the handle's cursor even in ReadAt.
	_, os := f.(interface{ Fd() uintptr })
	s.mu.Lock()
	defer s.mu.Unlock()
	if os && seg.readers == nil {
		seg.shared = true
		seg.readers = append(seg.readers, f)
		return f, func() {}, nil
	}
	return f, func() { s.putReader(seg, f) }, nil
}

func (s *Store) putReader(seg *segment, f afero.File) {
	const idle = 4
	s.mu.Lock()
	if !seg.shared && len(seg.readers) < idle {
		seg.readers = append(seg.readers, f)
		s.mu.Unlock()
		return
	}
	keep := seg.shared && len(seg.readers) > 0 && seg.readers[0] == f
	s.mu.Unlock()
	if !keep {
		_ = f.Close()
	}
}

// pin keeps the segment's file from being unlinked or reused. The caller holds
// mu, and calls unpin later.
func (seg *segment) pin() { seg.pins++ }

func (s *Store) unpin(seg *segment) {
	s.mu.Lock()
	seg.pins--
	wake := seg.pins == 0 && len(s.retired) > 0
	s.mu.Unlock()
	if wake {
		s.kick()
	}
}

// closeFiles closes every handle. Errors of closing say nothing about what was
// synced before.
func (s *Store) closeFiles() {
	s.mu.Lock()
	var open []afero.File
	segs := append(append([]*segment(nil), s.live...), s.retired...)
	if s.spare != nil {
		segs = append(segs, s.spare)
	}
	for _, seg := range segs {
		for _, f := range seg.writers {
			open = append(open, f)
		}
		open = append(open, seg.readers...)
		seg.writers, seg.readers = nil, nil
	}
	s.mu.Unlock()
	for _, f := range open {
		_ = f.Close()
	}
}

// addSegment puts a segment into a slot and at the end of the live ones. The
// caller holds mu, or is alone.
func (s *Store) addSegment(seg *segment) {
	if n := len(s.freeSlots); n > 0 {
		seg.slot, s.freeSlots = s.freeSlots[n-1], s.freeSlots[:n-1]
		s.slots[seg.slot] = seg
	} else {
		seg.slot = uint32(len(s.slots))
		s.slots = append(s.slots, seg)
	}
	s.live = append(s.live, seg)
}

// createSegment makes the file of a new segment that grows by appending. Its
// name is durable when it returns.
func (s *Store) createSegment(id segID, who string) (*segment, error) {
	seg := &segment{id: id, path: s.segmentPath(id, segmentExt)}
	fsys := s.fsFor(who)
	f, err := fsys.OpenFile(seg.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := owner.SyncDir(fsys, s.dir); err != nil {
		return nil, errors.Join(err, f.Close(), s.discard(fsys, seg.path))
	}
	if _, ok := s.fs.(interface{ As(who string) afero.Fs }); !ok {
		who = ""
	}
	seg.keepWriter(who, f)
	return seg, nil
}

// discard removes a file that nothing speaks of.
func (s *Store) discard(fsys afero.Fs, path string) error {
	if err := fsys.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// numberSegment gives out the next name. The caller holds mu, or is alone.
func (s *Store) numberSegment() segID {
	id := newSegID(s.owner.Epoch(), s.nextNumber)
	s.nextNumber++
	return id
}
