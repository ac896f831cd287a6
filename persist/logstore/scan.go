package logstore

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/understudy-go/understudy/persist"
)

// window reads a file mostly forwards, in large pieces.
type window struct {
	f    io.ReaderAt
	size int64
	buf  []byte
	off  int64 // of buf
}

const windowLen = 1 << 20

// at returns up to n bytes at off, fewer only at the end of the file. They are
// good until the next call.
func (w *window) at(off int64, n int) ([]byte, error) {
	if rest := w.size - off; int64(n) > rest {
		n = int(max(rest, 0))
	}
	if off >= w.off && off+int64(n) <= w.off+int64(len(w.buf)) {
		return w.buf[off-w.off:][:n], nil
	}
	want := int(min(int64(max(n, windowLen)), w.size-off))
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	w.buf, w.off = w.buf[:want], off
	for read := 0; read < want; {
		m, err := w.f.ReadAt(w.buf[read:], off+int64(read))
		read += m
		if m == 0 || err != nil && read < want {
			w.buf = w.buf[:0]
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return w.buf[:n], nil
}

// scanned is what a scan found in a segment.
type scanned struct {
	end     int64  // behind the last frame that counts
	heads   []byte // the heads and tables of all frames that count
	last    int64  // where the last group begins
	sealed  bool
	cut     int64 // bytes of a torn tail behind end that were given up
	damage  []*persist.CorruptError
	headers int // frames that count
}

// scanner walks the frames of one segment.
type scanner struct {
	w    *window
	id   segID
	path string
	out  scanned
}

// scanSegment reads the frames up to limit, which is the known end of the
// segment, or -1 in the newest one, whose end is to be found.
//
// In the newest segment the bytes of the last group may have been torn: it is
// cut at its first frame that is not whole. A bad spot is told from a torn tail
// by what follows: frames of a later group prove that everything before that
// group had been synced. Errors are those of reading, and ErrTooNew.
func scanSegment(f io.ReaderAt, size int64, id segID, path string, limit int64) (scanned, error) {
	sc := &scanner{w: &window{f: f, size: size}, id: id, path: path}
	end := limit
	if limit < 0 {
		end = size
	} else if size < limit {
		sc.report(size, "the file ends %d bytes early", limit-size)
		end = size
	}
	sc.w.size = end
	for off := int64(0); off < end && !sc.out.sealed; {
		h, table, err := sc.frame(off)
		if err != nil {
			return scanned{}, err
		}
		if table != nil && off+int64(h.size) <= end {
			sc.accept(h, table)
			off = sc.out.end
			continue
		}
		next, err := sc.search(off, limit < 0)
		if err != nil {
			return scanned{}, err
		}
		if next < 0 {
			if limit >= 0 {
				sc.report(off, "no frame can be read here, nor up to the end at %d", end)
			}
			break
		}
		sc.report(off, "no frame can be read here; the next begins at %d", next)
		off = next
	}
	if limit >= 0 {
		sc.out.end = limit
		return sc.out, nil
	}
	err := sc.tear()
	return sc.out, err
}

// frame reads the frame at off. table is nil if there is none that is whole; of
// a frame whose head alone is intact the head is returned.
func (sc *scanner) frame(off int64) (head, []byte, error) {
	b, err := sc.w.at(off, headLen)
	if err != nil {
		return head{}, nil, sc.wrap(err)
	}
	h, ok, err := parseHead(b)
	if !ok || h.seg != sc.id || int64(h.off) != off {
		return head{}, nil, nil
	}
	if err != nil {
		return head{}, nil, sc.wrap(err)
	}
	b, err = sc.w.at(off, headLen+int(h.table))
	if err != nil {
		return head{}, nil, sc.wrap(err)
	}
	if len(b) < headLen+int(h.table) || crc32.Checksum(b[headLen:], castagnoli) != h.tableSum {
		return h, nil, nil
	}
	return h, b[headLen : headLen+h.table : headLen+h.table], nil
}

func (sc *scanner) accept(h head, table []byte) {
	var fixed [headLen]byte
	h.put(fixed[:])
	sc.out.heads = append(append(sc.out.heads, fixed[:]...), table...)
	sc.out.end = int64(h.off) + int64(h.size)
	sc.out.last = int64(h.group)
	sc.out.sealed = h.kind == kindSeal
	sc.out.headers++
}

// search returns the place of the first frame after off. With later set, it
// must be of a group that begins after off. -1 means that there is none.
func (sc *scanner) search(off int64, later bool) (int64, error) {
	first := off
	for off += frameAlign; off+headLen <= sc.w.size; off += frameAlign {
		b, err := sc.w.at(off, headLen)
		if err != nil {
			return 0, sc.wrap(err)
		}
		if b[0] != frameMagic[0] || string(b[:4]) != frameMagic {
			continue
		}
		h, ok, _ := parseHead(b)
		if ok && h.seg == sc.id && int64(h.off) == off && (!later || int64(h.group) > first) {
			return off, nil
		}
	}
	return -1, nil
}

// tear cuts the last group at its first frame that is not whole, unless a seal
// says that all of it was synced.
func (sc *scanner) tear() error {
	if sc.out.sealed {
		return nil
	}
	keep := 0
	for at := 0; at < len(sc.out.heads); {
		h, _, _ := parseHead(sc.out.heads[at:])
		table := sc.out.heads[at+headLen:][:h.table]
		if int64(h.group) == sc.out.last {
			whole, err := sc.whole(&h, table)
			if err != nil {
				return err
			}
			if !whole {
				sc.out.cut = sc.out.end - int64(h.off)
				sc.out.end, sc.out.heads = int64(h.off), sc.out.heads[:keep]
				break
			}
		}
		at += headLen + int(h.table)
		keep = at
	}
	sc.out.last = min(sc.out.last, sc.out.end)
	if sc.out.cut == 0 { // what follows, if anything does, is the rest of a torn write
		b, err := sc.w.at(sc.out.end, headLen)
		if err != nil {
			return sc.wrap(err)
		}
		for _, c := range b {
			if c != 0 {
				sc.out.cut = sc.w.size - sc.out.end
				break
			}
		}
	}
	return nil
}

// whole says whether all records of a frame are intact.
func (sc *scanner) whole(h *head, table []byte) (bool, error) {
	if h.kind != kindCommit && h.kind != kindMove {
		return true, nil
	}
	for r, ok := range h.rows(table) {
		if !ok {
			return false, nil
		}
		if r.size == 0 {
			continue
		}
		b, err := sc.w.at(int64(r.off), int(r.size))
		if err != nil {
			return false, sc.wrap(err)
		}
		if len(b) < int(r.size) || !intactRecord(b, r.sum) {
			return false, nil
		}
	}
	return true, nil
}

func (sc *scanner) report(off int64, format string, args ...any) {
	sc.out.damage = append(sc.out.damage, &persist.CorruptError{
		Place: fmt.Sprintf("%s at byte %d", sc.path, off), Reason: fmt.Sprintf(format, args...),
	})
}

func (sc *scanner) wrap(err error) error { return fmt.Errorf("read %s: %w", sc.path, err) }
