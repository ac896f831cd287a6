// Package billytest runs the conformance suite of another filesystem
// interface, go-billy, over the simulated disk. It is a module of its own, so
// that nobody who uses the disk depends on the suite.
package billytest

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/helper/chroot"
	"github.com/go-git/go-billy/v5/test"
	"github.com/go-git/go-billy/v5/util"
	"github.com/spf13/afero"
	"gopkg.in/check.v1"

	"github.com/understudy-go/understudy/fsim"
)

func Test(t *testing.T) { check.TestingT(t) }

// The suite runs twice: on the disk beneath the chroot helper of go-billy, as
// its own filesystems do, and as another user than root.
var (
	_ = check.Suite(&suite{as: func(d *fsim.Disk) afero.Fs { return d }})
	_ = check.Suite(&suite{as: func(d *fsim.Disk) afero.Fs { return d.AsUser(1000, 1000) }})
)

type suite struct {
	test.FilesystemSuite
	as func(d *fsim.Disk) afero.Fs
}

func (s *suite) SetUpTest(c *check.C) {
	d := fsim.New(fsim.Linux)
	c.Assert(d.Mkdir("/work", 0o777), check.IsNil)
	c.Assert(d.Chmod("/work", 0o777), check.IsNil)
	s.FilesystemSuite = test.NewFilesystemSuite(chroot.New(adapter{s.as(d)}, "/work"))
}

// An adapter is a filesystem of afero as one of go-billy. Where the interfaces
// part it does what go-billy's own osfs does over package os: it creates the
// directories above a file that is created, renamed or linked to.
type adapter struct{ fs afero.Fs }

func (a adapter) Create(name string) (billy.File, error) {
	return a.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

func (a adapter) Open(name string) (billy.File, error) { return a.OpenFile(name, os.O_RDONLY, 0) }

func (a adapter) OpenFile(name string, flag int, perm os.FileMode) (billy.File, error) {
	if flag&os.O_CREATE != 0 {
		if err := a.parents(name); err != nil {
			return nil, err
		}
	}
	f, err := a.fs.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (a adapter) parents(name string) error {
	if dir := path.Dir(name); dir != "." {
		return a.fs.MkdirAll(dir, 0o755)
	}
	return nil
}

func (a adapter) Stat(name string) (os.FileInfo, error) { return a.fs.Stat(name) }

func (a adapter) Lstat(name string) (os.FileInfo, error) {
	fi, _, err := a.fs.(afero.Lstater).LstatIfPossible(name)
	return fi, err
}

func (a adapter) Rename(from, to string) error {
	if err := a.parents(to); err != nil {
		return err
	}
	return a.fs.Rename(from, to)
}

func (a adapter) Remove(name string) error { return a.fs.Remove(name) }

func (a adapter) Join(elem ...string) string { return filepath.Join(elem...) }

func (a adapter) TempFile(dir, prefix string) (billy.File, error) {
	if err := a.fs.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := afero.TempFile(a.fs, dir, prefix)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (a adapter) ReadDir(name string) ([]os.FileInfo, error) { return afero.ReadDir(a.fs, name) }

func (a adapter) MkdirAll(name string, perm os.FileMode) error { return a.fs.MkdirAll(name, perm) }

func (a adapter) Symlink(target, link string) error {
	if err := a.parents(link); err != nil {
		return err
	}
	return a.fs.(afero.Linker).SymlinkIfPossible(target, link)
}

func (a adapter) Readlink(name string) (string, error) {
	return a.fs.(afero.LinkReader).ReadlinkIfPossible(name)
}

type file struct{ afero.File }

func (f file) Lock() error   { return nil }
func (f file) Unlock() error { return nil }

func TestRemoveAllOfTheSuiteLeavesNothing(t *testing.T) {
	d := fsim.New(fsim.Linux)
	a := chroot.New(adapter{d}, "/")
	for _, name := range []string{"a/b/c", "a/b/d", "a/e"} {
		if err := util.WriteFile(a, name, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := util.RemoveAll(a, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Stat("/a"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, c := range d.Trace() {
		if strings.Contains(c.String(), "\n") {
			t.Errorf("a call is not one line: %q", c)
		}
	}
}
