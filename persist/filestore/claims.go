package filestore

import (
	"context"
	"slices"
	"sync"

	"github.com/understudy-go/understudy/persist"
)

// claims says who may use which keys. A claim is a right that is held across
// calls into the filesystem without holding a lock there; who has to wait
// waits on a channel. Claims are granted in the order of asking wherever they
// conflict, and all keys of one claim at once, so that nobody starves and no
// two claims wait for each other.
type claims struct {
	mu      sync.Mutex
	writers map[persist.Key]bool
	readers map[persist.Key]int
	trees   []*claim // granted claims on prefixes
	queue   []*claim // those that wait, in order
}

// claim is a right to change some keys, to read one, or to read a tree.
type claim struct {
	write   []persist.Key
	read    []persist.Key
	tree    bool        // whether prefix counts
	prefix  persist.Key // all keys at and below it may be read
	granted chan struct{}
}

func newClaims() *claims {
	return &claims{writers: map[persist.Key]bool{}, readers: map[persist.Key]int{}}
}

// take waits until c is granted or ctx ends.
func (t *claims) take(ctx context.Context, c *claim) error {
	c.granted = make(chan struct{})
	t.mu.Lock()
	t.queue = append(t.queue, c)
	t.grant()
	t.mu.Unlock()
	select {
	case <-c.granted:
		return nil
	default:
	}
	select {
	case <-c.granted:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	i := slices.Index(t.queue, c)
	if i >= 0 {
		t.queue = slices.Delete(t.queue, i, i+1)
		t.grant()
	}
	t.mu.Unlock()
	if i < 0 {
		t.release(c)
	}
	return ctx.Err()
}

// release gives c back.
func (t *claims) release(c *claim) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range c.write {
		delete(t.writers, k)
	}
	for _, k := range c.read {
		if t.readers[k]--; t.readers[k] == 0 {
			delete(t.readers, k)
		}
	}
	if c.tree {
		i := slices.Index(t.trees, c)
		t.trees = slices.Delete(t.trees, i, i+1)
	}
	t.grant()
}

// grant passes through the queue and grants what conflicts neither with a
// granted claim nor with one that waits before it. The caller holds mu.
func (t *claims) grant() {
	if len(t.queue) == 0 {
		return
	}
	ahead := newClaims() // what waits before the one looked at
	waiting := t.queue[:0]
	for _, c := range t.queue {
		if t.blocks(c) || len(waiting) > 0 && ahead.blocks(c) {
			ahead.add(c)
			waiting = append(waiting, c)
			continue
		}
		t.add(c)
		close(c.granted)
	}
	clear(t.queue[len(waiting):])
	t.queue = waiting
}

func (t *claims) add(c *claim) {
	for _, k := range c.write {
		t.writers[k] = true
	}
	for _, k := range c.read {
		t.readers[k]++
	}
	if c.tree {
		t.trees = append(t.trees, c)
	}
}

// blocks says whether c conflicts with a claim in t.
func (t *claims) blocks(c *claim) bool {
	for _, k := range c.write {
		if t.writers[k] || t.readers[k] > 0 {
			return true
		}
		for _, tree := range t.trees {
			if k.In(tree.prefix) {
				return true
			}
		}
	}
	for _, k := range c.read {
		if t.writers[k] {
			return true
		}
	}
	if c.tree {
		for k := range t.writers { // only whether one is there: the order does not matter
			if k.In(c.prefix) {
				return true
			}
		}
	}
	return false
}
