package persist

import (
	"fmt"
	"reflect"
)

// Migration leads a snapshot from one version of its kind to the next. Make it
// with [Migrate].
type Migration struct {
	from uint32
	bind func(to Codec) (step, error)
}

// step converts a payload that codec wrote to one of the kind's codec.
type step func(codec Codec, payload []byte) ([]byte, error)

// Migrate returns the step from version from to version from+1: the snapshot is
// decoded as an Old, and what f returns takes its place. Old and New are the
// types as they were saved at those versions; keep them in the program as long as such
// records may turn up. A record passes through as many steps as it needs, in
// memory only: the store gets the new form with the actor's next save. The
// error of f fails the respawn of that key and leaves the record as it is. The
// rules of [Define] about what can come back hold for New.
func Migrate[Old, New any](from uint32, f func(Old) (New, error)) Migration {
	if f == nil {
		return Migration{from: from}
	}
	return Migration{from: from, bind: func(to Codec) (step, error) {
		shape, err := shapeOf(reflect.TypeFor[New](), to.Name(), false)
		if err != nil {
			return nil, err
		}
		return func(codec Codec, payload []byte) ([]byte, error) {
			var old Old
			if err := codec.Unmarshal(payload, &old); err != nil {
				return nil, fmt.Errorf("decode version %d as %T with %s: %w: %w", from, old, codec.Name(), ErrBadSnapshot, err)
			}
			next, err := f(old)
			if err == nil {
				err = shape.check(reflect.ValueOf(&next).Elem())
			}
			if err != nil {
				return nil, err
			}
			return to.Marshal(&next)
		}, nil
	}}
}

func arrangeMigrations(name string, version uint32, to Codec, ms []Migration) (map[uint32]step, error) {
	byFrom := map[uint32]step{}
	for _, m := range ms {
		switch {
		case m.bind == nil:
			return nil, fmt.Errorf("%w %q: a migration from version %d without a function", ErrBadKind, name, m.from)
		case m.from < 1 || m.from >= version:
			return nil, fmt.Errorf("%w %q: a migration from version %d, where the kind is at %d", ErrBadKind, name, m.from, version)
		}
		if _, dup := byFrom[m.from]; dup {
			return nil, fmt.Errorf("%w %q: two migrations from version %d", ErrBadKind, name, m.from)
		}
		convert, err := m.bind(to)
		if err != nil {
			return nil, fmt.Errorf("kind %q: migration from version %d: %w", name, m.from, err)
		}
		byFrom[m.from] = convert
	}
	return byFrom, nil
}

// migrate returns the payload at the kind's version, and the codec it is in.
func (p *plan) migrate(rec *Record, codec Codec) ([]byte, Codec, error) {
	if rec.KindVersion > p.version {
		return nil, nil, fmt.Errorf("read %q: %w: version %d of kind %q, this program knows up to %d", string(rec.Key), ErrTooNew, rec.KindVersion, p.name, p.version)
	}
	payload := rec.Payload
	for v := rec.KindVersion; v < p.version; v++ {
		convert, ok := p.migrations[v]
		if !ok {
			return nil, nil, fmt.Errorf("read %q: %w %q: no migration leads from version %d to %d", string(rec.Key), ErrBadKind, p.name, v, v+1)
		}
		next, err := convert(codec, payload)
		if err != nil {
			return nil, nil, fmt.Errorf("migrate %q from version %d of kind %q: %w", string(rec.Key), v, p.name, err)
		}
		payload, codec = next, p.codec
	}
	return payload, codec, nil
}
