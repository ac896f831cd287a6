package persist

import (
	"errors"
	"math/big"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// fuzzed has a field of every kind that a codec treats in its own way.
type fuzzed struct {
	B    bool
	I    int8
	L    int64
	U    uint64
	F    float32
	D    float64
	S    string
	Raw  []byte
	Arr  [3]uint16
	T    time.Time
	P    *time.Time
	Big  *big.Int
	Addr map[netip.Addr]int
	Link Ref[actorOf[int]]
	M    map[string]map[int16][]string
	Tree *node
	Any  []fuzzed
}

func full() fuzzed {
	at := time.Date(2024, 2, 29, 12, 0, 0, 1, time.FixedZone("", -5400))
	return fuzzed{
		B: true, I: -128, L: -1 << 63, U: 1<<64 - 1, F: 0.1, D: 5e-324, S: "é\x00", Raw: []byte{}, Arr: [3]uint16{1, 2, 65535},
		T: at, P: &at, Big: new(big.Int).Lsh(big.NewInt(-1), 100), Addr: map[netip.Addr]int{netip.MustParseAddr("fe80::1%e"): 1},
		Link: RefTo[actorOf[int]]("a/b"), M: map[string]map[int16][]string{"x": {-1: {"y", ""}, 2: nil}, "z": nil},
		Tree: &node{V: 1, Next: &node{Kids: map[string]*node{"k": {V: 2}, "n": nil}}}, Any: []fuzzed{{}},
	}
}

func FuzzDecodeCBOR(f *testing.F) { fuzzDecode(f, CBOR) }
func FuzzDecodeJSON(f *testing.F) { fuzzDecode(f, JSON) }

// fuzzDecode holds that bytes from anywhere give a snapshot or ErrBadSnapshot,
// never a panic, and that a snapshot which can be saved again comes back equal.
func fuzzDecode(f *testing.F, codec Codec) {
	k := defineSnapshot[fuzzed](codec)
	if k.Err() != nil {
		f.Fatal(k.Err())
	}
	for _, v := range []fuzzed{{}, full()} {
		b, err := k.plan.encode("k", &holder[fuzzed]{v})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	decode := func(b []byte) (fuzzed, error) {
		r, err := k.plan.decode("k", &Record{Key: "k", Kind: "k", KindVersion: 1, Payload: b}, codec)
		if err != nil {
			return fuzzed{}, err
		}
		return r.(*holder[fuzzed]).s, nil
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode(b)
		if err != nil {
			if !errors.Is(err, ErrBadSnapshot) {
				t.Fatalf("got %v, want ErrBadSnapshot", err)
			}
			return
		}
		payload, err := k.plan.encode("k", &holder[fuzzed]{v})
		var pe *PanicError
		if errors.As(err, &pe) {
			t.Fatal(err)
		}
		if err != nil {
			return // such as a time that only a foreign encoder writes
		}
		w, err := decode(payload)
		if err != nil {
			t.Fatalf("saved as %q, and cannot be read: %v", payload, err)
		}
		if d := differs(codec.Name(), "", reflect.ValueOf(&v).Elem(), reflect.ValueOf(&w).Elem()); d != "" {
			t.Fatalf("%q came back otherwise: %s", payload, d)
		}
	})
}
