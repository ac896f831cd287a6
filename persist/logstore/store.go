package logstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/internal/owner"
)

// DamagePolicy says what [Open] does about damage that hides which keys it hit.
// Damage to a record whose key is still known never keeps a store from opening:
// loading that key reports it.
type DamagePolicy int

const (
	// Refuse makes Open fail with a [*persist.CorruptError]; nothing is changed.
	Refuse DamagePolicy = iota
	// Salvage opens with what is intact. A key whose newest record cannot be
	// seen any more may show an older one, or none. [Store.Damage] tells where,
	// and the damaged files are kept under names that end in ".damaged".
	Salvage
)

// Options are all that Open can be told. Nil means the zero value.
type Options struct {
	// SegmentSize is the length of a segment file in bytes, 4 KiB to 1 GiB; 0
	// means 64 MiB. A commit that is larger gets a segment of its own.
	SegmentSize int64
	// Damage says what to do about damage that is found by Open.
	Damage DamagePolicy
	// Keep is the number of older generations of each key to hold on to, for a
	// load whose newest is damaged; 0 means none. Each costs its record on the
	// disk and about 40 bytes of memory.
	Keep int
	// NoCompaction opens the store with compaction paused; see [Store.Pause].
	NoCompaction bool
	// Base replaces the key that [Store.Base] returns, "log://" followed by the
	// absolute directory.
	Base persist.Key
	// Logger hears what Open and the background work have to say. Nil is silence.
	Logger *slog.Logger

	// Go starts a goroutine; nil means the go statement. The store owns one,
	// "logstore.keeper", which ends before Close returns.
	Go func(name string, f func())
	// Yield is called by a goroutine that woke up, or that lets others go first,
	// before it touches what it shares with them; a scheduler may park it there.
	// Nil means nothing, and letting others go first is then up to the runtime.
	Yield func(point string)
}

const (
	defaultSegmentSize = 64 << 20
	minSegmentSize     = 4 << 10
	maxSegmentSize     = 1 << 30
)

// Store is a log of snapshots in a directory. It is a [persist.TreeStore] and a
// [persist.StatsStore]. [Open] makes one.
type Store struct {
	fs    afero.Fs
	dir   string
	base  persist.Key
	opt   Options
	owner *owner.Owner
	log   *slog.Logger

	queued atomic.Int64 // requests in pending, for pacing without the lock

	// mu guards all that follows. It is never held across a call into the
	// filesystem.
	mu          sync.Mutex
	failed      error // why nothing can be written any more
	closed      bool
	closeDone   chan struct{}
	index       *index
	order       *order
	slots       []*segment // by slot; nil where a segment is gone
	freeSlots   []uint32
	live        []*segment // by age, the tail last
	tail        *segment
	newest      segID // of the tail, or of the one that is about to be
	spare       *segment
	retired     []*segment // out of live, to be unlinked once nobody reads them
	nextVersion uint64
	nextNumber  uint32
	pending     []*group
	leading     bool          // somebody is responsible for pending
	settled     chan struct{} // closed at the next settling, if anybody waits
	freeGroup   *group
	damage      []*persist.CorruptError
	stats       counters

	keeper keeper
}

// Open opens the log in dir and becomes its owner, creating dir and what is
// missing above it. A nil o means the defaults.
//
// A directory that another process has open is [persist.ErrLocked]. Damage is a
// [*persist.CorruptError], subject to [Options.Damage]; a log of a newer format
// is [persist.ErrTooNew]. Other errors are those of the filesystem. After an
// error nothing that the log said before has been changed.
func Open(fsys afero.Fs, dir string, o *Options) (*Store, error) {
	s, err := newStore(fsys, dir, o)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if err := owner.MkdirAll(fsys, s.dir); err != nil {
		return nil, fmt.Errorf("open log: make its directory: %w", err)
	}
	files, err := s.listFiles()
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	floor := uint64(0)
	if n := len(files.segments); n > 0 {
		floor = files.segments[n-1].epoch()
	}
	if s.owner, err = owner.AcquireAbove(fsys, s.dir, floor); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if err := s.recover(); err != nil {
		s.closeFiles()
		return nil, fmt.Errorf("open log: %w", errors.Join(err, s.owner.Release()))
	}
	if !s.owner.Locked() {
		s.log.Warn("log is guarded by its epoch alone: its filesystem offers no descriptors to lock", "dir", s.dir)
	}
	s.startKeeper()
	return s, nil
}

