package fsim

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// instant visits the states of one instant within the budget, and notes the first failure in depth-first
// order. It is false when the budget ran out.
func (e *explorer) instant(w *world, k int, x Extreme, left *int) bool {
	if e.o.Workers > 1 {
		return e.instantParallel(w, k, x, left)
	}
	st := newStack()
	st.lean = x
	for more := true; more; more = st.advance(k) {
		if *left == 0 {
			return false
		}
		*left--
		if e.report.Classes++; e.report.Classes == ballastAfter {
			e.ballast = make([]byte, ballastSize)
		}
		if f := e.once(w, st); f != nil {
			e.report.Failure = f
			return true
		}
	}
	return true
}

// instantParallel does the same with several goroutines: the outcomes of the first decision are dealt out, and
// each goroutine walks its own. All of them have ended when it returns.
func (e *explorer) instantParallel(w *world, k int, x Extreme, left *int) bool {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		jobs  = []*stack{newStack()}
		busy  int
		wake  = sync.NewCond(&mu)
		out   bool
		first *Failure
	)
	jobs[0].lean = x
	work := func() {
		defer wg.Done()
		mu.Lock()
		defer mu.Unlock()
		for {
			for len(jobs) == 0 && busy > 0 {
				wake.Wait()
			}
			if len(jobs) == 0 || out || first != nil {
				wake.Broadcast()
				return
			}
			st := jobs[len(jobs)-1]
			jobs = jobs[:len(jobs)-1]
			busy++
			for more := true; more && !out && first == nil; more = st.advance(k) {
				if *left == 0 {
					out = true
					break
				}
				*left--
				e.report.Classes++
				mu.Unlock()
				f := e.once(w, st)
				mu.Lock()
				if f != nil && first == nil {
					first = f
				}
				if half := st.split(k); half != nil && len(jobs) < e.o.Workers {
					jobs = append(jobs, half)
					wake.Signal()
				} else if half != nil {
					st.unsplit(half)
				}
			}
			busy--
			wake.Broadcast()
		}
	}
	for i := 0; i < e.o.Workers; i++ {
		wg.Add(1)
		go work()
	}
	wg.Wait()
	e.report.Failure = first
	return !out || first != nil
}

// once runs the recovery on the state that st decides, and on what further power cuts leave of that.
func (e *explorer) once(w *world, st *stack) *Failure {
	err := e.recoverOn(w, st, w.t.acks, 0)
	if err == nil || !errors.Is(err, ErrRecoveryPanic) && !errors.Is(err, ErrTooManySteps) {
		if odd := st.missed(); odd != nil {
			err = odd
		}
	}
	if err == nil {
		return nil
	}
	f := &Failure{Err: err, Instant: w.t.n, Acked: w.t.acks, picks: st.picks(), history: e.h, disk: e.disk, explorer: e}
	tok := token{profile: e.h.p, instant: w.t.n, hash: w.t.hash, picks: f.picks}
	f.Token = tok.String()
	return f
}

// recoverOn runs the recovery on one state of w, level crashes after the first.
func (e *explorer) recoverOn(w *world, d decider, acks []any, level int) error {
	disk, h, l := e.mount(w, d, level)
	if err := e.guarded(disk, acks); err != nil {
		return err
	}
	if e.o.LookOnly && h != nil && h.Len() > 0 {
		return fmt.Errorf("%w: %v", ErrWrote, h.op(0).kind)
	}
	if level >= e.o.Depth {
		return nil
	}
	var at []int
	e.eachInstant(h, func(t *tracker) bool {
		at = append(at, t.n)
		return true
	})
	j := 0
	if len(at) > 0 {
		j = d.decide(cellKey{level: level + 1, kind: cellInstant},
			values{len(at) + 1, 0, func(i int) uint64 { return uint64(i) }})
	}
	if j == 0 {
		return nil
	}
	t := newTracker(h.p, l)
	for i := 0; i < at[j-1]; i++ {
		o := h.op(i)
		t.apply(&o)
	}
	if err := e.recoverOn(newWorld(t), d, append(acks[:len(acks):len(acks)], t.acks...), level+1); err != nil {
		return fmt.Errorf("second power cut after %d steps of recovery: %w", at[j-1], err)
	}
	return nil
}

var quiet = &Options{NoTrace: true}

// mount gives a disk on the state of w that d decides, with a history if that is needed.
func (e *explorer) mount(w *world, d decider, level int) (*Disk, *History, *lazyBase) {
	l := newLazy(w, d, level)
	switch d := d.(type) {
	case *stack:
		d.force(l)
	case *follower:
		l.force(d.keys)
	}
	if level >= e.o.Depth && !e.o.LookOnly {
		return newDisk(e.h.p, l, nil, quiet), nil, l
	}
	h := newRecorder(e.h.p, HistoryFull, l)
	return newDisk(e.h.p, l, h, quiet), h, l
}

// guarded runs the recovery on its own goroutine, which it waits for, and makes an error of everything that
// may go wrong in it.
func (e *explorer) guarded(disk *Disk, acks []any) error {
	var steps atomic.Int64
	limit := int64(e.o.Steps)
	disk.gate = func(bool) error {
		n := steps.Add(1)
		if n > limit+limit/10+1000 {
			runtime.Goexit()
		}
		if n > limit {
			return ErrTooManySteps
		}
		return nil
	}
	done := make(chan error, 1)
	go func() {
		err := ErrTooManySteps // stays if the goroutine is ended
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("%w: %v", ErrRecoveryPanic, r)
			} else if errors.Is(err, errEnded) {
				err = fmt.Errorf("%w: it ended its goroutine", ErrRecoveryPanic)
				if steps.Load() > limit {
					err = ErrTooManySteps
				}
			}
			done <- err
		}()
		err = errEnded
		err = e.recover(disk, acks)
	}()
	err := <-done
	if err != nil && steps.Load() > limit && !errors.Is(err, ErrTooManySteps) {
		err = fmt.Errorf("%w: %w", ErrTooManySteps, err)
	}
	return err
}

var errEnded = errors.New("goroutine ended")
