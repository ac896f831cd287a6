package fsim

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnknownProfile says that a name is not that of a profile.
var ErrUnknownProfile = errors.New("unknown profile")

// A Profile is a table of rules that say which states a power cut may leave behind. Profiles are values that
// never change; compare them by pointer. The nil *Profile means [Linux].
//
// The rules were read from kernel sources and documents and compared with mounted images of cut-off disks on
// Linux 6.18. Where a state was never seen but nothing forbids it, the profile allows it.
type Profile struct {
	name string
	rules
}

// nameOrder says how directory entries relate to each other after a cut.
type nameOrder uint8

const (
	// namesPrefix: entries, births, truncates and metadata are those after some prefix of the operations.
	// XFS logs delayed items in commit order; ext4's journal commits whole transactions
	// (Documentation/filesystems/xfs/xfs-delayed-logging-design.rst, Documentation/filesystems/ext4/journal.rst).
	namesPrefix nameOrder = iota + 1
	// namesLinked: entries are independent of each other, but an inode that was durable and always had a
	// name keeps one, and a directory has exactly one. btrfs replays a log of single inodes over the last
	// committed tree (fs/btrfs/tree-log.c).
	namesLinked
	// namesFree: entries are independent, and a rename may even lose both names. POSIX.1-2017 promises
	// nothing about the order of directory updates (fsync, rename: rationale). A directory still never has
	// two parents.
	namesFree
)

// Tear says how one block that was not synced may be torn between two versions.
type Tear uint8

const (
	TearEnds Tear = iota // the first k sectors new, or the last k: 16 values for two versions of a block
	TearNone             // whole blocks only
	TearAny              // every sector for itself: 256 values for two versions of a block
)

type rules struct {
	// order of the names; see nameOrder.
	order nameOrder
	// dataInOrder: file data is in the one order too: ext4 data=journal writes data blocks to the journal
	// with the metadata that came before them (Documentation/admin-guide/ext4.rst, data=journal). Writes of
	// several blocks are still cut at blocks.
	dataInOrder bool
	// tear of an unsynced block. Disks promise a sector, not a page. btrfs writes elsewhere and switches
	// trees (COW), and a journal is checksummed: there a block is whole.
	tear Tear
	// sizeBeforeData: the size may be durable before the bytes below it, which then read zero. ext4 journals
	// the size of an append within an allocated block at write(); XFS and btrfs move the size after the data
	// (xfs_setfilesize at I/O completion; btrfs ordered extents), so the tail is never zero there.
	sizeBeforeData bool
	// cutReturns: bytes that a truncate cut may be seen again once the file was extended. ext4
	// data=writeback does not order data against commits (Documentation/admin-guide/ext4.rst).
	cutReturns bool
	// replaceWaits: a rename over an existing file is durable only together with the newly allocated data of
	// the file that was renamed: ext4's auto_da_alloc, on by default (Documentation/admin-guide/ext4.rst).
	replaceWaits bool
	// fileSyncNames: fsync of a file also makes the names durable that it had at its last change, and new
	// directories above them. XFS and ext4 force the log up to that change; btrfs logs names and new
	// ancestors (fs/btrfs/tree-log.c, btrfs_log_inode_parent). POSIX does not promise it.
	fileSyncNames bool
	// garbage: a newly allocated block may hold bytes that were never written to it. POSIX leaves it open;
	// no certified file system showed it.
	garbage bool
	// lostSizeStays: data that a failed sync has given up may be missing below a size that grew with it. On
	// btrfs an append whose sync failed keeps its size and reads zeros after a later sync that succeeds; on XFS
	// the size goes back.
	lostSizeStays bool
	// partialTruncate: a truncate may have moved the size only to a block boundary on its way. POSIX.
	partialTruncate bool
}

