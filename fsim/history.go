package fsim

import (
	"io/fs"
	"slices"
)

// tracker applies micro-operations one by one and keeps, per cell, the versions that are legal after a cut at
// that instant. All rules that raise a floor are here; cell choices given the floors are in choice.go.
type tracker struct {
	p       *Profile
	base    base
	n       int // micro-operations applied
	dirs    map[Ino]*dirCells
	inodes  map[Ino]*inodeCells
	marks   []int // times above floorM at which the one order of a prefix profile makes a step
	floorM  int   // the prefix that is guaranteed
	allSync int   // the last sync of the whole disk
	nextIno Ino   // above every inode that was born
	acks    []any
	hash    uint64 // of everything applied
	rises   bool   // the last micro-operation raised a floor or gave an acknowledgement
}

func newTracker(p *Profile, b base) *tracker {
	t := &tracker{p: p.orLinux(), base: b, dirs: map[Ino]*dirCells{}, inodes: map[Ino]*inodeCells{}}
	if b == nil {
		t.inodes[rootIno] = &inodeCells{ino: rootIno, mode: fs.ModeDir | 0o755, nlink: 1,
			sizes: []sizeVer{{cut: true}}, metas: []metaVer{{meta: meta{mode: fs.ModeDir | 0o755}}}}
	}
	return t
}

// dirCells are the entries of one directory that were ever changed or looked up by a change.
type dirCells struct {
	cells map[string]*entryCell
	dirty []*entryCell // those with more than one version
}

// inode finds the cells of an inode, and makes them for one of the base. An inode that no state can name any
// more has been forgotten; what is still done to it through open handles goes nowhere.
func (t *tracker) inode(i Ino) *inodeCells {
	in := t.inodes[i]
	switch {
	case in != nil:
	case t.base == nil || i >= t.base.nextIno():
		in = &inodeCells{ino: i, gone: true, sizes: []sizeVer{{cut: true}}, metas: []metaVer{{}}}
	default:
		in = &inodeCells{ino: i, fromBase: true, mode: t.base.mode(i), baseLim: 1 << 62,
			sizes: []sizeVer{{cut: true, fromBase: true}}, metas: []metaVer{{fromBase: true}}}
		t.inodes[i] = in
	}
	return in
}

// entry finds the cell of a name, and makes it as the base has it.
func (t *tracker) entry(dir Ino, name string) *entryCell {
	d := t.dirs[dir]
	if d == nil {
		d = &dirCells{cells: map[string]*entryCell{}}
		t.dirs[dir] = d
	}
	e := d.cells[name]
	if e == nil {
		e = &entryCell{dir: dir, name: name, vers: []entryVer{{}}}
		if t.base != nil && t.inode(dir).fromBase {
			if i := t.base.lookup(dir, name); i != 0 {
				e.vers[0].ino = i
				in := t.inode(i)
				in.names, in.refs = append(in.names, e), in.refs+1
			}
		}
		d.cells[name] = e
	}
	return e
}

// pruneEntry drops the versions of e that time floor rules out, and inodes that nothing can name any more.
func (t *tracker) pruneEntry(e *entryCell, floor int) {
	i := 0
	for i+1 < len(e.vers) && e.vers[i+1].seq <= floor {
		i++
	}
	if i == 0 {
		return
	}
	for x, v := range e.vers[:i] {
		if v.ino != 0 {
			in := t.inode(v.ino)
			in.sure = in.sure || x == 0 && !in.gone
			t.unref(in)
		}
	}
	e.vers = append(e.vers[:0:0], e.vers[i:]...)
}

func (t *tracker) unref(in *inodeCells) {
	in.refs--
	if in.refs == 0 && in.gone {
		delete(t.inodes, in.ino)
		delete(t.dirs, in.ino)
	}
}

// entryFloor is the time that every entry is guaranteed from.
func (t *tracker) entryFloor() int {
	if t.p.order == namesPrefix {
		return t.floorM
	}
	return t.allSync
}

func (t *tracker) dataFloor(in *inodeCells) int { return max(in.dataFloor, t.allSync) }
func (t *tracker) metaFloor(in *inodeCells) int { return max(in.metaFloor, t.allSync) }

// apply takes one micro-operation.
func (t *tracker) apply(o *op) {
	t.n++
	t.rises = false
	t.hash = o.mix(t.hash)
	switch o.kind {
	case opInode:
		t.nextIno = max(t.nextIno, o.ino+1)
		t.inodes[o.ino] = &inodeCells{ino: o.ino, born: t.n, mode: o.meta.mode, lastChange: t.n, lastData: t.n,
			sizes: []sizeVer{{seq: t.n, when: o.when, cut: true}}, metas: []metaVer{{seq: t.n, meta: o.meta}}}
	case opLink:
		t.setEntry(o.dir, o.name, o.ino)
		t.mark()
	case opUnlink:
		t.setEntry(o.dir, o.name, 0)
		t.mark()
	case opRename:
		t.setEntry(o.dir2, o.name2, o.ino) // first: it is never without a name
		t.setEntry(o.dir, o.name, 0)
		if in := t.inode(o.ino); o.over != 0 && !in.fromBase {
			in.flushes = append(in.flushes, flush{t.n})
		}
		t.mark()
	case opWrite, opLost:
		t.write(o)
	case opRot:
		t.rot(o)
	case opTruncate:
		in := t.inode(o.ino)
		in.cut(t.n, o.size)
		in.sizes = append(in.sizes, sizeVer{seq: t.n, size: o.size, when: o.when, cut: true})
		in.lastChange, in.lastData = t.n, t.n
		t.implicitTime(in)
		t.mark()
	case opMeta:
		in := t.inode(o.ino)
		in.metas = append(in.metas, metaVer{seq: t.n, meta: o.meta})
		in.lastChange = t.n
		t.mark()
	case opFsync, opFdatasync:
		t.rises = true
		t.sync(o)
	case opSyncAll:
		t.rises = true
		t.allSync, t.floorM = t.n, t.n
		t.dropMarks()
		for _, d := range t.dirs {
			for _, e := range d.dirty {
				t.pruneEntry(e, t.n)
			}
			d.dirty = nil
		}
	case opSyncFail:
		if in := t.inode(o.ino); in.failSeq == 0 {
			t.pruneData(in)
			in.failSeq, in.failFloor = t.n, t.dataFloor(in)
		} else {
			in.failSeq = t.n
		}
	case opAck:
		t.rises = true
		t.acks = append(t.acks, o.note)
	}
}

