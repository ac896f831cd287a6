package fsim

import (
	"io/fs"
	"syscall"
)

// Open flags of Linux that have no portable name.
const (
	flagDirectory = syscall.O_DIRECTORY
	flagNoFollow  = syscall.O_NOFOLLOW
	flagDataSync  = syscall.O_DSYNC
)

// sys returns the description as stat(2) gives it. Field types differ between
// processors, hence the conversions through unix* helpers.
func (fi *info) sys() any {
	atime, mtime := fi.times()
	uid, gid := fi.owner()
	st := &syscall.Stat_t{
		Ino: uint64(fi.ino), Uid: uint32(uid), Gid: uint32(gid), Mode: unixMode(fi.Mode()),
		Size: fi.Size(), Blksize: BlockSize, Blocks: (fi.Size() + 511) / 512,
		Atim: syscall.NsecToTimespec(atime), Mtim: syscall.NsecToTimespec(mtime),
		Ctim: syscall.NsecToTimespec(fi.ctime),
	}
	setLinks(&st.Nlink, fi.links())
	return st
}

// setLinks stores a link count, whose type is not the same everywhere.
func setLinks[T uint16 | uint32 | uint64](field *T, n int) { *field = T(n) }

// unixMode is the st_mode of a Go mode.
func unixMode(m fs.FileMode) uint32 {
	o := uint32(m.Perm())
	switch m.Type() {
	case fs.ModeDir:
		o |= syscall.S_IFDIR
	case fs.ModeSymlink:
		o |= syscall.S_IFLNK
	default:
		o |= syscall.S_IFREG
	}
	if m&fs.ModeSetuid != 0 {
		o |= syscall.S_ISUID
	}
	if m&fs.ModeSetgid != 0 {
		o |= syscall.S_ISGID
	}
	if m&fs.ModeSticky != 0 {
		o |= syscall.S_ISVTX
	}
	return o
}
