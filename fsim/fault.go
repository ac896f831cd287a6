package fsim

import (
	"syscall"
	"time"
)

// A FaultKind is what goes wrong.
type FaultKind uint8

const (
	// FaultError gives the call an error number. A sync that fails so has the
	// after-effects of the kernel; see [Fault.When].
	FaultError FaultKind = iota + 1
	// FaultShort lets only [Fault.N] bytes or names of a read, write or
	// listing through. A short write is io.ErrShortWrite.
	FaultShort
	// FaultSilent is a short write without an error, which breaks the contract
	// of io.Writer, and which some filesystems have been seen to do.
	FaultSilent
	// FaultLie is a sync that says it worked and did nothing.
	FaultLie
	// FaultLost is a write that never reaches the medium: it is seen until the
	// page is evicted, and no sync makes it durable.
	FaultLost
	// FaultMisdirect is a write whose bytes reach the medium [Fault.By] bytes
	// from where they belong, or a read that gives the bytes from there.
	FaultMisdirect
	// FaultRot flips bit [Fault.Bit] of byte [Fault.At] of the file, on the
	// medium, before the call.
	FaultRot
	// FaultBad makes the block of byte [Fault.At] unreadable (EIO) until it is
	// overwritten whole, before the call.
	FaultBad
	// FaultSlow makes the call take [Fault.Delay] longer.
	FaultSlow
	// FaultReadOnly turns the disk read-only: this and every later call that
	// would change something is EROFS.
	FaultReadOnly
	// FaultPowerOff cuts the power; see [Disk.PowerOff].
	FaultPowerOff
)

// When says when within a call a fault strikes.
type When uint8

const (
	// WhenDefault is WhenHalf for a failing sync and WhenBefore otherwise.
	WhenDefault When = iota
	// WhenBefore: the call has no effect.
	WhenBefore
	// WhenHalf: a write or read moves half of its bytes, RemoveAll empties half
	// of the directory, MkdirAll leaves the last one out; any other call, being
	// one step, has no effect. A sync that fails half-way leaves the file as
	// the kernel does: every page is clean and none is tried again, the content
	// is seen until it is evicted, other open handles are told once.
	WhenHalf
	// WhenAfter: the call takes effect and yet gives the error.
	WhenAfter
)

// Ever is the number of [Fault.Times] for a fault that strikes for ever.
const Ever = -1

// A Fault says what goes wrong on which calls. It prints as one line that
// [ParseFault] reads back, such as
//
//	EIO sync path=/wal/* nth=3
//	short write times=ever p=0.1 seed=7 n=100
//	rot read path=/data at=8192 bit=3
//
// A fault that cannot strike a kind of call passes it over, uncounted: a lie
// strikes syncs, a lost write writes, rot and bad blocks calls on an open file.
type Fault struct {
	Kind  FaultKind
	Errno syscall.Errno // of a FaultError

	// Calls are the kinds of call that it strikes; none means all.
	Calls []CallKind
	// Who is the caller that it strikes, "" for all; see [Disk.As].
	Who string
	// Path is a pattern of [path.Match] for the path of the call (of a rename
	// or link, either one), made absolute and clean; a pattern that ends in
	// "/..." stands for everything below. "" means all. A pattern that is
	// malformed matches nothing, and does not parse.
	Path string

	// Nth is the first matching call that it strikes, from 1; 0 means 1.
	Nth int64
	// Times is how many calls it strikes from there on; 0 means 1, [Ever] all.
	Times int64
	// Prob is the probability with which it strikes each of them; 0 means 1.
	// The draw depends on Seed and the number of the matching call alone.
	Prob float64
	Seed uint64

	When When

	N     int64 // FaultShort, FaultSilent: bytes or names; 0 means half
	By    int64 // FaultMisdirect: distance in bytes; 0 means one block
	At    int64 // FaultRot, FaultBad: offset in the file
	Bit   int   // FaultRot: 0 to 7
	Delay time.Duration
	// Evict drops the page from the cache at once, so that after a failed
	// sync, a lost or a misdirected write the medium's content is seen.
	Evict bool
	// Abort makes a failed sync turn the disk read-only, as ext4 does when it
	// is mounted with data_err=abort.
	Abort bool
}

// strikes reports whether the kind of fault can strike the kind of call.
func (k FaultKind) strikes(c CallKind) bool {
	switch k {
	case FaultShort:
		return c == CallRead || c == CallWrite || c == CallWriteAt || c == CallReaddir
	case FaultSilent, FaultLost:
		return c == CallWrite || c == CallWriteAt
	case FaultLie:
		return c == CallSync || c == CallSyncData || c == CallSyncAll
	case FaultMisdirect:
		return c == CallRead || c == CallReadAt || c == CallWrite || c == CallWriteAt
	}
	return true
}

// isSync reports whether the call is a sync of one file.
func (k CallKind) isSync() bool { return k == CallSync || k == CallSyncData }
