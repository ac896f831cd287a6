package persist_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/understudy-go/understudy/persist"
)

var update = flag.Bool("update", false, "write the golden files of the record anew")

// golden are records whose encoding is pinned in testdata/record.
var golden = map[string]persist.Record{
	"least": {Key: "a", Kind: "k", Codec: "c"},
	"usual": {Key: "players/james", Kind: "player", KindVersion: 3, Codec: "json", Seq: 42,
		Writer: persist.WriterID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, Payload: []byte(`{"Name":"james","HP":100}`)},
	"bounds": {Key: persist.Key(strings.Repeat("k/", 500) + "é"), Kind: strings.Repeat("K", 255), KindVersion: 1<<32 - 1, Codec: strings.Repeat("C", 255),
		Seq: 1<<64 - 1, Writer: persist.WriterID(bytes.Repeat([]byte{255}, 16)), Payload: bytes.Repeat([]byte{0, 255}, 100)},
}

func TestTheFormatOfRecordsIsPinned(t *testing.T) {
	for name, r := range golden {
		path := filepath.Join("testdata", "record", name+".bin")
		got := r.Append(nil)
		if *update {
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, got, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is encoded otherwise than before:\n%x\n%x", name, got, want)
		}
		back, err := persist.DecodeRecord(want, r.Key, path)
		if len(back.Payload) == 0 {
			back.Payload = nil
		}
		if err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("%s reads %+v, %v", name, back, err)
		}
		if r.EncodedLen() != len(want) || len(want) > persist.MaxRecordLen {
			t.Errorf("%s has %d bytes, EncodedLen says %d", name, len(want), r.EncodedLen())
		}
	}
}

// corrupt checks that b is refused as damage, with its key and place.
func corrupt(t *testing.T, b []byte, what string, args ...any) {
	t.Helper()
	r, err := persist.DecodeRecord(b, "players/james", "the place")
	var e *persist.CorruptError
	if !errors.As(err, &e) || !errors.Is(err, persist.ErrCorrupt) || e.Key != "players/james" || e.Place != "the place" || e.Reason == "" {
		t.Fatalf(what+": expected a *CorruptError, got %+v, %v", append(args, r, err)...)
	}
	if !reflect.DeepEqual(r, persist.Record{}) {
		t.Fatalf(what+": a damaged record gives %+v", append(args, r)...)
	}
}

func TestEveryDamageToARecordIsSeen(t *testing.T) {
	r := golden["usual"]
	whole := r.Append(nil)
	for n := range whole {
		corrupt(t, whole[:n], "cut off after %d bytes", n)
	}
	for n := range whole {
		for bit := range 8 {
			whole[n] ^= 1 << bit
			corrupt(t, whole, "bit %d of byte %d flipped", bit, n)
			whole[n] ^= 1 << bit
		}
	}
	corrupt(t, append(bytes.Clone(whole), 0), "a byte too many")
	corrupt(t, append(bytes.Clone(whole), whole...), "twice")
	corrupt(t, nil, "nothing")
	for _, n := range []int{1, 16, 48, 52, 4096, 65536} {
		corrupt(t, make([]byte, n), "%d zeros", n)
		corrupt(t, bytes.Repeat([]byte{255}, n), "%d times 255", n)
	}
	for from := range whole {
		zeroed := bytes.Clone(whole)
		clear(zeroed[from:])
		corrupt(t, zeroed, "zeros from byte %d on", from)
	}
}

func TestAMisplacedRecordIsFoundOut(t *testing.T) {
	r := golden["usual"]
	r.Key = "players/jim"
	corrupt(t, r.Append(nil), "the record of another key")
}

// reseal makes the checksums right again, as a careful forger would.
func reseal(b []byte) []byte {
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[:12], table))
	binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b[:len(b)-4], table))
	return b
}

