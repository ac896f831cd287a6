package main

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

// raw is the limit that a log on this disk and this runtime cannot pass: one
// file, group commit, and nothing else. It writes the payloads alone, with no
// key, no checksum and no index, and can give none of them back.
type raw struct {
	prealloc, yield, leader bool

	f      *os.File
	off    int64
	size   int64
	queued atomic.Int64
	wake   chan struct{} // for the writer, where no saver leads
	done   chan struct{}

	mu      sync.Mutex
	buf     []byte
	spare   []byte
	waiters []*rawWaiter
	idle    []*rawWaiter
	leading bool
}

type rawWaiter struct{ wake chan bool }

const rawSize = 64 << 20

func (r *raw) open(dir string) error {
	f, err := os.Create(filepath.Join(dir, "raw"))
	if err != nil {
		return err
	}
	r.f = f
	if r.prealloc {
		zero := make([]byte, 1<<20)
		for range rawSize / len(zero) {
			if _, err := f.Write(zero); err != nil {
				return err
			}
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if !r.leader {
		r.wake, r.done = make(chan struct{}, 1), make(chan struct{})
		go r.writer()
	}
	return nil
}

func (r *raw) saver(int) (func([]byte) error, error) {
	w := &rawWaiter{wake: make(chan bool, 1)}
	return func(payload []byte) error {
		r.mu.Lock()
		r.buf = append(r.buf, payload...)
		r.waiters = append(r.waiters, w)
		lead := r.leader && !r.leading
		r.leading = r.leading || lead
		r.mu.Unlock()
		r.queued.Add(1)
		switch {
		case !r.leader:
			select {
			case r.wake <- struct{}{}:
			default:
			}
			<-w.wake
		case lead || <-w.wake:
			return r.commit(w)
		}
		return nil
	}, nil
}

func (r *raw) writer() {
	defer close(r.done)
	for range r.wake {
		for r.queued.Load() > 0 {
			if err := r.commit(nil); err != nil {
				panic(err)
			}
		}
	}
}

func (r *raw) commit(self *rawWaiter) error {
	if r.yield {
		for n := r.queued.Load(); ; {
			runtime.Gosched()
			m := r.queued.Load()
			if m == n {
				break
			}
			n = m
		}
	}
	r.mu.Lock()
	buf, waiters := r.buf, r.waiters
	r.buf, r.waiters = r.spare[:0], r.idle[:0]
	r.mu.Unlock()
	r.queued.Add(-int64(len(waiters)))
	if r.prealloc && r.off+int64(len(buf)) > rawSize {
		r.off = 0
	}
	_, err := r.f.WriteAt(buf, r.off)
	if err == nil {
		err = syscall.Fdatasync(int(r.f.Fd()))
	}
	r.off += int64(len(buf))
	r.mu.Lock()
	r.spare, r.idle = buf, nil
	var next *rawWaiter
	if len(r.waiters) > 0 {
		next = r.waiters[0]
	} else {
		r.leading = false
	}
	r.mu.Unlock()
	if next != nil && r.leader {
		next.wake <- true
	}
	for _, w := range waiters {
		if w != self {
			w.wake <- false
		}
	}
	r.mu.Lock()
	if r.idle == nil {
		r.idle = waiters
	}
	r.mu.Unlock()
	return err
}

func (r *raw) close() error {
	if !r.leader {
		close(r.wake)
		<-r.done
	}
	return r.f.Close()
}

// unsynced writes every payload over its own file and syncs nothing: what many
// programs call saving. A power cut may leave old bytes, new ones, a mixture,
// or an empty file.
type unsynced struct{ dir string }

func (u *unsynced) open(dir string) error { u.dir = dir; return nil }
func (u *unsynced) saver(i int) (func([]byte) error, error) {
	path := filepath.Join(u.dir, actorName(i))
	return func(payload []byte) error { return os.WriteFile(path, payload, 0o644) }, nil
}
func (u *unsynced) close() error { return nil }
