package logstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"iter"
	"unsafe"

	"github.com/understudy-go/understudy/persist"
)

// A frame is the unit of writing: it is there in full or not at all. The
// package comment describes its bytes.
const (
	frameMagic   = "ULOG"
	frameVersion = 1
	headLen      = 40
	rowLen       = 20 // a row of a table, without its key
	frameAlign   = 8
	rowBirth     = 1 // a flag of a row

	// maxFrame bounds one frame, and with it one commit, so that every offset in
	// a segment fits into 32 bits.
	maxFrame = 1 << 30
)

type frameKind uint8

const (
	kindHeader frameKind = 1 + iota // the first frame of a segment: which segments are live
	kindCommit                      // the changes of one commit
	kindMove                        // records that compaction copied
	kindDrop                        // segments that compaction emptied
	kindSeal                        // everything before it is durable, nothing follows
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	le         = binary.LittleEndian
)

// segID names a segment: the epoch of its owner above, its number below. It
// never comes twice in one directory, and it orders segments by age.
type segID uint64

func newSegID(epoch uint64, number uint32) segID { return segID(epoch<<32 | uint64(number)) }

func (id segID) epoch() uint64  { return uint64(id >> 32) }
func (id segID) number() uint32 { return uint32(id) }
func (id segID) String() string { return fmt.Sprintf("%08x-%08x", id.epoch(), id.number()) }

// head is the fixed part of a frame.
type head struct {
	kind     frameKind
	size     uint32 // of the whole frame, a multiple of frameAlign
	off      uint32 // its place in its segment
	group    uint32 // the place of the first frame that was written and synced with it
	table    uint32 // length of its table
	seg      segID
	tableSum uint32
}

// put writes h over the first headLen bytes of b.
func (h *head) put(b []byte) {
	copy(b, frameMagic)
	b[4], b[5] = frameVersion, byte(h.kind)
	le.PutUint16(b[6:], 0)
	le.PutUint32(b[8:], h.size)
	le.PutUint32(b[12:], h.off)
	le.PutUint32(b[16:], h.group)
	le.PutUint32(b[20:], h.table)
	le.PutUint64(b[24:], uint64(h.seg))
	le.PutUint32(b[32:], h.tableSum)
	le.PutUint32(b[36:], crc32.Checksum(b[:36], castagnoli))
}

// parseHead reads the head at the start of b. ok is false if there is none.
// The length, the place and both checksums keep their meaning in every later
// format; err says that an intact head is of such a format.
func parseHead(b []byte) (h head, ok bool, err error) {
	if len(b) < headLen || string(b[:4]) != frameMagic || crc32.Checksum(b[:36], castagnoli) != le.Uint32(b[36:]) {
		return head{}, false, nil
	}
	h = head{
		kind: frameKind(b[5]), size: le.Uint32(b[8:]), off: le.Uint32(b[12:]), group: le.Uint32(b[16:]),
		table: le.Uint32(b[20:]), seg: segID(le.Uint64(b[24:])), tableSum: le.Uint32(b[32:]),
	}
	if b[4] > frameVersion {
		return h, true, fmt.Errorf("%w: log format %d, this program knows up to %d", persist.ErrTooNew, b[4], frameVersion)
	}
	if b[4] == 0 || h.kind < kindHeader || h.kind > kindSeal || h.size%frameAlign != 0 ||
		uint64(headLen)+uint64(h.table) > uint64(h.size) || h.group > h.off {
		return head{}, false, nil
	}
	return h, true, nil
}

// row is one change in a table.
type row struct {
	version uint64
	size    uint32 // of the record; 0 for a delete
	sum     uint32 // the last four bytes of the record, which are its checksum
	birth   bool   // the key did not exist before: older rows are of an earlier life
	key     persist.Key
	off     uint32 // of the record in its segment; not stored
}

// cost is what a row takes up in a segment, its share of the head left out.
func (r *row) cost() int64 { return rowCost(r.key, r.size) }

func rowCost(key persist.Key, size uint32) int64 { return rowLen + int64(len(key)) + int64(size) }

