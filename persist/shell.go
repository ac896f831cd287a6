package persist

import (
	"context"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anthdm/hollywood/actor"
)

// shell is the receiver that Hollywood sees; the user's actor lives inside. No
// panic of the actor ever reaches the engine, whose own restart would save
// half-mutated state, lose children, or end the process.
//
// Everything without a mutex belongs to the actor's goroutine: the one that
// runs Receive, or, until the process is started, the one that spawns it.
type shell struct {
	stages
	sys    *System
	place  // the key, and the store that serves it
	plan   *plan
	boss   *shell // the Hollywood parent, where that is persistent too
	orphan bool   // the Hollywood parent is a plain actor
	pid    *actor.PID

	inner    actor.Receiver    // the user's actor
	recv     actor.ReceiveFunc // its Receive, inside its middleware
	phase    phase
	produced bool          // the engine asked for us: the id was free
	kids     []*shell      // to be brought up before Started
	startErr error         // why it did not start
	fallback *CorruptError // what was damaged where an older generation was taken

	saver
	out     *outbox     // what is held back until durable; made when needed
	tries   []time.Time // the restarts within the window
	lastErr error       // why there was no final save; set before quiesced
	endedBy *ending     // the wish that ended it; set before quiesced
	given   bool        // the object was shown Stopped and is given up
	leaving atomic.Bool // the end has begun, by whatever wish
	deleted bool        // with all that was saved; under the lock of its key
	kidErr  error       // what of its tree did not come up, where that is allowed
	yard    yard        // children that are ready to be ended
}

// phase says what the shell does with a message.
type phase uint8

const (
	starting  phase = iota // Initialized and Started are being handled
	running                // messages go to the actor
	discarded              // the old object is shown Stopped; it may not save
	stopping               // the end has begun: final save, children first
	finished               // messages go to the dead letters
	broken                 // it did not start, or its goroutine is gone
)

// yard collects the children that have finished and wait for the one goroutine
// that may end them: their parent's. Two poison pills for one actor would hang
// whoever waits for the second.
type yard struct {
	mu   sync.Mutex
	kids []*shell
	bell chan struct{}
}

// ring says that kid may be ended.
func (y *yard) ring(kid *shell) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.kids = append(y.kids, kid)
	if y.bell != nil {
		close(y.bell)
		y.bell = nil
	}
}

// take empties the yard. Where it is empty already, it returns a channel that
// is closed when it no longer is.
func (y *yard) take() ([]*shell, <-chan struct{}) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if kids := y.kids; len(kids) > 0 {
		y.kids = nil
		return kids, nil
	}
	if y.bell == nil {
		y.bell = make(chan struct{})
	}
	return nil, y.bell
}

// control is a message of this package to a shell.
type control struct {
	do func(s *shell, c *actor.Context)
}

// wake makes a shell look at what has changed.
type wake struct{}

func (s *System) newShell(at place, p *plan) *shell {
	return &shell{sys: s, place: at, plan: p}
}

// adopt gives the shell its actor.
func (s *shell) adopt(r actor.Receiver) error {
	s.inner, s.given = r, false
	s.recv = r.Receive
	if len(s.plan.opts.Middleware) == 0 {
		return nil
	}
	return guarded(s.key, "its middleware", func() error {
		for i := len(s.plan.opts.Middleware) - 1; i >= 0; i-- {
			s.recv = s.plan.opts.Middleware[i](s.recv)
		}
		return nil
	})
}

// isLive says whether the actor can be sent to: it has started, and neither
// ended nor lost its id to a poison pill from outside.
func (s *shell) isLive() bool {
	return s.stage() == started && isRegistered(s.sys.engine, s.key)
}

// stays says that the actor is live and nothing has begun to end it.
func (s *shell) stays() bool { return s.isLive() && !s.leaving.Load() }

// send sends a control message to the shell.
func (s *shell) send(do func(s *shell, c *actor.Context)) {
	s.sys.engine.Send(pidOf(s.sys.engine, s.key), &control{do})
}

// poke makes the shell look at what has changed.
func (s *shell) poke() {
	s.sys.yield("wake " + string(s.key))
	if isRegistered(s.sys.engine, s.key) {
		s.sys.engine.Send(pidOf(s.sys.engine, s.key), wake{})
	}
}

