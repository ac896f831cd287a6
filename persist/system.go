package persist

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"time"

	"github.com/anthdm/hollywood/actor"
)

// System makes the actors of one Hollywood engine durable in one or more
// stores. Make it with [New]; end it with [System.Close].
//
// Its methods may be called from any goroutine but that of a persistent actor:
// there, use the functions that take an [*actor.Context].
type System struct {
	engine *actor.Engine
	opts   Options
	writer WriterID
	mounts []*mount // the base store first
	plans  map[string]*plan
	codecs map[string]Codec

	locks    lockTable
	census   census
	ops      gauge // operations under way
	routines gauge // goroutines under way
	gate     gate  // shut by Close
}

// Options is what [New] may be told beyond the necessary. A nil *Options knows
// no kinds, so that nothing can be spawned.
type Options struct {
	// Kinds are all the kinds that the system knows. A record or a Spawn of
	// another one is ErrUnknownKind.
	Kinds Kinds
	// Stores are further stores beside the base store. Their bases must not
	// overlap with it or with each other. The system owns them too.
	Stores []Store
	// Codecs are read beside CBOR, JSON and those of Kinds.
	Codecs []Codec
	// SaveTimeout bounds every wait that has no context of its own: the commits
	// of Save and of policies, SpawnChild, StopChild; as far as the store obeys the
	// context it is given. 0 means 30 s.
	SaveTimeout time.Duration
	// LoadParallel bounds how many snapshots of a tree are decoded (and, from a
	// store that is no TreeStore, loaded) side by side. 0 means 16.
	LoadParallel int
	// RespawnPartial brings up what can be brought up of a tree of which some
	// actors cannot, and their descendants neither; the error names them all the
	// same. By default such a tree stays down whole.
	RespawnPartial bool
	// Rand gives the writer id; nil means crypto/rand.
	Rand io.Reader

	// Go starts every goroutine of the system; nil means the go statement. Yield
	// is called with a name of the place after each wake that precedes something
	// shared; nil does nothing. With Go or Yield set, the contexts given to
	// stores name their caller (see Caller). All three are for schedulers, which
	// must not panic in them.
	Go    func(name string, f func())
	Yield func(point string)
}

// New returns a system whose actors live in engine and are saved to store, the
// base store of relative keys. The system owns the stores from then on, also
// where New fails: it closes them in Close, or before it returns the error.
//
// Errors: [ErrBadKind] with all kinds that are defined wrongly, or that share a
// name; [ErrBadKey] for a store base that is no absolute key or overlaps with
// another; [ErrEngineVersion] for a Hollywood of another layout.
func New(engine *actor.Engine, store Store, o *Options) (*System, error) {
	if o == nil {
		o = &Options{}
	}
	s := &System{engine: engine, opts: *o, plans: map[string]*plan{}, codecs: map[string]Codec{}}
	if s.opts.SaveTimeout <= 0 {
		s.opts.SaveTimeout = 30 * time.Second
	}
	if s.opts.LoadParallel <= 0 {
		s.opts.LoadParallel = 16
	}
	s.gate.shut = make(chan struct{})
	if err := s.setUp(store); err != nil {
		for _, st := range append([]Store{store}, o.Stores...) {
			if st != nil {
				err = errors.Join(err, st.Close())
			}
		}
		return nil, fmt.Errorf("start persistent system: %w", err)
	}
	return s, nil
}

func (s *System) setUp(store Store) error {
	if s.engine == nil {
		return errors.New("the engine is nil")
	}
	if engineErr != nil {
		return engineErr
	}
	random := s.opts.Rand
	if random == nil {
		random = rand.Reader
	}
	if _, err := io.ReadFull(random, s.writer[:]); err != nil {
		return fmt.Errorf("draw the writer id: %w", err)
	}
	for _, st := range append([]Store{store}, s.opts.Stores...) {
		if err := s.mount(st); err != nil {
			return err
		}
	}
	var errs []error
	for _, c := range append([]Codec{CBOR, JSON}, s.opts.Codecs...) {
		errs = append(errs, s.learnCodec(c))
	}
	for _, k := range s.opts.Kinds {
		errs = append(errs, s.learn(k))
	}
	return errors.Join(errs...)
}

func (s *System) learn(k AnyKind) error {
	if k == nil {
		return fmt.Errorf("%w: a nil kind", ErrBadKind)
	}
	p := k.blueprint()
	if p == nil {
		return fmt.Errorf("%w: a kind that Define did not make", ErrBadKind)
	}
	if p.err != nil {
		return p.err
	}
	for _, name := range append([]string{p.name}, p.former...) {
		if other := s.plans[name]; other != nil && other != p {
			return fmt.Errorf("%w %q: the name %q belongs to kind %q already", ErrBadKind, p.name, name, other.name)
		}
		s.plans[name] = p
	}
	if err := s.learnCodec(p.codec); err != nil {
		return fmt.Errorf("kind %q: %w", p.name, err)
	}
	return nil
}

