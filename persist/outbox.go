package persist

import (
	"fmt"

	"github.com/anthdm/hollywood/actor"
)

// outbox holds back what must not leave before the state behind it is durable.
type outbox struct {
	fresh   []letter // of the message being handled; its state has no number yet
	held    []letter
	waiters []saveWait
}

type letter struct {
	state uint64
	to    *actor.PID
	msg   any
}

type saveWait struct {
	state uint64
	done  chan error // holds one
}

// Reply answers the sender of the present message once the state that this
// message leaves behind is durable. It does not wait: the actor goes on. If
// that state is lost to a crash, or rolled back after a panic, the reply is
// never sent, and neither is any later one that builds on it.
//
// Under a policy other than [Always], a held reply asks for a save at once.
// Replies and messages of one actor leave in the order in which they were held.
//
// Errors: [ErrNotPersistent], [ErrRolledBack] and [ErrStopped] as for [Save]; a
// message without a sender.
func Reply(c *actor.Context, msg any) error {
	return hold(c, "reply", func() *actor.PID { return c.Sender() }, msg)
}

// Send sends msg to pid, from this actor, once the state that the present
// message leaves behind is durable. All that is said of [Reply] holds.
func Send(c *actor.Context, pid *actor.PID, msg any) error {
	return hold(c, "send", func() *actor.PID { return pid }, msg)
}

func hold(c *actor.Context, verb string, to func() *actor.PID, msg any) error {
	s := shellIn(c)
	switch {
	case s == nil:
		return fmt.Errorf("%s: %w", verb, ErrNotPersistent)
	case s.phase == discarded:
		return fmt.Errorf("%s from %q: %w", verb, string(s.key), ErrRolledBack)
	case s.phase == finished || s.phase == broken:
		return fmt.Errorf("%s from %q: %w", verb, string(s.key), ErrStopped)
	}
	pid := to()
	if pid == nil {
		return fmt.Errorf("%s from %q: there is nobody to send to", verb, string(s.key))
	}
	s.box().fresh = append(s.box().fresh, letter{to: pid, msg: msg})
	return nil
}

func (s *shell) box() *outbox {
	if s.out == nil {
		s.out = &outbox{}
	}
	return s.out
}

// stamp numbers the letters of the message that has just been handled.
func (s *shell) stamp() {
	if len(s.out.fresh) == 0 {
		return
	}
	for i := range s.out.fresh {
		s.out.fresh[i].state = s.handled
	}
	s.out.held = append(s.out.held, s.out.fresh...)
	clear(s.out.fresh)
	s.out.fresh = s.out.fresh[:0]
	s.demand = s.handled
}

// release lets go what has become durable.
func (s *shell) release(c *actor.Context) {
	if s.out == nil {
		return
	}
	o := s.out
	n := 0
	for n < len(o.held) && o.held[n].state <= s.durable {
		n++
	}
	leaving := o.held[:n:n]
	o.held = o.held[n:]
	w := 0
	for w < len(o.waiters) && o.waiters[w].state <= s.durable {
		o.waiters[w].done <- nil
		w++
	}
	o.waiters = o.waiters[w:]
	if len(o.held) == 0 && len(o.waiters) == 0 && len(o.fresh) == 0 {
		s.out = nil
	}
	for _, l := range leaving {
		c.Engine().SendWithSender(l.to, l.msg, c.PID())
	}
}

// drop forgets what is held; whoever waits for a save gets why.
func (s *shell) drop(why error) {
	if s.out == nil {
		return
	}
	for _, w := range s.out.waiters {
		w.done <- why
	}
	s.out = nil
	s.demand = 0
}
