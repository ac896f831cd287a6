package fsim

import (
	"cmp"
	"io/fs"
	"slices"
	"sync"
)

// lazyBase is one state of a world whose cells are decided when they are first needed. Whatever was decided
// so far can always be completed to a legal state.
type lazyBase struct {
	w     *world
	d     decider
	st    *stack // d, if it is one
	level int
	whole bool // every cell is decided

	mu    sync.Mutex
	alive []uint64 // prefix profiles: the prefixes that agree with all decisions
	local map[Ino][]int32
	ents  map[*entryCell]Ino
	lens  map[Ino]sizeChoice
	metas map[Ino]metaVer
	blks  map[blockAt]page
}

type blockAt struct {
	ino Ino
	b   int64
}

func newLazy(w *world, d decider, level int) *lazyBase {
	l := &lazyBase{w: w, d: d, level: level}
	l.st, _ = d.(*stack)
	if n := len(w.alts); n > 1 {
		l.alive = make([]uint64, (n+63)/64)
		for i := range w.alts {
			l.alive[i/64] |= 1 << (i % 64)
		}
	}
	return l
}

func (l *lazyBase) decided() bool { return l.whole }

func (l *lazyBase) isAlive(a int) bool { return l.alive == nil || l.alive[a/64]>>(a%64)&1 == 1 }

// narrow keeps the prefixes that keep says yes to.
func (l *lazyBase) narrow(keep func(a int) bool) {
	if l.alive == nil {
		return
	}
	for a := range l.w.alts {
		if l.isAlive(a) && !keep(a) {
			l.alive[a/64] &^= 1 << (a % 64)
		}
	}
}

func (l *lazyBase) nextIno() Ino { return l.w.nextIno() }

func (w *world) nextIno() Ino {
	next := rootIno + 1
	if b := w.t.base; b != nil {
		next = b.nextIno()
	}
	return max(next, w.t.nextIno)
}

func (l *lazyBase) lookup(dir Ino, name string) Ino {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entry(dir, name)
}

func (l *lazyBase) entry(dir Ino, name string) Ino {
	var c *entryCell
	if d := l.w.t.dirs[dir]; d != nil {
		c = d.cells[name]
	}
	if c == nil {
		if in := l.w.peek(dir); l.w.t.base != nil && (in == nil || in.fromBase) {
			return l.w.t.base.lookup(dir, name)
		}
		return 0
	}
	return l.cell(c)
}

func (l *lazyBase) cell(c *entryCell) Ino {
	if len(c.vers) == 1 {
		return c.vers[0].ino
	}
	if v, ok := l.ents[c]; ok {
		l.note(cellKey{kind: cellEntry, ino: c.dir, name: c.name})
		return v
	}
	vals := l.entryValues(c)
	pick := 0
	if len(vals) > 1 {
		pick = l.d.decide(cellKey{level: l.level, kind: cellEntry, ino: c.dir, name: c.name},
			values{len(vals), oldestEntry(c, vals), func(i int) uint64 { return uint64(vals[i]) }})
	}
	l.setCell(c, vals[pick])
	return vals[pick]
}

// note tells the stack that a cell which was decided before the run is read in it.
func (l *lazyBase) note(k cellKey) {
	if l.st != nil {
		k.level = l.level
		l.st.note(k)
	}
}

// knows says whether some state may have the inode.
func (w *world) knows(i Ino) bool {
	if w.peek(i) != nil {
		return true
	}
	switch b := w.t.base.(type) {
	case *lazyBase:
		return b.w.knows(i)
	case mounted:
		return b.s.crash.w.knows(i)
	}
	return false
}

// force decides the given cells of this level, in their order, before anybody asks for them.
func (l *lazyBase) force(keys []cellKey) {
	for _, k := range keys {
		if k.level != l.level || !l.w.knows(k.ino) {
			continue
		}
		switch k.kind {
		case cellEntry:
			l.lookup(k.ino, k.name)
		case cellSize, cellSizeOrigin:
			l.size(k.ino)
		case cellBlock, cellBlockOrigin:
			l.block(k.ino, k.index)
		case cellMeta:
			l.meta(k.ino)
		}
	}
}

func (l *lazyBase) setCell(c *entryCell, v Ino) {
	if l.ents == nil {
		l.ents = map[*entryCell]Ino{}
	}
	l.ents[c] = v
	l.narrow(func(a int) bool { return c.at(l.w.alts[a]) == v })
}

// oldestEntry finds the value of the oldest version that is still possible.
func oldestEntry(c *entryCell, vals []Ino) int {
	for _, v := range c.vers {
		if i := slices.Index(vals, v.ino); i >= 0 {
			return i
		}
	}
	return 0
}

