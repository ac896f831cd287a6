package persist

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/big"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var bothCodecs = []Codec{CBOR, JSON}

// checkCodec runs a property: a second's worth, or with UNDERSTUDY_DEEP=1 a
// hundred times that.
func checkCodec(t *testing.T, prop func(*rapid.T)) {
	t.Helper()
	if os.Getenv("UNDERSTUDY_DEEP") == "1" {
		f := flag.Lookup("rapid.checks")
		old := f.Value.String()
		defer func() { _ = f.Value.Set(old) }()
		if err := f.Value.Set("20000"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, prop)
}

// through takes the snapshot v points to the way that a system does, and
// returns what comes back. refused is the error of an encoding.
func through(codec Codec, v reflect.Value) (back reflect.Value, payload []byte, refused, err error) {
	t := v.Type().Elem()
	s, err := shapeOf(t, codec.Name(), false)
	if err != nil {
		return back, nil, nil, err
	}
	if err := s.check(v.Elem()); err != nil {
		return back, nil, err, nil
	}
	payload, refused = codec.Marshal(v.Interface())
	if refused != nil {
		return back, nil, refused, nil
	}
	back = reflect.New(t)
	b := bytes.Clone(payload)
	err = codec.Unmarshal(b, back.Interface())
	for i := range b {
		b[i] ^= 0xff // a codec keeps nothing of what it was given
	}
	return back, payload, nil, err
}

func TestWhatMarshalAcceptsUnmarshalGivesBack(t *testing.T) {
	for _, codec := range bothCodecs {
		t.Run(codec.Name(), func(t *testing.T) {
			checkCodec(t, func(rt *rapid.T) {
				v := reflect.New(drawType(rt, codec, 4))
				values{codec.Name(), false}.fill(rt, v.Elem(), 4)
				back, payload, refused, err := through(codec, v)
				if refused != nil || err != nil {
					rt.Fatalf("type %v: %v %v", v.Type().Elem(), refused, err)
				}
				if d := differs(codec.Name(), "", v.Elem(), back.Elem()); d != "" {
					rt.Fatalf("type %v came back from %.200q otherwise: %s", v.Type().Elem(), payload, d)
				}
				again, err := codec.Marshal(back.Interface())
				if err != nil || !bytes.Equal(again, payload) {
					rt.Fatalf("equal values gave different bytes: %.200q and %.200q (%v)", payload, again, err)
				}
			})
		})
	}
}

func TestWhatCannotComeBackIsRefusedOrComesBackAllTheSame(t *testing.T) {
	for _, codec := range bothCodecs {
		t.Run(codec.Name(), func(t *testing.T) {
			checkCodec(t, func(rt *rapid.T) {
				v := reflect.New(drawType(rt, codec, 4))
				values{codec.Name(), true}.fill(rt, v.Elem(), 4)
				back, payload, refused, err := through(codec, v)
				if refused != nil {
					return
				}
				if err != nil {
					rt.Fatalf("type %v: saved as %.200q, and cannot be read: %v", v.Type().Elem(), payload, err)
				}
				if d := differs(codec.Name(), "", v.Elem(), back.Elem()); d != "" {
					rt.Fatalf("type %v came back from %.200q otherwise: %s", v.Type().Elem(), payload, d)
				}
			})
		})
	}
}

func TestAnEncodingIsDeterministic(t *testing.T) {
	m := map[string]map[int]float64{}
	for i := range 200 {
		m[fmt.Sprint(i*7919%1000)] = map[int]float64{i: 1, -i: 2, i * i: 0.1}
	}
	for _, codec := range bothCodecs {
		first, err := codec.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if again, _ := codec.Marshal(&m); !bytes.Equal(first, again) {
				t.Fatalf("%s wrote one value in two ways", codec.Name())
			}
		}
	}
}

// node is a type whose values can be nested without end.
type node struct {
	V    int
	Next *node
	Wide [][][]*node
	Kids map[string]*node
}

func nested(levels int, step func(below *node) *node) *node {
	n := &node{V: levels}
	for i := range levels {
		n = step(n)
		n.V = levels - 1 - i
	}
	return n
}

