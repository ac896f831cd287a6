package persist

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/fxamacker/cbor/v2"
)

// shape is what is known about a snapshot type before any value of it is seen.
type shape struct {
	zero  [][]int // the fields that the snapshot consists of, by index path
	guard guard   // refuses values that would not come back; nil where all would
}

// guard looks at a value before it is encoded. depth counts the containers
// around it.
type guard func(v reflect.Value, depth int) error

// shapeOf checks that every value of struct type t which passes the guard comes
// back from the codec as it was. The error names the field's path.
func shapeOf(t reflect.Type, codec string) (*shape, error) {
	ins := &inspector{codec: codec, guards: map[reflect.Type]*lateGuard{}}
	g, err := ins.inspect(t, t.Name(), true)
	if err != nil {
		return nil, err
	}
	s := &shape{guard: g}
	if t.Kind() == reflect.Struct && !ins.isLeaf(t, true) {
		s.zero = savedFields(t, codec)
	}
	return s, nil
}

// reset zeroes what a snapshot consists of and leaves the rest of v alone.
func (s *shape) reset(v reflect.Value) {
	for _, path := range s.zero {
		if f, err := v.FieldByIndexErr(path); err == nil && f.CanSet() {
			f.SetZero()
		}
	}
}

// check refuses a value that would not come back.
func (s *shape) check(v reflect.Value) error {
	if s.guard == nil {
		return nil
	}
	return s.guard(v, 0)
}

type inspector struct {
	codec  string
	guards map[reflect.Type]*lateGuard // types seen; a cycle finds itself here
}

// lateGuard lets a recursive type refer to its own guard before it is built.
type lateGuard struct {
	g         guard
	done      bool
	recursive bool
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	bigIntType = reflect.TypeFor[big.Int]()
	pidType    = reflect.TypeFor[actor.PID]()
)

// codecPairs are the pairs of interfaces by which a type brings its own
// encoding, per codec; "" stands for a codec that is not ours.
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

// ownEncoding says which pair t implements. one is true where it can be written
// but not read, or the reverse.
func (ins *inspector) ownEncoding(t reflect.Type, addressable bool) (both bool, one string) {
	for _, pair := range codecPairs[ins.codec] {
		writes := t.Implements(pair[0]) || addressable && reflect.PointerTo(t).Implements(pair[0])
		reads := reflect.PointerTo(t).Implements(pair[1])
		if writes && reads {
			return true, ""
		}
		if writes != reads && one == "" {
			one = fmt.Sprintf("has only one of %v and %v", pair[0], pair[1])
		}
	}
	return false, one
}

func (ins *inspector) isLeaf(t reflect.Type, addressable bool) bool {
	if t == timeType || t == bigIntType {
		return true
	}
	both, _ := ins.ownEncoding(t, addressable)
	return both
}

// inspect refuses t, or returns the guard of its values.
func (ins *inspector) inspect(t reflect.Type, path string, addressable bool) (guard, error) {
	refuse := func(why string) (guard, error) {
		return nil, fmt.Errorf("%w: %s: %s", ErrBadKind, path, why)
	}
	switch {
	case t == pidType:
		return refuse("an actor.PID does not outlive the process; use persist.Ref")
	case t == timeType:
		return guardTime, nil
	case ins.isLeaf(t, addressable):
		return nil, nil
	}
	if _, one := ins.ownEncoding(t, addressable); one != "" {
		return refuse(fmt.Sprintf("%v %s, so it would not come back", t, one))
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64:
		return nil, nil
	case reflect.String:
		if ins.codec == "json" {
			return guardUTF8, nil
		}
		return nil, nil
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map, reflect.Struct:
		return ins.container(t, path, addressable)
	}
	return refuse(fmt.Sprintf("a value of type %v (%v) cannot come back", t, t.Kind()))
}

// container inspects a type that holds others. The types on the way down are
// remembered, so that a recursive type ends, and its guard counts depth.
func (ins *inspector) container(t reflect.Type, path string, addressable bool) (guard, error) {
	if late := ins.guards[t]; late != nil {
		if late.done {
			return late.g, nil
		}
		late.recursive = true
		return func(v reflect.Value, depth int) error {
			if late.g == nil {
				return nil
			}
			return late.g(v, depth)
		}, nil
	}
	late := &lateGuard{}
	ins.guards[t] = late
	g, err := ins.elements(t, path, addressable)
	if err != nil {
		return nil, err
	}
	if late.recursive {
		inner := g
		g = func(v reflect.Value, depth int) error {
			if depth >= maxDepth {
				return fmt.Errorf("value at %s is nested more than %d levels deep, or in a cycle", path, maxDepth)
			}
			return inner(v, depth+1)
		}
	}
	late.g, late.done = g, true
	return g, nil
}

func (ins *inspector) elements(t reflect.Type, path string, addressable bool) (guard, error) {
	switch t.Kind() {
	case reflect.Pointer:
		g, err := ins.inspect(t.Elem(), path, true)
		if g == nil || err != nil {
			return nil, err
		}
		return func(v reflect.Value, depth int) error {
			if v.IsNil() {
				return nil
			}
			return g(v.Elem(), depth)
		}, nil
	case reflect.Slice, reflect.Array:
		g, err := ins.inspect(t.Elem(), path+"[]", addressable || t.Kind() == reflect.Slice)
		if g == nil || err != nil {
			return nil, err
		}
		return func(v reflect.Value, depth int) error {
			for i := range v.Len() {
				if err := g(v.Index(i), depth); err != nil {
					return err
				}
			}
			return nil
		}, nil
	case reflect.Map:
		return ins.mapping(t, path)
	}
	return ins.structure(t, path, addressable)
}

