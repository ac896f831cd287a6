package fsim

import (
	"io/fs"
	"sort"
)

// farBlock bounds the gap that the dense table of blocks may bridge: a block
// further out goes into a map, so that a sparse file costs what it holds.
const farBlock = 1024

// An inode is one file, directory or symlink of the live disk. What came from
// the disk's base and was not asked for yet is marked as lazy.
type inode struct {
	ino   Ino
	kind  fs.FileMode // the type bits alone, known from birth
	perm  fs.FileMode // permission, setuid, setgid and sticky bits
	uid   int32
	gid   int32
	nlink int32 // relative to the base's count while lazyLinks
	opens int32 // open handles

	lazyMeta  bool // perm, uid, gid and target are the base's
	lazyTime  bool // the times are the base's
	lazySize  bool // size is the base's
	lazyLinks bool // nlink counts from the base's

	size     int64
	atime    int64 // nanoseconds since 1970
	mtime    int64
	ctime    int64
	setAtime int64 // the times as Chtimes set them, 0 where a later change overtook it
	setMtime int64
	target   string // of a symlink

	slots  []slot          // blocks 0, 1, 2 …
	far    map[int64]*slot // blocks beyond the dense table
	keep   int64           // bytes below this one that no slot covers are the base's
	blocks int64           // blocks allocated on this mount

	dirty map[int64]slot // what the medium holds of blocks that are yet to be written
	stale map[int64]slot // and of blocks that pass for written
	bad   map[int64]bool // blocks that cannot be read

	errSeq    uint64 // counts failed syncs of this file
	errUnseen bool   // the last of them was reported to no handle yet

	dir *directory // of a directory only
}

// A slot holds the newest version of one block.
type slot struct {
	p    *[BlockSize]byte
	n    int16 // bytes [0,n) of p count; while lazy, of the base's block
	hw   int16 // bytes [0,hw) of p were handed out and must not be written
	lazy bool  // p has not been asked for yet
	paid bool  // the block was taken from the capacity
}

func (s *slot) page() page { return page{p: s.p, n: int32(s.n)} }

// A directory is the part of an inode that only directories have.
type directory struct {
	parent  *inode            // itself for the root
	entries map[string]*inode // nil value: known to be absent, while lazy
	lazy    bool              // names without an entry are the base's to tell
	gone    bool              // it was removed
}

func (i *inode) isDir() bool     { return i.dir != nil }
func (i *inode) isSymlink() bool { return i.kind == fs.ModeSymlink }

// permBits are the bits of a mode that chmod can set.
const permBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// newInode makes a fresh inode of the given type and tells the recorder.
func (d *Disk) newInode(kind, perm fs.FileMode, uid, gid int, target string) *inode {
	now := d.now()
	i := &inode{
		ino: d.nextIno, kind: kind, perm: perm, uid: int32(uid), gid: int32(gid),
		atime: now, mtime: now, ctime: now, target: target, size: int64(len(target)),
	}
	d.nextIno++
	if kind == fs.ModeDir {
		i.dir = &directory{entries: map[string]*inode{}}
	}
	if d.rec != nil {
		d.emit(&op{kind: opInode, ino: i.ino, meta: i.meta()})
	}
	return i
}

// meta returns the metadata of i as the recorder wants it.
func (i *inode) meta() meta {
	return meta{
		mode: i.kind | i.perm, uid: int(i.uid), gid: int(i.gid),
		atime: i.setAtime, mtime: i.setMtime, target: i.target,
	}
}

// load returns the live inode for an inode of the base.
func (d *Disk) load(ino Ino, parent *inode) *inode {
	if i, ok := d.loaded[ino]; ok {
		return i
	}
	i := &inode{
		ino: ino, kind: d.base.mode(ino) & fs.ModeType,
		lazyMeta: true, lazyTime: true, lazySize: true, lazyLinks: true,
	}
	if i.kind == fs.ModeDir {
		i.dir = &directory{parent: parent, entries: map[string]*inode{}, lazy: true}
	}
	d.loaded[ino] = i
	return i
}

// needMeta makes sure that the metadata of i is known.
func (d *Disk) needMeta(i *inode) {
	if !i.lazyMeta {
		return
	}
	i.lazyMeta = false
	m := d.base.meta(i.ino)
	i.perm, i.uid, i.gid, i.target = m.mode&permBits, int32(m.uid), int32(m.gid), m.target
	if i.isSymlink() {
		i.lazySize, i.size = false, int64(len(i.target))
	}
}

// needSize makes sure that the size of i is known, and returns it.
func (d *Disk) needSize(i *inode) int64 {
	if i.lazySize {
		i.lazySize = false
		i.size = d.base.size(i.ino)
		i.keep = i.size
	}
	return i.size
}

// needLinks makes sure that the link count of i is known, and returns it.
func (d *Disk) needLinks(i *inode) int32 {
	if i.lazyLinks {
		i.lazyLinks = false
		i.nlink += int32(d.base.nlink(i.ino))
	}
	return i.nlink
}

// entry returns the inode that name stands for in the directory, or nil.
func (d *Disk) entry(dir *inode, name string) *inode {
	i, ok := dir.dir.entries[name]
	if ok || !dir.dir.lazy {
		return i
	}
	ino := d.base.lookup(dir.ino, name)
	if ino != 0 {
		i = d.load(ino, dir)
	}
	dir.dir.entries[name] = i
	return i
}

// setEntry makes name stand for i in the directory; a nil i removes it.
func (dir *inode) setEntry(name string, i *inode) {
	if i == nil && !dir.dir.lazy {
		delete(dir.dir.entries, name)
		return
	}
	dir.dir.entries[name] = i
}

// list asks the base for all names of the directory it has not told yet.
func (d *Disk) list(dir *inode) {
	if !dir.dir.lazy {
		return
	}
	dir.dir.lazy = false
	for _, e := range d.base.names(dir.ino) {
		if _, ok := dir.dir.entries[e.name]; !ok {
			dir.dir.entries[e.name] = d.load(e.ino, dir)
		}
	}
	for name, i := range dir.dir.entries {
		if i == nil {
			delete(dir.dir.entries, name)
		}
	}
}

// names returns the names in the directory, sorted.
func (d *Disk) names(dir *inode) []string {
	d.list(dir)
	names := make([]string, 0, len(dir.dir.entries))
	for name := range dir.dir.entries {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// isEmpty reports whether the directory has no entries.
func (d *Disk) isEmpty(dir *inode) bool {
	d.list(dir)
	return len(dir.dir.entries) == 0
}
