package fsim

import "io/fs"

// What names and inodes take of the capacity, in bytes.
const (
	inodeCost = 256
	nameCost  = 32
)

// maxLinks is the number of names that one file may have on ext4
// (EXT4_LINK_MAX, fs/ext4/ext4.h).
const maxLinks = 65000

// entryCost is what the entry for name takes of the capacity.
func entryCost(name string) int64 { return nameCost + int64(len(name)) }

// vacant resolves path to a name that does not exist yet and that the user may
// create, as filename_create and may_create in fs/namei.c of Linux do.
func (d *Disk) vacant(v *view, path string, wantDir bool) (spot, error) {
	s, err := d.walk(v, path, walkParent)
	if err != nil {
		return s, err
	}
	switch {
	case s.err != nil:
		return s, s.err
	case s.last != lastNormal || s.node != nil:
		return s, errExists
	case s.slash && !wantDir:
		return s, errNoEntry
	}
	return s, d.mayChange(v, s.dir)
}

// born makes a fresh inode with a name, taking over the group of a directory
// whose setgid bit is set.
func (d *Disk) born(v *view, s spot, kind, perm fs.FileMode, target string) (*inode, error) {
	if err := d.take(inodeCost + entryCost(s.name) + int64(len(target))); err != nil {
		return nil, err
	}
	gid := v.gid
	d.needMeta(s.dir)
	if s.dir.perm&fs.ModeSetgid != 0 {
		gid = int(s.dir.gid)
		if kind == fs.ModeDir {
			perm |= fs.ModeSetgid
		}
	}
	if kind == 0 && perm&fs.ModeSetgid != 0 && perm&0o010 != 0 && v.uid != 0 && !v.inGroup(gid) {
		perm &^= fs.ModeSetgid
	}
	i := d.newInode(kind, perm, v.uid, gid, target)
	if kind == fs.ModeDir {
		i.dir.parent = s.dir
		i.nlink = 1
		s.dir.nlink++
	}
	d.link(s.dir, s.name, i)
	return i, nil
}

// link makes name stand for i and tells the recorder.
func (d *Disk) link(dir *inode, name string, i *inode) {
	i.nlink++
	dir.setEntry(name, i)
	d.changed(dir)
	if d.rec != nil {
		d.emit(&op{kind: opLink, ino: i.ino, dir: dir.ino, name: name})
	}
}

// changed sets the implicit times of an inode whose content changed.
func (d *Disk) changed(i *inode) {
	now := d.now()
	i.mtime, i.ctime, i.setMtime, i.lazyTime = now, now, 0, false
}

// drop lets go of the space of an inode that no name and no handle holds.
func (d *Disk) drop(i *inode) {
	if i.opens > 0 {
		return
	}
	if i.lazyLinks {
		if d.capacity == 0 {
			return
		}
		d.needLinks(i)
	}
	if i.nlink > 0 {
		return
	}
	d.used -= inodeCost + int64(len(i.target)) + i.blocks*BlockSize
	i.blocks, i.slots, i.far, i.keep = 0, nil, nil, 0
}

func (d *Disk) mkdir(v *view, path string, perm fs.FileMode) error {
	s, err := d.vacant(v, path, true)
	if err != nil {
		return err
	}
	perm &= (fs.ModePerm | fs.ModeSticky) &^ d.umask
	_, err = d.born(v, s, fs.ModeDir, perm, "")
	return err
}

func (d *Disk) symlink(v *view, target, path string) error {
	if hasNUL(target, path) {
		return errInvalid
	}
	if target == "" {
		return errNoEntry
	}
	if len(target) >= maxPath {
		return errNameTooLong
	}
	s, err := d.vacant(v, path, false)
	if err != nil {
		return err
	}
	_, err = d.born(v, s, fs.ModeSymlink, 0o777, target)
	return err
}

// hardlink follows do_linkat and vfs_link in fs/namei.c of Linux, with
// fs.protected_hardlinks set, as every distribution sets it.
func (d *Disk) hardlink(v *view, from, to string) error {
	if hasNUL(from, to) {
		return errInvalid
	}
	i, err := d.find(v, from, walkSelf)
	if err != nil {
		return err
	}
	s, err := d.walk(v, to, walkParent)
	if err != nil {
		return err
	}
	switch {
	case s.err != nil:
		return s.err
	case s.last != lastNormal || s.node != nil:
		return errExists
	case s.slash:
		return errNoEntry
	}
	if err := d.mayLink(v, i); err != nil {
		return err
	}
	if err := d.mayChange(v, s.dir); err != nil {
		return err
	}
	if i.isDir() {
		return errNotPermitted
	}
	if i.nlink >= maxLinks {
		return errTooManyLinks
	}
	if err := d.take(entryCost(s.name)); err != nil {
		return err
	}
	i.ctime = d.now()
	d.link(s.dir, s.name, i)
	return nil
}

// mayLink keeps a user from linking to a file of someone else that he could
// not write to anyway.
func (d *Disk) mayLink(v *view, i *inode) error {
	if v.uid == 0 {
		return nil
	}
	d.needMeta(i)
	if int(i.uid) == v.uid {
		return nil
	}
	risky := i.kind != 0 || i.perm&fs.ModeSetuid != 0 ||
		i.perm&(fs.ModeSetgid|0o010) == fs.ModeSetgid|0o010
	if risky || d.may(v, i, mayRead|mayWrite) != nil {
		return errNotPermitted
	}
	return nil
}