func TestWhatCannotComeBackIsRefusedAtEncode(t *testing.T) {
	cycle := &node{}
	cycle.Next = &node{Kids: map[string]*node{"up": cycle}}
	chain := func(n *node) *node { return &node{Next: n} }
	wide := func(n *node) *node { return &node{Wide: [][][]*node{{{n}}}} }
	self := []*node{cycle}
	var none *int
	at := func(offset int) time.Time { return time.Unix(0, 0).In(time.FixedZone("", offset)) }
	year := func(y int) time.Time { return time.Date(y, 6, 1, 0, 0, 0, 0, time.UTC) }
	type test struct {
		what   string
		codecs []Codec
		encode func(Codec) error
	}
	only := func(c Codec) []Codec { return []Codec{c} }
	for _, test := range []test{
		{"an offset with seconds", bothCodecs, taking(at(3601))},
		{"an offset of a day", bothCodecs, taking(at(24 * 3600))},
		{"an offset of minus a day", bothCodecs, taking(at(-24 * 3600))},
		{"the year 10000", bothCodecs, taking(year(10000))},
		{"the year -1", bothCodecs, taking(year(-1))},
		{"a bad time far below", bothCodecs, taking(map[string][]struct{ T *time.Time }{"a": {{new(time.Time)}, {ptr(year(-1))}}})},
		{"a bad embedded time", bothCodecs, taking(struct{ time.Time }{at(1)})},
		{"a cycle", bothCodecs, taking(cycle)},
		{"a cycle in a slice", bothCodecs, taking(self)},
		{"600 levels", bothCodecs, taking(nested(600, chain))},
		{"300 levels of several containers each", bothCodecs, taking(nested(300, wide))},
		{"a pointer to nil", bothCodecs, taking(&none)},
		{"a pointer to a nil slice", bothCodecs, taking(new([]int))},
		{"a pointer to a nil map", bothCodecs, taking([]*map[string]int{new(map[string]int)})},
		{"a Ref to no key", bothCodecs, taking(RefTo[actorOf[int]]("a//b"))},
		{"a pointer to a zero time", only(CBOR), taking(new(time.Time))},
		{"a zero time outside UTC", only(CBOR), taking(time.Time{}.In(time.FixedZone("", 3600)))},
		{"text that is not UTF-8", only(JSON), taking("\xff")},
		{"a key that is not UTF-8", only(JSON), taking(map[string]int{"a\xffb": 1})},
		{"NaN", only(JSON), taking(math.NaN())},
		{"infinity", only(JSON), taking([]float32{float32(math.Inf(-1))})},
	} {
		for _, codec := range test.codecs {
			err := test.encode(codec)
			var pe *PanicError
			if err == nil || errors.As(err, &pe) || !strings.Contains(err.Error(), `"the/key"`) {
				t.Errorf("%s in %s: got %v, want an error that names the key and is no panic", test.what, codec.Name(), err)
			}
		}
	}
}

func ptr[T any](v T) *T { return &v }

// taking returns what taking a snapshot v with a codec says.
func taking[S any](v S) func(Codec) error {
	return func(c Codec) error {
		k := defineSnapshot[S](c)
		if k.Err() != nil {
			return k.Err()
		}
		_, err := k.plan.encode("the/key", &holder[S]{v})
		return err
	}
}

// comesBack fails unless v is saved and comes back equal.
func comesBack[S any](t *testing.T, what string, codec Codec, v S) {
	t.Helper()
	k := defineSnapshot[S](codec)
	if k.Err() != nil {
		t.Errorf("%s in %s: %v", what, codec.Name(), k.Err())
		return
	}
	payload, err := k.plan.encode("k", &holder[S]{v})
	if err != nil {
		t.Errorf("%s in %s: %v", what, codec.Name(), err)
		return
	}
	r, err := k.plan.decode("k", &Record{Key: "k", Kind: "k", KindVersion: 1, Payload: payload}, codec)
	if err != nil {
		t.Errorf("%s in %s: %v", what, codec.Name(), err)
		return
	}
	got := r.(*holder[S]).s
	if d := differs(codec.Name(), "", reflect.ValueOf(&v).Elem(), reflect.ValueOf(&got).Elem()); d != "" {
		t.Errorf("%s in %s came back otherwise: %s", what, codec.Name(), d)
	}
}