func newStore(fsys afero.Fs, dir string, o *Options) (*Store, error) {
	s := &Store{fs: fsys, dir: filepath.Clean(dir), index: newIndex(), nextVersion: 1, nextNumber: 1}
	if o != nil {
		s.opt = *o
	}
	if s.opt.SegmentSize == 0 {
		s.opt.SegmentSize = defaultSegmentSize
	}
	if s.opt.SegmentSize < minSegmentSize || s.opt.SegmentSize > maxSegmentSize {
		return nil, fmt.Errorf("a segment size of %d bytes is not between %d and %d", s.opt.SegmentSize, minSegmentSize, maxSegmentSize)
	}
	if s.opt.Keep < 0 {
		return nil, fmt.Errorf("%d is no number of generations to keep", s.opt.Keep)
	}
	s.opt.SegmentSize = align(s.opt.SegmentSize)
	if s.log = s.opt.Logger; s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.opt.Go == nil {
		s.opt.Go = func(_ string, f func()) { go f() }
	}
	var err error
	s.base, err = baseKey(fsys, s.dir, s.opt.Base)
	return s, err
}

// baseKey is the key of the directory. A relative directory is taken from the
// working directory where there is one, else from the root.
func baseKey(fsys afero.Fs, dir string, given persist.Key) (persist.Key, error) {
	if given != "" {
		return persist.ParseKey(string(given))
	}
	if _, ok := fsys.(*afero.OsFs); ok {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		dir = abs
	}
	dir = filepath.ToSlash(dir)
	for len(dir) > 0 && dir[0] == '/' {
		dir = dir[1:]
	}
	if dir == "" || dir == "." {
		return persist.Key("log:///"), nil
	}
	return persist.ParseKey("log:///" + dir)
}

// Base returns the key below which the store lives.
func (s *Store) Base() persist.Key { return s.base }

// Damage returns what Open found damaged and went on without, oldest first.
func (s *Store) Damage() []*persist.CorruptError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*persist.CorruptError(nil), s.damage...)
}

// usable returns why the store cannot be asked at all.
func (s *Store) usable(ctx context.Context) error {
	if s.closed {
		return fmt.Errorf("log %s: %w", s.dir, persist.ErrClosed)
	}
	return ctx.Err()
}

// fsFor returns the filesystem as the caller of ctx sees it.
func (s *Store) fsFor(who string) afero.Fs {
	if as, ok := s.fs.(interface{ As(who string) afero.Fs }); ok && who != "" {
		return as.As(who)
	}
	return s.fs
}

func (s *Store) yield(point string) {
	if s.opt.Yield != nil {
		s.opt.Yield(point)
	}
}

// Close waits for the commits under way, ends the background work, seals the
// log so that the next open is quick, and releases the directory. A failed
// store is closed without a seal.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		done := s.closeDone
		s.mu.Unlock()
		<-done
		return nil
	}
	s.closed = true
	s.closeDone = make(chan struct{})
	for s.leading || len(s.pending) > 0 {
		wait := s.settledChan()
		s.mu.Unlock()
		<-wait
		s.yield("logstore.close")
		s.mu.Lock()
	}
	s.mu.Unlock()

	s.stopKeeper()
	err := s.sealTail()
	s.closeFiles()
	err = errors.Join(err, s.owner.Release())
	if err != nil {
		err = fmt.Errorf("close log: %w", err)
	}
	close(s.closeDone)
	return err
}

// settledChan returns a channel that is closed when the next group is settled.
// The caller holds mu.
func (s *Store) settledChan() <-chan struct{} {
	if s.settled == nil {
		s.settled = make(chan struct{})
	}
	return s.settled
}