func (t *tracker) mark() {
	if t.p.order == namesPrefix {
		t.marks = append(t.marks, t.n)
	}
}

func (t *tracker) dropMarks() {
	i, _ := slices.BinarySearch(t.marks, t.floorM+1)
	t.marks = append(t.marks[:0:0], t.marks[i:]...)
}

func (t *tracker) setEntry(dir Ino, name string, to Ino) {
	e := t.entry(dir, name)
	t.pruneEntry(e, t.entryFloor())
	if old := e.vers[len(e.vers)-1].ino; old != 0 {
		in := t.inode(old)
		in.nlink--
		in.lastChange = t.n
		in.gone = !in.fromBase && in.nlink == 0
		in.sure = in.sure && !in.gone
	}
	if len(e.vers) == 1 {
		d := t.dirs[dir]
		d.dirty = append(d.dirty, e)
	}
	e.vers = append(e.vers, entryVer{t.n, to})
	t.inode(dir).lastChange = t.n
	if to != 0 {
		in := t.inode(to)
		in.nlink, in.refs = in.nlink+1, in.refs+1
		in.gone = false
		in.lastChange = t.n
		if !slices.Contains(in.names, e) {
			in.names = append(in.names, e)
		}
	}
}

func (t *tracker) write(o *op) {
	in := t.inode(o.ino)
	t.pruneData(in)
	vs := in.block(o.block)
	hole := vs[len(vs)-1].isHole()
	if o.kind == opWrite {
		in.write(o.block, t.n, o.page)
	}
	t.implicitTime(in)
	last := in.sizes[len(in.sizes)-1]
	grew := last.fromBase || o.size > last.size
	if last.fromBase && t.base.size(o.ino) >= o.size {
		grew = false
	}
	if grew {
		in.sizes = append(in.sizes, sizeVer{seq: t.n, size: o.size, when: o.when})
	}
	if grew || hole || t.p.dataInOrder {
		in.lastChange, in.lastData = t.n, t.n
	}
	if t.p.dataInOrder {
		t.mark()
	}
}

// implicitTime notes that changed data put an end to a modification time that was set explicitly.
func (t *tracker) implicitTime(in *inodeCells) {
	last := in.metas[len(in.metas)-1]
	if last.fromBase && concrete(t.base) {
		last.meta = t.base.meta(in.ino)
	}
	if last.meta.mtime == 0 {
		return
	}
	last.meta.mtime = 0
	in.metas = append(in.metas, metaVer{seq: t.n, meta: last.meta})
	in.lastChange = t.n
	t.mark()
}

// rot changes the version of a block that is on the medium.
func (t *tracker) rot(o *op) {
	in := t.inode(o.ino)
	in.write(o.block, t.n, o.page)
	c := in.blocks[o.block]
	vers := append([]blockVer(nil), c.vers[:len(c.vers)-1]...)
	i := floorOf(in, vers, blockSeq, t.dataFloor(in))
	vers[i] = blockVer{seq: vers[i].seq, page: o.page}
	c.vers = vers[i:]
}

// clone makes a tracker that does not see what is applied to t from now on.
func (t *tracker) clone() *tracker {
	n := *t
	n.dirs, n.inodes = make(map[Ino]*dirCells, len(t.dirs)), make(map[Ino]*inodeCells, len(t.inodes))
	n.marks, n.acks = slices.Clip(t.marks), slices.Clip(t.acks)
	moved := map[*entryCell]*entryCell{}
	for i, d := range t.dirs {
		m := &dirCells{cells: make(map[string]*entryCell, len(d.cells))}
		for name, e := range d.cells {
			x := *e
			x.vers = slices.Clip(e.vers)
			m.cells[name], moved[e] = &x, &x
		}
		for _, e := range d.dirty {
			m.dirty = append(m.dirty, moved[e])
		}
		n.dirs[i] = m
	}
	for i, in := range t.inodes {
		x := *in
		x.sizes, x.metas, x.truncs = slices.Clip(in.sizes), slices.Clip(in.metas), slices.Clip(in.truncs)
		x.flushes, x.dirty = slices.Clip(in.flushes), slices.Clone(in.dirty)
		x.names = nil
		for _, e := range in.names {
			if moved[e] != nil {
				x.names = append(x.names, moved[e])
			}
		}
		if in.blocks != nil {
			x.blocks = make(map[int64]*blockCell, len(in.blocks))
			for b, c := range in.blocks {
				x.blocks[b] = &blockCell{slices.Clip(c.vers)}
			}
		}
		n.inodes[i] = &x
	}
	return &n
}
