package filestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/internal/owner"
)

const intentPrefix = "batch-"

// commitBatch commits several writes. Every byte is on the disk before the
// intent is renamed, so that a full disk is noticed while nothing has
// happened; the intent holds the records once more, because there are
// filesystems on which a rename that a power cut interrupts loses the file.
func (s *Store) commitBatch(ctx context.Context, fsys afero.Fs, writes []*write) error {
	keys := make([]persist.Key, len(writes))
	for i, w := range writes {
		keys[i] = w.key
	}
	err := s.stageAll(ctx, fsys, writes)
	if err != nil {
		if slices.ContainsFunc(writes, func(w *write) bool { return w.torn }) {
			err = s.fail(err, keys...)
		}
		return s.abandon(fsys, err, writes...)
	}
	intent := &write{state: state{generation{s.owner.Epoch(), s.count.Add(1)}, false}}
	intent.staged = s.stagedPath(intent.state.count)
	written, err := writeFile(fsys, intent.staged, encodeIntent(s.owner.Epoch(), writes))
	if err != nil {
		if err = fmt.Errorf("write the intent: %w", err); written {
			err = s.fail(err, keys...)
		}
		return s.abandon(fsys, err, writes...)
	}
	if err := ctx.Err(); err != nil {
		return s.abandon(fsys, err, append(writes, intent)...)
	}
	path := filepath.Join(s.staging, intentPrefix+strconv.FormatUint(intent.state.count, 16))
	if err := fsys.Rename(intent.staged, path); err != nil {
		err = fmt.Errorf("put the intent in place: %w", err)
		if s.unplaced(fsys, intent, err) {
			return s.abandon(fsys, err, append(writes, intent)...)
		}
		return s.explain(fsys, s.fail(err, keys...))
	}
	if err := owner.SyncDir(fsys, s.staging); err != nil {
		return s.explain(fsys, s.fail(fmt.Errorf("sync the folder %s: %w", s.staging, err), keys...))
	}
	if err := s.acknowledge(fsys, keys...); err != nil {
		return err
	}
	if err := s.carryOut(ctx, fsys, writes, path); err != nil {
		return s.explain(fsys, s.fail(err, keys...))
	}
	s.numbers.batches.Add(1)
	return s.acknowledge(fsys, keys...)
}

// stageAll writes the files of all writes and makes their folders, several at
// a time: the filesystem then shares its own commits between them.
func (s *Store) stageAll(ctx context.Context, fsys afero.Fs, writes []*write) error {
	return s.each(ctx, fsys, len(writes), func(fsys afero.Fs, i int) error {
		w := writes[i]
		err := ctx.Err()
		if err == nil {
			err = s.stage(fsys, w)
		}
		if err == nil && !w.exists {
			w.made, err = s.makeFolder(fsys, w.folder)
		}
		return err
	})
}

// carryOut does what a durable intent says, and takes the intent away.
func (s *Store) carryOut(ctx context.Context, fsys afero.Fs, writes []*write, intent string) error {
	err := s.each(ctx, fsys, len(writes), func(fsys afero.Fs, i int) error {
		if err := s.place(fsys, writes[i]); err != nil {
			return err
		}
		return s.settleFolder(fsys, writes[i].folder)
	})
	if err != nil {
		return err
	}
	return s.dropIntent(fsys, intent)
}

// dropIntent removes an intent that was carried out, for good: were it to come
// back after its keys had been deleted, it would bring them back.
func (s *Store) dropIntent(fsys afero.Fs, path string) error {
	if err := fsys.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take the intent away: %w", err)
	}
	if err := owner.SyncDir(fsys, filepath.Dir(path)); err != nil {
		return fmt.Errorf("sync the folder %s: %w", filepath.Dir(path), err)
	}
	return nil
}

// each calls f for 0 ≤ i < n on several goroutines, stops starting calls after
// the first error, and returns the errors of all calls that it made.
func (s *Store) each(ctx context.Context, fsys afero.Fs, n int, f func(fsys afero.Fs, i int) error) error {
	var all error
	ordered(n, s.opts.Readers, s.opts.Readers, s.opts.Go, func(who string, i int) error {
		own := fsys
		if who != "" {
			own = s.filesystem(ctx, who)
		}
		return f(own, i)
	}, func(_ int, err error) bool {
		all = joinErrors(all, err)
		return all == nil
	})
	return all
}

// redo carries out an intent that an earlier owner left behind. It may have
// been carried out in part, or in full; doing it again changes nothing.
func (s *Store) redo(fsys afero.Fs, path string) error {
	b, err := readFile(fsys, path, math.MaxInt64-1)
	if err != nil {
		return fmt.Errorf("read the intent %s: %w", path, err)
	}
	writes, err := decodeIntent(b, path)
	if err != nil {
		return err
	}
	for _, w := range writes {
		w.folder = s.pathOf(w.key)
		if err := s.redoWrite(fsys, w); err != nil {
			return fmt.Errorf("finish the commit of %q: %w", string(w.key), err)
		}
	}
	return s.dropIntent(fsys, path)
}

func (s *Store) redoWrite(fsys afero.Fs, w *write) error {
	have, err := readFile(fsys, w.target(), int64(len(w.data)))
	if err == nil && bytes.Equal(have, w.data) {
		return s.settleChain(fsys, w.folder)
	}
	if _, err := s.makeFolder(fsys, w.folder); err != nil {
		return err
	}
	w.staged = s.stagedPath(s.count.Add(1))
	if _, err := writeFile(fsys, w.staged, w.data); err != nil {
		return err
	}
	if err := s.place(fsys, w); err != nil {
		return err
	}
	return s.settleChain(fsys, w.folder)
}

// isIntent says whether a name in a staging folder is that of an intent.
func isIntent(name string) bool { return strings.HasPrefix(name, intentPrefix) }
