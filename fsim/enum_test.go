package fsim

import (
	"fmt"
	"os"
)

// budget gives the everyday count of a randomised test, or the full one.
func budget(normal, full int) int {
	if os.Getenv("UNDERSTUDY_DEEP") != "" {
		return full
	}
	return normal
}

// odometer walks through all decisions of a run, in depth-first order, keyed by cell.
type odometer struct {
	keys   []cellKey
	vals   []int
	ns     []int
	forced map[cellKey]int
}

func (o *odometer) decide(k cellKey, v values) int {
	n, oldest := v.n, v.oldest
	if n < 2 || oldest < 0 || oldest >= n {
		panic(fmt.Sprint("bad decision ", k, n, oldest))
	}
	if i, ok := o.forced[k]; ok {
		return o.vals[i]
	}
	o.forced[k] = len(o.keys)
	o.keys, o.vals, o.ns = append(o.keys, k), append(o.vals, 0), append(o.ns, n)
	return 0
}

func (o *odometer) next() bool {
	for i := len(o.keys) - 1; i >= 0; i-- {
		if o.vals[i]+1 < o.ns[i] {
			o.vals[i]++
			o.keys, o.vals, o.ns = o.keys[:i+1], o.vals[:i+1], o.ns[:i+1]
			o.forced = map[cellKey]int{}
			for j, k := range o.keys {
				o.forced[k] = j
			}
			return true
		}
	}
	return false
}

func trackerOf(p *Profile, ops []op) *tracker {
	t := newTracker(p, nil)
	for i := range ops {
		t.apply(&ops[i])
	}
	return t
}

// lazyStates gives the text of every state that deciding all cells one by one leads to, or an error if one
// comes twice.
func lazyStates(p *Profile, ops []op) (map[string]bool, error) {
	w := newWorld(trackerOf(p, ops))
	out := map[string]bool{}
	o := &odometer{forced: map[cellKey]int{}}
	for {
		s := dump(newLazy(w, o, 0))
		if out[s] {
			return nil, fmt.Errorf("state twice: %s", s)
		}
		out[s] = true
		if !o.next() {
			return out, nil
		}
	}
}

func compareSets(got, want map[string]bool) error {
	for s := range got {
		if !want[s] {
			return fmt.Errorf("%d states, the judge has %d; not legal: %s", len(got), len(want), s)
		}
	}
	for s := range want {
		if !got[s] {
			return fmt.Errorf("%d states, the judge has %d; missing: %s", len(got), len(want), s)
		}
	}
	return nil
}

func printOps(ops []op) string {
	s := ""
	for i, o := range ops {
		s += fmt.Sprintf("%3d %v ino=%d dir=%d %q dir2=%d %q over=%d block=%d off=%d n=%d size=%d mode=%v\n", i+1, o.kind,
			o.ino, o.dir, o.name, o.dir2, o.name2, o.over, o.block, o.off, o.n, o.size, o.meta.mode)
	}
	return s
}

// shrinkOps drops calls as long as the failure stays; a trace that no longer makes sense counts as passing.
func shrinkTrace(ops []op, fails func([]op) bool) []op {
	for again := true; again; {
		again = false
		for i := len(ops) - 1; i >= 0; i-- {
			if ops[i].kind == opInode {
				continue
			}
			less := append(append([]op(nil), ops[:i]...), ops[i+1:]...)
			bad := func() (b bool) {
				defer func() {
					if recover() != nil {
						b = false
					}
				}()
				return fails(less)
			}()
			if bad {
				ops, again = less, true
			}
		}
	}
	return ops
}
