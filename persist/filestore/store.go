package filestore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/internal/owner"
)

// Options are the choices of [Open]; nil means the zero value of each.
type Options struct {
	// Keep is how many older generations of a key are kept beside the newest
	// one, to fall back on. 0 means 1; a negative number keeps none.
	Keep int
	// Report is called for every damaged generation that was moved aside, with
	// the place where it is now, on the goroutine of the call that met it. nil:
	// Record.Fallback alone tells.
	Report func(*persist.CorruptError)
	// Readers is how many files LoadTree and List read at a time; 0 means 8.
	Readers int
	// Go starts the goroutines of the store, each with a name; all of them end
	// before the call that started them returns. nil: the go statement.
	Go func(name string, f func())
}

func (o *Options) withDefaults() Options {
	var p Options
	if o != nil {
		p = *o
	}
	switch {
	case p.Keep == 0:
		p.Keep = 1
	case p.Keep < 0:
		p.Keep = 0
	}
	if p.Readers <= 0 {
		p.Readers = 8
	}
	if p.Go == nil {
		p.Go = func(_ string, f func()) { go f() }
	}
	return p
}

// Store is a directory of snapshots; see [Open]. It is a [persist.TreeStore]
// and a [persist.StatsStore].
type Store struct {
	fs      afero.Fs
	dir     string // absolute, clean
	base    persist.Key
	opts    Options
	owner   *owner.Owner
	staging string // the folder of this owner's unfinished files
	slotDir string // the folder of this owner's slots, see slot.go
	claims  *claims
	count   atomic.Uint64 // the last generation.count given out
	numbers numbers

	// ended and doubtful are closed and len(affected) > 0, for the paths of
	// readers, which would meet on mu.
	ended, doubtful atomic.Bool

	mu       sync.Mutex // guards what follows; never held across a call into fs
	closed   bool
	commits  int           // commits under way
	idle     chan struct{} // closed when commits falls to 0 after closed was set
	done     chan struct{} // closed when Close has finished
	failed   error         // why nothing more can be trusted; nil while all is well
	fenced   bool
	affected map[persist.Key]bool // keys whose last commit has an unknown outcome
	fresh    map[string]uint64    // folders made and not yet durable in their parents, by id
	freshID  uint64
	slots    []bool               // in use, see slot.go
	pins     map[*pin]bool        // see pin.go
	untidy   map[persist.Key]bool // keys whose old generations were pinned
}

// Base returns "file://" and the absolute directory.
func (s *Store) Base() persist.Key { return s.base }

// filesystem returns the filesystem for a call made with ctx, or for one of its
// goroutines: where the filesystem tells its callers apart, each has its own.
func (s *Store) filesystem(ctx context.Context, goroutine string) afero.Fs {
	as, ok := s.fs.(interface{ As(who string) afero.Fs })
	if !ok {
		return s.fs
	}
	who := persist.Caller(ctx)
	if goroutine != "" {
		who += "/" + goroutine
	}
	return as.As(who)
}

// begin refuses a call on a closed store or with an ended context.
func (s *Store) begin(ctx context.Context) error {
	if s.ended.Load() {
		return persist.ErrClosed
	}
	return ctx.Err()
}

// beginCommit lets Close wait for the commit; endCommit ends that.
func (s *Store) beginCommit(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(ctx); err != nil { // closed changes under mu only
		return err
	}
	if err := s.trustLocked(); err != nil {
		return err
	}
	s.commits++
	return nil
}

func (s *Store) endCommit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.commits--; s.commits == 0 && s.closed {
		close(s.idle)
	}
}

// trust returns why nothing may be written, nil while the store is well.
func (s *Store) trust() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trustLocked()
}

func (s *Store) trustLocked() error {
	switch {
	case s.fenced:
		return fmt.Errorf("%s: %w", s.dir, persist.ErrFenced)
	case s.failed != nil:
		return fmt.Errorf("%s: %w: an earlier commit failed: %w", s.dir, persist.ErrStoreFailed, s.failed)
	}
	return nil
}

// fail ends the trust in the store, because of a commit of these keys whose
// outcome is unknown, and returns the error of that commit.
func (s *Store) fail(cause error, keys ...persist.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = cause
	}
	for _, k := range keys {
		s.affected[k] = true
		s.doubtful.Store(true)
	}
	return fmt.Errorf("%w, %w: %w", persist.ErrUnknownOutcome, persist.ErrStoreFailed, cause)
}

// fence remembers that a newer owner was seen.
func (s *Store) fence() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fenced = true
}

// certain refuses to read a key whose last commit has an unknown outcome.
func (s *Store) certain(key persist.Key) error {
	if !s.doubtful.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.affected[key] {
		return fmt.Errorf("%w: a commit of it failed half-way: reopen the store", persist.ErrUnknownOutcome)
	}
	return nil
}

// Close waits for the commits under way and gives the directory free. A second
// Close waits for the first and returns nil. Iterators that are still running
// end with ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		<-s.done
		return nil
	}
	s.closed = true
	s.ended.Store(true)
	s.idle = make(chan struct{})
	if s.commits == 0 {
		close(s.idle)
	}
	s.mu.Unlock()
	<-s.idle
	defer close(s.done)
	fs := s.filesystem(context.Background(), "")
	if s.trust() == nil && s.owner.Check(fs) == nil {
		// A missing staging folder says that nothing was under way. Where it
		// cannot be removed the next open does so.
		if removeFolder(fs, s.staging) == nil {
			_ = removeFolder(fs, s.slotDir)
		}
	}
	if err := s.owner.Release(); err != nil {
		return fmt.Errorf("close the file store %s: %w", s.dir, err)
	}
	return nil
}

// pathOf returns the folder of a key.
func (s *Store) pathOf(key persist.Key) string { return keyPath(s.dir, key) }

// control is the folder that is the store's own.
func (s *Store) control() string { return filepath.Join(s.dir, controlName) }

// joinErrors is errors.Join that keeps a single error as it is.
func joinErrors(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return errors.Join(a, b)
}
