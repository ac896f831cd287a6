package fsim

import (
	"fmt"
	"iter"
)

// A Swept is one run of a sweep.
type Swept struct {
	// Fault is the fault of this run, with its Nth.
	Fault Fault
	// Struck reports whether the fault struck, and Call what it struck.
	Struck bool
	Call   Call
	// Err is what the run returned; a panic is turned into an error.
	Err error
}

// Sweep runs run again and again, with a fault that strikes the first call that
// it can, then the second, and so on, until a run in which it strikes nothing,
// which is the last one and shows that the sweep was complete. The run makes
// its disk, sets the given fault on it with [Disk.SetFaults] once it is ready,
// and returns the disk, nil if it got none, and its error.
func Sweep(f Fault, run func(f Fault) (*Disk, error)) iter.Seq[Swept] {
	return func(yield func(Swept) bool) {
		f.Times = 1
		for f.Nth = 1; ; f.Nth++ {
			s := Swept{Fault: f}
			d, err := guard(f, run)
			s.Err = err
			if d != nil {
				if strikes := d.Strikes(); len(strikes) > 0 {
					s.Struck, s.Call = true, strikes[0]
				}
			}
			if !yield(s) || !s.Struck {
				return
			}
		}
	}
}

// guard turns a panic of run into an error.
func guard(f Fault, run func(f Fault) (*Disk, error)) (d *Disk, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("run with fault %q panicked: %v", f, p)
		}
	}()
	return run(f)
}
