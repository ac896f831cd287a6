package fsim

import (
	"io/fs"
	"time"
)

// A Stat is what [fs.FileInfo.Sys] of a disk gives on systems other than
// Linux, and what [Inode] reads on all.
type Stat struct {
	// Ino is the number of the inode, unique on the disk and never reused.
	Ino uint64
	// Nlink is the number of names; of a directory, 2 and its subdirectories.
	Nlink uint64
	// Uid and Gid own the inode.
	Uid, Gid uint32
}

// An info is a FileInfo. What the base had not been asked for at the time of
// the call it asks for later, and answers as of the time of the call.
type info struct {
	name  string
	lazy  *lazyInfo // nil where everything is known
	ino   Ino
	size  int64
	atime int64
	mtime int64
	ctime int64
	mode  fs.FileMode
	uid   int32
	gid   int32
	nlink int32
}

// A lazyInfo says what is yet to be asked of the base.
type lazyInfo struct {
	base                     base
	meta, times, size, links bool
}

// info describes i as it is now.
func (d *Disk) info(i *inode, name string) *info {
	fi := &info{
		name: name, ino: i.ino, mode: i.kind | i.perm, uid: i.uid, gid: i.gid, nlink: i.nlink,
		size: i.size, atime: i.atime, mtime: i.mtime, ctime: i.ctime,
	}
	if i.isDir() {
		fi.size = BlockSize
	}
	if i.lazyMeta || i.lazyTime || i.lazySize || i.lazyLinks {
		fi.lazy = &lazyInfo{
			base: d.base, meta: i.lazyMeta, times: i.lazyTime,
			size: i.lazySize && !i.isDir(), links: i.lazyLinks,
		}
	}
	return fi
}

// Name returns the last element of the path that was asked for.
func (fi *info) Name() string { return fi.name }

// Size returns the length in bytes; of a directory, one block; of a symlink,
// the length of its target.
func (fi *info) Size() int64 {
	if fi.lazy == nil || !fi.lazy.size {
		return fi.size
	}
	if fi.mode.Type() == fs.ModeSymlink {
		return int64(len(fi.lazy.base.meta(fi.ino).target))
	}
	return fi.lazy.base.size(fi.ino)
}

// Mode returns type and permissions.
func (fi *info) Mode() fs.FileMode {
	if fi.lazy == nil || !fi.lazy.meta {
		return fi.mode
	}
	return fi.Type() | fi.lazy.base.meta(fi.ino).mode&permBits
}

// ModTime returns the time of the last change of the content.
func (fi *info) ModTime() time.Time {
	_, mtime := fi.times()
	return time.Unix(0, mtime)
}

// IsDir reports whether it is a directory.
func (fi *info) IsDir() bool { return fi.mode.IsDir() }

// Type returns the type bits alone, without asking for the permissions.
func (fi *info) Type() fs.FileMode { return fi.mode.Type() }

// Info returns fi itself, which makes it an [fs.DirEntry] too.
func (fi *info) Info() (fs.FileInfo, error) { return fi, nil }

// Sys returns *syscall.Stat_t on Linux and [*Stat] elsewhere.
func (fi *info) Sys() any { return fi.sys() }

func (fi *info) times() (atime, mtime int64) {
	if fi.lazy == nil || !fi.lazy.times {
		return fi.atime, fi.mtime
	}
	return baseTimes(fi.lazy.base, fi.ino)
}

func (fi *info) links() int {
	n := int(fi.nlink)
	if fi.lazy != nil && fi.lazy.links {
		n += fi.lazy.base.nlink(fi.ino)
	}
	return n
}

func (fi *info) owner() (uid, gid int) {
	if fi.lazy == nil || !fi.lazy.meta {
		return int(fi.uid), int(fi.gid)
	}
	m := fi.lazy.base.meta(fi.ino)
	return m.uid, m.gid
}

// Inode returns the inode number and the number of names of what fi describes;
// ok is false where fi does not come from a disk of this package.
func Inode(fi fs.FileInfo) (ino uint64, links int, ok bool) {
	i, ok := fi.(*info)
	if !ok {
		return 0, 0, false
	}
	return uint64(i.ino), i.links(), true
}
