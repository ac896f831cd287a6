package persist

import (
	"context"
	"errors"
	"fmt"

	"github.com/anthdm/hollywood/actor"
)

// order is a typed request without its type.
type order struct {
	plan    *plan
	init    func(actor.Receiver)
	anyKind bool // the record says which; plan is nil
}

func (k *Kind[T]) order(init func(*T)) order {
	o := order{plan: k.blueprint()}
	if init != nil {
		o.init = func(r actor.Receiver) { init(any(r).(*T)) }
	}
	return o
}

// Spawn makes a new actor of this kind under key: it constructs it, lets init
// fill it in (nil leaves it as constructed), makes its first snapshot durable,
// and starts it. When it returns nil the actor is live, and it will be found
// again after any crash.
//
// The actor is a top-level actor of the engine; use [Kind.SpawnChild] for a child.
//
// [ErrExists] where the key, or anything below it, is already saved or live, or
// where a foreign actor holds its id. [ErrUnknownOutcome] where the store does not
// know whether the snapshot is durable; nothing is live then. A panic of the
// constructor, of init or of Snapshot is a [*PanicError], with nothing saved;
// one of Initialized or Started is a [*PanicError] too, but the snapshot stays: a
// Respawn tries again, a Delete gives the key free.
func (k *Kind[T]) Spawn(ctx context.Context, sys *System, key Key, init func(*T)) (*actor.PID, error) {
	pid, err := sys.spawn(ctx, k.order(init), key)
	return pid, wrap(err, "spawn", key)
}

// SpawnChild makes a new actor as a Hollywood child of the actor that c belongs
// to, under that actor's key plus name. It blocks the actor until the child's
// first snapshot is durable and the child has started, for Options.SaveTimeout at the
// most. Rolling the parent back afterwards does not undo it.
//
// All of [Kind.Spawn] holds; [ErrNotPersistent] under an actor that is not
// persistent (see [Kind.SpawnUnder]), [ErrStopped] where c's actor is ending.
func (k *Kind[T]) SpawnChild(c *actor.Context, name string, init func(*T)) (*actor.PID, error) {
	pid, err := spawnChild(c, k.order(init), name, (*System).birth)
	return pid, wrap(err, "spawn child", Key(name))
}

// TryRespawnChild returns the live child of that name, or brings it and its
// tree back, or makes it as [Kind.SpawnChild] does where nothing was saved. It is
// what a parent calls in Started: right in the first life and in every later one.
// A child that is saved and cannot be read is an error, never a new child.
func (k *Kind[T]) TryRespawnChild(c *actor.Context, name string, init func(*T)) (*actor.PID, error) {
	pid, err := spawnChild(c, k.order(init), name, (*System).respawnOrBirth)
	return pid, wrap(err, "try to respawn child", Key(name))
}

// SpawnUnder makes a new actor as a Hollywood child of a plain actor, under any
// key. The plain parent ends it when it ends itself. Should the child end by
// itself in the very instant in which its plain parent is poisoned, the engine
// may lose the parent's pill, and the parent waits for ever; a persistent parent
// does not have that. All else is as for [Kind.Spawn].
func (k *Kind[T]) SpawnUnder(c *actor.Context, sys *System, key Key, init func(*T)) (*actor.PID, error) {
	pid, err := sys.spawnUnder(c, k.order(init), key, (*System).birth)
	return pid, wrap(err, "spawn", key)
}

// TryRespawnUnder is [Kind.TryRespawnChild] under a plain actor.
func (k *Kind[T]) TryRespawnUnder(c *actor.Context, sys *System, key Key, init func(*T)) (*actor.PID, error) {
	pid, err := sys.spawnUnder(c, k.order(init), key, (*System).respawnOrBirth)
	return pid, wrap(err, "try to respawn", key)
}

func wrap(err error, verb string, key Key) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", verb, string(key), err)
}

