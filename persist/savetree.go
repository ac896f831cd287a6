package persist

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/anthdm/hollywood/actor"
)

// SaveTree saves the actor and every live actor below its key in one atomic
// commit of a consistent cut: no message is in it as received that is not in it
// as sent. A marker goes down the tree behind what was sent before. Each member
// that gets it is captured, passes the marker on, and handles nothing more until
// all are captured and the commit is under way. Messages in flight are not part
// of the tree.
//
// An actor that waits for an answer of one that is captured already holds the
// tree up until its own request times out; ctx bounds the whole, releases all
// members, and commits nothing. A member that cannot be captured fails the whole.
// A member that ends meanwhile is in the cut with its final state. Where nothing
// has changed since it was last saved, a member is not written again.
//
// errors.ErrUnsupported on a store that cannot commit several keys atomically,
// before anything is captured; [ErrNotPersistent] for a PID that is not a live actor of this
// system. Where the outcome of the commit is unknown or in conflict, the members
// that it would have written end without a final save.
func (s *System) SaveTree(ctx context.Context, pid *actor.PID) error {
	leave, err := s.enter()
	if err != nil {
		return fmt.Errorf("save tree: %w", err)
	}
	defer leave()
	sh := s.shellOf(pid)
	if sh == nil {
		return fmt.Errorf("save tree of %v: %w", pid, ErrNotPersistent)
	}
	if sh.mount.tree == nil {
		return fmt.Errorf("save tree of %q in %q: %w", string(sh.key), string(sh.mount.base), errors.ErrUnsupported)
	}
	unlock, err := s.locks.subtree(sh.key, s.until(ctx))
	if err != nil {
		return wrap(err, "save tree of", sh.key)
	}
	defer unlock()
	if sh = s.shellOf(pid); sh == nil { // it may have ended, and come back, meanwhile
		return fmt.Errorf("save tree of %v: %w", pid, ErrNotPersistent)
	}
	t := &cut{sys: s, release: make(chan struct{})}
	return wrap(t.save(ctx, sh), "save tree of", sh.key)
}

// cut is one SaveTree under way.
type cut struct {
	sys *System

	mu      sync.Mutex
	members []*member // in the order in which the marker was sent
	err     error     // the first capture that failed

	release chan struct{} // closed when the members may go on
	flying  bool          // written before release is closed: the commit is under way
}

// member is one actor of a cut. It is filled in by the actor's goroutine before
// captured is closed, and read by the caller's afterwards.
type member struct {
	shell    *shell
	captured chan struct{}
	flight   *flight // nil where there is nothing to write
	change   Change
}

func (t *cut) save(ctx context.Context, root *shell) error {
	err := t.capture(ctx, root)
	if err != nil {
		close(t.release)
		return err
	}
	var changes []Change
	var written []*member
	for _, m := range t.members {
		if m.flight != nil {
			changes, written = append(changes, m.change), append(written, m)
		}
	}
	t.flying = true
	close(t.release)
	if len(changes) == 0 {
		return nil
	}
	versions, err := []Version(nil), errVanished
	defer func() {
		for i, m := range written {
			if err != nil {
				m.flight.err = blame(err, m.shell)
			} else {
				m.flight.version = versions[i]
			}
			close(m.flight.done)
			m.shell.poke()
		}
	}()
	versions, err = t.sys.commit(t.sys.as(ctx, "save tree of "+string(root.key)), root.mount, changes)
	return err
}

// blame is what the failure of a joint commit means to one member: a conflict
// over another key leaves it as it was.
func blame(err error, s *shell) error {
	var conflict *ConflictError
	if errors.As(err, &conflict) && conflict.Key != s.rel {
		return errors.New("the tree's commit met a conflict elsewhere")
	}
	return err
}

// capture returns when every member is captured.
func (t *cut) capture(ctx context.Context, root *shell) error {
	t.mark(root)
	for i := 0; ; i++ {
		t.mu.Lock()
		if t.err != nil || i == len(t.members) {
			err := t.err
			t.mu.Unlock()
			return err
		}
		m := t.members[i]
		t.mu.Unlock()
		select {
		case <-m.captured:
		case <-m.shell.reached(quiesced):
			t.ended(m)
		case <-ctx.Done():
			return ctx.Err()
		}
		t.sys.yield("woken")
	}
}

// mark sends the marker to a shell. One that has finished already does not see
// it, and is taken in by ended.
func (t *cut) mark(s *shell) {
	m := &member{shell: s, captured: make(chan struct{})}
	t.mu.Lock()
	t.members = append(t.members, m)
	t.mu.Unlock()
	s.send(func(at *shell, c *actor.Context) {
		if at == s && s.phase == running {
			s.captureFor(c, t, m)
		}
	})
}

// markBelow sends the marker on.
func (t *cut) markBelow(key Key) {
	for _, kid := range t.sys.census.next(key) {
		t.mark(kid)
	}
}

// ended takes in a member that ended before its marker: its final save is what
// belongs into the cut, and it is in the store already. What lives below it has
// not been marked by it.
func (t *cut) ended(m *member) {
	select {
	case <-m.captured:
		return
	default:
	}
	if err := m.shell.lastErr; err != nil {
		t.fail(fmt.Errorf("%q ended without a final save: %w", string(m.shell.key), err))
	}
	t.markBelow(m.shell.key)
}

func (t *cut) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
	}
}

// captureFor runs on the member's goroutine: it captures, passes the marker on,
// and holds still.
func (s *shell) captureFor(c *actor.Context, t *cut, m *member) {
	s.awaitFlight(c)
	payload, err := []byte(nil), s.saveErr
	if err == nil {
		payload, err = s.encode(c)
	}
	if err != nil {
		t.fail(err)
		if s.saveErr == nil {
			s.saveFailed(err)
		}
		close(m.captured)
		s.pump(c)
		return
	}
	if f := s.prepare(payload); f != nil {
		f.harmless, f.done = true, make(chan struct{})
		m.flight, m.change = f, Change{Key: s.rel, Put: s.record(f, payload), If: s.version}
	}
	t.markBelow(s.key)
	close(m.captured)
	s.waitLong(c, t.release)
	if t.flying && m.flight != nil {
		s.flight, s.submitted = m.flight, m.flight.state
	}
	s.pump(c)
}
