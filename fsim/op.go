package fsim

import "io/fs"

// Ino is the number of an inode. It is unique on a disk and never used again; 0 stands for no inode.
type Ino uint64

// rootIno is the directory that every path starts from. It exists in every state.
const rootIno Ino = 1

// BlockSize is the unit, in bytes, in which file data reaches the medium. SectorSize is the unit in which a
// power cut may tear one block.
const (
	BlockSize  = 4096
	SectorSize = 512
)

// opKind says which cells of the disk a micro-operation changes, or which promise it makes.
type opKind uint8

const (
	opInode     opKind = iota + 1 // ino is born with meta; it has no name yet
	opLink                        // entry (dir, name) becomes ino
	opUnlink                      // entry (dir, name) held ino and becomes empty
	opRename                      // entry (dir, name) becomes empty and (dir2, name2) becomes ino, in one step
	opWrite                       // one block of ino gets a new version, and the size may grow
	opTruncate                    // the size of ino becomes size; bytes beyond it are cut
	opMeta                        // mode, owner or explicit times of ino become meta
	opFsync                       // fsync of ino returned without error
	opFdatasync                   // fdatasync of ino returned without error
	opSyncAll                     // sync of the whole disk returned
	opAck                         // the workload was told something that it may now rely on
	opSyncFail                    // a sync of ino failed: what was dirty is clean now and is never retried
	opLost                        // like opWrite, but the block never reaches the medium and no sync covers it
	opRot                         // the medium's copy of a block has become page
)

var opNames = [...]string{
	opInode: "inode", opLink: "link", opUnlink: "unlink", opRename: "rename", opWrite: "write",
	opTruncate: "truncate", opMeta: "meta", opFsync: "fsync", opFdatasync: "fdatasync",
	opSyncAll: "syncall", opAck: "ack", opSyncFail: "syncfail",
	opLost: "lost", opRot: "rot",
}

func (k opKind) String() string {
	if int(k) < len(opNames) && opNames[k] != "" {
		return opNames[k]
	}
	return "unknown"
}

// op is one micro-operation: the smallest step between two of which the power may go. One call of the
// filesystem is one or several of them.
type op struct {
	kind        opKind
	call        int64  // the call of the trace that it belongs to, from 1; several may share one
	when        int64  // unix nanoseconds on the disk's clock
	ino         Ino    // the inode that it is about; for names, the one that the name points to
	dir, dir2   Ino    // the directories of name and name2
	name, name2 string // opLink, opUnlink: name; opRename: name becomes name2
	over        Ino    // opRename: the inode that was at (dir2, name2), or 0
	block       int64  // opWrite: index of the block; opFsync with n > 0: only n bytes from off of the block on are synced
	off, n      int32  // opWrite: bytes [off, off+n) of the block are new; opFsync: see block
	page        page   // opWrite: the whole new version of the block
	size        int64  // opWrite: the size afterwards; opTruncate: the new size
	meta        meta   // opInode, opMeta
	note        any    // opAck
}

// meta is what an inode holds besides its size and data. A time is 0 until it was set explicitly; the type
// in mode and the target of a symlink are born with the inode and never change.
type meta struct {
	mode         fs.FileMode
	uid, gid     int
	atime, mtime int64 // unix nanoseconds
	target       string
}

// dirent is one name in a directory.
type dirent struct {
	name string
	ino  Ino
}

// holder is a name that may stand for an inode.
type holder struct {
	dir  Ino
	name string
}

// recorder takes the micro-operations of a disk in their order. record runs under the disk's lock, must not
// call back, and must copy what it keeps; page contents below page.n never change.
type recorder interface {
	record(o *op)
}

// base is what a disk was mounted from. It is asked for a cell when the cell is first needed and always gives
// the same answer; it is safe for concurrent use. On a lazy base asking decides the cell.
type base interface {
	nextIno() Ino                    // the first number that no inode of the base bears
	lookup(dir Ino, name string) Ino // decides one entry
	names(dir Ino) []dirent          // decides every entry of dir; sorted by name
	mode(ino Ino) fs.FileMode        // type and mode at birth; decides nothing
	meta(ino Ino) meta               // decides the metadata
	size(ino Ino) int64              // decides the size
	block(ino Ino, index int64) page // decides the size, then one block
	nlink(ino Ino) int               // decides every entry that may hold ino
	holders(ino Ino) []holder        // the entries that may hold ino in some state, sorted; decides nothing
	modTime(ino Ino) int64           // implicit modification time; decides the size
}