// entryValues gives the distinct values of c that can be completed to a state, newest first.
func (l *lazyBase) entryValues(c *entryCell) []Ino {
	var vals []Ino
	if l.w.alts != nil {
		for a := len(l.w.alts) - 1; a >= 0; a-- {
			if l.isAlive(a) {
				if v := c.at(l.w.alts[a]); !slices.Contains(vals, v) {
					vals = append(vals, v)
				}
			}
		}
		return vals
	}
	comp := l.w.comp[c]
	for i := len(c.vers) - 1; i >= 0; i-- {
		v := c.vers[i].ino
		if !slices.Contains(vals, v) && (comp.loose || l.extends(comp, c, v)) {
			vals = append(vals, v)
		}
	}
	return vals
}

func (l *lazyBase) names(dir Ino) []dirent {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []dirent
	touched := l.w.t.dirs[dir]
	if in := l.w.peek(dir); l.w.t.base != nil && (in == nil || in.fromBase) {
		for _, e := range l.w.t.base.names(dir) {
			if touched == nil || touched.cells[e.name] == nil {
				out = append(out, e)
			}
		}
	}
	if touched != nil {
		cells := make([]*entryCell, 0, len(touched.cells))
		for _, c := range touched.cells {
			cells = append(cells, c)
		}
		slices.SortFunc(cells, compareCells)
		for _, c := range cells {
			if i := l.cell(c); i != 0 {
				out = append(out, dirent{c.name, i})
			}
		}
		slices.SortFunc(out, func(a, b dirent) int { return cmp.Compare(a.name, b.name) })
	}
	return out
}

func (l *lazyBase) mode(ino Ino) fs.FileMode { return l.w.mode(ino) }

func (w *world) mode(ino Ino) fs.FileMode {
	if in := w.peek(ino); in != nil {
		return in.mode
	}
	if w.t.base == nil {
		return 0
	}
	return w.t.base.mode(ino)
}

// live gives the context numbers of in that agree with all decisions.
func (l *lazyBase) live(in *inodeCells, ic *inodeContexts) []int32 {
	if len(ic.list) == 1 {
		return []int32{0}
	}
	if ic.of == nil {
		if s, ok := l.local[in.ino]; ok {
			return s
		}
		all := make([]int32, len(ic.list))
		for i := range all {
			all[i] = int32(i)
		}
		return all
	}
	var out []int32
	for a := len(l.w.alts) - 1; a >= 0; a-- {
		if l.isAlive(a) && !slices.Contains(out, ic.of[a]) {
			out = append(out, ic.of[a])
		}
	}
	return out
}

// keepContexts drops the contexts of in that keep says no to, and the prefixes that give them.
func (l *lazyBase) keepContexts(in *inodeCells, ic *inodeContexts, keep func(x int32) bool) {
	if len(ic.list) == 1 {
		return
	}
	if ic.of == nil {
		if l.local == nil {
			l.local = map[Ino][]int32{}
		}
		l.local[in.ino] = slices.DeleteFunc(slices.Clone(l.live(in, ic)), func(x int32) bool { return !keep(x) })
		return
	}
	verdict := make([]bool, len(ic.list))
	for x := range verdict {
		verdict[x] = keep(int32(x))
	}
	l.narrow(func(a int) bool { return verdict[ic.of[a]] })
}

func (l *lazyBase) size(ino Ino) int64 {
	in := l.w.peek(ino)
	if in == nil {
		return l.w.t.base.size(ino)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sizeOf(in).size
}

func (l *lazyBase) modTime(ino Ino) int64 {
	in := l.w.peek(ino)
	if in == nil {
		return l.w.t.base.modTime(ino)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sizeOf(in)
	if s.seq == 0 && in.fromBase {
		return l.w.t.base.modTime(ino)
	}
	return s.when
}

func (l *lazyBase) nlink(ino Ino) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, h := range l.holdersOf(ino) {
		if l.reaches(h.dir) && l.entry(h.dir, h.name) == ino {
			n++
		}
	}
	return n
}

// reaches decides whether the directory has a name that leads to it.
func (l *lazyBase) reaches(dir Ino) bool {
	if dir == rootIno {
		return true
	}
	for _, h := range l.holdersOf(dir) {
		if l.reaches(h.dir) && l.entry(h.dir, h.name) == dir {
			return true
		}
	}
	return false
}

func (l *lazyBase) holders(ino Ino) []holder {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holdersOf(ino)
}

func (l *lazyBase) holdersOf(ino Ino) []holder {
	var out []holder
	in := l.w.peek(ino)
	if l.w.t.base != nil && (in == nil || in.fromBase) {
		for _, h := range l.w.t.base.holders(ino) {
			if d := l.w.t.dirs[h.dir]; d == nil || d.cells[h.name] == nil {
				out = append(out, h)
			}
		}
	}
	if in != nil {
		for _, e := range in.names {
			if slices.ContainsFunc(e.vers, func(v entryVer) bool { return v.ino == ino }) {
				out = append(out, holder{e.dir, e.name})
			}
		}
	}
	slices.SortFunc(out, func(a, b holder) int { return cmp.Or(cmp.Compare(a.dir, b.dir), cmp.Compare(a.name, b.name)) })
	return out
}
