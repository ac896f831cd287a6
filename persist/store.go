package persist

import (
	"context"
	"fmt"
	"iter"
)

// Version is what a store calls one state of one key. It is opaque, compared
// with == only, and never comes again for a key, deletes included: a stale
// owner's version can therefore not match by accident after a delete and a new
// birth.
type Version string

// Two versions that no store gives out, for the condition of a [Change].
const (
	Absent Version = ""  // nothing is stored under the key
	Any    Version = "*" // whatever is stored; a system never asks for this
)

// Change is one part of a commit: a put or a delete of one key, on a condition.
type Change struct {
	Key Key     // store-relative
	Put *Record // nil deletes; the record's Key must equal Key
	If  Version // the version last seen; Absent for a birth, Any for no condition
}

// Entry is one key of a listing.
type Entry struct {
	Key     Key
	Version Version
}

// Loaded is one record of a tree, with its version.
type Loaded struct {
	Record
	Version Version
}

// Store keeps one record for each key. Package storetest checks every sentence
// of this contract on any implementation.
//
// Keys are relative to Base. A store refuses a key that [CheckStoreKey] refuses
// with [ErrBadKey]. All methods may be called from any number of goroutines.
// A context that has ended makes a call return its error; a commit either
// happens in full or leaves nothing behind, whatever the context does, and
// only [ErrUnknownOutcome] says that it is not known which. After Close every
// method returns [ErrClosed]. Errors name the key and, where there is one, the
// file; they match the sentinels of this package.
type Store interface {
	// Base is the absolute key below which this store lives, the prefix of all
	// that it serves. It never changes.
	Base() Key

	// Load returns the newest state of key. ErrNotFound means that the store has
	// looked and there is none; damage is a *CorruptError, a newer format is
	// ErrTooNew, and neither is ever taken for absence. A store that fell back to
	// an older generation says so in Record.Fallback. The caller owns the record.
	Load(ctx context.Context, key Key) (Record, Version, error)

	// Commit makes all changes durable, or none, and returns their versions in
	// order, Absent for a delete. When it returns nil every change survives a
	// power cut. A condition that does not hold is a *ConflictError; the first
	// one in order is named. Changes whose key appears twice, a delete on Absent,
	// or a record under another key are ErrBadChange. No change at all is no
	// error. A store that cannot commit several keys atomically returns
	// errors.ErrUnsupported for more than one, before it writes anything. A
	// delete on Any of what is not there succeeds. The store does not keep the
	// records after it returns.
	Commit(ctx context.Context, changes ...Change) ([]Version, error)

	// List yields the keys at and below prefix in the order of [Key.Compare],
	// with their versions, without reading snapshots; "" lists everything. Keys
	// that are saved or deleted while it runs may or may not appear; all others
	// appear once. An error is yielded once and ends the sequence. A key whose
	// snapshot is damaged is listed like any other.
	List(ctx context.Context, prefix Key) iter.Seq2[Entry, error]

	// Close waits for the commits under way and releases the store. A second
	// Close returns nil.
	Close() error
}

// TreeStore is the optional interface of a store whose Commit is atomic over
// several keys; [System.SaveTree] needs it.
type TreeStore interface {
	Store

	// LoadTree yields the records at and below prefix in the order of
	// [Key.Compare], all from one state of the store that held at some instant of
	// the call: a commit of several keys is seen in full or not at all. What one
	// key could not give (damage, a newer format) is yielded as a Loaded with
	// that Key and the error, and the sequence goes on; an error with an empty
	// Key ends it. The caller owns the records.
	LoadTree(ctx context.Context, prefix Key) iter.Seq2[Loaded, error]
}

// StatsStore is the optional interface of a store that can tell how it is:
// numbers for a dashboard, and whether it had to do without something.
type StatsStore interface {
	Store
	// Stats returns name and value pairs in a fixed order.
	Stats() []Stat
}

// Stat is one named number or word about a store.
type Stat struct {
	Name  string
	Value any
}

// CheckChanges refuses what no store may commit, before it looks at what it
// has: a key that [CheckStoreKey] refuses, a record that [Record.Check] refuses,
// and with [ErrBadChange] a key that appears twice, a record under another key, a delete of
// what must be absent. Stores call it first in Commit.
func CheckChanges(changes []Change) error {
	var seen map[Key]bool
	if len(changes) > 1 {
		seen = make(map[Key]bool, len(changes))
	}
	for i := range changes {
		c := &changes[i]
		if err := CheckStoreKey(c.Key); err != nil {
			return err
		}
		switch {
		case seen[c.Key]:
			return fmt.Errorf("%w: %q appears twice", ErrBadChange, string(c.Key))
		case c.Put == nil && c.If == Absent:
			return fmt.Errorf("%w: %q is to be deleted and must be absent", ErrBadChange, string(c.Key))
		case c.Put != nil && c.Put.Key != c.Key:
			return fmt.Errorf("%w: the record of %q is put under %q", ErrBadChange, string(c.Put.Key), string(c.Key))
		case c.Put != nil:
			if err := c.Put.Check(); err != nil {
				return err
			}
		}
		if seen != nil {
			seen[c.Key] = true
		}
	}
	return nil
}

type callerKey struct{}

// WithCaller returns a context that names who asks, for a store that runs on a
// filesystem which tells its callers apart. A system in production never sets it.
func WithCaller(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, callerKey{}, who)
}

// Caller returns the name given by [WithCaller], or "".
func Caller(ctx context.Context) string {
	who, _ := ctx.Value(callerKey{}).(string)
	return who
}
