package persist

import (
	"reflect"
	"testing"

	"github.com/anthdm/hollywood/actor"
)

// CheckNothingLeft fails where a closed system still holds a lock, a key or a
// goroutine.
func (s *System) CheckNothingLeft(t testing.TB) {
	t.Helper()
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	if n := len(s.locks.nodes); n > 0 {
		t.Errorf("%d locks are left", n)
	}
	if err := s.unfinished(); err != nil {
		t.Errorf("keys are left: %v", err)
	}
	if len(s.census.root.below) > 0 {
		t.Errorf("the census is not empty: %v", s.census.root.below)
	}
	if s.ops.n != 0 || s.routines.n != 0 {
		t.Errorf("%d operations and %d goroutines are left", s.ops.n, s.routines.n)
	}
}

// ShellSize is what the shell itself adds to an actor, in bytes.
var ShellSize = reflect.TypeFor[shell]().Size()

// SetMessage is setMessage.
func SetMessage(c *actor.Context, msg any, sender *actor.PID) { setMessage(c, msg, sender) }

// PretendOtherEngine makes New find an engine that it does not know.
func PretendOtherEngine(err error) (restore func()) {
	was := engineErr
	engineErr = err
	return func() { engineErr = was }
}
