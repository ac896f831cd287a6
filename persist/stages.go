package persist

import "sync"

// stage is how far the life of a shell has come. It only rises.
type stage int32

const (
	claimed  stage = iota // the key is taken, the process does not run yet
	started               // Started is done; the actor is live
	quiesced              // final save done; it handles nothing more
	ended                 // the process is gone and the key is free
)

// stages lets others wait for a stage. The channels are made when somebody
// waits, since most actors live without it.
type stages struct {
	mu    sync.Mutex
	now   stage
	waits [ended + 1]chan struct{}
}

// reached returns a channel that is closed once the stage is reached or passed.
func (s *stages) reached(st stage) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now >= st {
		return closedChan
	}
	if s.waits[st] == nil {
		s.waits[st] = make(chan struct{})
	}
	return s.waits[st]
}

func (s *stages) advance(st stage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.now < st {
		s.now++
		if ch := s.waits[s.now]; ch != nil {
			close(ch)
			s.waits[s.now] = nil
		}
	}
}

func (s *stages) stage() stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}
