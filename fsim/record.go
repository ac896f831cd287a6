package fsim

import (
	"errors"
	"fmt"
	"sync"
)

// ErrNoHistory says that a disk did not keep what the question needs: [HistoryOff] keeps nothing,
// [HistoryNow] only the present, [HistoryFull] every instant.
var ErrNoHistory = errors.New("history not kept")

// A History is what was done to a disk, cut into micro-operations: the smallest steps between two of which the
// power may go. It is safe for concurrent use, also while the disk works on.
type History struct {
	mu   sync.Mutex
	p    *Profile
	mode HistoryMode
	base base
	now  *tracker   // applied up to now.n
	log  [][]packed // HistoryFull: every micro-operation, in chunks
	ext  []op       // what packed has no room for
	n    int
}

const chunk = 4096

// packed is a micro-operation without the fields that only names and metadata need.
type packed struct {
	kind   opKind
	off, n int32
	ext    int32 // index into History.ext plus 1, or 0
	call   int64
	when   int64
	ino    Ino
	block  int64
	size   int64
	page   page
}

// newRecorder makes the history of a disk that was mounted from b, nil for an empty one.
func newRecorder(p *Profile, mode HistoryMode, b base) *History {
	h := &History{p: p.orLinux(), mode: mode, base: b}
	h.now = newTracker(h.p, b)
	return h
}

func (h *History) record(o *op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	if h.mode != HistoryFull {
		h.now.apply(o)
		return
	}
	k := packed{kind: o.kind, off: o.off, n: o.n, call: o.call, when: o.when, ino: o.ino, block: o.block,
		size: o.size, page: o.page}
	switch o.kind {
	case opWrite, opLost, opRot, opTruncate, opFsync, opFdatasync, opSyncAll, opSyncFail:
	default:
		h.ext = append(h.ext, *o)
		k.ext = int32(len(h.ext))
	}
	if len(h.log) == 0 || len(h.log[len(h.log)-1]) == chunk {
		h.log = append(h.log, make([]packed, 0, chunk))
	}
	last := &h.log[len(h.log)-1]
	*last = append(*last, k)
}

// op gives micro-operation i, from 0. HistoryFull only.
func (h *History) op(i int) op {
	k := &h.log[i/chunk][i%chunk]
	if k.ext > 0 {
		return h.ext[k.ext-1]
	}
	return op{kind: k.kind, off: k.off, n: k.n, call: k.call, when: k.when, ino: k.ino, block: k.block,
		size: k.size, page: k.page}
}

// Len is the number of micro-operations so far. Instants go from 0, before the first, to Len, after the last.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n
}

// Profile is the one that the history is judged by.
func (h *History) Profile() *Profile { return h.p }

// ops gives a copy of all micro-operations.
func (h *History) ops() []op {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]op, 0, h.n)
	for i := 0; h.mode == HistoryFull && i < h.n; i++ {
		out = append(out, h.op(i))
	}
	return out
}

// trackerAt gives a tracker of its own that has applied the first i micro-operations.
func (h *History) trackerAt(i int) (*tracker, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case i == h.n:
		h.catchUp()
		return h.now.clone(), nil
	case h.mode != HistoryFull:
		return nil, fmt.Errorf("look at instant %d: %w", i, ErrNoHistory)
	case i < 0 || i > h.n:
		return nil, fmt.Errorf("look at instant %d of %d: %w", i, h.n, ErrNoInstant)
	}
	t := newTracker(h.p, h.base)
	for j := 0; j < i; j++ {
		o := h.op(j)
		t.apply(&o)
	}
	return t, nil
}

// catchUp applies to the tracker what was only written down so far.
func (h *History) catchUp() {
	for h.now.n < h.n {
		o := h.op(h.now.n)
		h.now.apply(&o)
	}
}

// ErrNoInstant says that a history has no such instant.
var ErrNoInstant = errors.New("no such instant")

// ErrNondeterministic says that two runs of the same recovery on the same disk read different things.
var ErrNondeterministic = errors.New("recovery is not deterministic")
