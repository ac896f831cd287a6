package understudy_test

import (
	"fmt"
	"slices"

	"github.com/understudy-go/understudy/persist"
)

// model says what may come back. It knows every state that a program ever
// produced, and what was acknowledged is told to it again after a crash: a key
// has a state that was produced, as it was produced, not older than its last
// acknowledgement; or it is absent, if its birth was not acknowledged or its
// deletion was asked for since. Under a policy that saves only what is asked
// for, a tree save is seen whole or not at all.
type model struct {
	ack      func(note any)                 // Disk.Ack
	states   map[persist.Key]map[int]string // all that were produced, described
	deletes  map[persist.Key][]int          // the steps that asked for a deletion
	together []map[persist.Key]int          // the states of each tree save
	whole    bool                           // nothing but the tree save saves its states
	faults   bool                           // the disk fails at times, so actors may too
}

type (
	atLeast struct {
		key  persist.Key
		step int
	}
	gone struct {
		key  persist.Key
		step int
	}
)

func newModel(p program, ack func(note any)) *model {
	return &model{ack: ack, whole: p.policyN == "OnStop",
		states: map[persist.Key]map[int]string{}, deletes: map[persist.Key][]int{}}
}

func (m *model) may(key persist.Key, p *part) {
	if m.states[key] == nil {
		m.states[key] = map[int]string{}
	}
	m.states[key][p.Step] = p.describe()
}

func (m *model) acked(key persist.Key, step int) { m.ack(atLeast{key, step}) }

func (m *model) ackedAll(states map[persist.Key]int) {
	for _, key := range treeKeys {
		if step, ok := states[key]; ok {
			m.acked(key, step)
		}
	}
}

func (m *model) mayVanish(key persist.Key, step int) {
	for _, k := range treeKeys {
		if k.In(key) {
			m.deletes[k] = append(m.deletes[k], step)
		}
	}
}

func (m *model) vanished(key persist.Key, step int) {
	for _, k := range treeKeys {
		if k.In(key) {
			m.ack(gone{k, step})
		}
	}
}

// check returns what breaks a promise in a system that came back.
func (m *model) check(notes []any, back view, steps map[persist.Key]int) error {
	for key := range back {
		if !slices.Contains(treeKeys, key) {
			return fmt.Errorf("%q was invented", key)
		}
	}
	for _, key := range treeKeys {
		if err := m.checkKey(key, notes, back, steps); err != nil {
			return err
		}
	}
	if !m.whole {
		return nil
	}
	for _, tree := range m.together {
		for key, step := range tree {
			if steps[key] != step { // this member is not at the tree's state
				continue
			}
			for other, want := range tree {
				got, there := steps[other]
				if deleted := slices.ContainsFunc(m.deletes[other], func(d int) bool { return d > want }); there && got < want || !there && !deleted {
					return fmt.Errorf("a tree save came back in halves: %q at step %d, %q at %d", key, step, other, got)
				}
			}
		}
	}
	return nil
}

func (m *model) checkKey(key persist.Key, notes []any, back view, steps map[persist.Key]int) error {
	floor, present := 0, false
	for _, n := range notes {
		switch n := n.(type) {
		case atLeast:
			if n.key == key {
				floor, present = n.step, true
			}
		case gone:
			if n.key == key {
				floor, present = n.step+1, false
			}
		}
	}
	text, there := back[key]
	switch {
	case !there && present && !slices.ContainsFunc(m.deletes[key], func(d int) bool { return d > floor }):
		return fmt.Errorf("%q is gone; step %d was acknowledged", key, floor)
	case !there:
		return nil
	case steps[key] < floor:
		return fmt.Errorf("%q came back at step %d; %d is the least that may be", key, steps[key], floor)
	case m.states[key][steps[key]] != text:
		return fmt.Errorf("%q came back as %q; step %d left %q", key, text, steps[key], m.states[key][steps[key]])
	}
	return nil
}
