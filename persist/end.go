package persist

import (
	"errors"
	"fmt"
	"sync"

	"github.com/anthdm/hollywood/actor"
)

// ending is one wish that a tree should end, passed down to every member.
type ending struct {
	discard bool // no final saves: what is stored is about to be deleted
	mu      sync.Mutex
	errs    []error
}

func (e *ending) add(err error) {
	if err == nil {
		return
	}
	e.mu.Lock()
	e.errs = append(e.errs, err)
	e.mu.Unlock()
}

func (e *ending) err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return errors.Join(e.errs...)
}

// noteEnd takes in how an actor ended that the wish may have met too late: one
// that ended before for another reason may have lost what was sent to it.
func (e *ending) noteEnd(s *shell) {
	if s.endedBy != e && s.lastErr != nil && !e.discard {
		e.add(fmt.Errorf("%q ended without a final save: %w", string(s.key), s.lastErr))
	}
}

// askToEnd sends the wish behind everything that was sent before.
func (s *shell) askToEnd(e *ending) {
	s.send(func(at *shell, c *actor.Context) {
		if at == s && s.phase == running {
			s.end(c, e, true, ErrStopped)
		}
	})
}

// end ends the actor in good order: its children first, then the final save,
// then the process.
func (s *shell) end(c *actor.Context, e *ending, final bool, why error) {
	s.phase, s.endedBy = stopping, e
	s.leaving.Store(true)
	s.stopKids(c, e)
	s.finish(c, e, final && !e.discard, why)
	s.quiesce(c)
}

// stopKids ends every persistent actor that lives next below this one, and
// waits until all are gone, those of the engine's own tree among them ended by
// this goroutine.
func (s *shell) stopKids(c *actor.Context, e *ending) {
	for {
		kids := s.sys.census.next(s.key)
		if len(kids) == 0 {
			return
		}
		for _, kid := range kids {
			s.waitLong(c, kid.reached(started)) // somebody may be spawning it just now
			kid.askToEnd(e)
		}
		for _, kid := range kids {
			s.waitLong(c, kid.reached(ended))
			e.noteEnd(kid)
		}
	}
}

// endKids ends children that have finished. Only this goroutine ever sends
// them a pill, and it is the only pill that they get from this package.
func (s *shell) endKids(c *actor.Context, kids []*shell) {
	for _, kid := range kids {
		if kid.stage() < ended {
			c.Engine().Poison(pidOf(c.Engine(), kid.key))
			<-kid.reached(ended)
			s.sys.yield("woken")
		}
	}
}

// finish shows the actor Stopped and saves what it leaves behind. Where Stopped
// panics, the state before it is saved.
func (s *shell) finish(c *actor.Context, e *ending, final bool, why error) {
	s.stopTimer()
	s.awaitFlight(c)
	s.release(c)
	if isFatal(s.saveErr) {
		final, why = false, s.saveErr
		e.add(why)
	}
	if final {
		s.lastErr = s.finalSave(c)
		e.add(s.lastErr)
	} else {
		if !e.discard {
			s.lastErr = why
		}
		s.discard(c)
	}
	s.release(c)
	s.drop(fmt.Errorf("save %q: %w", string(s.key), why))
}

func (s *shell) finalSave(c *actor.Context) error {
	var before []byte
	var err error
	if s.handled > s.durable {
		before, err = s.encode(c)
	}
	seq := s.seq
	pe := s.show(c, actor.Stopped{}, "Stopped")
	payload := before
	if pe == nil {
		payload, err = s.encode(c)
	} else if s.seq != seq {
		payload = nil // Stopped saved by itself before it panicked: that stands
	}
	if pe != nil && s.out != nil {
		s.out.fresh = nil
	}
	if s.out != nil {
		s.stamp()
	}
	if err == nil && payload != nil {
		err = s.survive(c, "Store.Commit", func() error { return s.commitNow(payload) })
	}
	if err != nil {
		s.saveFailed(err)
	}
	if pe != nil {
		s.sys.engine.BroadcastEvent(ActorFailed{Key: s.key, PID: s.pid, Reason: pe})
		return errors.Join(pe, err)
	}
	return err
}

// quiesce says that the actor handles nothing more, and has its process ended:
// by its own pill where it has no parent, by its parent's goroutine where that
// is persistent. The parent of a child of a plain actor may be about to poison
// it, and of two pills the second would hang that parent for ever: so the child
// takes itself out of the registry in the same breath as it takes its pill.
func (s *shell) quiesce(c *actor.Context) {
	s.phase = finished
	s.advance(quiesced)
	switch {
	case s.boss != nil:
		s.boss.yard.ring(s)
		s.boss.poke()
	case s.orphan:
		c.Engine().Poison(c.PID())
		c.Engine().Registry.Remove(c.PID())
	default:
		c.Engine().Poison(c.PID())
	}
}

// onStopped is the engine's word that the process ends: it has ended the
// children of its own tree and taken the id away. Unless all was done before,
// the pill came from outside, and the final save happens here.
func (s *shell) onStopped(c *actor.Context) {
	switch s.phase {
	case finished:
	case broken:
		if s.stage() == ended {
			return
		}
		s.discard(c)
		s.drop(fmt.Errorf("save %q: %w", string(s.key), ErrStopped))
	default:
		e := &ending{}
		s.phase = stopping
		s.finish(c, e, true, ErrStopped)
	}
	if s.stage() == ended {
		return
	}
	s.phase = finished
	s.advance(quiesced)
	s.leave()
}

// leave frees the key.
func (s *shell) leave() {
	s.sys.census.free(s)
	s.advance(ended)
}
