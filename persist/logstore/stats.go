package logstore

import "github.com/understudy-go/understudy/persist"

// counters are what a store counts while it is open.
type counters struct {
	groups, frames, written uint64
	moved, dropped, putOff  uint64
	cut                     uint64
	stuck                   int
	plain                   bool // the filesystem has no cheaper sync than Sync
}

// Stats returns how the store is, in this order: keys, the keys that exist;
// segments; bytes, what the segments hold; live bytes, what of it is of use;
// groups, frames and written bytes since it was opened, of which moved bytes
// were compaction's; dropped segments; stuck segments, which compaction cannot
// empty because something in them cannot be read; put off, how often background
// work failed for now; damage, what Open found and went on without; cut bytes,
// the torn tail that Open gave up; lock and sync, the means that the filesystem
// offered; failed, why it takes no more commits, or "".
func (s *Store) Stats() []persist.Stat {
	s.mu.Lock()
	defer s.mu.Unlock()
	var size, used int64
	for _, seg := range s.live {
		size += seg.end
		used += seg.used
	}
	lock, sync, failed := "epoch", "data", ""
	if s.owner.Locked() {
		lock = "flock and epoch"
	}
	if s.stats.plain {
		sync = "file"
	}
	if s.failed != nil {
		failed = s.failed.Error()
	}
	return []persist.Stat{
		{Name: "keys", Value: s.index.count},
		{Name: "segments", Value: len(s.live)},
		{Name: "bytes", Value: size},
		{Name: "live bytes", Value: used},
		{Name: "groups", Value: s.stats.groups},
		{Name: "frames", Value: s.stats.frames},
		{Name: "written bytes", Value: s.stats.written},
		{Name: "moved bytes", Value: s.stats.moved},
		{Name: "dropped segments", Value: s.stats.dropped},
		{Name: "stuck segments", Value: s.stats.stuck},
		{Name: "put off", Value: s.stats.putOff},
		{Name: "damage", Value: len(s.damage)},
		{Name: "cut bytes", Value: s.stats.cut},
		{Name: "lock", Value: lock},
		{Name: "sync", Value: sync},
		{Name: "failed", Value: failed},
	}
}
