package persist

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
)

// Record is what a store keeps for one key: a snapshot and what is needed to
// read it without asking anyone else.
type Record struct {
	Key         Key      // store-relative, so that a misplaced record is found out
	Kind        string   // the kind's name when it was written, 1 to 255 bytes
	KindVersion uint32   // the kind's version when it was written
	Codec       string   // the codec that wrote the payload, 1 to 255 bytes
	Writer      WriterID // the system that wrote it
	Seq         uint64   // counts the records of this key, one up with each
	Payload     []byte   // at most MaxPayload bytes

	// Fallback is set by a store that could not read the newest generation and
	// returned an older one instead; it says what was damaged. It is not stored.
	Fallback *CorruptError
}

// WriterID tells the systems that write to a store apart: random for each.
type WriterID [16]byte

func (w WriterID) String() string { return hex.EncodeToString(w[:]) }

// MaxPayload is the size of the largest snapshot, in bytes: 64 MiB.
const MaxPayload = 64 << 20

// MaxRecordLen is the size of the largest encoded record, in bytes.
const MaxRecordLen = recordHead + recordFixed + MaxKeyLen + 2*maxName + MaxPayload + recordSum

// The encoding of a record, version 1. All numbers are little-endian.
//
//	offset  size  field
//	0       4     magic "USNP"
//	4       2     format version
//	6       2     zero
//	8       4     length of the whole record in bytes
//	12      4     CRC-32C of bytes 0 to 11
//	16      16    writer id
//	32      8     sequence number
//	40      4     kind version
//	44      2     length of the key
//	46      1     length of the kind
//	47      1     length of the codec
//	48      …     key, kind, codec, payload, back to back
//	end-4   4     CRC-32C of everything before it
//
// The first 16 bytes keep their meaning in every later format, so that a
// damaged version number is told from a newer one. CRC-32C finds every error of
// one bit and every burst of up to 32 bits at any length (Koopman, "32-bit
// cyclic redundancy codes for Internet applications", DSN 2002).
const (
	recordMagic   = "USNP"
	recordVersion = 1
	recordHead    = 16
	recordFixed   = 32
	recordSum     = 4
	maxName       = 255
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EncodedLen returns the number of bytes that [Record.Append] adds.
func (r *Record) EncodedLen() int {
	return recordHead + recordFixed + len(r.Key) + len(r.Kind) + len(r.Codec) + len(r.Payload) + recordSum
}

// Check refuses a record that could not be read back: a bad key (ErrBadKey), a
// kind or codec name that is empty or too long (ErrBadChange), a payload over
// MaxPayload (ErrTooLarge).
func (r *Record) Check() error {
	if err := CheckStoreKey(r.Key); err != nil {
		return err
	}
	switch {
	case len(r.Kind) == 0 || len(r.Kind) > maxName:
		return fmt.Errorf("record of %q: %w: the kind's name has %d bytes, not 1 to %d", string(r.Key), ErrBadChange, len(r.Kind), maxName)
	case len(r.Codec) == 0 || len(r.Codec) > maxName:
		return fmt.Errorf("record of %q: %w: the codec's name has %d bytes, not 1 to %d", string(r.Key), ErrBadChange, len(r.Codec), maxName)
	case len(r.Payload) > MaxPayload:
		return fmt.Errorf("record of %q: %w: the snapshot has %d bytes, %d is the most", string(r.Key), ErrTooLarge, len(r.Payload), MaxPayload)
	}
	return nil
}

// Append adds the encoded record to b and returns the extended slice. The
// record must have passed [Record.Check].
func (r *Record) Append(b []byte) []byte {
	start := len(b)
	le := binary.LittleEndian
	b = append(b, recordMagic...)
	b = le.AppendUint16(b, recordVersion)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint32(b, uint32(r.EncodedLen()))
	b = le.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
	b = append(b, r.Writer[:]...)
	b = le.AppendUint64(b, r.Seq)
	b = le.AppendUint32(b, r.KindVersion)
	b = le.AppendUint16(b, uint16(len(r.Key)))
	b = append(b, byte(len(r.Kind)), byte(len(r.Codec)))
	b = append(b, r.Key...)
	b = append(b, r.Kind...)
	b = append(b, r.Codec...)
	b = append(b, r.Payload...)
	return le.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// DecodeRecord reads a record that fills b exactly. key is the key under which
// it was found; a record that names another is damage, and so is any flipped
// bit, truncation or trailing byte: a [*CorruptError] with that key and place.
// An intact record of a newer format is [ErrTooNew]. The record's payload
// aliases b.
func DecodeRecord(b []byte, key Key, place string) (Record, error) {
	corrupt := func(format string, args ...any) (Record, error) {
		return Record{}, &CorruptError{Key: key, Place: place, Reason: fmt.Sprintf(format, args...)}
	}
	le := binary.LittleEndian
	if len(b) < recordHead {
		return corrupt("%d bytes are too few for a record", len(b))
	}
	if string(b[:4]) != recordMagic {
		return corrupt("it starts with % x, not with the magic %q", b[:4], recordMagic)
	}
	if crc32.Checksum(b[:12], castagnoli) != le.Uint32(b[12:]) {
		return corrupt("the checksum of its head does not match")
	}
	if v := le.Uint16(b[4:]); v > recordVersion {
		return Record{}, fmt.Errorf("read %q in %s: %w: record format %d, this program knows up to %d", string(key), place, ErrTooNew, v, recordVersion)
	} else if v == 0 || le.Uint16(b[6:]) != 0 {
		return corrupt("no record has format %d and flags %d", v, le.Uint16(b[6:]))
	}
	if n := le.Uint32(b[8:]); uint64(n) != uint64(len(b)) {
		return corrupt("it says %d bytes and has %d", n, len(b))
	}
	body := len(b) - recordSum
	if body < recordHead+recordFixed {
		return corrupt("%d bytes are too few for a record", len(b))
	}
	if crc32.Checksum(b[:body], castagnoli) != le.Uint32(b[body:]) {
		return corrupt("its checksum does not match")
	}
	var r Record
	copy(r.Writer[:], b[16:32])
	r.Seq = le.Uint64(b[32:])
	r.KindVersion = le.Uint32(b[40:])
	rest := b[48:body]
	nKey, nKind, nCodec := int(le.Uint16(b[44:])), int(b[46]), int(b[47])
	if nKey+nKind+nCodec > len(rest) {
		return corrupt("its names do not fit into it")
	}
	r.Key, rest = Key(rest[:nKey]), rest[nKey:]
	r.Kind, rest = string(rest[:nKind]), rest[nKind:]
	r.Codec, r.Payload = string(rest[:nCodec]), rest[nCodec:]
	if r.Key != key {
		return corrupt("it is the record of %q", string(r.Key))
	}
	if err := r.Check(); err != nil {
		return corrupt("%v", err)
	}
	return r, nil
}
