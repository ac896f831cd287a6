package persist

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"

	"github.com/anthdm/hollywood/actor"
)

// Kind tells how actors of one type are made, what of them is saved, and when.
// Make one with [Define] or [DefineSnapshot], usually as a package variable,
// and give it to [New] in Options.Kinds.
type Kind[T any] struct {
	plan *plan
}

// AnyKind is a [*Kind] of whatever actor type.
type AnyKind interface {
	// Name is the name that records carry.
	Name() string
	// Err says what is wrong with the definition, as New will say too; nil where
	// nothing is.
	Err() error

	blueprint() *plan
}

// Kinds is what a system knows to bring back.
type Kinds []AnyKind

// KindOptions is what [Define] may be told beyond the necessary. The zero value
// is useful.
type KindOptions struct {
	// Version counts the changes of the snapshot type; 0 means 1. A record of an
	// older version passes through Migrations, one of a newer is ErrTooNew.
	Version uint32
	// Migrations lead from older versions to Version, one step each; see [Migrate].
	Migrations []Migration
	// FormerNames are names that this kind's records may still carry.
	FormerNames []string
	// Codec writes the snapshots; nil means CBOR. What another codec wrote stays
	// readable.
	Codec Codec
	// Save says when an actor is saved by itself; the zero Policy is OnStop.
	Save Policy
	// Supervision bounds restarts.
	Supervision Supervision
	// Hollywood are options of the engine: inbox size (16 where unset; it grows
	// when needed, and Hollywood's own 1024 costs 28 KB an actor), context, and
	// middleware, which runs inside the shell, so that its panics are caught too.
	// An id, a kind, a producer and restart limits are set by this package; to
	// give one is ErrBadKind.
	Hollywood []actor.OptFunc
}

// plan is a kind without its type: what the shell works with.
type plan struct {
	name       string
	actor      reflect.Type // the struct, without the pointer
	version    uint32
	former     []string
	migrations map[uint32]step
	codec      Codec
	policy     Policy
	limits     Supervision
	opts       actor.Opts
	err        error

	// construct returns a new actor as its constructor makes it.
	construct func() actor.Receiver
	// snapshot returns what is to be encoded; it may alias the actor.
	snapshot func(actor.Receiver) any
	// fresh returns a pointer to a zero snapshot, for decoding.
	// For the exported-fields snapshot that is the actor itself, reset.
	fresh func(actor.Receiver) any
	// restore gives a decoded snapshot to the actor.
	restore func(actor.Receiver, any) error
	// shape checks values before they are encoded.
	shape *shape
}

// Define defines a kind whose snapshot is the exported fields of T. *T is the
// actor; new makes one with whatever its unexported fields need. A nil o means
// defaults.
//
// On respawn, new is called, every exported field is zeroed, and the snapshot
// is decoded into it: a field that the record lacks is zero, not what new put
// there. A record with a field that T lacks is refused, since the next save
// would lose it: raise KindOptions.Version and migrate. A field tagged
// `cbor:"-"` or `json:"-"` is not part of the snapshot.
//
// Define checks T and never panics: what is wrong is told by Err, by [New] and
// by each method of the kind, as [ErrBadKind] with the path of the field.
// Refused are fields that could not come back (interfaces, functions, channels,
// complex numbers, unsafe pointers, actor.PID, and types that export nothing), two
// fields of one name, and a T with methods Snapshot and Restore, which belongs to [DefineSnapshot].
// An array that has become shorter loses its tail without a word, as codecs
// have it: that is a change of version too.
// Pointers are saved as what they point at: two pointers to one value come back
// as pointers to two.
func Define[A interface {
	*T
	actor.Receiver
}, T any](name string, new func() A, o *KindOptions) *Kind[T] {
	k := &Kind[T]{}
	p := newPlan(name, new == nil, o)
	k.plan = p
	t := reflect.TypeFor[T]()
	p.construct = func() actor.Receiver { return new() }
	p.snapshot = func(r actor.Receiver) any { return r }
	p.fresh = func(r actor.Receiver) any {
		p.shape.reset(reflect.ValueOf(r).Elem())
		return r
	}
	p.restore = func(actor.Receiver, any) error { return nil }
	p.actor = t
	p.inspect(t, true)
	switch {
	case p.err != nil:
	case t.Kind() != reflect.Struct:
		p.err = fmt.Errorf("%w %q: %v is not a struct", ErrBadKind, name, t)
	case hasMethods(reflect.PointerTo(t), "Snapshot", "Restore"):
		p.err = fmt.Errorf("%w %q: *%v has Snapshot and Restore; define it with DefineSnapshot", ErrBadKind, name, t)
	case p.shape.zero == nil && t.NumField() > 0 && ownsEncoding(t, p.codec.Name()):
		p.err = fmt.Errorf("%w %q: %v brings its own encoding, so its exported fields would not be its snapshot; define it with DefineSnapshot", ErrBadKind, name, t)
	}
	return k
}

// DefineSnapshot defines a kind whose snapshot is a type S of its own. Snapshot
// is called on the actor's goroutine and its result encoded before the actor
// goes on, so it may alias the actor. Restore gets a decoded S on a newly
// constructed actor, before Initialized; its error fails the respawn. The rules
// of [Define] about what can come back hold for S, which may be any type.
func DefineSnapshot[A interface {
	*T
	actor.Receiver
	Snapshot() S
	Restore(S) error
}, T, S any](name string, new func() A, o *KindOptions) *Kind[T] {
	k := &Kind[T]{}
	p := newPlan(name, new == nil, o)
	k.plan = p
	p.construct = func() actor.Receiver { return new() }
	p.snapshot = func(r actor.Receiver) any {
		s := r.(A).Snapshot()
		return &s
	}
	p.fresh = func(actor.Receiver) any { return new2[S]() }
	p.restore = func(r actor.Receiver, s any) error { return r.(A).Restore(*s.(*S)) }
	p.actor = reflect.TypeFor[T]()
	p.inspect(reflect.TypeFor[S](), false)
	return k
}