// learnCodec refuses two codecs of one name: one would read what the other wrote.
func (s *System) learnCodec(c Codec) error {
	if c == nil {
		return fmt.Errorf("%w: a nil codec", ErrBadKind)
	}
	known := s.codecs[c.Name()]
	if known != nil && reflect.TypeOf(known) != reflect.TypeOf(c) {
		return fmt.Errorf("%w: two codecs are called %q", ErrBadKind, c.Name())
	}
	s.codecs[c.Name()] = c
	return nil
}

// knows refuses a kind that was not given to New.
func (s *System) knows(p *plan) error {
	if p == nil {
		return fmt.Errorf("%w: a kind that Define did not make", ErrBadKind)
	}
	if p.err != nil {
		return p.err
	}
	if s.plans[p.name] != p {
		return fmt.Errorf("%w %q: it is not among Options.Kinds", ErrUnknownKind, p.name)
	}
	return nil
}

// Engine returns the engine whose actors the system makes durable.
func (s *System) Engine() *actor.Engine { return s.engine }

// KeyOf returns the key of a live persistent actor of this system.
func (s *System) KeyOf(pid *actor.PID) (Key, bool) {
	if sh := s.shellOf(pid); sh != nil {
		return sh.key, true
	}
	return "", false
}

// Lookup returns the PID of the live actor of a key. It never respawns: an
// actor that is saved but not live is not found.
func (s *System) Lookup(key Key) (*actor.PID, bool) {
	at, err := s.resolve(key)
	if err != nil {
		return nil, false
	}
	if sh := s.census.at(at.key); sh != nil && sh.isLive() {
		return pidOf(s.engine, sh.key), true
	}
	return nil, false
}

// Keys yields the saved keys at and below prefix, live or not, in the order of
// [Key.Compare]. The empty prefix yields all keys of the base store, then those
// of the others. An error is yielded once and ends the sequence.
func (s *System) Keys(ctx context.Context, prefix Key) iter.Seq2[Key, error] {
	return func(yield func(Key, error) bool) {
		leave, err := s.enter()
		if err != nil {
			yield("", fmt.Errorf("list keys: %w", err))
			return
		}
		defer leave()
		places, err := s.placesIn(prefix)
		if err != nil {
			yield("", fmt.Errorf("list keys: %w", err))
			return
		}
		for _, at := range places {
			for e, err := range at.mount.store.List(s.as(ctx, "list"), at.rel) {
				if err != nil {
					yield("", fmt.Errorf("list keys in %q: %w", string(prefix), err))
					return
				}
				if !yield(at.mount.canonical(e.Key), nil) {
					return
				}
			}
		}
	}
}

// holderOf returns the shell that holds the key behind pid, at whatever stage,
// nil where there is none.
func (s *System) holderOf(pid *actor.PID) *shell {
	if pid == nil || pid.Address != s.engine.Address() {
		return nil
	}
	key, ok := keyOfID(pid.ID)
	if !ok {
		return nil
	}
	return s.census.at(key)
}

// shellOf returns the live shell behind pid, nil where there is none.
func (s *System) shellOf(pid *actor.PID) *shell {
	if sh := s.holderOf(pid); sh != nil && sh.isLive() {
		return sh
	}
	return nil
}

// as names who asks a store, where a scheduler wants to know.
func (s *System) as(ctx context.Context, who string) context.Context {
	if s.opts.Go == nil && s.opts.Yield == nil {
		return ctx
	}
	return WithCaller(ctx, who)
}

func (s *System) yield(point string) {
	if s.opts.Yield != nil {
		s.opts.Yield(point)
	}
}

// start runs f on a goroutine that Close waits for.
func (s *System) start(name string, f func()) {
	s.routines.add()
	g := func() {
		defer s.routines.done()
		f()
	}
	if s.opts.Go != nil {
		s.opts.Go(name, g)
		return
	}
	go g()
}

// until returns the waiter of an operation with a context.
func (s *System) until(ctx context.Context) waiter {
	return func(ch <-chan struct{}) error {
		if ctx == nil {
			return errors.New("the context is nil")
		}
		select {
		case <-ch:
			return nil
		default:
		}
		select {
		case <-ch:
			s.yield("woken")
			return nil
		case <-ctx.Done():
			s.yield("woken")
			return ctx.Err()
		}
	}
}

// brief returns a context for a wait that has none of its own.
func (s *System) brief(who string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.SaveTimeout)
	return s.as(ctx, who), cancel
}