// The profiles. Each is contained in Linux, and Linux in POSIX: what survives every state of the wider one
// survives every state of the narrower.
var (
	// Linux is the default: the weakest closure of the file systems below, so that code which is safe on it
	// is safe on each of them.
	Linux = &Profile{"linux", rules{order: namesLinked, tear: TearEnds, sizeBeforeData: true, cutReturns: true,
		fileSyncNames: true}}
	// Ext4 is ext4 as mounted by default: data=ordered, delayed allocation, auto_da_alloc.
	Ext4 = &Profile{"ext4", rules{order: namesPrefix, tear: TearEnds, sizeBeforeData: true, replaceWaits: true,
		fileSyncNames: true}}
	// Ext4Writeback is ext4 with data=writeback. One thing that a kernel was seen to do is in no profile: blocks
	// freed by a truncate or removal that is not durable yet are reused at once, so that the old file may show
	// bytes of another one (ext4_free_blocks in fs/ext4/mballoc.c).
	Ext4Writeback = &Profile{"ext4-writeback", rules{order: namesPrefix, tear: TearEnds, sizeBeforeData: true,
		cutReturns: true, fileSyncNames: true}}
	// Ext4Journal is ext4 with data=journal.
	Ext4Journal = &Profile{"ext4-journal", rules{order: namesPrefix, dataInOrder: true, tear: TearNone,
		fileSyncNames: true}}
	// XFS is XFS with its default options.
	XFS = &Profile{"xfs", rules{order: namesPrefix, tear: TearEnds, fileSyncNames: true}}
	// Btrfs is btrfs with its default options, copy on write included.
	Btrfs = &Profile{"btrfs", rules{order: namesLinked, tear: TearNone, fileSyncNames: true, lostSizeStays: true}}
	// POSIX promises what POSIX.1-2017 promises and no more.
	POSIX = &Profile{"posix", rules{order: namesFree, tear: TearEnds, sizeBeforeData: true, cutReturns: true,
		garbage: true, partialTruncate: true}}
)

// Profiles returns every profile of this package, from the default to the weakest. The caller owns the slice.
func Profiles() []*Profile {
	return []*Profile{Linux, Ext4, Ext4Writeback, Ext4Journal, XFS, Btrfs, POSIX}
}

// ParseProfile finds the profile that prints as name, a tear suffix included. Any other name is an error
// that wraps [ErrUnknownProfile].
func ParseProfile(name string) (*Profile, error) {
	plain, suffix, has := strings.Cut(name, "+")
	for _, p := range Profiles() {
		if p.name != plain {
			continue
		}
		if !has {
			return p, nil
		}
		for t, s := range tearNames {
			if s == suffix {
				return p.WithTear(t), nil
			}
		}
	}
	return nil, fmt.Errorf("parse profile %q: %w", name, ErrUnknownProfile)
}

var tearNames = map[Tear]string{TearEnds: "tearends", TearNone: "tearnone", TearAny: "tearany"}

// WithTear returns the profile with another model of torn blocks. Its name says so.
func (p *Profile) WithTear(t Tear) *Profile {
	q := *p.orLinux()
	plain, _, _ := strings.Cut(q.name, "+")
	for _, o := range Profiles() {
		if o.name == plain && o.tear == t {
			return o
		}
	}
	q.name, q.tear = plain+"+"+tearNames[t], t
	return &q
}

// String returns the name, such as "ext4-writeback".
func (p *Profile) String() string { return p.orLinux().name }

// Model says in one line relative to which tears and fills a claim of exhaustion is meant.
func (p *Profile) Model() string {
	p = p.orLinux()
	tear := map[Tear]string{
		TearEnds: "unsynced blocks whole or torn between two versions after the first k or before the last k sectors",
		TearNone: "blocks whole",
		TearAny:  "unsynced blocks torn between two versions at any set of sectors",
	}[p.tear]
	fill := "unwritten bytes zero"
	if p.garbage {
		fill = "unwritten blocks zero or one garbage pattern"
	}
	return tear + "; " + fill
}

func (p *Profile) orLinux() *Profile {
	if p == nil {
		return Linux
	}
	return p
}
