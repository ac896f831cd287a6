package persist

import (
	"fmt"
	"time"
)

// Policy says when an actor is saved by itself. Whatever it says, an actor that
// ends in good order is saved at its end, and [Save], [System.Save] and a held
// [Reply] save at once.
//
// The zero Policy is [OnStop].
type Policy struct {
	always   bool
	messages int
	interval time.Duration
	err      error
}

// OnStop saves at the end and on request only.
func OnStop() Policy { return Policy{} }

// EveryMessages saves after every n-th message since the last save. n is at
// least 1.
func EveryMessages(n int) Policy {
	if n < 1 {
		return Policy{err: fmt.Errorf("%w: EveryMessages(%d): at least 1 is needed", ErrBadKind, n)}
	}
	return Policy{messages: n}
}

// Every saves d after the first message that followed the last save, so that an
// idle actor needs no timer. d is positive.
func Every(d time.Duration) Policy {
	if d <= 0 {
		return Policy{err: fmt.Errorf("%w: Every(%v): a positive time is needed", ErrBadKind, d)}
	}
	return Policy{interval: d}
}

// Always saves after every message. The actor goes on while a save is in
// flight; what it handles in the meantime is carried by the next one. Use
// [Reply] and [Send] for what may leave only when its state is durable.
func Always() Policy { return Policy{always: true} }

// Or saves when either policy says so.
func (p Policy) Or(q Policy) Policy {
	p.always = p.always || q.always
	p.messages = leastPositive(p.messages, q.messages)
	p.interval = leastPositive(p.interval, q.interval)
	if p.err == nil {
		p.err = q.err
	}
	return p
}

func leastPositive[N int | time.Duration](a, b N) N {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// SaveFailure says what becomes of an actor whose save failed and was not
// followed by a successful one before its message was done.
type SaveFailure int

const (
	// StopOnSaveFailure ends the actor without a final save. Its last durable
	// snapshot stays; [Kind.Respawn] brings it back.
	StopOnSaveFailure SaveFailure = iota
	// RestartOnSaveFailure rolls the actor back to its last durable snapshot, as
	// after a panic. A save whose outcome is unknown, a conflict and a fence end
	// the actor all the same: what is durable is not known then.
	RestartOnSaveFailure
)

// Supervision bounds the restarts of one actor. The zero value is useful.
type Supervision struct {
	// MaxRestarts is how many panics within Window are answered by a restart;
	// the next one ends the actor. 0 means 10, a negative number means none.
	MaxRestarts int
	// Window is the length of time that MaxRestarts is counted over. 0 means one
	// minute.
	Window time.Duration
	// BackOff is waited before the second restart within Window, and doubles
	// with each further one up to MaxBackOff. 0 means 10 ms, and 5 s.
	BackOff, MaxBackOff time.Duration
	// OnSaveFailure says what follows a failed save.
	OnSaveFailure SaveFailure
}

func (s Supervision) withDefaults() Supervision {
	if s.MaxRestarts == 0 {
		s.MaxRestarts = 10
	}
	if s.Window <= 0 {
		s.Window = time.Minute
	}
	if s.BackOff <= 0 {
		s.BackOff = 10 * time.Millisecond
	}
	if s.MaxBackOff <= 0 {
		s.MaxBackOff = 5 * time.Second
	}
	return s
}
