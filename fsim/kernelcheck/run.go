package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// settings say what a run does.
type settings struct {
	budget  time.Duration
	most    int // workloads; 0: as many as the budget allows
	seed    uint64
	images  int // of one workload at most
	workers int
	from    int // number of the first workload
	shrinks int // how many escapes at most are shrunk
	out     io.Writer
}

// monotonic reads the machine's clock, which the rates of a report are about; nothing that is checked depends
// on it.
func monotonic() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano())
}

// A result is what one configuration came to.
type result struct {
	Config  string
	Profile string
	Kernel  string
	Seed    uint64
	Next    int // number of the first workload that was not done
	Seconds float64
	Litmus  int // workloads of each sort that were done
	Singles int
	Pairs   int
	OfPairs int
	Samples int
	tally
}

// count notes that workload i was done.
func (r *result) count(g *generator, i int) {
	switch {
	case i < g.litmus:
		r.Litmus++
	case i < len(g.first):
		r.Singles++
	case (i-len(g.first))%2 == 0 && (i-len(g.first))/2 < len(g.pairs):
		r.Pairs++
	default:
		r.Samples++
	}
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// runConfig checks one configuration until the budget is spent, the workloads are done or ctx ends.
func runConfig(ctx context.Context, home string, c *config, g *generator, s *settings) (*result, error) {
	rig, err := newRig(ctx, home, c, s.workers)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	defer rig.close()
	run := &run{c: c, g: g, s: s, next: s.from, begun: monotonic(), done: map[int]bool{},
		result: result{Config: c.name, Profile: c.profile.String(), Kernel: kernelRelease(), Seed: s.seed, Next: s.from, OfPairs: len(g.pairs)}}
	ctx, cancel := context.WithTimeout(ctx, s.budget)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(rig.benches))
	for i, b := range rig.benches {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[i] = run.work(ctx, b)
		}()
	}
	stop := make(chan struct{})
	go run.report(stop)
	wg.Wait()
	close(stop)
	run.result.Seconds = (monotonic() - run.begun).Seconds()
	return &run.result, errors.Join(errs...)
}

// run is shared by the benches of one configuration.
type run struct {
	c      *config
	g      *generator
	s      *settings
	begun  time.Duration
	mu     sync.Mutex
	next   int
	done   map[int]bool
	shrunk int
	result result
}

func (r *run) take() (int, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.s.most > 0 && r.next >= r.s.from+r.s.most {
		return 0, false
	}
	r.next++
	return r.next - 1, true
}

func (r *run) work(ctx context.Context, b *bench) error {
	for ctx.Err() == nil {
		i, ok := r.take()
		if !ok {
			return nil
		}
		w := r.g.at(i)
		t, err := b.check(&w, r.s.images, rand.New(rand.NewPCG(r.s.seed, uint64(i))))
		if errors.Is(err, errAgent) {
			return err
		}
		if err != nil {
			return fmt.Errorf("workload %d (%s): %w\n%s", i, w.name, err, w.text(len(w.calls)))
		}
		r.note(ctx, b, i, t)
	}
	return nil
}

// note adds up what workload i came to, and shrinks and prints its escapes.
func (r *run) note(ctx context.Context, b *bench, i int, t *tally) {
	escapes := t.Escapes
	t.Escapes = nil
	r.mu.Lock()
	r.result.add(t)
	r.result.count(r.g, i)
	r.done[i] = true
	for r.done[r.result.Next] {
		delete(r.done, r.result.Next)
		r.result.Next++
	}
	for _, odd := range t.Odd {
		fmt.Fprintf(r.s.out, "%s: workload %d: %s\n", r.c.name, i, odd)
	}
	r.mu.Unlock()
	for _, e := range escapes {
		r.mu.Lock()
		again := r.shrunk < r.s.shrinks
		r.shrunk++
		r.mu.Unlock()
		if again {
			if small, err := b.shrink(ctx, e, r.s.images, r.s.seed); err == nil {
				e = small
			}
		}
		r.mu.Lock()
		known := false
		for _, o := range r.result.Escapes {
			known = known || o.Workload == e.Workload && o.State == e.State
		}
		if !known {
			r.result.Escapes = append(r.result.Escapes, e)
			fmt.Fprintf(r.s.out, "%s: workload %d: ESCAPE\n%s\n", r.c.name, i, e.text(r.c))
		}
		r.mu.Unlock()
	}
}

// report prints a line of progress every few seconds until stop is closed.
func (r *run) report(stop chan struct{}) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			r.mu.Lock()
			p := r.result
			r.mu.Unlock()
			fmt.Fprintln(r.s.out, p.line(monotonic()-r.begun))
		}
	}
}

func (r *result) line(d time.Duration) string {
	return fmt.Sprintf("%s: %v: %d workloads, %d images (%.0f/s), %d states, %d escapes, %d undecided, %d unmountable; next workload %d",
		r.Config, d.Round(time.Second), r.Workloads, r.Images, float64(r.Images)/d.Seconds(), r.States, len(r.Escapes), r.Undecided, r.Unmounted, r.Next)
}

// tempHome makes the directory of a run, and holds it.
func tempHome() (dir string, release func(), err error) {
	dir, err = os.MkdirTemp("", prefix)
	if err != nil {
		return "", nil, err
	}
	lock, err := takeLock(dir)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, func() { _ = sweep(dir); _ = lock.Close() }, nil
}