// bringer is birth, or respawnOrBirth. The caller holds the lock of the key.
type bringer func(s *System, ctx context.Context, under parent, o order, at place) (*actor.PID, error)

// parent is where a new process hangs in Hollywood's own tree; the zero parent
// is the engine.
type parent struct {
	c     *actor.Context
	shell *shell // nil under a plain actor
	wait  waiter
}

func (s *System) spawn(ctx context.Context, o order, key Key) (*actor.PID, error) {
	return s.fromOutside(ctx, o, key, func(at place) (*actor.PID, error) {
		return s.birth(ctx, parent{wait: s.until(ctx)}, o, at)
	})
}

// fromOutside runs an operation on key under its subtree lock.
func (s *System) fromOutside(ctx context.Context, o order, key Key, f func(at place) (*actor.PID, error)) (*actor.PID, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	at, err := s.resolve(key)
	if err == nil && !o.anyKind {
		err = s.knows(o.plan)
	}
	if err != nil {
		return nil, err
	}
	unlock, err := s.locks.subtree(at.key, s.until(ctx))
	if err != nil {
		return nil, err
	}
	defer unlock()
	return f(at)
}

func spawnChild(c *actor.Context, o order, name string, bring bringer) (*actor.PID, error) {
	s := shellIn(c)
	switch {
	case s == nil:
		return nil, ErrNotPersistent
	case s.phase != running && s.phase != starting:
		return nil, fmt.Errorf("below %q: %w", string(s.key), ErrStopped)
	}
	if reason := badSegment(name); reason != "" {
		return nil, badKey(name, reason)
	}
	if _, nested := Key(name).Parent(); nested {
		return nil, badKey(name, "a child's name is one segment")
	}
	wait := func(ch <-chan struct{}) error { return s.wait(c, ch) }
	return s.sys.fromInside(parent{c: c, shell: s, wait: wait}, o, s.key.Child(name), bring, s.sys.locks.self)
}

func (s *System) spawnUnder(c *actor.Context, o order, key Key, bring bringer) (*actor.PID, error) {
	if c == nil {
		return nil, errors.New("the context is nil")
	}
	if sh := shellIn(c); sh != nil {
		return nil, fmt.Errorf("the parent %q is persistent itself; use the forms for a child", string(sh.key))
	}
	ctx, cancel := s.brief("spawn " + string(key))
	defer cancel()
	return s.fromInside(parent{c: c, wait: s.until(ctx)}, o, key, bring, s.locks.subtree)
}

// fromInside runs an operation on the goroutine of the parent. Where that is
// persistent, whoever holds an ancestor's lock is waiting for that goroutine, so
// only the key itself is locked.
func (s *System) fromInside(under parent, o order, key Key, bring bringer, lock func(Key, waiter) (func(), error)) (*actor.PID, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	at, err := s.resolve(key)
	if err == nil {
		err = s.knows(o.plan)
	}
	if err != nil {
		return nil, err
	}
	unlock, err := lock(at.key, under.wait)
	if err != nil {
		return nil, err
	}
	defer unlock()
	ctx, cancel := s.brief("spawn " + string(key))
	defer cancel()
	return bring(s, ctx, under, o, at)
}