func (ins *inspector) mapping(t reflect.Type, path string) (guard, error) {
	switch kt := t.Key(); {
	case ins.isLeaf(kt, false) && kt.Implements(reflect.TypeFor[encoding.TextMarshaler]()) && kt != timeType:
	case kt.Kind() == reflect.String, kt.Kind() >= reflect.Int && kt.Kind() <= reflect.Uint64:
	default:
		return nil, fmt.Errorf("%w: %s: a map key of type %v cannot come back; use a string, an integer or a type that marshals as text", ErrBadKind, path, kt)
	}
	gk, err := ins.inspect(t.Key(), path+" key", false)
	if err != nil {
		return nil, err
	}
	gv, err := ins.inspect(t.Elem(), path+"[]", false)
	if gk == nil && gv == nil || err != nil {
		return nil, err
	}
	return func(v reflect.Value, depth int) error {
		for it := v.MapRange(); it.Next(); {
			if gk != nil {
				if err := gk(it.Key(), depth); err != nil {
					return err
				}
			}
			if gv != nil {
				if err := gv(it.Value(), depth); err != nil {
					return err
				}
			}
		}
		return nil
	}, nil
}

type fieldGuard struct {
	index int
	g     guard
}

func (ins *inspector) structure(t reflect.Type, path string, addressable bool) (guard, error) {
	names := map[string]string{}
	if err := ins.names(t, path, names); err != nil {
		return nil, err
	}
	saved := 0
	var guards []fieldGuard
	for i := range t.NumField() {
		f := t.Field(i)
		if !isSaved(f, ins.codec) {
			continue
		}
		saved++
		if f.Anonymous && f.Type.Kind() == reflect.Pointer && !f.IsExported() {
			return nil, fmt.Errorf("%w: %s.%s: an embedded pointer to an unexported type cannot be set", ErrBadKind, path, f.Name)
		}
		g, err := ins.inspect(f.Type, path+"."+f.Name, addressable)
		if err != nil {
			return nil, err
		}
		if g != nil {
			guards = append(guards, fieldGuard{i, g})
		}
	}
	if saved == 0 && t.NumField() > 0 && strings.Contains(path, ".") {
		return nil, fmt.Errorf("%w: %s: nothing of %v would be saved, since it exports no field", ErrBadKind, path, t)
	}
	if guards == nil {
		return nil, nil
	}
	return func(v reflect.Value, depth int) error {
		for _, f := range guards {
			if err := f.g(v.Field(f.index), depth); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// names refuses two fields that would be written under one name: encoders drop
// one or both of such fields without a word.
func (ins *inspector) names(t reflect.Type, path string, seen map[string]string) error {
	for i := range t.NumField() {
		f := t.Field(i)
		if !isSaved(f, ins.codec) {
			continue
		}
		name, tagged := fieldName(f, ins.codec)
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if f.Anonymous && !tagged && inner.Kind() == reflect.Struct && !ins.isLeaf(inner, true) {
			if inner == t {
				return fmt.Errorf("%w: %s.%s: a type that embeds itself cannot come back", ErrBadKind, path, f.Name)
			}
			if err := ins.names(inner, path+"."+f.Name, seen); err != nil {
				return err
			}
			continue
		}
		if other, dup := seen[name]; dup {
			return fmt.Errorf("%w: %s.%s: it would be written under the same name %q as %s", ErrBadKind, path, f.Name, name, other)
		}
		seen[name] = path + "." + f.Name
	}
	return nil
}

// isSaved says whether f is part of the snapshot: exported, or an embedded
// struct whose exported fields are promoted, and not tagged "-".
func isSaved(f reflect.StructField, codec string) bool {
	if tag, ok := fieldTag(f, codec); ok && tag == "-" {
		return false
	}
	if f.IsExported() {
		return true
	}
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return f.Anonymous && t.Kind() == reflect.Struct
}

// fieldTag returns the tag that the codec reads: its own, else that of JSON, as
// fxamacker/cbor does.
func fieldTag(f reflect.StructField, codec string) (string, bool) {
	if tag, ok := f.Tag.Lookup(codec); ok {
		return tag, true
	}
	return f.Tag.Lookup("json")
}

func fieldName(f reflect.StructField, codec string) (name string, tagged bool) {
	tag, _ := fieldTag(f, codec)
	name, _, _ = strings.Cut(tag, ",")
	if name == "" {
		return f.Name, false
	}
	return name, true
}

// savedFields lists the fields that a restore sets, embedded structs opened up,
// so that what a constructor put into their unexported fields survives.
func savedFields(t reflect.Type, codec string) [][]int {
	var paths [][]int
	for i := range t.NumField() {
		f := t.Field(i)
		if !isSaved(f, codec) {
			continue
		}
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			for _, p := range savedFields(f.Type, codec) {
				paths = append(paths, append([]int{i}, p...))
			}
			continue
		}
		paths = append(paths, []int{i})
	}
	return paths
}