func new2[S any]() any { return new(S) }

// Name is the name that this kind's records carry.
func (k *Kind[T]) Name() string { return k.plan.name }

// Err says what is wrong with the definition, nil where nothing is.
func (k *Kind[T]) Err() error { return k.plan.err }

func (k *Kind[T]) blueprint() *plan {
	if k == nil {
		return nil
	}
	return k.plan
}

func newPlan(name string, noConstructor bool, o *KindOptions) *plan {
	if o == nil {
		o = &KindOptions{}
	}
	p := &plan{
		name: name, version: max(o.Version, 1), former: o.FormerNames, codec: o.Codec,
		policy: o.Save, limits: o.Supervision.withDefaults(),
	}
	if p.codec == nil {
		p.codec = CBOR
	}
	p.opts, p.err = engineOpts(o.Hollywood)
	if p.err != nil {
		p.err = fmt.Errorf("%w %q: %w", ErrBadKind, name, p.err)
	}
	for _, n := range append([]string{name}, o.FormerNames...) {
		if len(n) == 0 || len(n) > maxName {
			p.err = fmt.Errorf("%w %q: the name %.40q has %d bytes, not 1 to %d", ErrBadKind, name, n, len(n), maxName)
		}
	}
	if n := len(p.codec.Name()); n == 0 || n > maxName {
		p.err = fmt.Errorf("%w %q: the codec's name has %d bytes, not 1 to %d", ErrBadKind, name, n, maxName)
	}
	if p.policy.err != nil {
		p.err = fmt.Errorf("kind %q: %w", name, p.policy.err)
	}
	if noConstructor {
		p.err = fmt.Errorf("%w %q: its constructor is nil", ErrBadKind, name)
	}
	if p.err == nil {
		p.migrations, p.err = arrangeMigrations(name, p.version, p.codec, o.Migrations)
	}
	return p
}

func (p *plan) inspect(t reflect.Type, stateless bool) {
	s, err := shapeOf(t, p.codec.Name(), stateless)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("kind %q: %w", p.name, err)
	}
	if s == nil {
		s = &shape{}
	}
	p.shape = s
}

func hasMethods(t reflect.Type, names ...string) bool {
	for _, n := range names {
		if _, ok := t.MethodByName(n); !ok {
			return false
		}
	}
	return true
}

func ownsEncoding(t reflect.Type, codec string) bool {
	ins := &inspector{codec: codec}
	return ins.isLeaf(t, true)
}

// engineOpts opens Hollywood's options, so that the parts which this package
// needs for itself are not overridden unseen.
func engineOpts(fs []actor.OptFunc) (actor.Opts, error) {
	const untouched = -1 << 20
	o := actor.Opts{MaxRestarts: untouched, RestartDelay: untouched, InboxSize: 16}
	for _, f := range fs {
		if f == nil {
			return o, errors.New("a Hollywood option is nil")
		}
		f(&o)
	}
	if o.ID != "" || o.Kind != "" || o.Producer != nil || o.MaxRestarts != untouched || o.RestartDelay != untouched {
		return o, fmt.Errorf("a Hollywood option sets an id, kind, producer or restart limit; those follow from the key and from Supervision")
	}
	if o.InboxSize < 1 {
		return o, fmt.Errorf("an inbox of %d slots", o.InboxSize)
	}
	return o, nil
}

// build constructs an actor. A panic of the constructor is a *PanicError.
func (p *plan) build(key Key) (r actor.Receiver, err error) {
	err = guarded(key, "its constructor", func() error {
		r = p.construct()
		if v := reflect.ValueOf(r); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
			return fmt.Errorf("construct %q: %w %q: its constructor returned nil", string(key), ErrBadKind, p.name)
		}
		return nil
	})
	return r, err
}

// encode takes the snapshot of an actor.
func (p *plan) encode(key Key, r actor.Receiver) (payload []byte, err error) {
	err = guarded(key, "Snapshot", func() error {
		s := p.snapshot(r)
		if err := p.shape.check(reflect.ValueOf(s).Elem()); err != nil {
			return err
		}
		payload, err = p.codec.Marshal(s)
		if err == nil && len(payload) > MaxPayload {
			err = fmt.Errorf("%w: %d bytes, %d is the most", ErrTooLarge, len(payload), MaxPayload)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take snapshot of %q: %w", string(key), err)
	}
	return payload, nil
}

// decode brings an actor back from a record that codec wrote.
func (p *plan) decode(key Key, rec *Record, codec Codec) (actor.Receiver, error) {
	r, err := p.build(key)
	if err != nil {
		return nil, err
	}
	payload := rec.Payload
	err = guarded(key, "a migration", func() (err error) {
		payload, codec, err = p.migrate(rec, codec)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = guarded(key, "Restore", func() error {
		s := p.fresh(r)
		if err := codec.Unmarshal(payload, s); err != nil {
			return fmt.Errorf("decode %q as kind %q with %s: %w: %w", string(key), p.name, codec.Name(), ErrBadSnapshot, err)
		}
		return p.restore(r, s)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// guarded runs user code and turns its panic into a *PanicError.
func guarded(key Key, in string, f func() error) (err error) {
	finished := false
	defer func() {
		if finished {
			return
		}
		err = &PanicError{Key: key, In: in, Value: recover(), Stack: debug.Stack()}
	}()
	err = f()
	finished = true
	return err
}
