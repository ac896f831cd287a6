package fsim

import (
	"io"
	"path"
	"strings"
)

// A faultSet is the faults of a disk and how far each of them has come.
type faultSet struct {
	faults  []Fault
	matched []int64 // matching calls so far
	struck  []int64
	strikes []Call
	budget  *Budget
}

// SetFaults replaces the faults of the disk; none switches them off. Counting
// starts anew. Of several faults that match a call the first one strikes.
func (d *Disk) SetFaults(faults ...Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var strikes []Call
	var budget *Budget
	if d.faults != nil {
		strikes, budget = d.faults.strikes, d.faults.budget
	}
	d.faults = &faultSet{
		faults: append([]Fault(nil), faults...), matched: make([]int64, len(faults)),
		struck: make([]int64, len(faults)), strikes: strikes, budget: budget,
	}
}

// Strikes returns the calls that a fault struck so far, in their order, as
// they were when it struck: without results. The slice belongs to the caller.
func (d *Disk) Strikes() []Call {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.faults == nil {
		return nil
	}
	return append([]Call(nil), d.faults.strikes...)
}

// A hit is a fault that strikes the call under way.
type hit struct {
	fault *Fault
	d     *Disk
	call  CallKind
	when  When
	done  bool // late was asked
}

// strike finds the fault that strikes a call, and lets it act as far as it
// acts before the call.
func (s *faultSet) strike(d *Disk, c *cmd) {
	for k := range s.faults {
		f := &s.faults[k]
		if !f.matches(c) || !s.count(k) || c.hit != nil || !s.budget.allows(f, c) {
			continue
		}
		s.struck[k]++
		h := &hit{fault: f, d: d, call: c.Op, when: f.When}
		if h.when == WhenDefault {
			h.when = WhenBefore
			if f.Kind == FaultError && c.Op.isSync() {
				h.when = WhenHalf
			}
		}
		c.hit, c.Fault = h, f.String()
		s.strikes = append(s.strikes, c.Call)
	}
	if c.hit != nil {
		c.hit.early(c)
	}
}

// count counts a matching call and reports whether the fault is due.
func (s *faultSet) count(k int) bool {
	f := &s.faults[k]
	s.matched[k]++
	n := s.matched[k]
	if n < max(f.Nth, 1) {
		return false
	}
	if f.Prob > 0 && f.Prob < 1 {
		if float64(mix(f.Seed, uint64(n))>>11)/(1<<53) >= f.Prob {
			return false
		}
		return f.Times == Ever || s.struck[k] < max(f.Times, 1)
	}
	return f.Times == Ever || n < max(f.Nth, 1)+max(f.Times, 1)
}

// mix is a hash of two numbers (the finaliser of splitmix64, applied twice).
func mix(a, b uint64) uint64 {
	x := a*0x9e3779b97f4a7c15 + b
	for range 2 {
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return x
}

// matches reports whether the fault is meant for the call.
func (f *Fault) matches(c *cmd) bool {
	if !f.Kind.strikes(c.Op) || (f.Who != "" && f.Who != c.Who) {
		return false
	}
	if (f.Kind == FaultRot || f.Kind == FaultBad) && c.handle == nil {
		return false
	}
	if len(f.Calls) > 0 {
		found := false
		for _, k := range f.Calls {
			found = found || k == c.Op
		}
		if !found {
			return false
		}
	}
	return f.Path == "" || matchPath(f.Path, c.Path) || (c.To != "" && matchPath(f.Path, c.To))
}

// matchPath matches the path of a call with the pattern of a fault.
func matchPath(pattern, name string) bool {
	name = path.Clean("/" + name)
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(name, strings.TrimSuffix(below, "/")+"/")
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// early is what the fault does before the call.
func (h *hit) early(c *cmd) {
	f := h.fault
	switch f.Kind {
	case FaultError:
		// A descriptor is closed whatever close(2) returns, and a failing
		// sync has its own way.
		if h.when == WhenBefore && c.Op != CallClose {
			c.err = f.Errno
		}
		if h.when == WhenHalf && !c.Op.canHalve() {
			c.err = f.Errno
		}
	case FaultRot:
		h.d.rot(c.handle.i, f.At, f.Bit)
	case FaultBad:
		h.d.spoil(c.handle.i, f.At)
	case FaultReadOnly:
		h.d.readOnly = true
	case FaultSlow:
		h.d.ticks += f.Delay.Microseconds()
	case FaultPowerOff:
		if h.when == WhenBefore || (h.when == WhenHalf && !c.Op.canHalve()) {
			h.d.off = true
			c.err = ErrPoweredOff
		}
	}
}

// canHalve reports whether a call of the kind can be cut half-way.
func (k CallKind) canHalve() bool {
	switch k {
	case CallRead, CallReadAt, CallWrite, CallWriteAt, CallReaddir, CallRemoveAll, CallMkdirAll,
		CallSync, CallSyncData, CallClose:
		return true
	}
	return false
}

// late is the error with which the fault ends a call that was carried out.
func (h *hit) late() error {
	if h.done {
		return nil
	}
	h.done = true
	switch h.fault.Kind {
	case FaultError:
		if h.call.isSync() && h.when == WhenHalf {
			return nil // the sync reported it itself
		}
		return h.fault.Errno
	case FaultPowerOff:
		h.d.off = true
		return ErrPoweredOff
	}
	return nil
}

// linger takes the time that the fault costs, without the lock.
func (h *hit) linger() {
	if h.fault.Kind == FaultSlow && h.d.sleep != nil {
		h.d.sleep(h.fault.Delay)
	}
}

// half reports whether the call is to stop half-way.
func (h *hit) half() bool {
	return h != nil && h.when == WhenHalf && (h.fault.Kind == FaultError || h.fault.Kind == FaultPowerOff)
}

// through returns how many of n bytes or names get through.
func (h *hit) through(n int) int {
	switch {
	case h == nil:
		return n
	case h.half():
		return n / 2
	case h.fault.Kind == FaultShort || h.fault.Kind == FaultSilent:
		if h.fault.N > 0 {
			return int(min(h.fault.N, int64(n)))
		}
		return n / 2
	}
	return n
}

// shift returns where a read gets its bytes from.
func (h *hit) shift(off int64) int64 {
	if h == nil || h.fault.Kind != FaultMisdirect {
		return off
	}
	return max(off+h.fault.distance(), 0)
}

func (f *Fault) distance() int64 {
	if f.By == 0 {
		return BlockSize
	}
	return f.By
}

// shortWrite is the error of a write that wrote less than it was asked to.
func (h *hit) shortWrite() error {
	switch {
	case h == nil:
		return nil
	case h.half():
		return h.late()
	case h.fault.Kind == FaultSilent:
		return nil
	}
	return io.ErrShortWrite
}

// failsSync reports whether a sync fails with the kernel's after-effects.
func (h *hit) failsSync() bool {
	return h != nil && h.fault.Kind == FaultError && h.when == WhenHalf
}

func (h *hit) lies() bool { return h != nil && h.fault.Kind == FaultLie }
