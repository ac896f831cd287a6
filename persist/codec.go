package persist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"
)

// Codec turns snapshots into bytes and back. [CBOR] is the default, [JSON] is
// there for those who want to read their snapshots with other tools, and an own
// one is three methods; give it to KindOptions.Codec, and to Options.Codecs of
// a system that still has to read what it wrote.
//
// A codec must be deterministic: equal values give equal bytes, or every save
// is a write. Unmarshal gets a pointer to a zero snapshot, fills it from b
// alone, keeps nothing of b, and refuses what it does not understand: bytes
// left over, and fields that the type lacks (a program that dropped them would
// save without them). Both are called from many goroutines.
type Codec interface {
	Name() string // 1 to 255 bytes; every record says by it who wrote it
	// Marshal returns v encoded; v is a pointer to a snapshot. The caller owns the bytes.
	Marshal(v any) ([]byte, error)
	// Unmarshal fills v, a pointer to a zero snapshot, from b.
	Unmarshal(b []byte, v any) error
}

// The codecs of this package.
//
// CBOR is RFC 8949 in its core deterministic encoding, times as RFC 3339 with
// nanoseconds and offset. JSON is encoding/json. Both carry what [Define]
// accepts without loss; what they could not bring back they refuse to write: a
// time whose offset has seconds or whose year is not in 0 to 9999, values nested
// deeper than 512 levels (a pointer cycle among them), a pointer to a nil
// pointer, slice or map; with CBOR, a zero time that is outside UTC or behind a
// pointer; with JSON, text that is not UTF-8, NaN and infinities.
//
// Without loss means equal as values: a time keeps its instant and offset, not
// the name of its zone or its monotonic reading, and a NaN is a NaN. A type with
// an encoding of its own is trusted to bring back what it wrote, and as the key
// of a map to write different keys differently. A tag with omitempty or omitzero
// asks for a loss: what it leaves out comes back as zero.
var (
	CBOR Codec = newCBOR()
	JSON Codec = jsonCodec{}
)

// maxDepth bounds the nesting of a snapshot. The decoder's own bound is higher,
// since tags count as levels there.
const maxDepth = 512

type cborCodec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

func newCBOR() Codec {
	eo := cbor.CoreDetEncOptions()
	eo.Time = cbor.TimeRFC3339Nano
	eo.TextMarshaler = cbor.TextMarshalerTextString
	do := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		MaxNestedLevels:   4 * maxDepth,
		MaxArrayElements:  1<<31 - 1,
		MaxMapPairs:       1<<31 - 1,
		UTF8:              cbor.UTF8DecodeInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		TextUnmarshaler:   cbor.TextUnmarshalerTextString,
	}
	enc, err1 := eo.EncMode()
	dec, err2 := do.DecMode()
	return cborCodec{mustMode(enc, err1), mustMode(dec, err2)}
}

// mustMode is for options that are constants of this file: a test builds them.
func mustMode[M any](m M, err error) M {
	if err != nil {
		panic(err)
	}
	return m
}

func (cborCodec) Name() string                      { return "cbor" }
func (c cborCodec) Marshal(v any) ([]byte, error)   { return c.enc.Marshal(v) }
func (c cborCodec) Unmarshal(b []byte, v any) error { return c.dec.Unmarshal(b, v) }

type jsonCodec struct{}

func (jsonCodec) Name() string                  { return "json" }
func (jsonCodec) Marshal(v any) ([]byte, error) { return json.Marshal(v) }

func (jsonCodec) Unmarshal(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("bytes left over after offset %d", dec.InputOffset())
	}
	return nil
}
