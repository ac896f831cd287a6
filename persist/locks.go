package persist

import (
	"slices"
	"sync"
)

// lockTable serialises what happens to one key. A subtree lock is exclusive on
// its key and shared on every ancestor, taken from the top down, which is the
// hierarchical locking of Gray et al. ("Granularity of Locks", 1976) with two
// of its modes: operations on unrelated keys run side by side, and one on an
// ancestor waits for those below it. Each key is first come, first served.
// Nothing stays behind in the table when the last holder has gone.
type lockTable struct {
	mu    sync.Mutex
	nodes map[Key]*lockNode
}

type lockNode struct {
	shared    int
	exclusive bool
	queue     []*lockWait
}

type lockWait struct {
	exclusive bool
	granted   chan struct{}
}

// waiter waits for a channel to be closed, and gives up with an error when its
// caller has no time left.
type waiter func(<-chan struct{}) error

// subtree locks key and everything below it. It returns what unlocks it.
func (t *lockTable) subtree(key Key, wait waiter) (unlock func(), err error) {
	var held []func()
	unlock = func() {
		for _, u := range slices.Backward(held) {
			u()
		}
	}
	for _, k := range ancestorsFirst(key) {
		u, err := t.one(k, k == key, wait)
		if err != nil {
			unlock()
			return nil, err
		}
		held = append(held, u)
	}
	return unlock, nil
}

// self locks key and everything below it against whoever comes for these, but
// not against the holder of an ancestor. It is for what an actor does to its
// children: whoever holds the ancestor is waiting for that actor.
func (t *lockTable) self(key Key, wait waiter) (unlock func(), err error) {
	return t.one(key, true, wait)
}

func (t *lockTable) one(key Key, exclusive bool, wait waiter) (unlock func(), err error) {
	t.mu.Lock()
	n := t.nodes[key]
	if n == nil {
		n = &lockNode{}
		if t.nodes == nil {
			t.nodes = map[Key]*lockNode{}
		}
		t.nodes[key] = n
	}
	w := &lockWait{exclusive: exclusive, granted: make(chan struct{})}
	n.queue = append(n.queue, w)
	n.grant()
	t.mu.Unlock()
	if err := wait(w.granted); err != nil {
		t.giveUp(key, n, w)
		return nil, err
	}
	return func() { t.release(key, n, exclusive) }, nil
}

// grant lets in from the front of the queue whoever may come in.
func (n *lockNode) grant() {
	for len(n.queue) > 0 {
		w := n.queue[0]
		if n.exclusive || w.exclusive && n.shared > 0 {
			return
		}
		if w.exclusive {
			n.exclusive = true
		} else {
			n.shared++
		}
		n.queue = n.queue[1:]
		close(w.granted)
	}
}

// giveUp takes back a wait that ended without success, and the lock where it
// was granted at the last moment.
func (t *lockTable) giveUp(key Key, n *lockNode, w *lockWait) {
	t.mu.Lock()
	i := slices.Index(n.queue, w)
	if i < 0 {
		t.mu.Unlock()
		t.release(key, n, w.exclusive)
		return
	}
	n.queue = slices.Delete(n.queue, i, i+1)
	n.grant()
	t.drop(key, n)
	t.mu.Unlock()
}

func (t *lockTable) release(key Key, n *lockNode, exclusive bool) {
	t.mu.Lock()
	if exclusive {
		n.exclusive = false
	} else {
		n.shared--
	}
	n.grant()
	t.drop(key, n)
	t.mu.Unlock()
}

func (t *lockTable) drop(key Key, n *lockNode) {
	if n.shared == 0 && !n.exclusive && len(n.queue) == 0 {
		delete(t.nodes, key)
	}
}

// ancestorsFirst returns key and its ancestors, the topmost first, which is "".
func ancestorsFirst(key Key) []Key {
	keys := []Key{key}
	for k, ok := key.Parent(); ok; k, ok = k.Parent() {
		keys = append(keys, k)
	}
	if key != "" {
		keys = append(keys, "")
	}
	slices.Reverse(keys)
	return keys
}
