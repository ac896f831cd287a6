package fsim

import (
	"slices"
)

// pruneData drops versions below the last sync of the whole disk.
func (t *tracker) pruneData(in *inodeCells) {
	if t.allSync > in.dataFloor {
		in.dataFloor = t.allSync
		t.dropData(in)
	}
}

// dropData drops the versions of sizes and blocks below the data floor.
func (t *tracker) dropData(in *inodeCells) {
	if in.failSeq > 0 {
		return
	}
	f := in.dataFloor
	in.sizes = dropBefore(in.sizes, f, sizeSeq)
	if i := indexAt(in.truncs, truncSeq, f); i > 0 {
		for _, tr := range in.truncs[:i+1] {
			in.baseLim = min(in.baseLim, tr.size)
		}
		in.truncs = append(in.truncs[:0:0], in.truncs[i:]...)
	}
	dirty := in.dirty[:0]
	for _, b := range in.dirty {
		c := in.blocks[b]
		if c.vers = dropBefore(c.vers, f, blockSeq); len(c.vers) > 1 {
			dirty = append(dirty, b)
		}
	}
	in.dirty = dirty
}

// sync raises the floors that fsync or fdatasync of one inode raises.
func (t *tracker) sync(o *op) {
	in := t.inode(o.ino)
	if o.n > 0 {
		t.syncRange(in, o.block*BlockSize+int64(o.off), int64(o.n))
	} else {
		in.dataFloor = t.n
		t.dropData(in)
	}
	change := in.lastData
	if o.kind == opFsync {
		change = in.lastChange
		in.metaFloor = t.n
		in.metas = dropBefore(in.metas, t.n, metaSeq)
	}
	switch {
	case t.p.order == namesPrefix:
		t.floorM = max(t.floorM, change)
		t.dropMarks()
		return
	case t.p.fileSyncNames:
		t.syncNames(in, change)
	}
	if d := t.dirs[in.ino]; d != nil && o.kind == opFsync {
		for _, e := range d.dirty {
			t.pruneEntry(e, t.n)
		}
		d.dirty = slices.DeleteFunc(d.dirty, func(e *entryCell) bool { return len(e.vers) == 1 })
	}
}

// syncRange is the data part of a write with O_SYNC: the pages of that write and the size up to its end. Older
// dirty pages elsewhere in the file stay unpromised (generic_write_sync in include/linux/fs.h).
func (t *tracker) syncRange(in *inodeCells, off, n int64) {
	t.pruneData(in)
	if in.failSeq > 0 {
		return
	}
	if last := len(in.truncs) - 1; last >= 0 {
		in.cutFloor = max(in.cutFloor, in.truncs[last].seq)
		in.sizes = dropBefore(in.sizes, in.truncs[last].seq, sizeSeq)
	}
	for i := len(in.sizes) - 1; i >= 0; i-- {
		size := in.sizes[i].size
		if in.sizes[i].fromBase {
			size = t.base.size(in.ino)
		}
		if size < off+n {
			in.sizes = append(in.sizes[:0:0], in.sizes[i+1:]...)
			break
		}
	}
	for b := off / BlockSize; b*BlockSize < off+n; b++ {
		if c := in.blocks[b]; c != nil {
			c.vers = append(c.vers[:0:0], c.vers[len(c.vers)-1])
		}
	}
	in.dirty = slices.DeleteFunc(in.dirty, func(b int64) bool { return len(in.blocks[b].vers) == 1 })
}

// syncNames makes the names that in has at time at durable, drops the ones that it no longer had then, and
// does the same for directories above them that may not be there otherwise.
func (t *tracker) syncNames(in *inodeCells, at int) {
	for _, e := range in.names {
		if !e.held(in.ino, at) {
			continue
		}
		raise := e.at(at) == in.ino
		t.pruneEntry(e, at)
		if dir := t.inode(e.dir); raise && !t.durable(dir) {
			t.syncNames(dir, at)
		}
	}
}

// durable says whether a state without in is already ruled out: a name of it is guaranteed, or was and in
// always had one since.
func (t *tracker) durable(in *inodeCells) bool {
	if in.ino == rootIno {
		return true
	}
	if t.isGone(in) {
		return false
	}
	if in.sure || in.fromBase && len(in.names) == 0 {
		return true
	}
	for _, e := range in.names {
		t.pruneEntry(e, t.entryFloor())
		if e.vers[0].ino == in.ino {
			return true
		}
	}
	return false
}

// isGone says whether in has no name left.
func (t *tracker) isGone(in *inodeCells) bool {
	if !in.fromBase || len(in.names) == 0 {
		return in.gone
	}
	for _, e := range in.names {
		if e.vers[len(e.vers)-1].ino == in.ino {
			return false
		}
	}
	return !t.namedInBase(in)
}

// namedInBase says whether the base has a name of in that nothing has changed since.
func (t *tracker) namedInBase(in *inodeCells) bool {
	for _, d := range t.base.holders(in.ino) {
		if c := t.dirs[d.dir]; c != nil && c.cells[d.name] != nil {
			continue
		}
		if t.base.lookup(d.dir, d.name) == in.ino {
			return true
		}
	}
	return false
}
