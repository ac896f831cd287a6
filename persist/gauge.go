package persist

import "sync"

// gauge counts what is under way, so that one can wait until nothing is.
type gauge struct {
	mu    sync.Mutex
	n     int
	empty chan struct{} // closed when n falls to zero; nil where nobody waits
}

func (g *gauge) add() {
	g.mu.Lock()
	g.n++
	g.mu.Unlock()
}

func (g *gauge) done() {
	g.mu.Lock()
	g.n--
	if g.n == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
	g.mu.Unlock()
}

var closedChan = func() chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}()

// idle returns a channel that is closed once nothing is under way.
func (g *gauge) idle() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n == 0 {
		return closedChan
	}
	if g.empty == nil {
		g.empty = make(chan struct{})
	}
	return g.empty
}

// gate lets operations in until it is shut.
type gate struct {
	mu     sync.Mutex
	isShut bool
	shut   chan struct{} // closed by close
	closed bool          // the stores are closed
}

// enter counts an operation in, or refuses it.
func (s *System) enter() (leave func(), err error) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	if s.gate.isShut {
		return nil, ErrClosed
	}
	s.ops.add()
	return s.ops.done, nil
}

// close lets no further operation in.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.isShut {
		g.isShut = true
		close(g.shut)
	}
}

// last says, once, that the stores are to be closed now.
func (g *gate) last() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.closed
	g.closed = true
	return !was
}