func TestWhatIsAtTheEdgeComesBack(t *testing.T) {
	chain := func(n *node) *node { return &node{Next: n} }
	wide := func(n *node) *node { return &node{Wide: [][][]*node{{{n}}}} }
	zone := func(h, m int) *time.Location { return time.FixedZone("", h*3600+m*60) }
	huge := new(big.Int).Lsh(big.NewInt(-3), 5000)
	for _, codec := range bothCodecs {
		comesBack(t, "500 levels", codec, nested(500, chain))
		comesBack(t, "100 levels of several containers", codec, nested(100, wide))
		comesBack(t, "offsets", codec, []time.Time{
			time.Date(0, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
			time.Date(2024, 2, 29, 0, 0, 0, 123456789, zone(23, 59)), time.Date(1, 1, 1, 0, 0, 0, 1, zone(-23, -59)), {},
		})
		comesBack(t, "integers", codec, []any64{{math.MinInt64, math.MaxUint64}, {math.MaxInt64, 0}, {-1, 1 << 63}})
		comesBack(t, "small integers", codec, map[int8]uint8{-128: 255, 127: 0})
		comesBack(t, "big integers", codec, []*big.Int{huge, new(big.Int).Neg(huge), {}, nil, big.NewInt(math.MinInt64)})
		comesBack(t, "floats", codec, []float64{math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64, 1e21, 0.1, 65504, 65505})
		comesBack(t, "float32", codec, []float32{math.MaxFloat32, math.SmallestNonzeroFloat32, 0.1, float32(math.Copysign(0, -1))})
		comesBack(t, "nil and empty", codec, [][]byte{nil, {}, {0}})
		comesBack(t, "nil and empty maps", codec, []map[string][]string{nil, {}, {"": nil, "a": {}}})
		comesBack(t, "nil inside", codec, map[string]*map[int]*string{"a": nil, "b": {1: nil}})
		comesBack(t, "strings", codec, []string{"", "\x00", "\u2028<&>\"\\", "\U0010ffff", strings.Repeat("é", 70000)})
		comesBack(t, "a nil root", codec, (*node)(nil))
		comesBack(t, "131,073 elements", codec, make([]int, 131_073))
		comesBack(t, "200,000 strings", codec, strings.Split(strings.Repeat("a,", 200_000), ","))
		comesBack(t, "a megabyte", codec, bytes.Repeat([]byte{0xff, 0}, 1<<19))
		many := map[int]string{}
		for i := range 140_000 {
			many[i] = ""
		}
		comesBack(t, "140,000 entries", codec, many)
	}
	comesBack(t, "NaN and infinities", CBOR, []float64{math.NaN(), math.Inf(1), math.Inf(-1)})
	comesBack(t, "text that is not UTF-8", CBOR, map[string]string{"\xff\xfe": "\xc0\x80", "": "a\xed\xa0\x80"})
}

type any64 struct {
	I int64
	U uint64
}

func TestASnapshotOverTheBoundIsTooLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("needs 200 MB")
	}
	k := defineSnapshot[[]byte](CBOR)
	if _, err := k.plan.encode("k", &holder[[]byte]{make([]byte, MaxPayload)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	if _, err := k.plan.encode("k", &holder[[]byte]{make([]byte, MaxPayload-5)}); err != nil {
		t.Errorf("a snapshot of exactly %d bytes: %v", MaxPayload, err)
	}
}

func TestEveryTruncationAndEveryByteLeftOverIsABadSnapshot(t *testing.T) {
	type deep struct {
		A map[string][]int
		T time.Time
		S *string
	}
	v := deep{A: map[string][]int{"x": {1, 1000}, "y": nil}, T: time.Unix(1, 2).UTC(), S: ptr("text")}
	for _, codec := range bothCodecs {
		k := defineSnapshot[deep](codec)
		payload, err := k.plan.encode("k", &holder[deep]{v})
		if err != nil {
			t.Fatal(err)
		}
		decode := func(b []byte) error {
			_, err := k.plan.decode("k", &Record{Key: "k", Kind: "k", KindVersion: 1, Payload: b}, codec)
			return err
		}
		for n := range payload {
			if err := decode(payload[:n]); !errors.Is(err, ErrBadSnapshot) {
				t.Errorf("%s cut to %d of %d bytes: got %v, want ErrBadSnapshot", codec.Name(), n, len(payload), err)
			}
		}
		for _, tail := range []string{"\x00", "\xf6", "{}", "x"} {
			if err := decode(append(bytes.Clone(payload), tail...)); !errors.Is(err, ErrBadSnapshot) {
				t.Errorf("%s followed by %q: got %v, want ErrBadSnapshot", codec.Name(), tail, err)
			}
		}
		if err := decode(bytes.Replace(payload, []byte("A"), []byte("B"), 1)); !errors.Is(err, ErrBadSnapshot) {
			t.Errorf("%s with an unknown field: got %v, want ErrBadSnapshot", codec.Name(), err)
		}
	}
}
