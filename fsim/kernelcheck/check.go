package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
)

// An escape is a state that the kernel showed and the profile does not allow.
type escape struct {
	Workload string   // in the words of a litmus file
	Acked    int      // calls that had returned
	State    string   // what the kernel showed
	Cut      string   // how the image was made
	w        workload // to be shrunk
}

// text prints the escape as a litmus file: what is done, and the claim that fails.
func (e *escape) text(c *config) string {
	return fmt.Sprintf("# %s showed this after %d calls had returned (%s).\n%s---\nlegal %s: %s\n",
		c.name, e.Acked, e.Cut, e.Workload, c.profile, e.State)
}

// A tally is what a number of workloads came to.
type tally struct {
	Workloads int
	Images    int
	States    int // distinct, by workload and moment
	Legal     int // of these
	Undecided int
	Unmounted int     // images that did not mount
	Allowed   float64 // legal states of the profile at these moments, as far as they were counted
	Escapes   []escape
	Odd       []string // why images did not mount or states could not be judged
}

func (t *tally) add(o *tally) {
	t.Workloads += o.Workloads
	t.Images += o.Images
	t.States += o.States
	t.Legal += o.Legal
	t.Undecided += o.Undecided
	t.Unmounted += o.Unmounted
	t.Allowed += o.Allowed
	t.Escapes = append(t.Escapes, o.Escapes...)
	t.Odd = append(t.Odd, o.Odd...)
}

// text prints the workload in the words of a litmus file, with the nudges as comments.
func (w *workload) text(calls int) string {
	var b strings.Builder
	for _, o := range w.setup {
		fmt.Fprintln(&b, o)
	}
	fmt.Fprintln(&b, "sync")
	for i, o := range w.calls[:calls] {
		fmt.Fprintln(&b, o)
		if i < len(w.nudges) && w.nudges[i].Verb != "" {
			fmt.Fprintf(&b, "# then the kernel writes back: %s %s\n", w.nudges[i].Verb, w.nudges[i].Path)
		}
	}
	if calls < len(w.calls) {
		fmt.Fprintf(&b, "# under way: %s\n", w.calls[calls])
	}
	return b.String()
}

// check runs one workload, cuts it in at most limit ways and judges every state that the kernel then shows.
func (b *bench) check(w *workload, limit int, r *rand.Rand) (*tally, error) {
	rec, err := b.record(w)
	if err != nil {
		return nil, fmt.Errorf("run on the kernel: %w", err)
	}
	t := &tally{Workloads: 1}
	type moment struct {
		acked int
		key   string
	}
	seen := map[moment]bool{}
	err = images(rec.start, rec.log, plan(rec.log, limit, b.c.wholePages, r), func(c *cut, m *image) error {
		t.Images++
		s, err := b.look(m)
		if errors.Is(err, errAgent) {
			return err
		}
		if err != nil {
			t.Unmounted++
			t.Odd = append(t.Odd, fmt.Sprintf("did not mount: %v (%v)\n%s", err, c, w.text(min(c.last, len(w.calls)))))
			return nil
		}
		key := s.key()
		for k := c.first; k <= c.last; k++ {
			if seen[moment{k, key}] {
				continue
			}
			seen[moment{k, key}] = true
			t.judge(b.c, w, k, s, c)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	counts, err := w.counts(b.c.profile)
	if err != nil {
		return nil, err
	}
	for _, n := range counts {
		f, _ := n.Float64()
		t.Allowed += f
	}
	return t, nil
}

func (t *tally) judge(c *config, w *workload, acked int, s state, at *cut) {
	t.States++
	v, err := w.judge(c.profile, acked, s)
	switch {
	case err != nil:
		t.Undecided++
		t.Odd = append(t.Odd, fmt.Sprintf("judge %s: %v\n%s", s, err, w.text(acked)))
	case v == legal:
		t.Legal++
	case v == undecided:
		t.Undecided++
	default:
		for _, e := range t.Escapes {
			if e.State == s.String() {
				return // the same at a later moment
			}
		}
		t.Escapes = append(t.Escapes, escape{Workload: w.text(acked), Acked: acked, State: s.String(), Cut: at.String(),
			w: *w})
	}
}
