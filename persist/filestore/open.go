package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/internal/owner"
)

// The store's own folder and what is in it beside the marks of its owner.
const (
	controlName   = "@store"
	formatName    = "format"
	stagingPrefix = "staging." // and the epoch in hex
	slotPrefix    = "slots."   // and the epoch in hex
)

// The format file holds formatText, the version in decimal, and a newline.
const (
	formatText    = "understudy filestore "
	formatVersion = 1
)

// Open opens the store in dir, and creates it where there is none, with all
// missing ancestors. It finishes what a crash interrupted, so that what is
// there when it returns is durable and stays.
//
// dir is absolute; on afero.OsFs a relative one starts from the working
// directory. A directory that has no place in a key (the root, or a name with
// "?" or "#") is [persist.ErrBadKey]; one that another process has open
// [persist.ErrLocked]; one of a newer format [persist.ErrTooNew], untouched. A
// damaged intent of an interrupted commit is a [*persist.CorruptError]: without
// it the keys of that commit may be torn, so Open does not guess. A file in
// place of the directory, and one that cannot be written to, are the
// filesystem's errors.
func Open(fsys afero.Fs, dir string, o *Options) (*Store, error) {
	s, err := open(fsys, dir, o)
	if err != nil {
		return nil, fmt.Errorf("open the file store %s: %w", dir, err)
	}
	return s, nil
}

func open(fsys afero.Fs, dir string, o *Options) (*Store, error) {
	dir, base, err := place(fsys, dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		fs: fsys, dir: dir, base: base, opts: o.withDefaults(), claims: newClaims(),
		affected: map[persist.Key]bool{}, fresh: map[string]uint64{},
		pins: map[*pin]bool{}, untidy: map[persist.Key]bool{}, done: make(chan struct{}),
	}
	fsys = s.filesystem(context.Background(), "")
	marked, err := checkFormat(fsys, filepath.Join(s.control(), formatName))
	if err != nil {
		return nil, err
	}
	if err := owner.MkdirAll(fsys, s.control()); err != nil {
		return nil, err
	}
	if s.owner, err = owner.Acquire(fsys, s.control()); err != nil {
		return nil, err
	}
	if err := s.prepareControl(fsys, marked); err != nil {
		return nil, errors.Join(err, s.owner.Release())
	}
	return s, nil
}

// place makes dir absolute and a key.
func place(fsys afero.Fs, dir string) (string, persist.Key, error) {
	if !filepath.IsAbs(dir) {
		if _, ok := fsys.(*afero.OsFs); !ok {
			return "", "", fmt.Errorf("%w: only on afero.OsFs may the directory be relative", persist.ErrBadKey)
		}
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", "", err
		}
		dir = abs
	}
	dir = filepath.Clean(dir)
	path := filepath.ToSlash(dir)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a drive letter of Windows
	}
	base, err := persist.ParseKey("file://" + path)
	return dir, base, err
}

// checkFormat says whether the format file is there, and refuses a format that
// this program does not know before anything is touched.
func checkFormat(fsys afero.Fs, path string) (bool, error) {
	b, err := readFile(fsys, path, 100)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the format: %w", err)
	}
	digits, ok := strings.CutPrefix(string(b), formatText)
	n, err := strconv.ParseUint(strings.TrimSuffix(digits, "\n"), 10, 32)
	switch {
	case !ok || err != nil || n == 0 || !strings.HasSuffix(digits, "\n"):
		return false, &persist.CorruptError{Place: path, Reason: fmt.Sprintf("no format reads %.40q", b)}
	case n > formatVersion:
		return false, fmt.Errorf("%w: store format %d in %s, this program knows up to %d", persist.ErrTooNew, n, path, formatVersion)
	}
	return true, nil
}