// Receive implements actor.Receiver.
func (s *shell) Receive(c *actor.Context) {
	switch m := c.Message().(type) {
	case *control:
		m.do(s, c)
	case wake:
		s.pump(c)
	case actor.Initialized:
		if s.phase != starting {
			s.handle(c) // sent by somebody, not by the engine
			return
		}
		s.pid = c.PID()
		s.onInitialized(c)
	case actor.Started:
		if s.phase != starting {
			s.handle(c)
			return
		}
		s.onStarted(c)
	case actor.Stopped:
		if isRegistered(s.sys.engine, s.key) && s.phase != broken {
			s.handle(c) // the engine takes the id away before it says Stopped
			return
		}
		s.onStopped(c)
	default:
		s.handle(c)
	}
}

// handle passes one message to the actor.
func (s *shell) handle(c *actor.Context) {
	if s.phase != running {
		c.Engine().BroadcastEvent(actor.DeadLetterEvent{Target: c.PID(), Message: c.Message(), Sender: c.Sender()})
		return
	}
	if pe := s.deliver(c, "Receive"); pe != nil {
		s.rollBack(c, pe)
		return
	}
	s.endMessage(c)
}

// deliver runs the actor on the message of c. A panic is returned.
func (s *shell) deliver(c *actor.Context, in string) (pe *PanicError) {
	s.handled++
	done := false
	defer func() {
		if done {
			return
		}
		v := recover()
		pe = &PanicError{Key: s.key, In: in, Value: v, Stack: debug.Stack()}
		if v == nil {
			s.vanish(c, pe)
		}
	}()
	s.recv(c)
	done = true
	return nil
}

// survive runs code of the user that turns its panics into errors itself, and
// sees to it that runtime.Goexit leaves nothing behind.
func (s *shell) survive(c *actor.Context, in string, f func() error) error {
	done := false
	defer func() {
		if !done {
			s.vanish(c, &PanicError{Key: s.key, In: in, Stack: debug.Stack()})
		}
	}()
	err := f()
	done = true
	return err
}

// encode takes the snapshot of the actor as it is.
func (s *shell) encode(c *actor.Context) (payload []byte, err error) {
	err = s.survive(c, "Snapshot", func() error {
		payload, err = s.plan.encode(s.key, s.inner)
		return err
	})
	return payload, err
}

// show delivers a message that the engine did not send.
func (s *shell) show(c *actor.Context, msg any, in string) *PanicError {
	received, sender := c.Message(), c.Sender()
	setMessage(c, msg, nil)
	pe := s.deliver(c, in)
	setMessage(c, received, sender)
	return pe
}

// onInitialized brings the children up that came back with the actor, then
// tells it.
func (s *shell) onInitialized(c *actor.Context) {
	err := s.survive(c, "the start of its children", func() error { return s.startKids(c) })
	if err != nil {
		s.phase, s.startErr = broken, err
		return
	}
	if pe := s.deliver(c, "Initialized"); pe != nil {
		s.phase, s.startErr = broken, pe
	}
}

func (s *shell) onStarted(c *actor.Context) {
	if s.phase == broken {
		return
	}
	if pe := s.deliver(c, "Started"); pe != nil {
		s.phase, s.startErr = broken, pe
		return
	}
	s.phase, s.base = running, s.handled
	s.endMessage(c)
	if s.phase == running {
		s.advance(started)
	}
}

// wait waits on the actor's goroutine, for SaveTimeout at the most, and ends
// children meanwhile that are ready to be ended.
func (s *shell) wait(c *actor.Context, ch <-chan struct{}) error {
	timer := time.NewTimer(s.sys.opts.SaveTimeout)
	defer timer.Stop()
	for {
		select {
		case <-ch:
			return nil
		default:
		}
		kids, bell := s.yard.take()
		if len(kids) > 0 {
			s.endKids(c, kids)
			continue
		}
		select {
		case <-ch:
		case <-bell:
		case <-timer.C:
			return context.DeadlineExceeded
		}
		s.sys.yield("woken")
	}
}

// waitLong is wait without a bound.
func (s *shell) waitLong(c *actor.Context, ch <-chan struct{}) {
	for s.wait(c, ch) != nil {
	}
}

// shellIn returns the shell of the actor that c belongs to, nil where it has none.
func shellIn(c *actor.Context) *shell {
	if c == nil {
		return nil
	}
	s, _ := c.Receiver().(*shell)
	return s
}

// KeyOf returns the key of the actor that c belongs to.
func KeyOf(c *actor.Context) (Key, bool) {
	if s := shellIn(c); s != nil {
		return s.key, true
	}
	return "", false
}

// SystemOf returns the system of the actor that c belongs to.
func SystemOf(c *actor.Context) (*System, bool) {
	if s := shellIn(c); s != nil {
		return s.sys, true
	}
	return nil, false
}
