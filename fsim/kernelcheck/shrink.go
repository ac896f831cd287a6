package main

import (
	"context"
	"math/rand/v2"
	"slices"
)

// shrinkBudget is how many workloads are tried to make an escape shorter.
const shrinkBudget = 40

// shrink looks for a shorter workload that still has an escape: without some of its calls, then without
// nudges, then without some of its setup. The kernel does not do the same on every run, so a shorter one may
// be missed; what is returned was seen.
func (b *bench) shrink(ctx context.Context, e escape, limit int, seed uint64) (escape, error) {
	left := shrinkBudget
	try := func(w workload) (bool, error) {
		if left == 0 || ctx.Err() != nil || len(w.calls) == 0 || !w.isValid() {
			return false, nil
		}
		left--
		t, err := b.check(&w, limit, rand.New(rand.NewPCG(seed, uint64(left))))
		if err != nil || len(t.Escapes) == 0 {
			return false, err
		}
		e = t.Escapes[0]
		return true, nil
	}
	cutAt := func(w workload, i int) workload {
		w.calls = letters(slices.Delete(slices.Clone(w.calls), i, i+1))
		if i < len(w.nudges) {
			w.nudges = slices.Delete(slices.Clone(w.nudges), i, i+1)
		}
		return w
	}
	for again := true; again; {
		again = false
		for i := len(e.w.calls) - 1; i >= 0; i-- {
			if i >= len(e.w.calls) {
				continue
			}
			ok, err := try(cutAt(e.w, i))
			if err != nil {
				return e, err
			}
			again = again || ok
		}
	}
	for i := range e.w.nudges {
		if i >= len(e.w.nudges) || e.w.nudges[i].Verb == "" {
			continue
		}
		w := e.w
		w.nudges = slices.Clone(w.nudges)
		w.nudges[i] = op{}
		if _, err := try(w); err != nil {
			return e, err
		}
	}
	for i := len(e.w.setup) - 1; i >= 0; i-- {
		if i >= len(e.w.setup) {
			continue
		}
		w := e.w
		w.setup = slices.Delete(slices.Clone(w.setup), i, i+1)
		if _, err := try(w); err != nil {
			return e, err
		}
	}
	return e, nil
}
