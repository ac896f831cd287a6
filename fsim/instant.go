package fsim

import (
	"fmt"
	"io/fs"
)

// An Instant is a moment between two micro-operations of a history.
type Instant struct {
	h *History
	i int
}

// At gives instant i: the first i micro-operations have happened, the others not yet. Whether the history
// reaches that far, and was kept, shows when it is used.
func (h *History) At(i int) Instant { return Instant{h, i} }

// Index is the number of micro-operations before the instant.
func (i Instant) Index() int { return i.i }

// Crash gives the states that a power cut at the instant may leave. A moment that is past needs [HistoryFull],
// else the error wraps [ErrNoHistory]; an instant that never was is [ErrNoInstant].
func (i Instant) Crash() (*Crash, error) {
	t, err := i.h.trackerAt(i.i)
	if err != nil {
		return nil, err
	}
	return newCrash(t), nil
}

// Acked gives what had been acknowledged by then, in order, under the same conditions as [Instant.Crash]. The
// caller owns the slice.
func (i Instant) Acked() ([]any, error) {
	t, err := i.h.trackerAt(i.i)
	if err != nil {
		return nil, err
	}
	return t.acks, nil
}

// History gives what was done to the disk, or nil with [HistoryOff].
func (d *Disk) History() *History {
	d.mu.Lock()
	defer d.mu.Unlock()
	h, _ := d.rec.(*History)
	return h
}

// Crash gives the states that a power cut at this moment may leave. The disk works on unharmed; use
// [Disk.PowerOff] to end it. With [HistoryOff] the error wraps [ErrNoHistory].
func (d *Disk) Crash() (*Crash, error) {
	h := d.History()
	if h == nil {
		return nil, fmt.Errorf("crash: %w", ErrNoHistory)
	}
	return h.At(h.Len()).Crash()
}

// Kill gives the one state that the end of the process leaves, without a power cut: nothing that a call had
// returned is lost.
func (d *Disk) Kill() (*State, error) {
	c, err := d.Crash()
	if err != nil {
		return nil, err
	}
	return c.Extreme(Kept), nil
}

// Ack notes that the caller was told something that it may rely on from now on, whatever happens. What is
// acknowledged is given to the recovery function of [Explore]; note must not be changed afterwards.
func (d *Disk) Ack(note any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.emit(&op{kind: opAck, note: note})
}

// Mount gives a disk that holds the state, as after the machine has come up again. Work on it never shows in
// the state, which may be mounted many times. A nil o is the zero value of [Options].
func (s *State) Mount(o *Options) *Disk {
	if o == nil {
		o = &Options{}
	}
	b := mounted{s}
	if o.History == HistoryOff {
		return newDisk(s.crash.w.t.p, b, nil, o)
	}
	return newDisk(s.crash.w.t.p, b, newRecorder(s.crash.w.t.p, o.History, b), o)
}

// mounted is a state as the base of a disk. Its cells are worked out when the first of them is asked for.
type mounted struct{ s *State }

func (m mounted) decided() bool                   { return true }
func (m mounted) nextIno() Ino                    { return m.s.crash.w.nextIno() }
func (m mounted) mode(i Ino) fs.FileMode          { return m.s.crash.w.mode(i) }
func (m mounted) lookup(dir Ino, name string) Ino { return m.s.base().lookup(dir, name) }
func (m mounted) names(dir Ino) []dirent          { return m.s.base().names(dir) }
func (m mounted) meta(i Ino) meta                 { return m.s.base().meta(i) }
func (m mounted) size(i Ino) int64                { return m.s.base().size(i) }
func (m mounted) block(i Ino, b int64) page       { return m.s.base().block(i, b) }
func (m mounted) nlink(i Ino) int                 { return m.s.base().nlink(i) }
func (m mounted) holders(i Ino) []holder          { return m.s.base().holders(i) }
func (m mounted) modTime(i Ino) int64             { return m.s.base().modTime(i) }
