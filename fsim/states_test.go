package fsim

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

func TestCountStateAndIterationAgreeWithTheJudge(t *testing.T) {
	for _, p := range Profiles() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(3, 4))
			done := 0
			for done < budget(40, 10000) {
				ops := randomOps(r, 3+r.IntN(11))
				want := slowStates(p, ops, 2000)
				if want == nil {
					continue
				}
				done++
				lazy, err := lazyStates(p, ops)
				if err == nil {
					err = compareSets(lazy, want)
				}
				if err != nil {
					t.Fatalf("trace %d, decided cell by cell: %v\n%s", done, err, printOps(shrinkTrace(ops, func(o []op) bool {
						w := slowStates(p, o, 20000)
						g, err := lazyStates(p, o)
						return w != nil && (err != nil || compareSets(g, w) != nil)
					})))
				}
				c := newCrash(trackerOf(p, ops))
				n, exact := c.Count()
				if !exact || n.Cmp(big.NewInt(int64(len(want)))) != 0 {
					t.Fatalf("trace %d: count %v (exact %v), the judge has %d\n%s", done, n, exact, len(want), printOps(ops))
				}
				got, digests := map[string]bool{}, map[string]bool{}
				for s := range c.All() {
					text := dump(s.base())
					if got[text] || digests[s.Digest()] {
						t.Fatalf("trace %d: state %v twice: %s\n%s", done, s.Index(), text, printOps(ops))
					}
					if d := digestOf(s.base()); d != s.digest {
						t.Fatalf("trace %d: state %v has another digest when it is walked: %s\n%s", done, s.Index(), text, printOps(ops))
					}
					got[text], digests[s.Digest()] = true, true
				}
				if err = compareSets(got, want); err != nil {
					t.Fatalf("trace %d: %v\n%s", done, err, printOps(ops))
				}
				for _, e := range Extremes() {
					if text := dump(c.Extreme(e).base()); !want[text] {
						t.Fatalf("trace %d: extreme %v is not legal: %s\n%s", done, e, text, printOps(ops))
					}
				}
			}
		})
	}
}