// birth makes an actor that was never there.
func (s *System) birth(ctx context.Context, under parent, o order, at place) (*actor.PID, error) {
	if _, err := s.awaitEnd(at.key, under.wait); err != nil {
		return nil, err
	}
	if other := s.census.anyIn(at.key); other != nil {
		return nil, fmt.Errorf("%w: %q is live", ErrExists, string(other.key))
	}
	if isRegistered(s.engine, at.key) {
		return nil, fmt.Errorf("%w: a foreign actor holds the id %q", ErrExists, pidOf(s.engine, at.key).ID)
	}
	sh := s.newShell(at, o.plan)
	if other := s.census.claim(sh); other != nil {
		return nil, fmt.Errorf("%w: %q is live", ErrExists, string(other.key))
	}
	up := false
	defer func() {
		if !up && sh.stage() == claimed {
			sh.leave()
		}
	}()
	payload, err := s.conceive(ctx, sh, o)
	if err != nil {
		return nil, err
	}
	f := sh.prepare(payload)
	versions, err := s.commit(s.as(ctx, "spawn "+string(at.key)), at.mount, []Change{{Key: at.rel, Put: sh.record(f, payload), If: Absent}})
	if errors.Is(err, ErrConflict) {
		return nil, fmt.Errorf("%w: %w", ErrExists, err)
	}
	if err != nil {
		return nil, err
	}
	f.version = versions[0]
	sh.landed(f)
	if err := s.launch(under, sh); err != nil {
		return nil, err
	}
	up = true
	return pidOf(s.engine, at.key), nil
}

// conceive constructs the actor and encodes its first snapshot, once it is
// clear that nothing is saved in its place.
func (s *System) conceive(ctx context.Context, sh *shell, o order) ([]byte, error) {
	for e, err := range sh.mount.store.List(s.as(ctx, "spawn "+string(sh.key)), sh.rel) {
		if err != nil {
			return nil, fmt.Errorf("look for what is saved: %w", err)
		}
		return nil, fmt.Errorf("%w: %q is saved", ErrExists, string(sh.mount.canonical(e.Key)))
	}
	r, err := o.plan.build(sh.key)
	if err != nil {
		return nil, err
	}
	if o.init != nil {
		err := guarded(sh.key, "init", func() error { o.init(r); return nil })
		if err != nil {
			return nil, err
		}
	}
	if err := sh.adopt(r); err != nil {
		return nil, err
	}
	return o.plan.encode(sh.key, r)
}

// launch starts the process of a shell that has its actor. On an error the
// process is gone again and the key is free.
func (s *System) launch(under parent, sh *shell) error {
	sh.boss, sh.orphan = under.shell, under.c != nil && under.shell == nil
	produce := func() actor.Receiver { sh.produced = true; return sh }
	with := func(o *actor.Opts) {
		o.Kind, o.ID = idPrefix, string(sh.key)
		o.InboxSize = sh.plan.opts.InboxSize
		o.MaxRestarts, o.RestartDelay = 1<<30, 0 // never used: no panic gets there
		if sh.plan.opts.Context != nil {
			o.Context = sh.plan.opts.Context
		}
	}
	if under.c != nil {
		under.c.SpawnChild(produce, idPrefix, with)
	} else {
		s.engine.Spawn(produce, idPrefix, with)
	}
	if !sh.produced {
		sh.leave()
		return fmt.Errorf("%w: a foreign actor took the id %q", ErrExists, pidOf(s.engine, sh.key).ID)
	}
	if err := sh.startErr; err != nil {
		s.engine.Poison(pidOf(s.engine, sh.key))
		<-sh.reached(ended)
		return err
	}
	return nil
}

// awaitEnd returns the live actor of a key, nil where there is none. One that
// is on its way out, or in, is waited for.
func (s *System) awaitEnd(key Key, wait waiter) (*shell, error) {
	for {
		sh := s.census.at(key)
		if sh == nil || sh.stays() {
			return sh, nil
		}
		if err := sh.settle(wait); err != nil {
			return nil, err
		}
	}
}

// awaitEndings waits for every actor at and below key that is on its way out,
// or in.
func (s *System) awaitEndings(key Key, wait waiter) error {
	for _, sh := range s.census.all(key) {
		if !sh.stays() {
			if err := sh.settle(wait); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle waits until a shell that is not live has come up or gone.
func (s *shell) settle(wait waiter) error {
	next := ended
	if s.stage() == claimed {
		next = started
	}
	if err := wait(s.reached(next)); err != nil {
		return fmt.Errorf("wait for the end of %q: %w", string(s.key), err)
	}
	return nil
}
