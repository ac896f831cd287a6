package persist

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// codecPairs are the pairs of interfaces by which a type brings its own
// encoding, per codec, in the order in which the codec looks for them.
var codecPairs = map[string][][2]reflect.Type{
	"cbor": {
		{reflect.TypeFor[cbor.Marshaler](), reflect.TypeFor[cbor.Unmarshaler]()},
		{reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler]()},
		{reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()},
	},
	"json": {
		{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler]()},
		{reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()},
	},
}

// ownEncoding says whether t brings its own encoding, in both directions. The
// first pair that it has a half of is what the codec uses; half is why that does
// not do.
func (ins *inspector) ownEncoding(t reflect.Type, addressable bool) (both bool, half string) {
	if t.Kind() == reflect.Pointer {
		return false, "" // codecs look through it
	}
	for _, pair := range codecPairs[ins.codec] {
		direct := t.Implements(pair[0])
		writes := direct || reflect.PointerTo(t).Implements(pair[0])
		reads := reflect.PointerTo(t).Implements(pair[1])
		switch {
		case writes && reads && !direct && !addressable:
			return false, fmt.Sprintf("implements %v on its pointer, which is not found in a map", pair[0])
		case writes && reads:
			return true, ""
		case writes || reads:
			return false, fmt.Sprintf("has only one of %v and %v", pair[0], pair[1])
		}
	}
	return false, ""
}

func (ins *inspector) isLeaf(t reflect.Type, addressable bool) bool {
	if t == timeType || t == bigIntType && ins.codec != "json" {
		return true
	}
	both, _ := ins.ownEncoding(t, addressable)
	return both
}

// wrapped is the guard of a type with an encoding of its own: none, or that of
// the embedded time whose encoding it is.
func (ins *inspector) wrapped(t reflect.Type, path string) (guard, error) {
	if t.Kind() != reflect.Struct {
		return nil, nil
	}
	if f, ok := t.FieldByName("Time"); ok && f.Anonymous && f.Type == timeType {
		g, err := ins.inspect(timeType, path+".Time", true)
		return func(v reflect.Value, depth int) error { return g(v.FieldByIndex(f.Index), depth) }, err
	}
	return nil, nil
}

// promoted returns an embedded field of t whose own encoding stands for t, or
// would be passed over, while t has more to save than that field.
func (ins *inspector) promoted(t reflect.Type) (embedded reflect.StructField, yes bool) {
	if t == timeType || t == bigIntType || t.Kind() != reflect.Struct {
		return embedded, false
	}
	brings, others := 0, 0
	for i := range t.NumField() {
		f := t.Field(i)
		own, half := ins.ownEncoding(indirect(f.Type), true)
		switch {
		case f.Anonymous && (own || half != "" || ins.isLeaf(indirect(f.Type), true)):
			brings, embedded = brings+1, f
		case isSaved(f, ins.codec):
			others++
		}
	}
	return embedded, brings > 1 || brings == 1 && others > 0
}

func indirect(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}
