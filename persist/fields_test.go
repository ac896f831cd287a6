package persist

import (
	"encoding/json"
	"errors"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/anthdm/hollywood/actor"
)

// actorOf is an actor with one exported field of any type.
type actorOf[F any] struct{ Field F }

func (*actorOf[F]) Receive(*actor.Context) {}

func define[F any](codec Codec) *Kind[actorOf[F]] {
	return Define("k", func() *actorOf[F] { return &actorOf[F]{} }, &KindOptions{Codec: codec})
}

// holder is an actor whose snapshot is any type.
type holder[S any] struct{ s S }

func (*holder[S]) Receive(*actor.Context) {}
func (h *holder[S]) Snapshot() S          { return h.s }
func (h *holder[S]) Restore(s S) error    { h.s = s; return nil }

func defineSnapshot[S any](codec Codec) *Kind[holder[S]] {
	return DefineSnapshot("k", func() *holder[S] { return &holder[S]{} }, &KindOptions{Codec: codec})
}

// refusal is a type that must be refused, with the path and the reason that the
// error must give.
type refusal struct {
	what, path, why string
	err             error
}

func refused[F any](path, why string) refusal {
	return refusal{reflect.TypeFor[F]().String(), path, why, define[F](CBOR).Err()}
}

func refusedJSON[F any](path, why string) refusal {
	return refusal{reflect.TypeFor[F]().String() + " in JSON", path, why, define[F](JSON).Err()}
}

func (r refusal) check(t *testing.T) {
	t.Helper()
	switch {
	case !errors.Is(r.err, ErrBadKind):
		t.Errorf("%s: got %v, want ErrBadKind", r.what, r.err)
	case !strings.Contains(r.err.Error(), "Field"+r.path+": ") || !strings.Contains(r.err.Error(), r.why):
		t.Errorf("%s: the error %q gives not both the path Field%s and the reason %q", r.what, r.err, r.path, r.why)
	}
}

type (
	opaque  struct{ n int }
	stamped struct {
		time.Time
		Name string
	}
	twice struct {
		time.Time
		big.Int
	}
	writesOnly struct{ _ int }
	readsOnly  struct{ _ int }
	halfBinary struct{ _ int }
	inner      struct{ X int }
	viaPointer struct{ *inner }
	Left       struct{ Right *Right }
	Right      struct{ F func() }
	EmbedsA    struct{ *EmbedsB }
	EmbedsB    struct{ *EmbedsA }
	Shared     struct{ X int }
	sameTag    struct {
		A int `json:"B"`
		B int
	}
	sameEmbedded struct {
		Shared
		X int
	}
	textKey string
	ptrRat  struct{ R big.Rat }
)

func (writesOnly) MarshalText() ([]byte, error)   { return nil, nil }
func (*readsOnly) UnmarshalText([]byte) error     { return nil }
func (halfBinary) MarshalBinary() ([]byte, error) { return nil, nil }
func (halfBinary) MarshalText() ([]byte, error)   { return nil, nil }
func (*halfBinary) UnmarshalText([]byte) error    { return nil }
func (k textKey) MarshalText() ([]byte, error)    { return []byte("x" + k), nil }
func (k *textKey) UnmarshalText(b []byte) error   { *k = textKey(b[1:]); return nil }

