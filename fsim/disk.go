package fsim

import (
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/spf13/afero"
)

// ErrPoweredOff is the error of every call on a disk, and on every handle of
// it, after [Disk.PowerOff]. The call had no effect.
var ErrPoweredOff = errors.New("disk is powered off")

// HistoryMode says how much of the past a disk keeps.
type HistoryMode uint8

const (
	// HistoryNow keeps what is needed to say which states a power cut at this
	// moment may leave behind. Memory grows with what is not synced.
	HistoryNow HistoryMode = iota
	// HistoryOff keeps nothing: the disk is a plain filesystem in memory.
	HistoryOff
	// HistoryFull keeps every past instant. Memory grows with the operations.
	HistoryFull
)

// Options are the settings of a disk. The zero value, and nil, is a disk of
// unlimited capacity, used by root with umask 022, that keeps [HistoryNow] and
// a trace, on a clock of its own.
type Options struct {
	// History says how much of the past is kept.
	History HistoryMode
	// NoTrace switches the trace of calls off.
	NoTrace bool
	// Capacity is the size of the disk in bytes, 0 for no limit; see
	// [Disk.SetCapacity].
	Capacity int64
	// Umask is taken off the permissions of new files and directories. 0 means
	// 022; a negative value means no mask.
	Umask int
	// Sleep waits where a fault makes a call slow. A nil Sleep does not wait;
	// the disk's own clock moves on all the same.
	Sleep func(time.Duration)
	// Clock gives file times. It is called under the disk's lock and must not
	// call the disk. A nil Clock starts at 2000-01-01 UTC and advances by one
	// microsecond each time that it is read, so that times are the same on
	// every run.
	Clock func() time.Time
}

// A Disk is a filesystem in memory that behaves like a local filesystem of
// Linux, errors included, and that knows what a power cut may leave of it. It
// implements [afero.Fs], [afero.Symlinker], hard links ([Disk.Link]) and
// everything that its files implement ([File]). Its methods may be called by
// any number of goroutines; to the others each call is one step, while the
// power may go between any two of the names and blocks that it changes.
//
// Paths are slash-separated; a relative path starts at the root directory.
// Calls on the disk itself are made by root and recorded without a name; see
// [Disk.As] and [Disk.AsUser].
type Disk struct {
	view

	mu      sync.Mutex
	profile *Profile
	base    base     // nil: born empty
	rec     recorder // nil: no history
	scratch op       // the micro-operation that rec is handed
	root    *inode
	last    lastDir
	loaded  map[Ino]*inode // inodes taken over from the base
	nextIno Ino
	umask   fs.FileMode
	clock   func() time.Time
	ticks   int64
	calls   int64 // calls so far
	handles int64 // handles opened so far
	off     bool

	readOnly bool // a fault turned it read-only
	aborted  bool // and syncs fail too
	sleep    func(time.Duration)
	tracked  []*inode // files whose cache and medium are told apart

	capacity int64 // bytes, 0 for no limit
	used     int64

	// gate, where it is set, is asked at the start of every call, without the
	// lock; an error is the call's result.
	gate   func(mutates bool) error
	faults *faultSet
	trace  *trace
}

var (
	_ afero.Fs        = (*Disk)(nil)
	_ afero.Symlinker = (*Disk)(nil)
)

// New returns an empty disk that crashes like the given profile; nil stands
// for [Linux]. It keeps enough to be crashed at any moment, and a trace.
func New(p *Profile) *Disk { return NewWith(p, nil) }

// NewWith is [New] with options; nil options are the zero value.
func NewWith(p *Profile, o *Options) *Disk {
	if p == nil {
		p = Linux
	}
	if o == nil {
		o = &Options{}
	}
	var rec recorder
	if o.History != HistoryOff {
		rec = newRecorder(p, o.History, nil)
	}
	return newDisk(p, nil, rec, o)
}

// newDisk makes a disk over a base, with its recorder; both may be nil.
func newDisk(p *Profile, b base, rec recorder, o *Options) *Disk {
	if o == nil {
		o = &Options{}
	}
	d := &Disk{
		profile: p, base: b, rec: rec, nextIno: rootIno + 1, umask: 0o022,
		clock: o.Clock, capacity: o.Capacity, sleep: o.Sleep,
	}
	d.view.d = d
	if o.Umask > 0 {
		d.umask = fs.FileMode(o.Umask) & fs.ModePerm
	} else if o.Umask < 0 {
		d.umask = 0
	}
	if !o.NoTrace {
		d.trace = &trace{}
	}
	if b != nil {
		d.nextIno = b.nextIno()
		d.loaded = map[Ino]*inode{}
		d.root = d.load(rootIno, nil)
		d.root.dir.parent = d.root
		return d
	}
	now := d.now()
	d.root = &inode{
		ino: rootIno, kind: fs.ModeDir, perm: 0o755, nlink: 2,
		atime: now, mtime: now, ctime: now, dir: &directory{entries: map[string]*inode{}},
	}
	d.root.dir.parent = d.root
	return d
}

// Name returns "fsim".
func (v *view) Name() string { return "fsim" }

// Profile returns the profile that the disk was made with.
func (d *Disk) Profile() *Profile { return d.profile }

// PowerOff cuts the power: from now on every call on the disk and on its open
// handles fails with [ErrPoweredOff] and has no effect. What the disk may then
// hold is what it may hold after a crash at this moment.
func (d *Disk) PowerOff() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
}

// SetCapacity sets the size of the disk in bytes; 0 or less means no limit. A
// disk that holds more than that already keeps it, and gives ENOSPC to
// everything that would need more. An allocated block costs [BlockSize], an
// inode 256 bytes, a name 32 bytes and its length, a symlink its target.
// Overwriting a block costs nothing.
func (d *Disk) SetCapacity(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = max(bytes, 0)
}

// Used returns how many bytes of the capacity are taken. Of a disk that was
// mounted from a crash state, it counts what was added since, less what was
// taken away, and may be negative.
func (d *Disk) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used
}

// take reserves n bytes of the capacity.
func (d *Disk) take(n int64) error {
	if d.capacity > 0 && d.used+n > d.capacity {
		return errNoSpace
	}
	d.used += n
	return nil
}

// epoch is where a disk's own clock starts: 2000-01-01 00:00:00 UTC.
const epoch = 946684800 * int64(time.Second)

// now reads the disk's clock, in nanoseconds since 1970.
func (d *Disk) now() int64 {
	if d.clock != nil {
		return d.clock().UnixNano()
	}
	d.ticks++
	return epoch + d.ticks*int64(time.Microsecond)
}

// emit hands a micro-operation to the recorder, if there is one.
func (d *Disk) emit(o *op) {
	if d.rec == nil {
		return
	}
	d.scratch = *o
	d.scratch.call = d.calls
	d.scratch.when = d.now()
	d.rec.record(&d.scratch)
}
