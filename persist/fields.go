package persist

import (
	"encoding"
	"fmt"
	"math/big"
	"reflect"
	"time"

	"github.com/anthdm/hollywood/actor"
)

// shape is what is known about a snapshot type before any value of it is seen.
type shape struct {
	zero  [][]int // the fields that the snapshot consists of, by index path
	guard guard   // refuses values that would not come back; nil where all would
}

// guard looks at a value before it is encoded. depth counts the containers
// around it.
type guard func(v reflect.Value, depth int) error

// shapeOf checks that every value of type t which passes the guard comes back
// from the codec as it was. The error names the field's path. A stateless type
// may have nothing to save: an actor, but not a snapshot.
func shapeOf(t reflect.Type, codec string, stateless bool) (*shape, error) {
	ins := &inspector{codec: codec, guards: map[inspected]*lateGuard{}}
	if stateless {
		ins.stateless = t
	}
	path := t.Name()
	if path == "" {
		path = t.String()
	}
	g, err := ins.inspect(t, path, true)
	if err != nil {
		return nil, err
	}
	s := &shape{guard: g}
	if t.Kind() == reflect.Struct && !ins.isLeaf(t, true) {
		s.zero = ins.savedFields(t)
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
	codec     string
	stateless reflect.Type             // may export nothing
	guards    map[inspected]*lateGuard // types seen; a cycle finds itself here
}

// inspected is a type in a place: encoding/json does not find the methods of a
// pointer where a value has no address, as in a map.
type inspected struct {
	t           reflect.Type
	addressable bool
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

// inspect refuses t, or returns the guard of its values.
func (ins *inspector) inspect(t reflect.Type, path string, addressable bool) (guard, error) {
	refuse := func(why string) (guard, error) {
		return nil, fmt.Errorf("%w: %s: %s", ErrBadKind, path, why)
	}
	addressable = addressable || ins.codec == "cbor" // which copies what has no address
	if f, yes := ins.promoted(t); yes {
		return refuse(fmt.Sprintf("%v embeds %v, whose own encoding would stand for the whole; give that field a name", t, f.Type))
	}
	switch {
	case t == pidType:
		return refuse("an actor.PID does not outlive the process; use persist.Ref")
	case t == timeType && ins.codec == "cbor":
		return guardTimeCBOR, nil
	case t == timeType:
		return guardTime, nil
	case ins.isLeaf(t, addressable):
		return ins.wrapped(t, path)
	}
	if _, half := ins.ownEncoding(t, addressable); half != "" {
		return refuse(fmt.Sprintf("%v %s, so it would not come back", t, half))
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
	if late := ins.guards[inspected{t, addressable}]; late != nil {
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
	ins.guards[inspected{t, addressable}] = late
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
			return inner(v, depth)
		}
	}
	late.g, late.done = g, true
	return g, nil
}

func (ins *inspector) elements(t reflect.Type, path string, addressable bool) (guard, error) {
	switch t.Kind() {
	case reflect.Pointer:
		return ins.pointer(t, path)
	case reflect.Slice, reflect.Array:
		g, err := ins.inspect(t.Elem(), path+"[]", addressable || t.Kind() == reflect.Slice)
		if g == nil || err != nil {
			return nil, err
		}
		return func(v reflect.Value, depth int) error {
			for i := range v.Len() {
				if err := g(v.Index(i), depth+1); err != nil {
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

// pointer looks behind a pointer. What is written as null behind it would come
// back as a nil pointer.
func (ins *inspector) pointer(t reflect.Type, path string) (guard, error) {
	g, err := ins.inspect(t.Elem(), path, true)
	if err != nil {
		return nil, err
	}
	var isNull func(v reflect.Value) bool
	switch k := t.Elem().Kind(); {
	case t.Elem() == timeType && ins.codec == "cbor":
		isNull = reflect.Value.IsZero
	case ins.isLeaf(t.Elem(), true):
	case k == reflect.Pointer, k == reflect.Slice, k == reflect.Map:
		isNull = reflect.Value.IsNil
	}
	if g == nil && isNull == nil {
		return nil, nil
	}
	return func(v reflect.Value, depth int) error {
		switch {
		case v.IsNil():
			return nil
		case isNull != nil && isNull(v.Elem()):
			return fmt.Errorf("value at %s is a pointer to the null of %v, which would come back as a nil pointer", path, v.Elem().Type())
		case g == nil:
			return nil
		}
		return g(v.Elem(), depth)
	}, nil
}

func (ins *inspector) mapping(t reflect.Type, path string) (guard, error) {
	switch kt := t.Key(); {
	case ins.codec == "json" && kt.Kind() == reflect.String && reflect.PointerTo(kt).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return nil, fmt.Errorf("%w: %s: a map key of type %v cannot come back: encoding/json writes it without MarshalText and reads it with UnmarshalText", ErrBadKind, path, kt)
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
				if err := gv(it.Value(), depth+1); err != nil {
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
	if err := ins.names(t, path, map[string]string{}, map[reflect.Type]bool{}); err != nil {
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
		if name, _ := fieldName(f, ins.codec); ins.codec == "json" && !isJSONName(name) {
			return nil, fmt.Errorf("%w: %s.%s: encoding/json ignores a name like %q", ErrBadKind, path, f.Name, name)
		}
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
	if saved == 0 && t.NumField() > 0 && t != ins.stateless {
		return nil, fmt.Errorf("%w: %s: nothing of %v would be saved, since it exports no field", ErrBadKind, path, t)
	}
	if guards == nil {
		return nil, nil
	}
	return func(v reflect.Value, depth int) error {
		for _, f := range guards {
			if err := f.g(v.Field(f.index), depth+1); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
