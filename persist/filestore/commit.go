package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist"
)

// write is one change on its way to the disk.
type write struct {
	key    persist.Key
	folder string
	exists bool    // whether the folder was there
	before history // what was in it
	state  state   // what the change makes
	data   []byte  // the encoded record; empty for a delete
	staged string  // the finished file in the staging folder
	made   []string
	torn   bool // bytes of staged were written, and nobody knows what became of them
}

func (w *write) target() string { return filepath.Join(w.folder, w.state.file()) }

// Commit makes all changes durable, or none; see [persist.Store]. Commits of
// different keys run at the same time; those of one key run in the order in
// which they were called. The context counts until the first rename.
func (s *Store) Commit(ctx context.Context, changes ...persist.Change) ([]persist.Version, error) {
	versions, err := s.commit(ctx, changes)
	switch {
	case err == nil:
		return versions, nil
	case len(changes) == 0:
		return nil, fmt.Errorf("commit nothing: %w", err)
	case len(changes) == 1:
		return nil, fmt.Errorf("commit %q: %w", string(changes[0].Key), err)
	}
	return nil, fmt.Errorf("commit %q and %d more: %w", string(changes[0].Key), len(changes)-1, err)
}

func (s *Store) commit(ctx context.Context, changes []persist.Change) ([]persist.Version, error) {
	if err := s.beginCommit(ctx); err != nil {
		return nil, err
	}
	defer s.endCommit()
	if err := persist.CheckChanges(changes); err != nil || len(changes) == 0 {
		return nil, err
	}
	keys := make([]persist.Key, len(changes))
	for i, c := range changes {
		keys[i] = c.Key
	}
	right := &claim{write: keys}
	if err := s.claims.take(ctx, right); err != nil {
		return nil, err
	}
	defer s.claims.release(right)
	if err := s.trust(); err != nil { // it may have failed while this one waited
		return nil, err
	}
	fsys := s.filesystem(ctx, "")
	writes, versions, err := s.prepare(fsys, changes)
	if err != nil || len(writes) == 0 {
		return versions, err
	}
	slot, err := s.takeSlot(fsys, keys)
	if err != nil {
		return nil, s.explain(fsys, err)
	}
	defer s.dropSlot(slot)
	if len(writes) == 1 {
		err = s.commitOne(ctx, fsys, writes[0])
	} else {
		err = s.commitBatch(ctx, fsys, writes)
	}
	if err != nil {
		return nil, err
	}
	s.numbers.commits.Add(1)
	for _, w := range writes {
		if w.state.gone {
			s.numbers.deletes.Add(1)
		}
		s.tidy(fsys, w.key, w.folder, w.before, w.state)
	}
	return versions, nil
}

// prepare looks at what is there, checks the conditions, and encodes. A delete
// of what is not there needs no write.
func (s *Store) prepare(fsys afero.Fs, changes []persist.Change) ([]*write, []persist.Version, error) {
	writes := make([]*write, 0, len(changes))
	versions := make([]persist.Version, len(changes))
	for i, c := range changes {
		w := &write{key: c.Key, folder: s.pathOf(c.Key)}
		names, exists, err := readFolder(fsys, w.folder)
		if err != nil {
			return nil, nil, fmt.Errorf("look for %q: %w", string(c.Key), err)
		}
		w.exists, w.before = exists, readHistory(names)
		if h := w.before; len(h.states) > 0 && h.states[0].epoch > s.owner.Epoch() {
			return nil, nil, fmt.Errorf("%s is of a later epoch than %d: %w",
				filepath.Join(w.folder, h.states[0].file()), s.owner.Epoch(), persist.ErrFenced)
		}
		have := w.before.current()
		if c.If != persist.Any && c.If != have {
			return nil, nil, &persist.ConflictError{Key: c.Key, Want: c.If, Have: have}
		}
		if c.Put == nil && have == persist.Absent {
			continue
		}
		w.state = state{generation{s.owner.Epoch(), s.count.Add(1)}, c.Put == nil}
		if c.Put != nil {
			w.data = c.Put.Append(make([]byte, 0, c.Put.EncodedLen()))
			versions[i] = w.state.version()
		}
		writes = append(writes, w)
	}
	return writes, versions, nil
}