// prepareControl makes this owner's folders, and finishes what earlier owners
// left. At the end all names in the control folder are durable.
func (s *Store) prepareControl(fsys afero.Fs, marked bool) error {
	epoch := strconv.FormatUint(s.owner.Epoch(), 16)
	s.staging = filepath.Join(s.control(), stagingPrefix+epoch)
	s.slotDir = filepath.Join(s.control(), slotPrefix+epoch)
	for _, folder := range []string{s.staging, s.slotDir} {
		if err := fsys.Mkdir(folder, 0o755); err != nil {
			return err
		}
	}
	if !marked {
		path := filepath.Join(s.staging, formatName)
		if _, err := writeFile(fsys, path, fmt.Appendf(nil, "%s%d\n", formatText, formatVersion)); err != nil {
			return err
		}
		if err := fsys.Rename(path, filepath.Join(s.control(), formatName)); err != nil {
			return err
		}
	}
	if err := s.recover(fsys); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	if err := owner.SyncDir(fsys, s.control()); err != nil {
		return err
	}
	return s.owner.Check(fsys)
}

// recover takes over from every earlier owner. A staging folder is taken away
// from its owner, who may still live: from then on it can rename nothing into
// place. The slots it leaves tell which folders have to be made durable, and
// tidied.
func (s *Store) recover(fsys afero.Fs) error {
	names, err := owner.ReadNames(fsys, s.control())
	if err != nil {
		return err
	}
	for _, prefix := range []string{stagingPrefix, slotPrefix} { // in this order
		for _, folder := range earlier(names, prefix, s.owner.Epoch()) {
			folder = filepath.Join(s.control(), folder)
			if prefix == stagingPrefix {
				err = s.takeOver(fsys, folder)
			} else {
				err = s.settleSlots(fsys, folder)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// earlier returns the names with the prefix and an epoch below epoch, in the
// order of their epochs.
func earlier(names []string, prefix string, epoch uint64) []string {
	byEpoch := map[uint64]string{}
	var epochs []uint64
	for _, name := range names {
		digits, ok := strings.CutPrefix(name, prefix)
		e, err := strconv.ParseUint(digits, 16, 64)
		if ok && err == nil && e < epoch {
			byEpoch[e] = name
			epochs = append(epochs, e)
		}
	}
	slices.Sort(epochs)
	var found []string
	for _, e := range epochs {
		found = append(found, byEpoch[e])
	}
	return found
}

// takeOver empties and removes the staging folder of an earlier owner. That
// owner may go on filling it until it is gone, so this goes on too.
func (s *Store) takeOver(fsys afero.Fs, folder string) error {
	for range maxTakeOver {
		names, exists, err := readFolder(fsys, folder)
		if err != nil || !exists {
			return err
		}
		// An intent may be visible and not durable, and must be before the first
		// of its changes is.
		if err := owner.SyncDir(fsys, folder); err != nil {
			return err
		}
		slices.Sort(names)
		for _, name := range names {
			path := filepath.Join(folder, name)
			if isIntent(name) {
				if err := s.redo(fsys, path); err != nil {
					return err
				}
				s.numbers.recovered.Add(1)
				continue
			}
			if err := fsys.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		err = fsys.Remove(folder)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if left, exists, readErr := readFolder(fsys, folder); readErr != nil || exists && len(left) == 0 {
			return joinErrors(err, readErr)
		}
	}
	return fmt.Errorf("%s fills up faster than it can be emptied: its owner still writes", folder)
}

const maxTakeOver = 1000

// settleSlots makes durable, and tidies, what was under way when an earlier
// owner ended.
func (s *Store) settleSlots(fsys afero.Fs, folder string) error {
	keys, err := readSlots(fsys, folder)
	if err != nil {
		return err
	}
	sortKeys(keys)
	for _, key := range slices.Compact(keys) {
		if err := s.settleKey(fsys, key); err != nil {
			return fmt.Errorf("settle %q: %w", string(key), err)
		}
	}
	return removeFolder(fsys, folder)
}

// settleKey makes durable what is visible of a key. Its folder may be missing,
// and then the folders above it count.
func (s *Store) settleKey(fsys afero.Fs, key persist.Key) error {
	folder := s.pathOf(key)
	for folder != s.dir {
		_, exists, err := readFolder(fsys, folder)
		if err != nil {
			return err
		}
		if exists {
			break
		}
		folder = filepath.Dir(folder)
	}
	if err := s.settleChain(fsys, folder); err != nil {
		return err
	}
	return s.tidyFolder(fsys, key)
}

func sortKeys(keys []persist.Key) {
	slices.SortFunc(keys, func(a, b persist.Key) int { return a.Compare(b) })
}
