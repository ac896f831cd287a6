package fsim

import (
	"io/fs"
	"os"
)

// accessMode are the bits of the open flags that say read, write or both.
const accessMode = os.O_RDONLY | os.O_WRONLY | os.O_RDWR

// open is open(2): path_openat and do_open in fs/namei.c of Linux, order of
// errors included.
func (d *Disk) open(v *view, path string, flag int, perm fs.FileMode) (*File, error) {
	mode := walkFollow
	if flag&os.O_CREATE != 0 {
		mode = walkCreate
	}
	if flag&flagNoFollow != 0 {
		mode = walkSelf
	}
	if flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL {
		mode = walkParent
	}
	s, err := d.walk(v, path, mode)
	if err != nil {
		return nil, err
	}
	if flag&os.O_CREATE != 0 && s.slash && s.last == lastNormal {
		return nil, errIsDir
	}
	if s.err != nil {
		return nil, s.err
	}
	if s.node == nil {
		if flag&os.O_CREATE == 0 {
			return nil, errNoEntry
		}
		return d.create(v, s, path, flag, perm)
	}
	if s.slash && !s.node.isDir() {
		return nil, errNotDir
	}
	if err := d.mayOpen(v, s.node, flag); err != nil {
		return nil, err
	}
	if flag&os.O_TRUNC != 0 {
		d.stripSetID(v, s.node)
		d.truncate(s.node, 0)
	}
	return d.handle(v, s.node, path, flag), nil
}

// create makes the file that open did not find, and opens it whatever its
// permissions are.
func (d *Disk) create(v *view, s spot, path string, flag int, perm fs.FileMode) (*File, error) {
	if s.last != lastNormal {
		return nil, errIsDir
	}
	if err := d.mayChange(v, s.dir); err != nil {
		return nil, err
	}
	i, err := d.born(v, s, 0, perm&permBits&^d.umask, "")
	if err != nil {
		return nil, err
	}
	return d.handle(v, i, path, flag), nil
}

// mayOpen checks what open asks of an existing file.
func (d *Disk) mayOpen(v *view, i *inode, flag int) error {
	if flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL {
		return errExists
	}
	if i.isDir() && flag&os.O_CREATE != 0 {
		return errIsDir
	}
	if flagDirectory != 0 && flag&flagDirectory != 0 && !i.isDir() {
		return errNotDir
	}
	if i.isSymlink() {
		return errLoop
	}
	want := mayRead
	switch flag & accessMode {
	case os.O_WRONLY:
		want = mayWrite
	case os.O_RDWR:
		want = mayRead | mayWrite
	}
	if flag&os.O_TRUNC != 0 {
		want |= mayWrite
	}
	if i.isDir() && want&mayWrite != 0 {
		return errIsDir
	}
	return d.may(v, i, want)
}

// handle opens a handle on the inode.
func (d *Disk) handle(v *view, i *inode, path string, flag int) *File {
	i.opens++
	d.handles++
	f := &File{v: v, i: i, name: path, flag: flag, number: d.handles, errSeen: i.errSeq}
	if i.errUnseen {
		f.errSeen--
	}
	return f
}

// readlink is readlink(2).
func (d *Disk) readlink(v *view, path string) (string, error) {
	i, err := d.find(v, path, walkSelf)
	if err != nil {
		return "", err
	}
	if !i.isSymlink() {
		return "", errInvalid
	}
	d.needMeta(i)
	return i.target, nil
}
