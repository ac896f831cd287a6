package fsim

import (
	"io/fs"
	"time"
)

// chmod is chmod(2): for the owner and root, and without the setgid bit where
// the user is not in the group of a file.
func (d *Disk) chmod(v *view, path string, mode fs.FileMode) error {
	i, err := d.find(v, path, walkFollow)
	if err != nil {
		return err
	}
	d.needMeta(i)
	if v.uid != 0 && v.uid != int(i.uid) {
		return errNotPermitted
	}
	mode &= permBits
	if v.uid != 0 && !v.inGroup(int(i.gid)) {
		mode &^= fs.ModeSetgid
	}
	i.perm, i.ctime = mode, d.now()
	d.emit(&op{kind: opMeta, ino: i.ino, meta: i.meta()})
	return nil
}

// chown is chown(2), where -1 leaves an id as it is: root may give a file to
// anyone, an owner may give it to a group that he is in. Either way a file, but
// not a directory, loses its setuid bit, and its setgid bit where it matters
// (chown_common in fs/open.c and setattr_prepare in fs/attr.c of Linux).
func (d *Disk) chown(v *view, path string, uid, gid int) error {
	i, err := d.find(v, path, walkFollow)
	if err != nil {
		return err
	}
	d.needMeta(i)
	owner := v.uid == int(i.uid)
	if uid != -1 && v.uid != 0 && !(owner && uid == int(i.uid)) {
		return errNotPermitted
	}
	if gid != -1 && v.uid != 0 && !(owner && (gid == int(i.gid) || v.inGroup(gid))) {
		return errNotPermitted
	}
	perm := i.perm
	if !i.isDir() {
		perm &^= fs.ModeSetuid
		if perm&0o010 != 0 || (v.uid != 0 && !v.inGroup(int(i.gid))) {
			perm &^= fs.ModeSetgid
		}
	}
	if perm != i.perm && v.uid != 0 && !owner {
		return errNotPermitted
	}
	i.perm, i.ctime = perm, d.now()
	if uid != -1 {
		i.uid = int32(uid)
	}
	if gid != -1 {
		i.gid = int32(gid)
	}
	d.emit(&op{kind: opMeta, ino: i.ino, meta: i.meta()})
	return nil
}

// chtimes is utimensat(2) with explicit times; a zero time is left as it is,
// and two zero times check nothing at all.
func (d *Disk) chtimes(v *view, path string, atime, mtime time.Time) error {
	if hasNUL(path, "") {
		return errInvalid
	}
	if atime.IsZero() && mtime.IsZero() {
		return nil
	}
	i, err := d.find(v, path, walkFollow)
	if err != nil {
		return err
	}
	if v.uid != 0 {
		d.needMeta(i)
		if v.uid != int(i.uid) {
			return errNotPermitted
		}
	}
	d.needTimes(i)
	d.needMeta(i)
	if !atime.IsZero() {
		i.atime = atime.UnixNano()
		i.setAtime = i.atime
	}
	if !mtime.IsZero() {
		i.mtime = mtime.UnixNano()
		i.setMtime = i.mtime
	}
	i.ctime = d.now()
	d.emit(&op{kind: opMeta, ino: i.ino, meta: i.meta()})
	return nil
}

// needTimes makes sure that the times of i are known.
func (d *Disk) needTimes(i *inode) {
	if !i.lazyTime {
		return
	}
	i.lazyTime = false
	i.atime, i.mtime = baseTimes(d.base, i.ino)
	i.ctime = i.mtime
}

// baseTimes returns the times of an inode that only the base knows.
func baseTimes(b base, ino Ino) (atime, mtime int64) {
	m := b.meta(ino)
	atime, mtime = m.atime, m.mtime
	if mtime == 0 {
		mtime = b.modTime(ino)
	}
	if atime == 0 {
		atime = mtime
	}
	return atime, mtime
}
