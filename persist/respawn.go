package persist

import (
	"context"
	"errors"
	"fmt"

	"github.com/anthdm/hollywood/actor"
)

// Respawn returns the live actor of key, or brings it and its whole tree back
// as they were last saved. All snapshots are read from one consistent view of
// the store and all actors constructed before the first is started; then
// each process comes before those of its children, and the children are up
// before the Initialized and Started of their parent. A descendant that is live already stays where it is. Calls for one
// key run one after the other: all callers get the same actor.
//
// [ErrNotFound] where nothing is saved under key; [ErrWrongKind] where the
// actor is of another kind. Where some actors of the tree cannot come back, the
// error joins a [*RespawnError] for each, and, unless Options.RespawnPartial
// says otherwise, none comes up; what is stored stays untouched in any case.
func (k *Kind[T]) Respawn(ctx context.Context, sys *System, key Key) (*actor.PID, error) {
	o := k.order(nil)
	pid, err := sys.fromOutside(ctx, o, key, func(at place) (*actor.PID, error) {
		return sys.respawn(ctx, parent{wait: sys.until(ctx)}, o.plan, at)
	})
	return pid, sys.respawnFailed(key, err)
}

// TryRespawn respawns, or spawns as [Kind.Spawn] does where nothing was saved.
// Only [ErrNotFound] of the store counts as nothing: a snapshot that is
// damaged, unreadable or too new is an error and stays as it is.
func (k *Kind[T]) TryRespawn(ctx context.Context, sys *System, key Key, init func(*T)) (*actor.PID, error) {
	o := k.order(init)
	pid, err := sys.fromOutside(ctx, o, key, func(at place) (*actor.PID, error) {
		return sys.respawnOrBirth(ctx, parent{wait: sys.until(ctx)}, o, at)
	})
	return pid, sys.respawnFailed(key, err)
}

// Respawn is [Kind.Respawn] with the kind taken from the record.
func (s *System) Respawn(ctx context.Context, key Key) (*actor.PID, error) {
	pid, err := s.fromOutside(ctx, order{anyKind: true}, key, func(at place) (*actor.PID, error) {
		return s.respawn(ctx, parent{wait: s.until(ctx)}, nil, at)
	})
	return pid, s.respawnFailed(key, err)
}

// RespawnAll brings back everything that is saved at and below prefix, which
// need not be an actor itself; the empty prefix stands for the whole base store.
// That nothing is there is no error. Trees are independent: one that cannot
// come back does not keep the others down, and the error names it.
func (s *System) RespawnAll(ctx context.Context, prefix Key) error {
	if err := s.respawnAll(ctx, prefix); err != nil {
		return fmt.Errorf("respawn all in %q: %w", string(prefix), err)
	}
	return nil
}

// respawnFailed puts an error that is not about one actor of the tree yet
// under the key that was asked for, and announces it.
func (s *System) respawnFailed(key Key, err error) error {
	if err == nil {
		return nil
	}
	var one *RespawnError
	if !errors.As(err, &one) {
		err = &RespawnError{Key: key, Err: err}
		s.engine.BroadcastEvent(RespawnFailed{Key: key, Err: err})
	}
	return err
}

func (s *System) respawnAll(ctx context.Context, prefix Key) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	at := place{s.mounts[0], "", ""}
	if prefix != "" {
		places, err := s.placesIn(prefix)
		if err != nil {
			return err
		}
		at = places[0]
	}
	unlock, err := s.locks.subtree(at.key, s.until(ctx))
	if err != nil {
		return err
	}
	defer unlock()
	g, err := s.gather(ctx, at, s.until(ctx))
	if err != nil {
		return err
	}
	errs := g.announce(s)
	defer g.abandon() // what a Goexit did not let start
	hurt := g.hurtRoots()
	for _, sh := range g.roots {
		if hurt[sh] && !s.opts.RespawnPartial {
			sh.abandon()
			continue
		}
		down, err := s.raise(parent{wait: s.until(ctx)}, sh)
		errs = append(errs, down, err)
	}
	return errors.Join(errs...)
}

