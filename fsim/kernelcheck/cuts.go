package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// A cut says which image a power cut leaves: everything before a flush, and of the writes after it only some,
// of which one may be torn.
type cut struct {
	epoch int   // number of the flush, 0: the recording's start
	kept  []int // indices into the log, ascending
	torn  int   // of kept: the last one is torn; 0 whole, n>0: its first n sectors, n<0: its last -n
	first int   // how many calls had returned at the earliest moment at which this may be left
	last  int   // and at the latest
}

func (c *cut) String() string {
	return fmt.Sprintf("flush %d, then writes %v, torn %d", c.epoch, c.kept, c.torn)
}

// An epoch is the writes between two flushes.
type epoch struct {
	writes []int // indices into the log
	marks  []int // calls that had returned before each of them
	begin  int   // calls that had returned when it began
	end    int   // and when it ended
}

func epochs(log []event) []epoch {
	out := []epoch{{}}
	marks := 0
	for i := range log {
		e := &out[len(out)-1]
		switch {
		case log[i].flush:
			e.end = marks
			out = append(out, epoch{begin: marks})
		case log[i].isWrite():
			e.writes = append(e.writes, i)
			e.marks = append(e.marks, marks)
		default:
			marks++
		}
	}
	out[len(out)-1].end = marks
	return out
}

// plan chooses at most limit cuts: of every epoch nothing, every prefix, each write alone and each one missing,
// then random subsets and torn writes. What is over the limit is dropped at random, prefixes last.
func plan(log []event, limit int, wholePages bool, r *rand.Rand) []cut {
	var sure, more []cut
	seen := map[string]bool{}
	put := func(to *[]cut, c cut) {
		if k := c.String(); !seen[k] {
			seen[k] = true
			*to = append(*to, c)
		}
	}
	for n, e := range epochs(log) {
		k := len(e.writes)
		of := func(pick func(i int) bool) cut {
			c := cut{epoch: n, first: e.begin, last: e.end}
			for i, w := range e.writes {
				if pick(i) {
					c.kept = append(c.kept, w)
					c.first = e.marks[i]
				}
			}
			return c
		}
		for i := 0; i <= k; i++ {
			put(&sure, of(func(j int) bool { return j < i }))
		}
		for i := range k {
			put(&more, of(func(j int) bool { return j == i }))
			put(&more, of(func(j int) bool { return j != i }))
			for range 2 {
				put(&more, tear(log, of(func(j int) bool { return j <= i }), wholePages, r))
			}
			put(&more, tear(log, of(func(j int) bool { return j == i }), wholePages, r))
		}
		for range min(3*k, 40) {
			half := r.Uint64()
			put(&more, of(func(j int) bool { return half>>(j%64)&1 == 1 }))
		}
	}
	r.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
	if len(sure) > limit {
		r.Shuffle(len(sure), func(i, j int) { sure[i], sure[j] = sure[j], sure[i] })
	}
	out := append(sure, more...)
	out = out[:min(limit, len(out))]
	slices.SortStableFunc(out, func(a, b cut) int { return a.epoch - b.epoch })
	return out
}

// tear tears the last write of c, if it has one that can be.
func tear(log []event, c cut, wholePages bool, r *rand.Rand) cut {
	if len(c.kept) == 0 {
		return c
	}
	unit := sectorSize
	if wholePages {
		unit = pageSize
	}
	units := len(log[c.kept[len(c.kept)-1]].data) / unit
	if units < 2 {
		return c
	}
	c.torn = (1 + r.IntN(units-1)) * unit / sectorSize
	if r.IntN(3) == 0 {
		c.torn = -c.torn
	}
	return c
}

// images calls f with the image of each cut, which must be ordered by epoch. f owns the image.
func images(start *image, log []event, cuts []cut, f func(c *cut, m *image) error) error {
	base := start.clone()
	n, at := 0, 0
	for i := range cuts {
		c := &cuts[i]
		for n < c.epoch {
			if e := &log[at]; e.isWrite() {
				base.writeAt(e.data, e.off)
			} else if e.flush {
				n++
			}
			at++
		}
		m := base.clone()
		for j, w := range c.kept {
			data, off := log[w].data, log[w].off
			if c.torn != 0 && j == len(c.kept)-1 {
				if k := c.torn * sectorSize; k > 0 {
					data = data[:k]
				} else {
					data, off = data[len(data)+k:], off+int64(len(data)+k)
				}
			}
			m.writeAt(data, off)
		}
		if err := f(c, m); err != nil {
			return err
		}
	}
	return nil
}