func TestAFieldThatCannotComeBackIsRefusedWithItsPath(t *testing.T) {
	const cannot, nothing, half, own = "cannot come back", "exports no field", "has only one of", "own encoding would stand"
	for _, r := range []refusal{
		refused[any]("", cannot),
		refused[error]("", cannot),
		refused[func()]("", cannot),
		refused[chan int]("", cannot),
		refused[complex64]("", cannot),
		refused[complex128]("", cannot),
		refused[unsafe.Pointer]("", cannot),
		refused[uintptr]("", cannot),
		refused[[]func()]("[]", cannot),
		refused[[2]chan int]("[]", cannot),
		refused[map[string]any]("[]", cannot),
		refused[*any]("", cannot),
		refused[struct{ In struct{ Deep []error } }](".In.Deep[]", cannot),
		refused[Left](".Right.F", cannot),
		refused[actor.PID]("", "use persist.Ref"),
		refused[*actor.PID]("", "use persist.Ref"),
		refused[map[string][]*actor.PID]("[][]", "use persist.Ref"),
		refused[*actor.Engine](".Registry", nothing),
		refused[sync.Mutex]("", nothing),
		refused[*sync.WaitGroup]("", nothing),
		refused[struct{ sync.Mutex }](".Mutex", nothing),
		refused[opaque]("", nothing),
		refused[[]opaque]("[]", nothing),
		refused[*Kind[actorOf[int]]]("", nothing),
		refused[writesOnly]("", half),
		refused[*readsOnly]("", half),
		refused[halfBinary]("", half),
		refused[stamped]("", own),
		refused[[]*stamped]("[]", own),
		refused[twice]("", own),
		refused[viaPointer](".inner", "embedded pointer to an unexported type"),
		refused[EmbedsA](".EmbedsB.EmbedsA", "embeds itself"),
		refused[sameTag](".B", "same name"),
		refused[sameEmbedded](".X", "same name"),
		refused[map[float64]int]("", "map key"),
		refused[map[bool]int]("", "map key"),
		refused[map[[2]int]int]("", "map key"),
		refused[map[struct{ X int }]int]("", "map key"),
		refused[map[time.Time]int]("", "map key"),
		refused[map[*int]int]("", "map key"),
		refused[map[writesOnly]int]("", "map key"),
		refused[map[any]int]("", "map key"),
		refusedJSON[map[textKey]int]("", "map key"),
		refusedJSON[map[string]big.Int]("[]", "on its pointer"),
		refusedJSON[struct {
			A ptrRat
			M map[string]ptrRat
		}](".M[].R", "on its pointer"),
		refusedJSON[json.Marshaler]("", "has only one of"),
	} {
		r.check(t)
	}
}

func TestATagNameThatJSONIgnoresIsRefusedThere(t *testing.T) {
	for tag, ok := range map[string]bool{`json:"\"q\""`: false, `json:"a\\b"`: false, `json:"é.(+)"`: true, `json:"-,"`: true} {
		field := reflect.StructField{Name: "X", Type: reflect.TypeFor[int](), Tag: reflect.StructTag(tag)}
		odd := reflect.StructOf([]reflect.StructField{field})
		if _, err := shapeOf(odd, "json", false); ok != (err == nil) || !ok && !errors.Is(err, ErrBadKind) {
			t.Errorf("%s with JSON: %v", tag, err)
		}
		if _, err := shapeOf(odd, "cbor", false); err != nil {
			t.Errorf("%s with CBOR, which takes it: %v", tag, err)
		}
	}
}

func TestASnapshotTypeObeysTheSameRules(t *testing.T) {
	for what, k := range map[string]AnyKind{
		"func":              defineSnapshot[func()](nil),
		"any":               defineSnapshot[any](nil),
		"map of any":        defineSnapshot[map[string]any](nil),
		"opaque":            defineSnapshot[opaque](nil),
		"pointer to opaque": defineSnapshot[*opaque](nil),
		"slice of opaque":   defineSnapshot[[]opaque](nil),
		"map of opaque":     defineSnapshot[map[int]opaque](nil),
		"PID":               defineSnapshot[*actor.PID](nil),
	} {
		if !errors.Is(k.Err(), ErrBadKind) {
			t.Errorf("a snapshot of type %s: got %v, want ErrBadKind", what, k.Err())
		}
	}
}

type (
	tree struct {
		Kids map[string]*tree
		Next []tree
	}
	deps struct{ _ *opaque }
)

