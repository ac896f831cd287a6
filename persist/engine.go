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

// envelopeFields are the private fields of Hollywood that this package sets:
// after a panic the shell shows the actor Stopped, Initialized and Started, which
// nobody sent, and for which the engine has no call (actor/context.go of v1.0.5).
var envelopeFields = [2]struct {
	name string
	typ  reflect.Type
}{{"message", reflect.TypeFor[any]()}, {"sender", reflect.TypeFor[*actor.PID]()}}

var envelopeOffsets, engineErr = probeEngine()

func probeEngine() (offsets [2]uintptr, err error) {
	t := reflect.TypeFor[actor.Context]()
	for i, want := range envelopeFields {
		f, ok := t.FieldByName(want.name)
		if !ok || f.Type != want.typ {
			return offsets, fmt.Errorf("%w: %v has no field %q of type %v", ErrEngineVersion, t, want.name, want.typ)
		}
		offsets[i] = f.Offset
	}
	c, msg, sender := &actor.Context{}, any("probe"), &actor.PID{}
	writeEnvelope(c, offsets, msg, sender)
	if c.Message() != msg || c.Sender() != sender {
		return offsets, fmt.Errorf("%w: %v does not return its fields as message and sender", ErrEngineVersion, t)
	}
	return offsets, nil
}

func writeEnvelope(c *actor.Context, offsets [2]uintptr, msg any, sender *actor.PID) {
	*(*any)(unsafe.Add(unsafe.Pointer(c), offsets[0])) = msg
	*(**actor.PID)(unsafe.Add(unsafe.Pointer(c), offsets[1])) = sender
}

// setMessage makes c.Message() return msg and c.Sender() sender. Only the
// actor's own goroutine may call it.
func setMessage(c *actor.Context, msg any, sender *actor.PID) {
	writeEnvelope(c, envelopeOffsets, msg, sender)
}
