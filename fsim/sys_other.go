//go:build !linux

package fsim

// Open flags of Linux that have no portable name are not known elsewhere.
const (
	flagDirectory = 0
	flagNoFollow  = 0
	flagDataSync  = 0
)

// sys returns inode number, link count and owner.
func (fi *info) sys() any {
	uid, gid := fi.owner()
	return &Stat{Ino: uint64(fi.ino), Nlink: uint64(fi.links()), Uid: uint32(uid), Gid: uint32(gid)}
}