func TestWhatCanComeBackIsAccepted(t *testing.T) {
	both := map[string]func(Codec) AnyKind{
		"bool":         func(c Codec) AnyKind { return define[bool](c) },
		"duration":     func(c Codec) AnyKind { return define[time.Duration](c) },
		"time":         func(c Codec) AnyKind { return define[time.Time](c) },
		"*time":        func(c Codec) AnyKind { return define[*time.Time](c) },
		"wrapped time": func(c Codec) AnyKind { return define[struct{ time.Time }](c) },
		"*big.Int":     func(c Codec) AnyKind { return define[map[string]*big.Int](c) },
		"big.Rat":      func(c Codec) AnyKind { return define[[]big.Rat](c) },
		"addr keys":    func(c Codec) AnyKind { return define[map[netip.Addr]netip.Prefix](c) },
		"*Ref":         func(c Codec) AnyKind { return define[*Ref[actorOf[int]]](c) },
		"Ref keys":     func(c Codec) AnyKind { return define[map[Ref[actorOf[int]]]bool](c) },
		"recursive":    func(c Codec) AnyKind { return define[tree](c) },
		"empty struct": func(c Codec) AnyKind { return define[map[int8]struct{}](c) },
		"**int":        func(c Codec) AnyKind { return define[**int](c) },
		"opaque but tagged": func(c Codec) AnyKind {
			return define[struct {
				X  int
				mu sync.Mutex
				M  *sync.Mutex `json:"-"`
			}](c)
		},
		"embedded deps": func(c Codec) AnyKind {
			return define[struct {
				deps
				*opaque
				X int
			}](c)
		},
		"snapshot slice": func(c Codec) AnyKind { return defineSnapshot[[]string](c) },
		"snapshot int":   func(c Codec) AnyKind { return defineSnapshot[int](c) },
		"snapshot nil":   func(c Codec) AnyKind { return defineSnapshot[*inner](c) },
		"stateless":      func(c Codec) AnyKind { return Define("k", func() *deaf { return nil }, &KindOptions{Codec: c}) },
		"generic, no field": func(c Codec) AnyKind {
			return Define("k", func() *box[time.Time] { return nil }, &KindOptions{Codec: c})
		},
	}
	for what, k := range both {
		for _, codec := range []Codec{CBOR, JSON} {
			if err := k(codec).Err(); err != nil {
				t.Errorf("%s with %s: %v", what, codec.Name(), err)
			}
		}
	}
	for what, k := range map[string]AnyKind{
		"map of URL":     define[map[string]url.URL](CBOR),
		"map of big.Int": define[map[string]big.Int](CBOR),
		"map of textKey": define[map[textKey]int](CBOR),
	} {
		if err := k.Err(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

type deaf struct{ _ int }

func (*deaf) Receive(*actor.Context) {}

type box[T any] struct{ _ T }

func (*box[T]) Receive(*actor.Context) {}

func TestAnActorThatBringsItsOwnEncodingIsRefused(t *testing.T) {
	k := Define("k", func() *clock { return &clock{} }, nil)
	if !errors.Is(k.Err(), ErrBadKind) {
		t.Errorf("got %v, want ErrBadKind: the promoted encoding of a time would be the whole snapshot", k.Err())
	}
}

type clock struct{ time.Time }

func (*clock) Receive(*actor.Context) {}

// keeper tells the parts of a restore apart: what is saved, what the tags
// exclude, and what is not exported.
type keeper struct {
	Saved  map[string]int
	Absent int
	Handle *opaque `cbor:"-"`
	Other  func()  `json:"-"`
	Embedded
	private *opaque
}

type Embedded struct {
	Deep int
	own  string
}

func (*keeper) Receive(*actor.Context) {}

func newKeeper() *keeper {
	return &keeper{
		Saved: map[string]int{"default": 1}, Absent: 7, Handle: &opaque{1}, Other: func() {},
		Embedded: Embedded{Deep: 5, own: "constructor"}, private: &opaque{2},
	}
}

func TestARestoreZeroesWhatIsSavedAndKeepsWhatTheConstructorGave(t *testing.T) {
	k := Define("keeper", newKeeper, nil)
	if err := k.Err(); err != nil {
		t.Fatal(err)
	}
	written := newKeeper()
	written.Saved, written.Deep = map[string]int{"new": 2}, 0
	payload, err := k.plan.encode("k", written)
	if err != nil {
		t.Fatal(err)
	}
	got := revived(t, k, payload)
	if want := (map[string]int{"new": 2}); !reflect.DeepEqual(got.Saved, want) || got.Deep != 0 {
		t.Errorf("defaults of the constructor leaked into what was saved: %v, %d", got.Saved, got.Deep)
	}
	if got.Handle == nil || got.Other == nil || got.private == nil || got.own != "constructor" {
		t.Errorf("what is not saved was not left as constructed: %+v", got)
	}
	empty, err := CBOR.Marshal(struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	if got := revived(t, k, empty); got.Saved != nil || got.Absent != 0 || got.Deep != 0 || got.own != "constructor" {
		t.Errorf("a field that the record lacks is not zero: %+v", got)
	}
}

func revived(t *testing.T, k *Kind[keeper], payload []byte) *keeper {
	t.Helper()
	r, err := k.plan.decode("k", &Record{Key: "k", Kind: "keeper", KindVersion: 1, Payload: payload}, CBOR)
	if err != nil {
		t.Fatal(err)
	}
	return r.(*keeper)
}