// commitOne commits a single write: its rename is the instant it happens.
func (s *Store) commitOne(ctx context.Context, fsys afero.Fs, w *write) error {
	err := s.stage(fsys, w)
	if w.torn {
		return s.explain(fsys, s.fail(err, w.key))
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && !w.exists {
		w.made, err = s.makeFolder(fsys, w.folder)
	}
	if err != nil {
		return s.abandon(fsys, err, w)
	}
	if err := s.place(fsys, w); err != nil {
		if s.unplaced(fsys, w, err) {
			return s.abandon(fsys, err, w)
		}
		return s.explain(fsys, s.fail(err, w.key))
	}
	if err := s.settleFolder(fsys, w.folder); err != nil {
		return s.explain(fsys, s.fail(err, w.key))
	}
	return s.acknowledge(fsys, w.key)
}

// stage writes the finished file of w to the staging folder, durable but for
// its name.
func (s *Store) stage(fsys afero.Fs, w *write) error {
	w.staged = s.stagedPath(w.state.count)
	var err error
	if w.torn, err = writeFile(fsys, w.staged, w.data); err != nil {
		w.staged = "" // it is gone again
		return fmt.Errorf("write the record of %q: %w", string(w.key), err)
	}
	return nil
}

func (s *Store) stagedPath(count uint64) string {
	return filepath.Join(s.staging, "new-"+strconv.FormatUint(count, 16))
}

// place renames the staged file of w into its folder, and makes the folder
// again where a delete next to it removed it meanwhile.
func (s *Store) place(fsys afero.Fs, w *write) error {
	for try := 0; ; try++ {
		err := fsys.Rename(w.staged, w.target())
		if err == nil {
			return nil
		}
		err = fmt.Errorf("put the record of %q in place: %w", string(w.key), err)
		if !errors.Is(err, fs.ErrNotExist) || try == maxRaces {
			return err
		}
		if _, gone := fsys.Stat(w.staged); gone != nil {
			return err // a newer owner took it away
		}
		made, makeErr := s.makeFolder(fsys, w.folder)
		w.made = append(w.made, made...)
		if makeErr != nil {
			return makeErr
		}
	}
}

// unplaced says whether a failed rename certainly had no effect: the kernel
// refused it for a reason that it checks first, and the file is where it was.
func (s *Store) unplaced(fsys afero.Fs, w *write, err error) bool {
	refused := diskFull(err) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrExist)
	if !refused {
		return false
	}
	_, statErr := fsys.Stat(w.staged)
	return statErr == nil
}

// abandon takes back what was staged and made, after an error before anything
// was renamed.
func (s *Store) abandon(fsys afero.Fs, err error, writes ...*write) error {
	err = s.explain(fsys, err)
	if errors.Is(err, persist.ErrFenced) {
		return err // a fenced owner deletes nothing
	}
	for _, w := range writes {
		if w.staged != "" {
			_ = fsys.Remove(w.staged) // or else the next open does
		}
		dropFolders(fsys, w.made)
	}
	return err
}

// acknowledge is the last step before a commit is reported: what was synced
// counts only if the store has not failed and nobody else owns it by now.
func (s *Store) acknowledge(fsys afero.Fs, keys ...persist.Key) error {
	if err := s.trust(); err != nil {
		return s.fail(err, keys...)
	}
	err := s.owner.Check(fsys)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, persist.ErrFenced):
		s.fence()
		return fmt.Errorf("%w: %w", persist.ErrUnknownOutcome, err)
	}
	return s.fail(err, keys...)
}

// explain adds to an error that a newer owner is the reason, if there is one.
func (s *Store) explain(fsys afero.Fs, err error) error {
	if errors.Is(err, persist.ErrFenced) {
		return err
	}
	if check := s.owner.Check(fsys); errors.Is(check, persist.ErrFenced) {
		s.fence()
		return fmt.Errorf("%w: %w", check, err)
	}
	return err
}
