package logstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist"
)

// Progress is how far a long operation has come.
type Progress struct {
	Done, Total int64 // bytes, or 0 in Total where that is not known
	Keys        int64 // keys handled so far
}

// Report is what [Verify] found.
type Report struct {
	Segments int
	Frames   int
	Records  int   // all that were checked, superseded ones too
	Bytes    int64 // read
	Keys     int   // that exist
	CutBytes int64 // of a torn tail, which the next open will give up
	// Damage is everything that is damaged: a place and, where it is known, a
	// key. Damage to superseded records is in it as well.
	Damage []*persist.CorruptError
}

// Verify reads every frame and every record of the log in dir and checks all of
// it. It changes nothing and takes no lock: it is for a log that nobody has
// open. progress, if not nil, is called after each segment.
//
// Damage is in the report and is no error. Errors are those of the filesystem,
// of the context, and persist.ErrTooNew.
func Verify(ctx context.Context, fsys afero.Fs, dir string, progress func(Progress)) (*Report, error) {
	s, err := newStore(fsys, dir, nil)
	if err != nil {
		return nil, fmt.Errorf("verify log: %w", err)
	}
	rep := &Report{}
	if err := s.verify(ctx, rep, progress); err != nil {
		return nil, fmt.Errorf("verify log %s: %w", s.dir, err)
	}
	return rep, nil
}

func (s *Store) verify(ctx context.Context, rep *Report, progress func(Progress)) error {
	files, err := s.listFiles()
	if err != nil {
		return err
	}
	files.hints = nil // the segments themselves are what counts
	t, err := s.findNewest(files)
	var damage *persist.CorruptError
	if errors.As(err, &damage) {
		s.damage = append(s.damage, damage)
	} else if err != nil {
		return err
	}
	var total, done int64
	if t != nil {
		rep.CutBytes = t.scan.cut
		for _, seg := range t.live {
			total += seg.end
		}
		for _, seg := range t.live {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.loadSegment(seg, t, files); errors.As(err, &damage) {
				s.damage = append(s.damage, damage)
			} else if err != nil {
				return err
			}
			if err := s.verifyRecords(seg, rep); err != nil {
				return err
			}
			done += seg.end
			if progress != nil {
				progress(Progress{Done: done, Total: total, Keys: int64(s.index.count)})
			}
		}
	}
	rep.Bytes, rep.Keys, rep.Damage = done, s.index.count, s.damage
	return nil
}

// verifyRecords checks every record of a segment that was loaded.
func (s *Store) verifyRecords(seg *segment, rep *Report) error {
	f, err := s.fs.Open(seg.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // reported already
	}
	if err != nil {
		return err
	}
	defer f.Close()
	rep.Segments++
	w := &window{f: f, size: seg.end}
	eachHead(seg.heads, func(frameTable) bool { rep.Frames++; return true })
	eachRow(seg.heads, func(r *row) bool {
		if r.size == 0 {
			return true
		}
		var b []byte
		if b, err = w.at(int64(r.off), int(r.size)); err != nil {
			return false
		}
		rep.Records++
		at := func() string { return fmt.Sprintf("%s at byte %d", filepath.Base(seg.path), r.off) }
		if len(b) < int(r.size) {
			s.damage = append(s.damage, &persist.CorruptError{Key: r.key, Place: at(), Reason: "it ends early"})
			return true
		}
		var damage *persist.CorruptError
		if _, bad := decode(b, r.key, r.sum, at); errors.As(bad, &damage) {
			s.damage = append(s.damage, damage)
		}
		return true
	})
	return err
}
