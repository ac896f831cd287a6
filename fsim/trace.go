package fsim

import "iter"

// traceChunk is how many calls are kept in one piece, so that a long trace is
// never copied to make it longer.
const traceChunk = 256

// A trace is the record of all calls on a disk.
type trace struct {
	chunks [][]Call
	first  int64 // Seq of the first call kept, less one
}

func (t *trace) add(c *Call) {
	n := len(t.chunks)
	if n == 0 || len(t.chunks[n-1]) == traceChunk {
		if n == 0 {
			t.first = c.Seq - 1
		}
		size := traceChunk
		if n == 0 {
			size = 16
		}
		t.chunks = append(t.chunks, make([]Call, 0, size))
		n++
	}
	t.chunks[n-1] = append(t.chunks[n-1], *c)
}

// at returns the call with the given number.
func (t *trace) at(seq int64) (Call, bool) {
	k := seq - 1 - t.first
	if k < 0 || k/traceChunk >= int64(len(t.chunks)) {
		return Call{}, false
	}
	chunk := t.chunks[k/traceChunk]
	if k %= traceChunk; k >= int64(len(chunk)) {
		return Call{}, false
	}
	return chunk[k], true
}

// Trace returns the calls on the disk so far, in their order; none where the
// trace is switched off. The slice belongs to the caller.
func (d *Disk) Trace() []Call {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.trace == nil {
		return nil
	}
	var calls []Call
	for _, chunk := range d.trace.chunks {
		calls = append(calls, chunk...)
	}
	return calls
}

// Calls goes through the trace without copying it; calls that are made
// meanwhile are seen too. The disk may be used inside the loop.
func (d *Disk) Calls() iter.Seq[Call] {
	return func(yield func(Call) bool) {
		for k := int64(0); ; k++ {
			d.mu.Lock()
			c, ok := Call{}, false
			if d.trace != nil {
				c, ok = d.trace.at(d.trace.first + k + 1)
			}
			d.mu.Unlock()
			if !ok || !yield(c) {
				return
			}
		}
	}
}

// traceLine returns a call of the trace in one line, "" where it is not kept.
// The caller must not hold the lock.
func (d *Disk) traceLine(call int64) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.trace == nil {
		return ""
	}
	c, ok := d.trace.at(call)
	if !ok {
		return ""
	}
	return c.String()
}
