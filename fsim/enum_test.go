package fsim

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
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

func (o *odometer) decide(k cellKey, n, oldest int) int {
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

func TestDecidingEveryCellGivesExactlyTheLegalStates(t *testing.T) {
	for _, p := range Profiles() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, 2))
			done, states := 0, 0
			for done < budget(150, 10000) {
				ops := randomOps(r, 3+r.IntN(9))
				want := slowStates(p, ops, 60000)
				if want == nil {
					continue
				}
				got, err := lazyStates(p, ops)
				if err == nil {
					err = compareSets(got, want)
				}
				if err != nil {
					short := shrinkTrace(ops, func(o []op) bool {
						w := slowStates(p, o, 60000)
						if w == nil {
							return false
						}
						g, err := lazyStates(p, o)
						return err != nil || compareSets(g, w) != nil
					})
					g, e2 := lazyStates(p, short)
					if e2 == nil {
						e2 = compareSets(g, slowStates(p, short, 60000))
					}
					t.Fatalf("trace %d: %v\n%s%v", done, err, printOps(short), e2)
				}
				done++
				states += len(got)
			}
			t.Logf("%d traces, %d states", done, states)
		})
	}
}
