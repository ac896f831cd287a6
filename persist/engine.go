package persist

import (
	"fmt"
	"reflect"
	"unsafe"

	"github.com/anthdm/hollywood/actor"
)

// idPrefix keeps the PIDs of persistent actors apart from all others. Hollywood
// joins kind and id with a slash, so that "k/1"+"2" equals "k"+"1/2"; a kind of
// our own and the key as the id cannot meet anything but themselves.
const idPrefix = "persist"

// pidOf returns the PID of the actor of a key: derived from the key alone, the
// same in every life.
func pidOf(e *actor.Engine, key Key) *actor.PID {
	return actor.NewPID(e.Address(), idPrefix+"/"+string(key))
}

// keyOfID is the reverse of pidOf.
func keyOfID(id string) (Key, bool) {
	if len(id) <= len(idPrefix) || id[:len(idPrefix)] != idPrefix || id[len(idPrefix)] != '/' {
		return "", false
	}
	return Key(id[len(idPrefix)+1:]), true
}

// isRegistered asks the engine whether anyone holds the id of a key.
func isRegistered(e *actor.Engine, key Key) bool {
	return e.Registry.GetPID(idPrefix, string(key)) != nil
}

// messageField is the one private field of Hollywood that this package sets:
// after a panic the shell shows the actor Stopped, Initialized and Started, for
// which the engine has no call (actor/context.go of v1.0.5).
const messageField = "message"

var messageOffset, messageErr = probeMessage()

func probeMessage() (uintptr, error) {
	t := reflect.TypeFor[actor.Context]()
	f, ok := t.FieldByName(messageField)
	if !ok || f.Type != reflect.TypeFor[any]() {
		return 0, fmt.Errorf("%w: %v has no field %q of type any", ErrEngineVersion, t, messageField)
	}
	probe, want := &actor.Context{}, any("probe")
	*(*any)(unsafe.Add(unsafe.Pointer(probe), f.Offset)) = want
	if probe.Message() != want {
		return 0, fmt.Errorf("%w: %v does not return its field %q as the message", ErrEngineVersion, t, messageField)
	}
	return f.Offset, nil
}

// setMessage makes c.Message() return msg. Only the actor's own goroutine may
// call it.
func setMessage(c *actor.Context, msg any) {
	*(*any)(unsafe.Add(unsafe.Pointer(c), messageOffset)) = msg
}
