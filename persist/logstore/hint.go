package logstore

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist"
)

// A hint is a copy of the heads and tables of a segment, so that opening need
// not read the records. It is never the only place where anything is: one that
// is missing or damaged costs time and nothing else.
const (
	hintMagic   = "ULHT"
	hintVersion = 1
	hintHead    = 28
)

// writeHint writes the hint of a segment that will not grow any more. Only the
// keeper and Close call it.
func (s *Store) writeHint(seg *segment) error {
	b := make([]byte, hintHead, hintHead+len(seg.heads)+4)
	copy(b, hintMagic)
	le.PutUint16(b[4:], hintVersion)
	le.PutUint64(b[8:], uint64(seg.id))
	le.PutUint32(b[16:], uint32(seg.end))
	le.PutUint32(b[20:], uint32(len(seg.heads)))
	le.PutUint32(b[24:], crc32.Checksum(b[:24], castagnoli))
	b = append(b, seg.heads...)
	b = le.AppendUint32(b, crc32.Checksum(seg.heads, castagnoli))

	path := s.segmentPath(seg.id, hintExt)
	f, err := s.fs.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write a hint: %w", err)
	}
	n, err := f.WriteAt(b, 0)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write a hint: %w", errors.Join(err, s.discard(s.fs, path)))
	}
	return nil
}

// readHint returns the heads and tables in the hint of a segment, and the end
// of the segment that it describes. ok is false if there is no hint that can
// be trusted.
func readHint(fsys afero.Fs, path string, id segID) (heads []byte, end int64, ok bool) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, 0, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < hintHead+4 || info.Size() > maxFrame {
		return nil, 0, false
	}
	b := make([]byte, info.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, 0, false
	}
	if string(b[:4]) != hintMagic || crc32.Checksum(b[:24], castagnoli) != le.Uint32(b[24:]) ||
		le.Uint16(b[4:]) != hintVersion || segID(le.Uint64(b[8:])) != id || int(le.Uint32(b[20:])) != len(b)-hintHead-4 {
		return nil, 0, false
	}
	heads = b[hintHead : len(b)-4]
	if crc32.Checksum(heads, castagnoli) != le.Uint32(b[len(b)-4:]) {
		return nil, 0, false
	}
	return heads, int64(le.Uint32(b[16:])), true
}

// frameTable is a frame's head with its table.
type frameTable struct {
	head
	table []byte
}

// eachHead calls f with every frame in a list of heads and tables. It returns
// false if the list does not parse; f may have been called by then.
func eachHead(heads []byte, f func(frameTable) bool) bool {
	for len(heads) > 0 {
		h, ok, err := parseHead(heads)
		if !ok || err != nil || len(heads) < headLen+int(h.table) {
			return false
		}
		if !f(frameTable{h, heads[headLen:][:h.table]}) {
			return false
		}
		heads = heads[headLen+h.table:]
	}
	return true
}

// replay applies the rows of a segment. What is in it must parse: the checksums
// over it matched.
func (s *Store) replay(seg *segment, heads []byte) error {
	var bad *head
	eachHead(heads, func(f frameTable) bool {
		if f.kind != kindCommit && f.kind != kindMove {
			return true
		}
		for r, ok := range f.rows(f.table) {
			if !ok || len(r.key) == 0 || r.version == 0 {
				bad = &f.head
				return false
			}
			s.replayRow(seg, &r)
		}
		return true
	})
	if bad != nil {
		return &persist.CorruptError{
			Place:  fmt.Sprintf("%s at byte %d", seg.path, bad.off),
			Reason: "a frame with a matching checksum has a table that does not parse",
		}
	}
	return nil
}