// respawnOrBirth is what TryRespawn does under the lock.
func (s *System) respawnOrBirth(ctx context.Context, under parent, o order, at place) (*actor.PID, error) {
	pid, err := s.respawn(ctx, under, o.plan, at)
	if _, missing := err.(*nothingSaved); missing { // not one wrapped in a panic, say
		return s.birth(ctx, under, o, at)
	}
	return pid, err
}

// nothingSaved is the store's word that there is no record of a key. No error
// from elsewhere can be mistaken for it.
type nothingSaved struct{ key Key }

func (e *nothingSaved) Error() string        { return fmt.Sprintf("%v of %q", ErrNotFound, string(e.key)) }
func (e *nothingSaved) Is(target error) bool { return target == ErrNotFound }

// respawn brings a tree back. The caller holds its lock.
func (s *System) respawn(ctx context.Context, under parent, want *plan, at place) (*actor.PID, error) {
	for {
		live, err := s.awaitEnd(at.key, under.wait)
		if err != nil {
			return nil, err
		}
		if live != nil {
			return pidOf(s.engine, at.key), checkKind(want, live.plan)
		}
		if isRegistered(s.engine, at.key) {
			return nil, fmt.Errorf("%w: a foreign actor holds the id %q", ErrExists, pidOf(s.engine, at.key).ID)
		}
		g, err := s.gather(ctx, at, under.wait)
		if err != nil {
			return nil, err
		}
		root := g.root(at.key)
		switch {
		case root != nil:
			return s.respawnGrove(under, want, g, root)
		case g.hasPassed(at.key): // somebody above brings it up just now
			g.abandon()
			continue
		case g.hasFailed(at.key):
			g.abandon()
			return nil, errors.Join(g.announce(s)...)
		}
		g.abandon()
		return nil, &nothingSaved{at.key}
	}
}

func (s *System) respawnGrove(under parent, want *plan, g *grove, root *shell) (*actor.PID, error) {
	if err := checkKind(want, root.plan); err != nil {
		g.abandon()
		return nil, err
	}
	errs := g.announce(s)
	if len(errs) > 0 && !s.opts.RespawnPartial {
		g.abandon()
		return nil, errors.Join(errs...)
	}
	down, err := s.raise(under, root)
	errs = append(errs, down, err)
	if err != nil {
		return nil, errors.Join(errs...)
	}
	return pidOf(s.engine, root.key), errors.Join(errs...)
}

func checkKind(want, have *plan) error {
	if want != nil && want != have {
		return fmt.Errorf("%w: it is of kind %q, not %q", ErrWrongKind, have.name, want.name)
	}
	return nil
}

// raise starts a planted tree. down is what of it stays down where that is
// allowed; err says that nothing of it is up.
func (s *System) raise(under parent, sh *shell) (down, err error) {
	fallback := sh.fallback
	sh.fallback = nil
	returned := false
	defer func() {
		if !returned { // runtime.Goexit in one that started
			sh.abandon()
		}
	}()
	err = s.launch(under, sh)
	returned = true
	if err != nil {
		sh.abandon()
		var one *RespawnError
		if !errors.As(err, &one) { // else it is a child's, and announced
			err = &RespawnError{Key: sh.key, Err: err}
			s.engine.BroadcastEvent(RespawnFailed{Key: sh.key, Err: err})
		}
		return nil, err
	}
	s.engine.BroadcastEvent(Respawned{Key: sh.key, PID: sh.pid, Kind: sh.plan.name, Fallback: fallback})
	return sh.kidErr, nil
}

// abandon gives up the keys of a tree that will not be started.
func (s *shell) abandon() {
	for _, kid := range s.kids {
		kid.abandon()
	}
	if s.stage() == claimed {
		s.leave()
	}
}

// startKids starts the children that came back with this actor.
func (s *shell) startKids(c *actor.Context) error {
	kids := s.kids
	wait := func(ch <-chan struct{}) error { return s.wait(c, ch) }
	var errs []error
	for i, kid := range kids {
		down, err := s.sys.raise(parent{c: c, shell: s, wait: wait}, kid)
		if err != nil && !s.sys.opts.RespawnPartial {
			for _, rest := range kids[i+1:] {
				rest.abandon()
			}
			return err
		}
		errs = append(errs, down, err)
	}
	s.kids = nil
	s.kidErr = errors.Join(errs...)
	return nil
}