// unlink is unlink(2).
func (d *Disk) unlink(v *view, path string) error {
	s, err := d.walk(v, path, walkParent)
	switch {
	case err != nil:
		return err
	case s.last != lastNormal:
		return errIsDir
	case s.err != nil:
		return s.err
	case s.node == nil:
		return errNoEntry
	case s.slash && s.node.isDir():
		return errIsDir
	case s.slash:
		return errNotDir
	}
	return d.unlinkAt(v, s.dir, s.name, s.node)
}

func (d *Disk) unlinkAt(v *view, dir *inode, name string, i *inode) error {
	if err := d.mayDelete(v, dir, i, false); err != nil {
		return err
	}
	d.unname(dir, name, i)
	return nil
}

// unname takes the name away and tells the recorder.
func (d *Disk) unname(dir *inode, name string, i *inode) {
	dir.setEntry(name, nil)
	d.changed(dir)
	d.used -= entryCost(name)
	i.nlink--
	i.ctime = d.now()
	if i.isDir() {
		i.nlink--
		dir.nlink--
		i.dir.gone = true
		d.last = lastDir{}
	}
	if d.rec != nil {
		d.emit(&op{kind: opUnlink, ino: i.ino, dir: dir.ino, name: name})
	}
	d.drop(i)
}

// rmdir is rmdir(2).
func (d *Disk) rmdir(v *view, path string) error {
	s, err := d.walk(v, path, walkParent)
	switch {
	case err != nil:
		return err
	case s.last == lastDot:
		return errInvalid
	case s.last == lastDotDot:
		return errNotEmpty
	case s.last == lastRoot:
		return errBusy
	case s.err != nil:
		return s.err
	case s.node == nil:
		return errNoEntry
	}
	return d.rmdirAt(v, s.dir, s.name, s.node)
}

func (d *Disk) rmdirAt(v *view, dir *inode, name string, i *inode) error {
	if err := d.mayDelete(v, dir, i, true); err != nil {
		return err
	}
	if !d.isEmpty(i) {
		return errNotEmpty
	}
	d.unname(dir, name, i)
	return nil
}

// remove is os.Remove: unlink, then rmdir, and of two errors the telling one.
func (d *Disk) remove(v *view, path string) error {
	err := d.unlink(v, path)
	if err == nil {
		return nil
	}
	err2 := d.rmdir(v, path)
	if err2 == nil {
		return nil
	}
	if err2 != errNotDir {
		err = err2
	}
	return err
}

// rename is os.Rename: it refuses to replace a directory, then does what
// rename(2) does.
func (d *Disk) rename(v *view, from, to string) error {
	if n, err := d.find(v, to, walkSelf); err == nil && n.isDir() {
		o, err := d.find(v, from, walkSelf)
		if err != nil {
			return err
		}
		if from == to || n != o {
			return errExists
		}
	}
	return d.renamePlain(v, from, to)
}

// renamePlain follows do_renameat2 and vfs_rename in fs/namei.c of Linux,
// order of errors included.
func (d *Disk) renamePlain(v *view, from, to string) error {
	if hasNUL(from, to) {
		return errInvalid
	}
	a, err := d.walk(v, from, walkParent)
	if err != nil {
		return err
	}
	b, err := d.walk(v, to, walkParent)
	switch {
	case err != nil:
		return err
	case a.last != lastNormal || b.last != lastNormal:
		return errBusy
	case a.err != nil:
		return a.err
	case a.node == nil:
		return errNoEntry
	case b.err != nil:
		return b.err
	case !a.node.isDir() && (a.slash || b.slash):
		return errNotDir
	case a.node.isDir() && b.dir.isBelow(a.node):
		return errInvalid
	case b.node != nil && b.node.isDir() && a.dir.isBelow(b.node):
		return errNotEmpty
	case a.node == b.node:
		return nil
	}
	if err := d.mayRename(v, a, b); err != nil {
		return err
	}
	if b.node != nil && b.node.isDir() && !d.isEmpty(b.node) {
		return errNotEmpty
	}
	if b.node == nil {
		if err := d.take(entryCost(b.name)); err != nil {
			return err
		}
	}
	d.move(a, b)
	return nil
}

// mayRename checks the permissions for a rename.
func (d *Disk) mayRename(v *view, a, b spot) error {
	err := d.mayDelete(v, a.dir, a.node, a.node.isDir())
	if err != nil {
		return err
	}
	if b.node == nil {
		err = d.mayChange(v, b.dir)
	} else {
		err = d.mayDelete(v, b.dir, b.node, a.node.isDir())
	}
	if err == nil && a.node.isDir() && a.dir != b.dir {
		err = d.may(v, a.node, mayWrite)
	}
	return err
}

// move takes the inode from one spot to the other, replacing what is there,
// and tells the recorder.
func (d *Disk) move(a, b spot) {
	a.dir.setEntry(a.name, nil)
	b.dir.setEntry(b.name, a.node)
	d.used -= entryCost(a.name)
	d.changed(a.dir)
	d.changed(b.dir)
	a.node.ctime = d.now()
	if a.node.isDir() {
		d.last = lastDir{}
		a.node.dir.parent = b.dir
		a.dir.nlink--
		b.dir.nlink++
	}
	over := Ino(0)
	if b.node != nil {
		over = b.node.ino
		b.node.nlink--
		b.node.ctime = d.now()
		if b.node.isDir() {
			b.node.dir.gone = true
			b.node.nlink--
			b.dir.nlink--
		}
	}
	if d.rec != nil {
		d.emit(&op{
			kind: opRename, ino: a.node.ino, over: over,
			dir: a.dir.ino, name: a.name, dir2: b.dir.ino, name2: b.name,
		})
	}
	if b.node != nil {
		d.drop(b.node)
	}
}
