package persist

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/anthdm/hollywood/actor"
)

// Stop ends the actor and every live actor below its key, children first. Each
// handles all that was sent to it before, is shown Stopped, and is saved. When Stop
// returns nil all of them are gone, durable, and their keys are free. Errors of
// final saves are joined and returned; the actors are gone all the same, as
// last saved. Where ctx ends first, its error is returned and the ending goes on.
//
// Poison and Stop of Hollywood may be used too, with what they lack: they drop
// what lies beyond the batch of messages at hand, they know nothing of the key
// space, and two pills hang whoever waits for the second.
//
// [ErrNotPersistent] for a PID that is not a live actor of this system.
func (s *System) Stop(ctx context.Context, pid *actor.PID) error {
	leave, err := s.enter()
	if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	defer leave()
	sh := s.holderOf(pid)
	if sh == nil {
		return fmt.Errorf("stop %v: %w", pid, ErrNotPersistent)
	}
	return wrap(s.stop(ctx, sh.key), "stop", sh.key)
}

func (s *System) stop(ctx context.Context, key Key) error {
	unlock, err := s.locks.subtree(key, s.until(ctx))
	if err != nil {
		return err
	}
	defer unlock()
	e := &ending{}
	if err := s.endTree(ctx, key, e); err != nil {
		return errors.Join(err, e.err())
	}
	return e.err()
}

// stopThis is Stop for one life of a key: a later life is left alone.
func (s *System) stopThis(sh *shell) error {
	leave, err := s.enter()
	if err != nil {
		return err // Close ends it too
	}
	defer leave()
	unlock, err := s.locks.subtree(sh.key, s.until(untilShut{s}))
	if err != nil {
		return err
	}
	defer unlock()
	if s.census.at(sh.key) != sh {
		return nil
	}
	e := &ending{}
	return errors.Join(s.endTree(untilShut{s}, sh.key, e), e.err())
}

// endTree ends every live actor at and below key, "" for all.
func (s *System) endTree(ctx context.Context, key Key, e *ending) error {
	for {
		tops := s.census.next(key)
		if sh := s.census.at(key); sh != nil {
			tops = []*shell{sh}
		}
		if len(tops) == 0 {
			return nil
		}
		for _, sh := range tops {
			if err := s.until(ctx)(sh.reached(started)); err != nil {
				return fmt.Errorf("wait for the start of %q: %w", string(sh.key), err)
			}
			sh.askToEnd(e)
		}
		for _, sh := range tops {
			if err := s.until(ctx)(sh.reached(ended)); err != nil {
				return fmt.Errorf("wait for the end of %q: %w", string(sh.key), err)
			}
			e.noteEnd(sh)
		}
	}
}

// Delete ends the actor of key and every live actor below it without final
// saves, drops what they hold back, waits for their commits in flight, and then
// deletes all their snapshots: in one commit where the store can do that,
// leaves first where it cannot. The keys are free afterwards.
//
// [ErrNotFound] where nothing was saved; [ErrConflict] where somebody else
// wrote in between, with nothing deleted but the live actors ended.
func (s *System) Delete(ctx context.Context, key Key) error {
	return wrap(s.delete(ctx, key), "delete", key)
}

func (s *System) delete(ctx context.Context, key Key) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	at, err := s.resolve(key)
	if err != nil {
		return err
	}
	unlock, err := s.locks.subtree(at.key, s.until(ctx))
	if err != nil {
		return err
	}
	defer unlock()
	return s.deleteTree(ctx, at)
}

// deleteThis is Delete for one life of a key: a later life is left alone. Once
// it has begun it is not cut short by Close.
func (s *System) deleteThis(sh *shell) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	unlock, err := s.locks.subtree(sh.key, s.until(untilShut{s}))
	if err != nil {
		return err
	}
	defer unlock()
	if at := s.census.at(sh.key); at != nil && at != sh || sh.deleted {
		return nil
	}
	if err := s.deleteTree(context.Background(), sh.place); err != nil {
		return err
	}
	sh.deleted = true
	return nil
}

// deleteTree ends what lives at and below a place, and deletes what is saved.
// The caller holds the lock.
func (s *System) deleteTree(ctx context.Context, at place) error {
	if err := s.endTree(ctx, at.key, &ending{discard: true}); err != nil {
		return err
	}
	ctx = s.as(ctx, "delete "+string(at.key))
	var gone []Change
	for e, err := range at.mount.store.List(ctx, at.rel) {
		if err != nil {
			return fmt.Errorf("list what is saved: %w", err)
		}
		gone = append(gone, Change{Key: e.Key, If: e.Version})
	}
	if len(gone) == 0 {
		return &nothingSaved{at.key}
	}
	if at.mount.tree != nil {
		_, err := s.commit(ctx, at.mount, gone)
		return err
	}
	for _, change := range slices.Backward(gone) {
		if _, err := s.commit(ctx, at.mount, []Change{change}); err != nil {
			return err
		}
	}
	return nil
}

