package persist

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// census knows which keys are taken by live actors. It is a tree by segments,
// so that what lives next below a key is found without a look at the rest. A
// claim in it is what makes twins impossible: one shell a key, from before its
// process exists until its final save is done.
type census struct {
	mu      sync.Mutex
	root    censusNode
	watches []*watch
}

// watch notices that a key at or below its own became free.
type watch struct {
	key   Key
	freed bool
}

func (t *census) watch(key Key) *watch {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := &watch{key: key}
	t.watches = append(t.watches, w)
	return w
}

// unwatch ends a watch and says whether it noticed anything.
func (t *census) unwatch(w *watch) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watches = slices.DeleteFunc(t.watches, func(x *watch) bool { return x == w })
	return w.freed
}

type censusNode struct {
	shell *shell
	below map[string]*censusNode
}

// claim puts s under its key, unless the key is taken; then it returns the one
// that has it.
func (t *census) claim(s *shell) (taken *shell) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := &t.root
	for seg := range strings.SplitSeq(string(s.key), "/") {
		next := n.below[seg]
		if next == nil {
			next = &censusNode{}
			if n.below == nil {
				n.below = map[string]*censusNode{}
			}
			n.below[seg] = next
		}
		n = next
	}
	if n.shell != nil {
		return n.shell
	}
	n.shell = s
	return nil
}

// free gives the key of s back.
func (t *census) free(s *shell) {
	t.mu.Lock()
	defer t.mu.Unlock()
	path := []*censusNode{&t.root}
	segs := strings.Split(string(s.key), "/")
	for _, seg := range segs {
		n := path[len(path)-1].below[seg]
		if n == nil {
			return
		}
		path = append(path, n)
	}
	last := path[len(path)-1]
	if last.shell != s {
		return
	}
	last.shell = nil
	for _, w := range t.watches {
		w.freed = w.freed || s.key.In(w.key)
	}
	for i := len(segs) - 1; i >= 0; i-- {
		if n := path[i+1]; n.shell != nil || len(n.below) > 0 {
			return
		}
		delete(path[i].below, segs[i])
	}
}

// at returns who holds key, nil where nobody does.
func (t *census) at(key Key) *shell {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.find(key); n != nil {
		return n.shell
	}
	return nil
}

// next returns, in key order, the shells below key that have no other shell
// between key and themselves. The empty key is above everything.
func (t *census) next(key Key) []*shell {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.find(key)
	if n == nil {
		return nil
	}
	var found []*shell
	var walk func(n *censusNode)
	walk = func(n *censusNode) {
		for _, seg := range slices.Sorted(maps.Keys(n.below)) {
			if child := n.below[seg]; child.shell != nil {
				found = append(found, child.shell)
			} else {
				walk(child)
			}
		}
	}
	walk(n)
	return found
}

// all returns every shell at and below key, in key order.
func (t *census) all(key Key) []*shell {
	var found []*shell
	if s := t.at(key); s != nil {
		found = append(found, s)
	}
	for _, s := range t.next(key) {
		found = append(found, t.all(s.key)...)
	}
	return found
}

// anyIn returns some shell at or below key, nil where there is none.
func (t *census) anyIn(key Key) *shell {
	if s := t.at(key); s != nil {
		return s
	}
	if below := t.next(key); len(below) > 0 {
		return below[0]
	}
	return nil
}

func (t *census) find(key Key) *censusNode {
	n := &t.root
	if key == "" {
		return n
	}
	for seg := range strings.SplitSeq(string(key), "/") {
		if n = n.below[seg]; n == nil {
			return nil
		}
	}
	return n
}
