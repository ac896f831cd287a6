package fsim

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// stack walks depth-first through the outcomes of decisions that are only known once they are asked for.
// Outcomes are keyed by cell: a run that asks in another order meets the same decisions.
type stack struct {
	mu      sync.Mutex
	trail   []decision
	at      map[cellKey]int
	fresh   int          // length of trail when the run began
	unseen  atomic.Int32 // decisions among those that this run has not asked for
	forcing bool         // decisions are asked for ahead of the run
	keys    []cellKey    // scratch
	lean    Extreme
	odd     error // decisions did not match the runs before: the run is not deterministic
}

type decision struct {
	key    cellKey
	pick   int // the outcome, as an index among the legal values
	prefer int // the outcome that the extreme wants
	tried  int // outcomes gone through, the preferred one first
	n      int
	id     uint64
	seen   bool
	last   bool // further outcomes are somebody else's
}

func newStack() *stack { return &stack{at: map[cellKey]int{}} }

// nth gives outcome i when the preferred one comes first and the others follow in their order.
func (d *decision) nth(i int) int {
	switch {
	case i == 0:
		return d.prefer
	case i <= d.prefer:
		return i - 1
	}
	return i
}

func (s *stack) decide(k cellKey, v values) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.at[k]; ok {
		d := &s.trail[i]
		if d.n != v.n && s.odd == nil {
			s.odd = fmt.Errorf("%v had %d legal values and now has %d: %w", k, d.n, v.n, ErrNondeterministic)
		}
		d.pick = min(d.pick, v.n-1)
		d.id = v.id(d.pick)
		s.mark(d)
		return d.pick
	}
	d := decision{key: k, prefer: s.lean.prefers(k, v.oldest), n: v.n, seen: true}
	d.pick = d.prefer
	d.id = v.id(d.pick)
	s.at[k] = len(s.trail)
	s.trail = append(s.trail, d)
	return d.pick
}

// note marks a decision of an earlier run as asked for in this one too.
func (s *stack) note(k cellKey) {
	if s.unseen.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.at[k]; ok {
		s.mark(&s.trail[i])
	}
}

func (s *stack) mark(d *decision) {
	if !d.seen && !s.forcing {
		d.seen = true
		s.unseen.Add(-1)
	}
}

// force makes l follow the decisions of earlier runs before anybody reads it. Which values are legal depends
// on what was decided before, and goroutines may read in another order than last time.
func (s *stack) force(l *lazyBase) {
	s.mu.Lock()
	if s.fresh == 0 {
		s.mu.Unlock()
		return
	}
	s.keys = s.keys[:0]
	for i := range s.trail[:s.fresh] {
		s.keys = append(s.keys, s.trail[i].key)
	}
	s.forcing = true
	s.mu.Unlock()
	l.force(s.keys)
	s.mu.Lock()
	s.forcing = false
	s.mu.Unlock()
}

// missed names a decision that was forced on this run and never asked for, or is nil.
func (s *stack) missed() error {
	if s.odd != nil {
		return s.odd
	}
	if s.unseen.Load() == 0 {
		return nil
	}
	for i := range s.trail[:s.fresh] {
		if !s.trail[i].seen {
			return fmt.Errorf("%v was read before and is not any more: %w", s.trail[i].key, ErrNondeterministic)
		}
	}
	return nil
}

// deviations counts the decisions that are not as the extreme wants them.
func (s *stack) deviations() int {
	n := 0
	for i := range s.trail {
		if s.trail[i].tried > 0 {
			n++
		}
	}
	return n
}

// advance moves to the next outcome that deviates in at most most decisions, any number if negative. It is
// false when there is none.
func (s *stack) advance(most int) bool {
	dev := s.deviations()
	for len(s.trail) > 0 {
		d := &s.trail[len(s.trail)-1]
		if d.tried > 0 {
			dev--
		}
		if !d.last && d.tried+1 < d.n && (most < 0 || dev < most) {
			d.tried++
			d.pick = d.nth(d.tried)
			s.rewind()
			return true
		}
		delete(s.at, d.key)
		s.trail = s.trail[:len(s.trail)-1]
	}
	return false
}

// rewind makes the trail the one that the next run must follow.
func (s *stack) rewind() {
	for i := range s.trail {
		s.trail[i].seen = false
	}
	s.fresh = len(s.trail)
	s.unseen.Store(int32(len(s.trail)))
}

// picks gives the decisions of this run that are not the kept ones, in the order in which they were taken.
func (s *stack) picks() []pick {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []pick
	for _, d := range s.trail {
		if d.pick != 0 && d.seen {
			out = append(out, pick{d.key, d.id})
		}
	}
	return out
}

// split takes the untried outcomes of the first decision that has any, for another goroutine to walk, or
// returns nil. unsplit gives them back.
func (s *stack) split(most int) *stack {
	dev := 0
	for i := range s.trail {
		d := &s.trail[i]
		if !d.last && d.tried+1 < d.n && (most < 0 || dev < most) {
			half := newStack()
			half.lean = s.lean
			half.trail = append(half.trail, s.trail[:i+1]...)
			for j := range half.trail {
				half.at[half.trail[j].key] = j
			}
			h := &half.trail[i]
			h.tried++
			h.pick = h.nth(h.tried)
			for j := range half.trail[:i] {
				half.trail[j].last = true
			}
			half.rewind()
			d.last = true
			return half
		}
		if d.tried > 0 {
			dev++
		}
	}
	return nil
}

func (s *stack) unsplit(half *stack) { s.trail[len(half.trail)-1].last = false }
