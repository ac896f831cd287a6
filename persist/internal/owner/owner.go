// Package owner gives a store's directory one owner at a time.
//
// Two means work together. Where the lock file has a descriptor, flock keeps a
// second process out while the first one lives. Everywhere, an epoch fences an
// owner that was replaced behind its back: [Acquire] leaves a mark with a
// number higher than any before and removes the older marks, and an owner asks
// [Owner.Check] after each sync, before it acknowledges anything, whether its
// own mark is still there.
package owner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist"
)

const (
	lockName   = "owner.lock"
	markPrefix = "owner."
	markDigits = 16
)

// Owner is the right to write to a directory, until it is released or fenced.
type Owner struct {
	dir   string
	mark  string
	epoch uint64
	lock  afero.File // holds the flock; nil where the filesystem has no descriptors
}

// Acquire makes the caller the owner of dir, which must exist. When it returns,
// the new epoch is durable and every earlier owner's Check fails, so what it
// reads from dir afterwards holds all that an earlier owner acknowledged.
//
// A directory that another process holds is [persist.ErrLocked]. Other errors
// are the filesystem's; what was begun is then undone as far as it lets.
func Acquire(fsys afero.Fs, dir string) (*Owner, error) { return AcquireAbove(fsys, dir, 0) }

// AcquireAbove is [Acquire] with an epoch greater than floor: what a store
// found in the names of its files, whose marks may have been lost in a copy.
func AcquireAbove(fsys afero.Fs, dir string, floor uint64) (*Owner, error) {
	lock, err := lockFile(fsys, filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	o := &Owner{dir: dir, lock: lock, epoch: floor}
	if err := o.raise(fsys); err != nil {
		return nil, errors.Join(fmt.Errorf("raise the epoch of %s: %w", dir, err), o.Release())
	}
	return o, nil
}

// Epoch is the number of this ownership, 1 for the first: never the same twice
// for one directory.
func (o *Owner) Epoch() uint64 { return o.epoch }

// Locked says whether other processes are kept out by flock. If not, they are
// only fenced.
func (o *Owner) Locked() bool { return o.lock != nil }

// Check returns nil as long as no newer owner has taken the directory over,
// and [persist.ErrFenced] from then on. It costs one Stat. Any other error
// leaves open which it is.
func (o *Owner) Check(fsys afero.Fs) error {
	_, err := fsys.Stat(o.mark)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("epoch %d of %s: %w", o.epoch, o.dir, persist.ErrFenced)
	}
	if err != nil {
		return fmt.Errorf("check the epoch of %s: %w", o.dir, err)
	}
	return nil
}

// Release lets another process have the directory. The mark stays, so that
// epochs never repeat. A second Release does nothing.
func (o *Owner) Release() error {
	if o.lock == nil {
		return nil
	}
	lock := o.lock
	o.lock = nil
	return lock.Close() // which drops the flock: no other descriptor shares it
}

// raise creates the mark above all others, makes it durable, and removes the
// older ones.
func (o *Owner) raise(fsys afero.Fs) error {
	for {
		marks, err := readMarks(fsys, o.dir)
		if err != nil {
			return err
		}
		for _, m := range marks {
			o.epoch = max(o.epoch, m)
		}
		o.epoch++
		o.mark = markPath(o.dir, o.epoch)
		f, err := fsys.OpenFile(o.mark, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue // somebody raised it at the same time; go above
		}
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		if err := SyncDir(fsys, o.dir); err != nil {
			return err
		}
		overtaken, err := o.overtaken(fsys)
		if err != nil {
			return err
		}
		if overtaken {
			continue
		}
		for _, m := range marks {
			if err := fsys.Remove(markPath(o.dir, m)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	}
}

// overtaken says whether a higher mark is there, and then takes the own one
// back: its number may have been given out before, and its mark removed by the
// higher one's owner, after the marks were read here.
func (o *Owner) overtaken(fsys afero.Fs) (bool, error) {
	marks, err := readMarks(fsys, o.dir)
	if err != nil {
		return false, err
	}
	for _, m := range marks {
		if m <= o.epoch {
			continue
		}
		if err := fsys.Remove(o.mark); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return true, err
		}
		return true, nil
	}
	return false, nil
}

func readMarks(fsys afero.Fs, dir string) ([]uint64, error) {
	names, err := ReadNames(fsys, dir)
	if err != nil {
		return nil, err
	}
	var marks []uint64
	for _, name := range names {
		if epoch, ok := parseMark(name); ok {
			marks = append(marks, epoch)
		}
	}
	return marks, nil
}

func markPath(dir string, epoch uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s%0*x", markPrefix, markDigits, epoch))
}

func parseMark(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, markPrefix)
	if !ok || len(digits) != markDigits || strings.ToLower(digits) != digits {
		return 0, false
	}
	epoch, err := strconv.ParseUint(digits, 16, 64)
	return epoch, err == nil
}

// IsMark says whether a file of this name in an owned directory belongs to
// this package.
func IsMark(name string) bool {
	_, ok := parseMark(name)
	return ok || name == lockName
}

// ReadNames returns the names in dir, unsorted.
func ReadNames(fsys afero.Fs, dir string) ([]string, error) {
	d, err := fsys.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	return names, errors.Join(err, d.Close())
}

// SyncDir makes the names in dir durable. Windows has no such call and needs
// none: NTFS journals its directories.
func SyncDir(fsys afero.Fs, dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := fsys.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// MkdirAll creates dir and its missing ancestors and makes each durable in its
// parent. What exists already is synced into its parent as well, once: a crash
// may have come between its making and its sync.
func MkdirAll(fsys afero.Fs, dir string) error {
	var made []string
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		info, err := fsys.Stat(d)
		if err == nil && !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: d, Err: errors.New("not a directory")}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		made = append(made, d)
		if err == nil || d == filepath.Dir(d) {
			break
		}
	}
	for i := len(made) - 1; i >= 0; i-- {
		if err := fsys.Mkdir(made[i], 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			if info, statErr := fsys.Stat(made[i]); statErr != nil || !info.IsDir() {
				return err
			}
		}
		if parent := filepath.Dir(made[i]); parent != made[i] {
			if err := SyncDir(fsys, parent); err != nil && !errors.Is(err, fs.ErrPermission) {
				return err
			}
		}
	}
	return nil
}
