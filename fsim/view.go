package fsim

import (
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/spf13/afero"
)

// A view is the disk as one caller sees it: under a name in the trace, as a
// user.
type view struct {
	d      *Disk
	who    string
	uid    int
	gid    int
	groups []int
}

// As returns the same disk for a caller with a name, which the trace shows and
// faults may select. What it returns also implements [afero.Symlinker], has
// Link, As and AsUser, and may be used like the disk itself.
func (v *view) As(who string) afero.Fs {
	w := *v
	w.who = who
	return &w
}

// AsUser returns the same disk for a user other than root, with permissions
// enforced. The disk's own methods act as user 0, group 0.
func (v *view) AsUser(uid, gid int, groups ...int) afero.Fs {
	w := *v
	w.uid, w.gid, w.groups = uid, gid, groups
	return &w
}

func (v *view) inGroup(gid int) bool {
	if gid == v.gid {
		return true
	}
	for _, g := range v.groups {
		if g == gid {
			return true
		}
	}
	return false
}

// Create is OpenFile with O_RDWR, O_CREATE and O_TRUNC and permissions 0666.
func (v *view) Create(name string) (afero.File, error) {
	return v.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

// Open opens a file or directory for reading.
func (v *view) Open(name string) (afero.File, error) { return v.OpenFile(name, os.O_RDONLY, 0) }

// OpenFile opens a file as open(2) does. What it returns is a [*File].
func (v *view) OpenFile(name string, flag int, perm fs.FileMode) (afero.File, error) {
	c := cmd{v: v, Call: Call{Op: CallOpen, Path: name, Flag: flag, Mode: perm}}
	c.begin(flag&(os.O_CREATE|os.O_TRUNC) != 0)
	var f *File
	if c.run() {
		f, c.err = v.d.open(v, name, flag, perm)
	}
	if c.failed() && f != nil {
		f.release()
		f = nil
	}
	if err := c.end("open"); err != nil {
		return nil, err
	}
	return f, nil
}

// Mkdir creates a directory.
func (v *view) Mkdir(name string, perm fs.FileMode) error {
	c := cmd{v: v, Call: Call{Op: CallMkdir, Path: name, Mode: perm}}
	c.begin(true)
	if c.run() {
		c.err = v.d.mkdir(v, name, perm)
	}
	return c.end("mkdir")
}

// Remove removes a name, or an empty directory.
func (v *view) Remove(name string) error {
	c := cmd{v: v, Call: Call{Op: CallRemove, Path: name}}
	c.begin(true)
	if c.run() {
		c.err = v.d.remove(v, name)
	}
	return c.end("remove")
}

// Rename gives a file or directory another name, replacing a file of that name
// in one step; like os.Rename it replaces no directory.
func (v *view) Rename(oldname, newname string) error {
	c := cmd{v: v, Call: Call{Op: CallRename, Path: oldname, To: newname}}
	c.begin(true)
	if c.run() {
		c.err = v.d.rename(v, oldname, newname)
	}
	return c.endLink("rename")
}

// Link gives a file a further name. Errors are *[os.LinkError].
func (v *view) Link(oldname, newname string) error {
	c := cmd{v: v, Call: Call{Op: CallLink, Path: oldname, To: newname}}
	c.begin(true)
	if c.run() {
		c.err = v.d.hardlink(v, oldname, newname)
	}
	return c.endLink("link")
}

// SymlinkIfPossible makes newname a symlink to oldname.
func (v *view) SymlinkIfPossible(oldname, newname string) error {
	c := cmd{v: v, Call: Call{Op: CallSymlink, Path: oldname, To: newname}}
	c.begin(true)
	if c.run() {
		c.err = v.d.symlink(v, oldname, newname)
	}
	return c.endLink("symlink")
}

// ReadlinkIfPossible returns the target of a symlink.
func (v *view) ReadlinkIfPossible(name string) (string, error) {
	c := cmd{v: v, Call: Call{Op: CallReadlink, Path: name}}
	c.begin(false)
	target := ""
	if c.run() {
		target, c.err = v.d.readlink(v, name)
	}
	if err := c.end("readlink"); err != nil {
		return "", err
	}
	return target, nil
}

// Stat describes a file, following symlinks. The answer is that of the moment
// of the call; see [Inode] for the inode number.
func (v *view) Stat(name string) (fs.FileInfo, error) {
	return v.stat(name, CallStat, walkFollow)
}

// LstatIfPossible describes a file or symlink. It always can: the second
// result is true.
func (v *view) LstatIfPossible(name string) (fs.FileInfo, bool, error) {
	fi, err := v.stat(name, CallLstat, walkSelf)
	return fi, true, err
}

// statPlain is stat where nobody watches and the directory is remembered; it
// returns nil where it cannot tell.
func (v *view) statPlain(name string) (fi *info) {
	d := v.d
	if d.gate != nil || d.trace != nil || v.uid != 0 {
		return nil
	}
	d.mu.Lock()
	if !d.off && d.faults == nil {
		if s, ok := d.last.recall(name); ok && s.node != nil {
			d.calls++
			fi = d.info(s.node, s.name)
		}
	}
	d.mu.Unlock()
	return fi
}

func (v *view) stat(name string, k CallKind, mode walkMode) (fs.FileInfo, error) {
	if fi := v.statPlain(name); fi != nil {
		return fi, nil
	}
	c := cmd{v: v, Call: Call{Op: k, Path: name}}
	c.begin(false)
	var fi *info
	if c.run() {
		var i *inode
		if i, c.err = v.d.find(v, name, mode); c.err == nil {
			fi = v.d.info(i, baseName(name))
		}
	}
	if err := c.end(callNames[k]); err != nil {
		return nil, err
	}
	return fi, nil
}

// Chmod sets permissions, setuid, setgid and sticky bits.
func (v *view) Chmod(name string, mode fs.FileMode) error {
	c := cmd{v: v, Call: Call{Op: CallChmod, Path: name, Mode: mode}}
	c.begin(true)
	if c.run() {
		c.err = v.d.chmod(v, name, mode)
	}
	return c.end("chmod")
}

// Chown sets owner and group; -1 leaves one as it is.
func (v *view) Chown(name string, uid, gid int) error {
	c := cmd{v: v, Call: Call{Op: CallChown, Path: name, Off: int64(uid), Len: int64(gid)}}
	c.begin(true)
	if c.run() {
		c.err = v.d.chown(v, name, uid, gid)
	}
	return c.end("chown")
}

// Chtimes sets access and modification time; a zero time leaves one as it is.
func (v *view) Chtimes(name string, atime, mtime time.Time) error {
	c := cmd{v: v, Call: Call{Op: CallChtimes, Path: name}}
	c.begin(true)
	if c.run() {
		c.err = v.d.chtimes(v, name, atime, mtime)
	}
	return c.end("chtimes")
}

// SyncAll makes everything durable, as sync(2) does.
func (v *view) SyncAll() error {
	c := cmd{v: v, Call: Call{Op: CallSyncAll}}
	c.begin(false)
	if c.run() && !c.hit.lies() {
		v.d.syncAll()
	}
	return c.end("sync")
}

// baseName is the name that a FileInfo bears.
func baseName(name string) string {
	if name == "" {
		return "."
	}
	return path.Base(name)
}