func TestANewerFormatIsNotGuessedAt(t *testing.T) {
	r := golden["usual"]
	for _, version := range []uint16{2, 3, 1000, 65535} {
		newer := r.Append(nil)
		binary.LittleEndian.PutUint16(newer[4:], version)
		binary.LittleEndian.PutUint32(newer[12:], crc32.Checksum(newer[:12], crc32.MakeTable(crc32.Castagnoli)))
		for _, b := range [][]byte{newer, newer[:16], append(bytes.Clone(newer), "and more"...)} { // only the head keeps its meaning
			_, err := persist.DecodeRecord(b, r.Key, "the place")
			if !errors.Is(err, persist.ErrTooNew) || errors.Is(err, persist.ErrCorrupt) || !strings.Contains(err.Error(), "the place") {
				t.Fatalf("format %d: expected ErrTooNew that names the place, got %v", version, err)
			}
		}
	}
	for _, forge := range []func([]byte){
		func(b []byte) { binary.LittleEndian.PutUint16(b[4:], 0) },     // no format
		func(b []byte) { b[6] = 1 },                                    // no flags
		func(b []byte) { binary.LittleEndian.PutUint16(b[44:], 9999) }, // a key that does not fit
		func(b []byte) { b[46], b[47] = 255, 255 },
		func(b []byte) { b[46], b[47] = 0, b[46]+b[47] }, // no kind
		func(b []byte) { binary.LittleEndian.PutUint16(b[44:], 0) },
	} {
		b := r.Append(nil)
		forge(b)
		corrupt(t, reseal(b), "forged as % x", b[:52])
	}
}

func TestARecordThatCouldNotBeReadBackIsRefused(t *testing.T) {
	for what, tc := range map[string]struct {
		change func(*persist.Record)
		want   error
	}{
		"a bad key":      {func(r *persist.Record) { r.Key = "a//b" }, persist.ErrBadKey},
		"an absolute":    {func(r *persist.Record) { r.Key = "file:///a" }, persist.ErrBadKey},
		"no kind":        {func(r *persist.Record) { r.Kind = "" }, persist.ErrBadChange},
		"a long kind":    {func(r *persist.Record) { r.Kind = strings.Repeat("k", 256) }, persist.ErrBadChange},
		"no codec":       {func(r *persist.Record) { r.Codec = "" }, persist.ErrBadChange},
		"a long codec":   {func(r *persist.Record) { r.Codec = strings.Repeat("c", 256) }, persist.ErrBadChange},
		"a huge payload": {func(r *persist.Record) { r.Payload = make([]byte, persist.MaxPayload+1) }, persist.ErrTooLarge},
	} {
		r := golden["usual"]
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		tc.change(&r)
		if err := r.Check(); !errors.Is(err, tc.want) {
			t.Errorf("%s: expected %v, got %v", what, tc.want, err)
		}
	}
}

func TestAppendLeavesWhatIsBeforeIt(t *testing.T) {
	r := golden["usual"]
	b := r.Append([]byte("before"))
	if !bytes.Equal(b, append([]byte("before"), r.Append(nil)...)) {
		t.Fatalf("%x", b)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, name := range []string{"least", "usual", "bounds"} {
		r := golden[name]
		f.Add(r.Append(nil), string(r.Key))
	}
	f.Add(make([]byte, 64), "a")
	f.Fuzz(func(t *testing.T, b []byte, key string) {
		for _, in := range [][]byte{b, resealed(b)} {
			r, err := persist.DecodeRecord(in, persist.Key(key), "fuzz")
			switch {
			case err == nil:
				if again := r.Append(nil); !bytes.Equal(again, in) || r.Check() != nil || string(r.Key) != key {
					t.Fatalf("%x reads %+v, which is written %x", in, r, again)
				}
			case !errors.Is(err, persist.ErrCorrupt) && !errors.Is(err, persist.ErrTooNew):
				t.Fatalf("%x: %v", in, err)
			}
		}
	})
}

func resealed(b []byte) []byte {
	if b = bytes.Clone(b); len(b) >= 20 {
		binary.LittleEndian.PutUint32(b[8:], uint32(len(b)))
		return reseal(b)
	}
	return b
}