func appendRow(b []byte, r *row) []byte {
	b = le.AppendUint64(b, r.version)
	b = le.AppendUint32(b, r.size)
	b = le.AppendUint32(b, r.sum)
	b = le.AppendUint16(b, uint16(len(r.key)))
	flags := uint16(0)
	if r.birth {
		flags = rowBirth
	}
	b = le.AppendUint16(b, flags)
	return append(b, r.key...)
}

// rows yields the rows of an intact table. The keys alias the table: clone what
// is kept. A table that does not parse yields false and nothing more.
func (h *head) rows(table []byte) iter.Seq2[row, bool] {
	return func(yield func(row, bool) bool) {
		at, end := uint64(h.off)+headLen+uint64(h.table), uint64(h.off)+uint64(h.size)
		for len(table) > 0 {
			if len(table) < rowLen || len(table) < rowLen+int(le.Uint16(table[16:])) {
				yield(row{}, false)
				return
			}
			n := rowLen + int(le.Uint16(table[16:]))
			r := row{
				version: le.Uint64(table), size: le.Uint32(table[8:]), sum: le.Uint32(table[12:]),
				birth: le.Uint16(table[18:])&rowBirth != 0, off: uint32(at),
				key: persist.Key(unsafe.String(unsafe.SliceData(table[rowLen:n]), n-rowLen)),
			}
			at += uint64(r.size)
			if at > end {
				yield(row{}, false)
				return
			}
			if !yield(r, true) {
				return
			}
			table = table[n:]
		}
	}
}

// align rounds n up to the start of the next frame.
func align(n int64) int64 { return (n + frameAlign - 1) &^ (frameAlign - 1) }

// recordSum is the checksum at the end of an encoded record.
func recordSum(rec []byte) uint32 { return le.Uint32(rec[len(rec)-4:]) }

// intactRecord says whether rec carries the checksum that its row promises and
// matches it.
func intactRecord(rec []byte, sum uint32) bool {
	return len(rec) > 4 && recordSum(rec) == sum && crc32.Checksum(rec[:len(rec)-4], castagnoli) == sum
}

// liveSegment is a line of a header: a segment that was live when the header's
// segment was begun, how much of it counts, and whether it is known to be
// damaged.
type liveSegment struct {
	id      segID
	end     uint32
	damaged bool
}

// A header's table is the next version (8 bytes) and a line of 16 bytes for
// each live segment; a drop's table is the ids of the segments, 8 bytes each.
func appendHeaderTable(b []byte, nextVersion uint64, live []liveSegment) []byte {
	b = le.AppendUint64(b, nextVersion)
	for _, l := range live {
		b = le.AppendUint64(b, uint64(l.id))
		b = le.AppendUint32(b, l.end)
		flags := uint32(0)
		if l.damaged {
			flags = 1
		}
		b = le.AppendUint32(b, flags)
	}
	return b
}

func parseHeaderTable(b []byte) (nextVersion uint64, live []liveSegment, ok bool) {
	if len(b) < 8 || (len(b)-8)%16 != 0 {
		return 0, nil, false
	}
	nextVersion, b = le.Uint64(b), b[8:]
	for ; len(b) > 0; b = b[16:] {
		live = append(live, liveSegment{id: segID(le.Uint64(b)), end: le.Uint32(b[8:]), damaged: le.Uint32(b[12:])&1 != 0})
	}
	return nextVersion, live, true
}

// buildFrame returns a frame of nothing but a table, ready to be placed.
func buildFrame(kind frameKind, table []byte) []byte {
	b := make([]byte, align(int64(headLen+len(table))))
	copy(b[headLen:], table)
	h := head{kind: kind, size: uint32(len(b)), table: uint32(len(table)), tableSum: crc32.Checksum(table, castagnoli)}
	h.put(b)
	return b
}

// placeFrame completes the head at the start of b for its place in a segment.
func placeFrame(b []byte, id segID, off, group int64) {
	le.PutUint32(b[12:], uint32(off))
	le.PutUint32(b[16:], uint32(group))
	le.PutUint64(b[24:], uint64(id))
	le.PutUint32(b[36:], crc32.Checksum(b[:36], castagnoli))
}
