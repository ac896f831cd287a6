package filestore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/understudy-go/understudy/persist"
)

// The intent of a commit of several keys: all that it is to do, in one file.
// All numbers are little-endian.
//
//	offset  size  field
//	0       4     magic "USFI"
//	4       2     format version
//	6       2     zero
//	8       8     length of the whole file in bytes
//	16      4     CRC-32C of bytes 0 to 15
//	20      8     epoch of the owner
//	28      4     number of writes
//	then for each write:
//	        8     count of its generation
//	        2     length of its key
//	        4     length of its record; 0 deletes
//	        …     key, record
//	end-4   4     CRC-32C of everything before it
//
// The first 20 bytes keep their meaning in every later format.
const (
	intentMagic   = "USFI"
	intentVersion = 1
	intentHead    = 20
	intentFixed   = intentHead + 12
	intentSum     = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeIntent lists the writes of one commit.
func encodeIntent(epoch uint64, writes []*write) []byte {
	size := intentFixed + intentSum
	for _, w := range writes {
		size += 14 + len(w.key) + len(w.data)
	}
	le := binary.LittleEndian
	b := make([]byte, 0, size)
	b = append(b, intentMagic...)
	b = le.AppendUint16(b, intentVersion)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, uint64(size))
	b = le.AppendUint32(b, crc32.Checksum(b, castagnoli))
	b = le.AppendUint64(b, epoch)
	b = le.AppendUint32(b, uint32(len(writes)))
	for _, w := range writes {
		b = le.AppendUint64(b, w.state.count)
		b = le.AppendUint16(b, uint16(len(w.key)))
		b = le.AppendUint32(b, uint32(len(w.data)))
		b = append(b, w.key...)
		b = append(b, w.data...)
	}
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeIntent reads back what encodeIntent made: damage is a
// [*persist.CorruptError], a newer format ErrTooNew. The data of the writes
// aliases b.
func decodeIntent(b []byte, place string) ([]*write, error) {
	corrupt := func(format string, args ...any) ([]*write, error) {
		return nil, &persist.CorruptError{Place: place, Reason: "as the intent of a commit: " + fmt.Sprintf(format, args...)}
	}
	le := binary.LittleEndian
	switch {
	case len(b) < intentHead || string(b[:4]) != intentMagic:
		return corrupt("it does not start with the magic %q", intentMagic)
	case crc32.Checksum(b[:16], castagnoli) != le.Uint32(b[16:]):
		return corrupt("the checksum of its head does not match")
	case le.Uint16(b[4:]) > intentVersion:
		return nil, fmt.Errorf("read %s: %w: intent format %d, this program knows up to %d", place, persist.ErrTooNew, le.Uint16(b[4:]), intentVersion)
	case le.Uint16(b[4:]) == 0 || le.Uint16(b[6:]) != 0:
		return corrupt("no intent has format %d and flags %d", le.Uint16(b[4:]), le.Uint16(b[6:]))
	case le.Uint64(b[8:]) != uint64(len(b)) || len(b) < intentFixed+intentSum:
		return corrupt("it says %d bytes and has %d", le.Uint64(b[8:]), len(b))
	case crc32.Checksum(b[:len(b)-intentSum], castagnoli) != le.Uint32(b[len(b)-intentSum:]):
		return corrupt("its checksum does not match")
	}
	epoch, n := le.Uint64(b[20:]), le.Uint32(b[28:])
	rest := b[intentFixed : len(b)-intentSum]
	var writes []*write
	for range n {
		if len(rest) < 14 {
			return corrupt("a write is cut off")
		}
		count, nKey, nData := le.Uint64(rest), int64(le.Uint16(rest[8:])), int64(le.Uint32(rest[10:]))
		if rest = rest[14:]; nKey+nData > int64(len(rest)) {
			return corrupt("a write is cut off")
		}
		w := &write{key: persist.Key(rest[:nKey]), data: rest[nKey : nKey+nData]}
		w.state = state{generation{epoch, count}, nData == 0}
		rest = rest[nKey+nData:]
		if err := persist.CheckStoreKey(w.key); err != nil {
			return corrupt("%v", err)
		}
		writes = append(writes, w)
	}
	if len(rest) != 0 {
		return corrupt("%d bytes follow its last write", len(rest))
	}
	return writes, nil
}
