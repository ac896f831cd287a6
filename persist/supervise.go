package persist

import (
	"errors"
	"fmt"
	"time"

	"github.com/anthdm/hollywood/actor"
)

// rollBack answers a panic, or a failed save, by what was durable last. Commits
// in flight settle first, and what they make durable is let go; the rest of
// what was held is dropped. The old object is shown Stopped and may not save.
// Then a new one is made from the last durable snapshot and started, and the
// queue goes on behind it. The children never notice.
func (s *shell) rollBack(c *actor.Context, why error) {
	for {
		s.awaitFlight(c)
		if isFatal(s.saveErr) {
			s.fail(c, s.saveErr)
			return
		}
		s.release(c)
		s.drop(fmt.Errorf("%w: %w", ErrRolledBack, why))
		s.saveErr, s.savedMid = nil, false
		s.discard(c)
		n, delay, ok := s.mayRestart()
		if !ok {
			s.fail(c, fmt.Errorf("restart %q: %d restarts within %v are the most: %w", string(s.key), n, s.plan.limits.Window, why))
			return
		}
		s.pause(c, delay)
		err := s.rebuild(c)
		if err == nil {
			s.sys.engine.BroadcastEvent(ActorRestarted{Key: s.key, PID: s.pid, Reason: why, Restarts: n})
			s.endMessage(c)
			return
		}
		if isFatal(err) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooNew) {
			s.fail(c, err)
			return
		}
		why = err
	}
}

// discard shows the old object Stopped. Nothing that it does then is saved.
func (s *shell) discard(c *actor.Context) {
	if s.given {
		return
	}
	was := s.phase
	s.phase = discarded
	_ = s.show(c, actor.Stopped{}, "Stopped") // given up: a last panic changes nothing
	s.phase, s.given = was, true
}

// mayRestart counts a restart against the budget.
func (s *shell) mayRestart() (n int, delay time.Duration, ok bool) {
	l, now := s.plan.limits, time.Now() // the clock of the bubble, where there is one
	kept := s.tries[:0]
	for _, t := range s.tries {
		if now.Sub(t) < l.Window {
			kept = append(kept, t)
		}
	}
	s.tries = kept
	if len(s.tries) >= l.MaxRestarts {
		return len(s.tries), 0, false
	}
	s.tries = append(s.tries, now)
	n = len(s.tries)
	if n > 1 {
		delay = l.BackOff
		for i := 2; i < n && delay < l.MaxBackOff; i++ {
			delay *= 2
		}
	}
	return n, min(delay, l.MaxBackOff), true
}

// pause waits for the back-off. A system that closes cuts it short: what was
// sent before is still to be handled. Children that have finished are ended
// meanwhile.
func (s *shell) pause(c *actor.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		kids, bell := s.yard.take()
		if len(kids) > 0 {
			s.endKids(c, kids)
			continue
		}
		select {
		case <-timer.C:
		case <-s.sys.gate.shut:
		case <-bell:
			continue
		}
		s.sys.yield("woken")
		return
	}
}

// rebuild makes the actor anew from its last durable snapshot.
func (s *shell) rebuild(c *actor.Context) error {
	ctx, cancel := s.sys.brief("restart " + string(s.key))
	defer cancel()
	rec, version, err := s.mount.store.Load(ctx, s.rel)
	switch {
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("restart %q: %w", string(s.key), &ConflictError{Key: s.rel, Want: s.version, Have: Absent})
	case err != nil:
		return fmt.Errorf("restart %q: %w", string(s.key), err)
	case version != s.version:
		return fmt.Errorf("restart %q: %w", string(s.key), &ConflictError{Key: s.rel, Want: s.version, Have: version})
	}
	var r actor.Receiver
	err = s.survive(c, "Restore", func() error {
		if r, err = s.sys.revive(s.plan, s.key, &rec); err == nil {
			err = s.adopt(r)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("restart %q: %w", string(s.key), err)
	}
	s.submitted, s.durable = s.handled, s.handled
	if pe := s.show(c, actor.Initialized{}, "Initialized"); pe != nil {
		return pe
	}
	if pe := s.show(c, actor.Started{}, "Started"); pe != nil {
		return pe
	}
	s.base = s.handled
	return nil
}

// fail ends the actor for a reason that is not its own wish: without a final
// save, since its state is either rolled back or in doubt.
func (s *shell) fail(c *actor.Context, why error) {
	s.sys.engine.BroadcastEvent(ActorFailed{Key: s.key, PID: s.pid, Reason: why})
	s.end(c, &ending{}, false, why)
}

// vanish is called while runtime.Goexit takes the actor's goroutine away: the
// engine will never run this actor again, so it is taken out of the registry
// here, children first, as if it had failed. One thing cannot be mended: whoever
// waits for a poison pill that is in its queue already waits for ever.
func (s *shell) vanish(c *actor.Context, why error) {
	if s.stage() < started { // else whoever spawned it has been told that it is up
		s.startErr = why
	}
	s.phase, s.lastErr = broken, why
	s.leaving.Store(true)
	s.stopTimer()
	s.sys.engine.BroadcastEvent(ActorFailed{Key: s.key, PID: s.pid, Reason: why})
	for _, kid := range s.kids { // those that came back with it and did not start
		kid.abandon()
	}
	s.stopKids(c, &ending{})
	s.awaitFlight(c)
	s.release(c)
	s.drop(fmt.Errorf("%w: %w", ErrStopped, why))
	s.advance(quiesced)
	s.sys.engine.Registry.Remove(pidOf(s.sys.engine, s.key))
	s.leave()
}
