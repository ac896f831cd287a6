package fsim

import "io/fs"

// A crash state is made of cells: one per directory entry, and per inode a size, its blocks and its metadata.
// Each cell keeps the versions that a cut may still choose: from the one that the last sync guarantees, the
// floor, to the newest. Times in this file count micro-operations from 1; time 0 is what the disk was mounted
// from, and the version of a cell at time t is the last one with a sequence number not above t.

type entryVer struct {
	seq int
	ino Ino // 0: no such name
}

type entryCell struct {
	dir  Ino
	name string
	vers []entryVer // the first is guaranteed, or a newer one
}

func (e *entryCell) at(t int) Ino {
	for i := len(e.vers) - 1; i > 0; i-- {
		if e.vers[i].seq <= t {
			return e.vers[i].ino
		}
	}
	return e.vers[0].ino
}

// held says whether a version not newer than t names ino.
func (e *entryCell) held(ino Ino, t int) bool {
	for _, v := range e.vers {
		if v.seq <= t && v.ino == ino {
			return true
		}
	}
	return false
}

type sizeVer struct {
	seq      int
	size     int64
	when     int64
	cut      bool // made by a truncate, or the size at birth
	fromBase bool // the base says how large
}

type blockVer struct {
	seq      int
	page     page
	fromBase bool  // page is the base's block, of which only the first lim bytes remain
	lim      int32 // with fromBase
	cut      bool  // a truncate took the whole block away: nothing was written
}

type blockCell struct {
	vers []blockVer
}

type metaVer struct {
	seq      int
	meta     meta
	fromBase bool
}

type truncation struct {
	seq  int
	size int64
}

type flush struct {
	seq int // the rename over an existing file
}

// inodeCells are the cells of one inode and what the tracker must know to raise their floors.
type inodeCells struct {
	ino      Ino
	fromBase bool
	born     int // sequence number of its birth
	mode     fs.FileMode
	sizes    []sizeVer
	blocks   map[int64]*blockCell
	dirty    []int64 // blocks with more than one version
	metas    []metaVer
	truncs   []truncation // kept from the one that the floor guarantees
	baseLim  int64        // bytes of the base's data that truncates below the floor have left
	flushes  []flush
	names    []*entryCell // every entry that ever named it

	dataFloor, metaFloor int  // times
	cutFloor             int  // truncates up to this time are durable, though data may not be
	failSeq, failFloor   int  // a failed sync: versions in (failFloor, failSeq] never become guaranteed
	lastChange, lastData int  // the last change that fsync, that fdatasync must make durable
	nlink                int  // entries that name it now, counted from 0 for an inode of the base
	sure                 bool // was durable once, and a name it must keep may have moved since
	refs                 int  // versions of entries that name it
	gone                 bool
}

// floorOf gives the index of the version that is guaranteed.
func floorOf[V any](in *inodeCells, vers []V, seq func(V) int, floor int) int {
	i := indexAt(vers, seq, floor)
	if in.failSeq > 0 && seq(vers[i]) > in.failFloor && seq(vers[i]) <= in.failSeq {
		return indexAt(vers, seq, in.failFloor)
	}
	return i
}

// indexAt gives the index of the version at time t: the last that is not newer, or the first of all.
func indexAt[V any](vers []V, seq func(V) int, t int) int {
	for i := len(vers) - 1; i > 0; i-- {
		if seq(vers[i]) <= t {
			return i
		}
	}
	return 0
}

// dropBefore drops the versions older than the one at time t.
func dropBefore[V any](vers []V, t int, seq func(V) int) []V {
	if i := indexAt(vers, seq, t); i > 0 {
		return append(vers[:0:0], vers[i:]...)
	}
	return vers
}

func sizeSeq(v sizeVer) int     { return v.seq }
func blockSeq(v blockVer) int   { return v.seq }
func metaSeq(v metaVer) int     { return v.seq }
func truncSeq(t truncation) int { return t.seq }

// block returns the versions of block i. Blocks that nobody wrote have none recorded; what truncates did to
// them follows from the truncates.
func (in *inodeCells) block(i int64) []blockVer {
	if c := in.blocks[i]; c != nil {
		return c.vers
	}
	return in.unwritten(i)
}

func (in *inodeCells) unwritten(i int64) []blockVer {
	if !in.fromBase {
		return []blockVer{{seq: in.born}}
	}
	lim := clampLim(in.baseLim - i*BlockSize)
	vers := []blockVer{{fromBase: lim > 0, lim: lim}}
	for _, t := range in.truncs {
		if l := clampLim(t.size - i*BlockSize); l < lim {
			lim = l
			vers = append(vers, blockVer{seq: t.seq, fromBase: lim > 0, lim: lim, cut: lim == 0})
		}
	}
	return vers
}

func clampLim(n int64) int32 { return int32(max(0, min(n, BlockSize))) }

// write adds a version of a block.
func (in *inodeCells) write(i int64, seq int, p page) {
	c := in.blocks[i]
	if c == nil {
		c = &blockCell{vers: in.unwritten(i)}
		if in.blocks == nil {
			in.blocks = map[int64]*blockCell{}
		}
		in.blocks[i] = c
		if len(c.vers) > 1 {
			in.dirty = append(in.dirty, i)
		}
	}
	in.push(i, c, blockVer{seq: seq, page: p})
}

func (in *inodeCells) push(i int64, c *blockCell, v blockVer) {
	if len(c.vers) == 1 {
		in.dirty = append(in.dirty, i)
	}
	c.vers = append(c.vers, v)
}

// cut adds what a truncate to size does to the blocks that have versions.
func (in *inodeCells) cut(seq int, size int64) {
	for i, c := range in.blocks {
		lim := clampLim(size - i*BlockSize)
		last := c.vers[len(c.vers)-1]
		next := blockVer{seq: seq, fromBase: last.fromBase && lim > 0, lim: min(last.lim, lim), cut: lim == 0}
		if !last.fromBase {
			next.page = last.page.cut(lim)
		}
		if next.page != last.page || next.fromBase != last.fromBase || next.lim != last.lim {
			in.push(i, c, next)
		}
	}
	in.truncs = append(in.truncs, truncation{seq, size})
}

// isHole says that nothing was ever allocated for this version.
func (v blockVer) isHole() bool { return v.page.p == nil && !v.fromBase }
