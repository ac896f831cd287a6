package fsim

import (
	"errors"
	"fmt"
	"math/big"
)

// Workload is what runs once, undisturbed, on an empty disk. It says with [Disk.Ack] what it has promised to
// whom, and returns an error only if it could not do its work.
type Workload func(d *Disk) error

// Recover is what runs after a power cut, on the disk as the cut left it. acked is what had been acknowledged
// by then, in order; it must not be changed. It returns an error where a promise is broken. The same disk must
// make it do the same.
type Recover func(d *Disk, acked []any) error

// ExploreOptions say where and how far to look. Nil is the zero value.
type ExploreOptions struct {
	// Profile says which states are legal; nil is [Linux].
	Profile *Profile
	// Budget is how many classes of states at most are visited in one sweep; 0 means 200,000.
	Budget int
	// Deviations, when above 0, does not try to exhaust: it visits the states that differ from an extreme in
	// at most so many cells.
	Deviations int
	// Depth is how many more times the power may go, during or right after a recovery.
	Depth int
	// Workers is how many recoveries run at once; 0 means 1. For more, Recover must be re-entrant, and which of
	// several failures is reported may differ from run to run.
	Workers int
	// Steps is how many calls on its disk one recovery may make; 0 means 1,000,000. From then on calls fail
	// with [ErrTooManySteps]; a recovery that goes on regardless is ended. A loop without calls cannot be.
	Steps int
	// LookOnly makes it a finding when the recovery changes the disk.
	LookOnly bool
	// Progress, if set, is called after each instant and sweep, never by two goroutines at once.
	Progress func(Report)
	// Disk are the options of the workload's disk. History is set to [HistoryFull].
	Disk *Options
}

// A Report says what an exploration covered and what it found.
type Report struct {
	Profile    *Profile
	Instants   int      // moments at which the power was cut: the last before a floor rises or an acknowledgement
	Classes    int      // recoveries that were run; states that differ only in what recovery never reads are one
	States     *big.Int // legal states at these instants, added up
	StatesOver bool     // States is an upper bound
	Exhausted  bool     // every legal state, relative to Model, was covered
	Deviations int      // else: every state within so many cells of each extreme was; -1: none completed
	Depth      int      // crashes during recovery that were covered too
	Model      string   // the tears and fills that "every" is relative to
	Failure    *Failure // nil: no promise was broken
}

// String says the report in one line.
func (r Report) String() string {
	over := ""
	if r.StatesOver {
		over = "at most "
	}
	s := fmt.Sprintf("%v: %d instants, %s%v states, %d classes: ", r.Profile, r.Instants, over, short(r.States), r.Classes)
	switch {
	case r.Failure != nil:
		s += "a promise is broken"
	case r.Exhausted:
		s += "exhausted, no promise broken"
	case r.Deviations < 0:
		s += "not exhausted, no promise broken"
	default:
		s += fmt.Sprintf("no promise broken within %d cells of each extreme", r.Deviations)
	}
	if r.Depth > 0 {
		s += fmt.Sprintf(", %d more crashes in recovery", r.Depth)
	}
	return s + " (" + r.Model + ")"
}

func short(n *big.Int) string {
	if n == nil {
		return "0"
	}
	if n.BitLen() > 64 {
		return fmt.Sprintf("2^%d", n.BitLen()-1)
	}
	return n.String()
}

// Failure is a state that recovery does not survive, or a recovery that cannot be judged.
type Failure struct {
	Err      error // what Recover returned, or [ErrRecoveryPanic], [ErrTooManySteps], [ErrNondeterministic], [ErrWrote]
	Instant  int   // the moment of the power cut
	Acked    []any // what had been acknowledged
	Token    string
	picks    []pick
	history  *History
	disk     *Disk
	explorer *explorer
}

func (f *Failure) Error() string {
	return fmt.Sprintf("after a power cut at instant %d: %v (token %s)", f.Instant, f.Err, f.Token)
}

func (f *Failure) Unwrap() error { return f.Err }

// What ends a recovery besides its own verdict.
var (
	ErrRecoveryPanic = errors.New("recovery panicked")
	ErrTooManySteps  = errors.New("recovery made too many calls")
	ErrWrote         = errors.New("recovery changed the disk")
)

