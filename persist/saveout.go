package persist

import (
	"context"
	"fmt"

	"github.com/anthdm/hollywood/actor"
)

// Save saves a live actor from outside, behind everything that was sent to it
// before, and returns when that state is durable. The actor goes on meanwhile.
// Callers that come while a commit is in flight share the next one. All that is
// said of the function [Save] holds.
//
// [ErrNotPersistent] for a PID that is not a live actor of this system;
// [ErrStopped] where the actor ended first; [ErrRolledBack] where it panicked
// first. Where ctx ends first, the save may still happen.
func (s *System) Save(ctx context.Context, pid *actor.PID) error {
	leave, err := s.enter()
	if err != nil {
		return fmt.Errorf("save: %w", err)
	}
	defer leave()
	sh := s.shellOf(pid)
	if sh == nil {
		return fmt.Errorf("save %v: %w", pid, ErrNotPersistent)
	}
	done := make(chan error, 1)
	sh.send(func(at *shell, c *actor.Context) { at.saveFor(c, sh, done) })
	select {
	case err = <-done:
	case <-sh.reached(quiesced):
		select {
		case err = <-done: // answered on the way out
		default:
			err = ErrStopped
		}
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.yield("woken")
	return wrap(err, "save", sh.key)
}

// saveFor makes done hear of the save of the present state.
func (s *shell) saveFor(c *actor.Context, asked *shell, done chan error) {
	if s != asked || s.phase != running {
		done <- ErrStopped
		return
	}
	s.box().waiters = append(s.box().waiters, saveWait{s.handled, done})
	s.demand = s.handled
	s.pump(c)
}
