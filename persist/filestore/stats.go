package filestore

import (
	"sync/atomic"

	"github.com/understudy-go/understudy/persist"
)

// numbers counts what happened since the store was opened.
type numbers struct {
	commits, batches, deletes   atomic.Int64
	loads, fallbacks, recovered atomic.Int64
	leftovers                   atomic.Int64
}

// Stats tells, in this order: "epoch", the number of this open; "flock",
// whether other processes are kept out by a lock (if not they are only fenced,
// as on every filesystem whose files have no descriptor); "commits", "batches"
// (commits of several keys) and "deletes" that succeeded; "loads" of single
// records, in trees too; "fallbacks", generations that were found damaged and
// moved aside; "recovered", interrupted commits of several keys that this open
// finished; "leftovers", superseded files that could not be removed; "failed",
// whether the store must be reopened; "fenced", whether a newer owner was seen.
func (s *Store) Stats() []persist.Stat {
	s.mu.Lock()
	failed, fenced := s.failed != nil, s.fenced
	s.mu.Unlock()
	n := &s.numbers
	return []persist.Stat{
		{Name: "epoch", Value: s.owner.Epoch()},
		{Name: "flock", Value: s.owner.Locked()},
		{Name: "commits", Value: n.commits.Load()},
		{Name: "batches", Value: n.batches.Load()},
		{Name: "deletes", Value: n.deletes.Load()},
		{Name: "loads", Value: n.loads.Load()},
		{Name: "fallbacks", Value: n.fallbacks.Load()},
		{Name: "recovered", Value: n.recovered.Load()},
		{Name: "leftovers", Value: n.leftovers.Load()},
		{Name: "failed", Value: failed},
		{Name: "fenced", Value: fenced},
	}
}
