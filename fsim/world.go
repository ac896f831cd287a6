package fsim

import (
	"cmp"
	"slices"
	"sync"
)

// world is the set of legal states at one instant: the cells of a tracker, which must not move while the world
// is in use, with what all states have in common worked out once. It is safe for concurrent use.
type world struct {
	t    *tracker
	alts []int // prefix profiles: the prefixes that are legal, oldest first; else nil
	open []*entryCell
	comp map[*entryCell]*component

	mu     sync.Mutex
	ctx    map[Ino]*inodeContexts
	blocks map[blockKey][]choice
}

// component is a set of entries that may share an inode, so that one of them says something about another.
type component struct {
	cells    []*entryCell
	required []*inodeCells // must have a name in every state
	loose    bool          // every combination is legal
}

// inodeContexts are the contexts of one inode, and which of them each prefix gives.
type inodeContexts struct {
	list  []context
	of    []int32 // index into list by prefix; nil outside prefix profiles
	sizes [][]sizeChoice
}

type blockKey struct {
	ino  Ino
	ctx  int32
	vis  int32
	need int
	b    int64
}

func newWorld(t *tracker) *world {
	w := &world{t: t, ctx: map[Ino]*inodeContexts{}, blocks: map[blockKey][]choice{}}
	if t.p.order == namesPrefix {
		t.dropMarks()
		w.alts = append([]int{t.floorM}, t.marks...)
	}
	for _, d := range t.dirs {
		for _, e := range d.dirty {
			t.pruneEntry(e, t.entryFloor())
			if len(e.vers) > 1 {
				w.open = append(w.open, e)
			}
		}
		d.dirty = slices.DeleteFunc(d.dirty, func(e *entryCell) bool { return len(e.vers) == 1 })
	}
	slices.SortFunc(w.open, compareCells)
	w.open = slices.Compact(w.open)
	if w.alts == nil {
		w.findComponents()
	}
	return w
}

func compareCells(a, b *entryCell) int {
	return cmp.Or(cmp.Compare(a.dir, b.dir), cmp.Compare(a.name, b.name))
}

// findComponents joins entries that may name the same inode, and entries of a directory that may be missing
// with the entries that may name it.
func (w *world) findComponents() {
	up := make(map[*entryCell]*entryCell, len(w.open))
	find := func(e *entryCell) *entryCell {
		for up[e] != e {
			up[e] = up[up[e]]
			e = up[e]
		}
		return e
	}
	by := map[Ino]*entryCell{}
	join := func(i Ino, e *entryCell) {
		if o := by[i]; o != nil {
			up[find(o)] = find(e)
		}
		by[i] = e
	}
	for _, e := range w.open {
		up[e] = e
	}
	chain := func(d Ino, e *entryCell) { // e matters only where d is reached
		for d != rootIno {
			in := w.peek(d)
			if in == nil {
				return
			}
			next := rootIno
			for _, n := range in.names {
				if up[n] != nil {
					join(d, e)
				} else if n.vers[0].ino == d {
					next = n.dir
				}
			}
			d = next
		}
	}
	for _, e := range w.open {
		chain(e.dir, e)
		for _, v := range e.vers {
			if v.ino == 0 {
				continue
			}
			join(v.ino, e)
			for _, n := range w.t.inode(v.ino).names {
				if up[n] == nil && n.vers[0].ino == v.ino {
					chain(n.dir, e)
				}
			}
		}
	}
	w.comp = make(map[*entryCell]*component, len(w.open))
	for _, e := range w.open {
		root := find(e)
		c := w.comp[root]
		if c == nil {
			c = &component{}
			w.comp[root] = c
		}
		w.comp[e] = c
		c.cells = append(c.cells, e)
	}
	for _, e := range w.open {
		if c := w.comp[e]; c.cells[0] == e {
			w.findRequired(c)
		}
	}
}

func (w *world) findRequired(c *component) {
	dirs := false
	seen := map[Ino]bool{}
	for _, e := range c.cells {
		for _, v := range e.vers {
			if v.ino == 0 || seen[v.ino] {
				continue
			}
			seen[v.ino] = true
			in := w.t.inode(v.ino)
			dirs = dirs || in.mode.IsDir()
			if w.t.p.order == namesLinked && w.t.durable(in) {
				c.required = append(c.required, in)
			}
		}
	}
	c.loose = !dirs && len(c.required) == 0
}

// peek finds the cells of an inode that something was done to, or nil.
func (w *world) peek(i Ino) *inodeCells { return w.t.inodes[i] }

// contexts gives the contexts of in and, per prefix, which one it gives.
func (w *world) contexts(in *inodeCells) *inodeContexts {
	w.mu.Lock()
	defer w.mu.Unlock()
	ic := w.ctx[in.ino]
	if ic != nil {
		return ic
	}
	ic = &inodeContexts{}
	if w.alts == nil {
		ic.list = w.t.contexts(in)
	} else {
		index := map[context]int32{}
		ic.of = make([]int32, len(w.alts))
		for a, m := range w.alts {
			c := w.t.contextAt(in, m)
			i, ok := index[c]
			if !ok {
				i = int32(len(ic.list))
				index[c] = i
				ic.list = append(ic.list, c)
			}
			ic.of[a] = i
		}
	}
	ic.sizes = make([][]sizeChoice, len(ic.list))
	w.ctx[in.ino] = ic
	return ic
}

// fixedSizes says that the sizes of in do not depend on the base.
func fixedSizes(in *inodeCells) bool {
	return !in.sizes[0].fromBase
}

// sizes gives the size choices of in in context number x.
func (w *world) sizes(in *inodeCells, ic *inodeContexts, x int, ask func() int64) []sizeChoice {
	if !fixedSizes(in) {
		return w.t.sizeChoices(in, ic.list[x], ask)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if ic.sizes[x] == nil {
		ic.sizes[x] = w.t.sizeChoices(in, ic.list[x], nil)
	}
	return ic.sizes[x]
}

// block gives the choices for block b of in in context number x with size s.
func (w *world) block(in *inodeCells, ic *inodeContexts, x int, s sizeChoice, b int64, ask func() page) []choice {
	k := blockKey{in.ino, int32(x), clampLim(s.size - b*BlockSize), 0, b}
	if (s.size-1)/BlockSize == b {
		k.need = s.need
	}
	fixed := !slices.ContainsFunc(in.block(b), func(v blockVer) bool { return v.fromBase })
	if fixed {
		w.mu.Lock()
		defer w.mu.Unlock()
		if got := w.blocks[k]; got != nil {
			return got
		}
	}
	got := w.t.blockChoices(in, ic.list[x], s, b, ask)
	if fixed {
		w.blocks[k] = got
	}
	return got
}
