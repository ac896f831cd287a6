package filestore

import (
	"context"

	"github.com/understudy-go/understudy/persist"
)

// pin keeps every generation at and below a prefix from being removed while a
// tree is read, so that what was listed at one instant can be read at leisure.
type pin struct{ prefix persist.Key }

func (s *Store) pin(prefix persist.Key) *pin {
	p := &pin{prefix}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pins[p] = true
	return p
}

// pinned says whether key is pinned, and if so remembers to tidy it later. The
// caller has the right to write key.
func (s *Store) pinned(key persist.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.coveredLocked(key) {
		s.untidy[key] = true
		return true
	}
	return false
}

func (s *Store) coveredLocked(key persist.Key) bool {
	for p := range s.pins { // only whether one is there: the order does not matter
		if key.In(p.prefix) {
			return true
		}
	}
	return false
}

// unpin ends p and tidies what was changed meanwhile. A store that is closed or
// not to be trusted leaves that to the next change or open.
func (s *Store) unpin(ctx context.Context, p *pin) {
	s.mu.Lock()
	delete(s.pins, p)
	var keys []persist.Key
	for k := range s.untidy {
		if !s.coveredLocked(k) {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		delete(s.untidy, k)
	}
	s.mu.Unlock()
	sortKeys(keys)
	ctx = context.WithoutCancel(ctx)
	for _, k := range keys {
		if s.beginCommit(ctx) != nil {
			return
		}
		right := &claim{write: []persist.Key{k}}
		if s.claims.take(ctx, right) == nil {
			fsys := s.filesystem(ctx, "")
			if s.owner.Check(fsys) == nil { // a fenced owner deletes nothing
				_ = s.tidyFolder(fsys, k) // what stays is tidied by the next change
			}
			s.claims.release(right)
		}
		s.endCommit()
	}
}