// Stop asks for the end of the actor that c belongs to, and of its tree, as
// [System.Stop] does. It returns at once; what was sent before is still handled.
// Final saves that fail are told by [SnapshotFailed] events.
func Stop(c *actor.Context) error {
	s := shellIn(c)
	if s == nil {
		return fmt.Errorf("stop: %w", ErrNotPersistent)
	}
	s.sys.start("stop "+string(s.key), func() {
		_ = s.sys.stopThis(s) // what failed was announced where it failed
	})
	return nil
}

// Delete asks for the end of the actor that c belongs to, and of its tree,
// and for the deletion of their snapshots, as [System.Delete] does. It returns
// at once; a deletion that fails is told by a [SnapshotFailed] event.
func Delete(c *actor.Context) error {
	s := shellIn(c)
	if s == nil {
		return fmt.Errorf("delete: %w", ErrNotPersistent)
	}
	pid := c.PID()
	s.sys.start("delete "+string(s.key), func() {
		if err := s.sys.deleteThis(s); err != nil {
			s.sys.engine.BroadcastEvent(SnapshotFailed{Key: s.key, PID: pid, Err: err})
		}
	})
	return nil
}

// StopChild ends a child of the actor that c belongs to, and the child's tree,
// as [System.Stop] does. It blocks the actor until the child is gone, for
// Options.SaveTimeout at the most; then the ending goes on without it.
//
// [ErrNotPersistent] for a PID that is not a live persistent child of this actor.
func StopChild(c *actor.Context, pid *actor.PID) error {
	s := shellIn(c)
	if s == nil {
		return fmt.Errorf("stop child: %w", ErrNotPersistent)
	}
	kid := s.sys.shellOf(pid)
	if kid == nil || kid.boss != s {
		return fmt.Errorf("stop child %v of %q: %w", pid, string(s.key), ErrNotPersistent)
	}
	wait := func(ch <-chan struct{}) error { return s.wait(c, ch) }
	unlock, err := s.sys.locks.self(kid.key, wait)
	if err != nil {
		return wrap(err, "stop child", kid.key)
	}
	defer unlock()
	e := &ending{}
	kid.askToEnd(e)
	if err = wait(kid.reached(ended)); err == nil {
		e.noteEnd(kid)
	}
	return wrap(errors.Join(err, e.err()), "stop child", kid.key)
}

// Close ends every live actor, children first, with a final save, then closes
// the stores. Operations under way finish; new ones are [ErrClosed] at once.
//
// Where ctx ends first, the error names the actors that are unfinished, the
// stores stay open, the ending goes on, and Close may be called again. Errors
// of final saves are returned by the call that ends the actors. After a Close
// that went through to the stores, a further one returns nil.
func (s *System) Close(ctx context.Context) error {
	s.gate.close()
	e := &ending{}
	err := s.until(ctx)(s.ops.idle())
	if err == nil {
		err = s.endTree(ctx, "", e)
	}
	if err == nil {
		err = s.until(ctx)(s.routines.idle())
	}
	if err != nil {
		return fmt.Errorf("close: %w", errors.Join(err, s.unfinished(), e.err()))
	}
	errs := []error{e.err()}
	if s.gate.last() {
		for _, m := range s.mounts {
			errs = append(errs, wrap(m.store.Close(), "close store", m.base))
		}
	}
	return wrapText(errors.Join(errs...), "close")
}

// unfinished names the live actors.
func (s *System) unfinished() error {
	var errs []error
	var walk func(key Key)
	walk = func(key Key) {
		for _, sh := range s.census.next(key) {
			errs = append(errs, fmt.Errorf("%q is unfinished", string(sh.key)))
			walk(sh.key)
		}
	}
	walk("")
	return errors.Join(errs...)
}

// untilShut is a context that ends when the system is being closed.
type untilShut struct{ sys *System }

func (u untilShut) Deadline() (time.Time, bool) { return time.Time{}, false }
func (u untilShut) Done() <-chan struct{}       { return u.sys.gate.shut }
func (u untilShut) Value(any) any               { return nil }

func (u untilShut) Err() error {
	select {
	case <-u.sys.gate.shut:
		return ErrClosed
	default:
		return nil
	}
}

func wrapText(err error, verb string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", verb, err)
}
