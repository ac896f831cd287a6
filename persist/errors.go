package persist

import (
	"errors"
	"fmt"
	"io/fs"
)

// The errors of this package and of every store. Match them with [errors.Is];
// what is returned names the key and the place around them.
var (
	// ErrBadKey: the text is not a key; see [ParseKey].
	ErrBadKey = errors.New("bad key")
	// ErrBadKind: a kind was defined wrongly; the text names the field or option.
	ErrBadKind = errors.New("bad kind")
	// ErrBadChange: a commit that could not be meant: two changes of one key,
	// a record under another key, a delete of what must be absent.
	ErrBadChange = errors.New("bad change")
	// ErrExists: the key, or something below it, is already saved or live.
	ErrExists error = &sentinel{"already exists", fs.ErrExist}
	// ErrNotFound: the store has looked and there is nothing under the key. It
	// matches fs.ErrNotExist, but no error of a filesystem matches it: a store
	// whose directory vanished has not looked.
	ErrNotFound error = &sentinel{"no snapshot", fs.ErrNotExist}
	// ErrClosed: the system or the store is closed, or being closed.
	ErrClosed error = &sentinel{"closed", fs.ErrClosed}
	// ErrUnknownKind: no kind of that name was given to the system.
	ErrUnknownKind = errors.New("unknown kind")
	// ErrWrongKind: the record is of another kind than the one asked for.
	ErrWrongKind = errors.New("wrong kind")
	// ErrUnknownCodec: the record was written by a codec the system lacks.
	ErrUnknownCodec = errors.New("unknown codec")
	// ErrBadSnapshot: the record is intact, but its snapshot does not fit the
	// type of its kind; a migration is missing.
	ErrBadSnapshot = errors.New("snapshot does not fit its kind")
	// ErrNotPersistent: the actor was not spawned through this package.
	ErrNotPersistent = errors.New("not a persistent actor")
	// ErrStopped: the actor ended, or is ending, before it could do what was asked.
	ErrStopped = errors.New("actor stopped")
	// ErrRolledBack: the object that asks was given up after a panic; what it
	// holds must not be saved.
	ErrRolledBack = errors.New("state was rolled back")
	// ErrCorrupt: what is stored is damaged. The error that carries it is a
	// [*CorruptError].
	ErrCorrupt = errors.New("corrupt")
	// ErrTooNew: the record was written by a newer format or a newer version of
	// its kind. It is intact and stays as it is.
	ErrTooNew = errors.New("written by a newer version")
	// ErrTooLarge: more than [MaxPayload] bytes.
	ErrTooLarge = errors.New("too large")
	// ErrConflict: the version last seen is no longer the newest; somebody else
	// has written. The error that carries it is a [*ConflictError].
	ErrConflict = errors.New("conflict")
	// ErrUnknownOutcome: a commit failed after bytes were written; it may or may
	// not be found after the next open.
	ErrUnknownOutcome = errors.New("unknown outcome")
	// ErrStoreFailed: a sync of the store failed earlier, so nothing it says now
	// could be trusted; reopen it.
	ErrStoreFailed = errors.New("store failed")
	// ErrFenced: another owner has taken the store over.
	ErrFenced = errors.New("fenced by a newer owner")
	// ErrLocked: another process has the store open.
	ErrLocked = errors.New("locked by another owner")
	// ErrEngineVersion: the Hollywood that was linked is laid out otherwise than
	// the one this package was built for.
	ErrEngineVersion = errors.New("unsupported engine version")
)

// sentinel is an error that also matches the standard one with its meaning,
// while the standard one does not match it.
type sentinel struct {
	text     string
	standard error
}

func (s *sentinel) Error() string { return s.text }
func (s *sentinel) Unwrap() error { return s.standard }

// CorruptError says what is damaged, where, and how that was seen. It matches
// [ErrCorrupt]. The evidence stays where it is, or where Place says.
type CorruptError struct {
	Key    Key    // the key as far as it is known
	Place  string // a file, an offset, a segment: wherever one would look
	Reason string
}

func (e *CorruptError) Error() string {
	s := "corrupt snapshot"
	if e.Key != "" {
		s += fmt.Sprintf(" of %q", string(e.Key))
	}
	if e.Place != "" {
		s += " in " + e.Place
	}
	return s + ": " + e.Reason
}

// Is makes the error match [ErrCorrupt].
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// ConflictError says which change of a commit was conditional on a version
// that is no longer the newest. It matches [ErrConflict].
type ConflictError struct {
	Key  Key
	Want Version // the version the change was conditional on
	Have Version // the version found, if the store tells
}

func (e *ConflictError) Error() string {
	show := func(v Version) string {
		if v == Absent {
			return "nothing"
		}
		return fmt.Sprintf("version %q", string(v))
	}
	return fmt.Sprintf("conflict on %q: expected %s, found %s", string(e.Key), show(e.Want), show(e.Have))
}

// Is makes the error match [ErrConflict].
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// RespawnError is one actor of a tree that did not come back.
type RespawnError struct {
	Key Key
	Err error
}

func (e *RespawnError) Error() string { return fmt.Sprintf("respawn %q: %v", string(e.Key), e.Err) }
func (e *RespawnError) Unwrap() error { return e.Err }

// PanicError is a panic of user code that was caught.
type PanicError struct {
	Key   Key
	In    string // what was running: "Receive", "Started", "Snapshot", …
	Value any    // what was passed to panic; nil where the goroutine called runtime.Goexit
	Stack []byte // the stack of the panic, as runtime/debug prints it
}

func (e *PanicError) Error() string {
	if e.Value == nil {
		return fmt.Sprintf("%q called runtime.Goexit in %s", string(e.Key), e.In)
	}
	return fmt.Sprintf("%q panicked in %s: %v", string(e.Key), e.In, e.Value)
}

// Unwrap returns the value of the panic where that is an error, but for
// [ErrNotFound]: that an actor panicked with it says nothing about its own key.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