// Explore runs the workload once, cuts its power at every instant that matters, and runs the recovery on every
// legal state, each class of states that the recovery cannot tell apart once. It stops at the first broken
// promise, which the report holds; the error is for what kept it from exploring.
func Explore(workload Workload, recover Recover, o *ExploreOptions) (*Report, error) {
	if o == nil {
		o = &ExploreOptions{}
	}
	d, err := record(workload, o)
	if err != nil {
		return nil, err
	}
	e := newExplorer(d, recover, o)
	return e.run(), nil
}

// record runs the workload on a disk that keeps everything.
func record(workload Workload, o *ExploreOptions) (*Disk, error) {
	do := Options{}
	if o.Disk != nil {
		do = *o.Disk
	}
	do.History = HistoryFull
	d := NewWith(o.Profile, &do)
	if err := workload(d); err != nil {
		return nil, fmt.Errorf("run workload: %w", err)
	}
	return d, nil
}

// explorer visits the states of one history.
type explorer struct {
	h       *History
	disk    *Disk // that the workload ran on; may be nil
	recover Recover
	o       ExploreOptions
	report  Report
	ballast []byte
}

// A long exploration keeps some memory allocated and untouched. Every class leaves what its recovery read as
// garbage; over a small heap the collector would run every few dozen classes.
const (
	ballastSize  = 64 << 20
	ballastAfter = 5000 // classes
)

func newExplorer(d *Disk, recover Recover, o *ExploreOptions) *explorer {
	e := &explorer{h: d.History(), disk: d, recover: recover, o: *o}
	if e.o.Budget <= 0 {
		e.o.Budget = 200_000
	}
	if e.o.Steps <= 0 {
		e.o.Steps = 1_000_000
	}
	e.report = Report{Profile: e.h.p, Model: e.h.p.Model(), Depth: e.o.Depth, Deviations: -1, States: new(big.Int)}
	return e
}

func (e *explorer) run() *Report {
	if e.o.Deviations <= 0 {
		if e.sweep(-1, Kept, true) {
			e.report.Exhausted = e.report.Failure == nil
			return &e.report
		}
	}
	for k := 0; e.report.Failure == nil && (e.o.Deviations <= 0 || k <= e.o.Deviations); k++ {
		before := e.report.Classes
		for _, x := range Extremes() {
			first := x == Kept && k == 0 && e.o.Deviations > 0
			if !e.sweep(k, x, first) || e.report.Failure != nil {
				return &e.report
			}
			if e.o.Deviations <= 0 && e.report.Classes-before > e.o.Budget {
				return &e.report
			}
		}
		e.report.Deviations = k
	}
	return &e.report
}

// sweep visits every instant, with at most k deviations from x, all states if k is negative. It is false when
// the budget ran out. count says to count instants and states.
func (e *explorer) sweep(k int, x Extreme, count bool) bool {
	left := e.o.Budget
	done := true
	e.eachInstant(e.h, func(t *tracker) bool {
		w := newWorld(t)
		if count {
			e.report.Instants++
			e.count(w)
		}
		done = e.instant(w, k, x, &left)
		if e.o.Progress != nil {
			e.o.Progress(e.report)
		}
		return done && e.report.Failure == nil
	})
	return done
}

// count adds up the states at an instant.
func (e *explorer) count(w *world) {
	if root, ok := compile(w); ok {
		e.report.States.Add(e.report.States, root.n)
		return
	}
	e.report.States.Add(e.report.States, w.bound())
	e.report.StatesOver = true
}

// eachInstant calls f with the tracker at each maximal instant. Legal sets only grow until a floor rises, and
// what recovery must live up to only until something is acknowledged, so the last instant before stands for
// those before it. The tracker moves on afterwards.
func (e *explorer) eachInstant(h *History, f func(t *tracker) bool) {
	t := newTracker(h.p, h.base)
	fresh := true // something may be left behind that was not looked at
	n := h.Len()
	for i := 0; i <= n; i++ {
		var o op
		if i < n {
			h.mu.Lock()
			o = h.op(i)
			h.mu.Unlock()
		}
		rises := i == n || o.kind == opFsync || o.kind == opFdatasync || o.kind == opSyncAll || o.kind == opAck || o.kind == opRot
		if rises && fresh {
			if !f(t) {
				return
			}
			fresh = false
		}
		if i < n {
			fresh = fresh || !rises || o.kind == opAck || o.kind == opRot
			t.apply(&o)
		}
	}
}
