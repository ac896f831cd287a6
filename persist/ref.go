package persist

import (
	"reflect"

	"github.com/anthdm/hollywood/actor"
)

// Ref is a link from one actor to another that is not its child: a field of it
// is saved as the other's key, and comes back as that key, whether the other is
// there or not. It finds the live actor when asked and never respawns one.
//
// T is the actor's struct type. The zero Ref links to nothing.
type Ref[T any] struct {
	key Key
}

// RefTo returns a link to the actor of a key, in the form of [ParseKey]. What is
// not a key is kept as it is, and refused when the link is saved or followed.
func RefTo[T any](key Key) Ref[T] {
	if k, err := ParseKey(string(key)); err == nil {
		key = k
	}
	return Ref[T]{key}
}

// Key returns the key that the link leads to, "" for the zero Ref.
func (r Ref[T]) Key() Key { return r.key }

// IsZero says whether the link leads nowhere.
func (r Ref[T]) IsZero() bool { return r.key == "" }

// PID returns the live actor that the link leads to, as seen from the actor
// that c belongs to. It is false where that actor is not persistent, and where
// the key has no live actor of type T.
func (r Ref[T]) PID(c *actor.Context) (*actor.PID, bool) {
	sys, ok := SystemOf(c)
	if !ok {
		return nil, false
	}
	return r.Lookup(sys)
}

// Lookup returns the live actor that the link leads to. It is false where the
// key has no live actor of type T.
func (r Ref[T]) Lookup(sys *System) (*actor.PID, bool) {
	at, err := sys.resolve(r.key)
	if err != nil {
		return nil, false
	}
	sh := sys.census.at(at.key)
	if sh == nil || !sh.isLive() || sh.plan.actor != reflect.TypeFor[T]() {
		return nil, false
	}
	return pidOf(sys.engine, sh.key), true
}

// MarshalText implements encoding.TextMarshaler.
func (r Ref[T]) MarshalText() ([]byte, error) {
	if r.key == "" {
		return []byte{}, nil
	}
	k, err := ParseKey(string(r.key))
	return []byte(k), err
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Ref[T]) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		r.key = ""
		return nil
	}
	k, err := ParseKey(string(b))
	r.key = k
	return err
}
