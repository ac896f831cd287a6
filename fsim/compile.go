package fsim

import (
	"slices"
)

// Limits of the compiled form. Beyond them a crash still iterates, samples and explores, but Count is a bound
// and State(k) is ErrNotIndexed: counting states whose names share inodes is #P-hard in general.
const (
	maxAssignments = 1 << 12 // of the names of one component
	maxNodes       = 1 << 20
)

// compiler turns a world into nodes.
type compiler struct {
	w      *world
	l      *lazyBase // decides names while assignments are enumerated
	nodes  int
	inodes map[inodeAt]*node
	blocks map[blockKey]*node
	sure   map[Ino]bool // inodes that every state has, by names that are not open
	front  []*entryCell // open entries in directories that every state has
	fixed  digest       // what all states share
}

type inodeAt struct {
	ino Ino
	ctx int32
}

type tooLarge struct{}

// compile gives the node of all states, or false if it would be too large.
func compile(w *world) (root *node, ok bool) {
	c := &compiler{w: w, inodes: map[inodeAt]*node{}, blocks: map[blockKey]*node{}, sure: map[Ino]bool{}}
	c.l = newLazy(w, nil, 0)
	defer func() {
		if r := recover(); r != nil {
			if _, is := r.(tooLarge); !is {
				panic(r)
			}
			root, ok = nil, false
		}
	}()
	c.walk(rootIno, c.sure, &c.front, &c.fixed)
	if w.alts != nil {
		return c.prefixes(), true
	}
	return c.components(), true
}

func (c *compiler) spend(n int) {
	if c.nodes += n; c.nodes > maxNodes {
		panic(tooLarge{})
	}
}

func entryDigest(dir Ino, name string, ino Ino) digest {
	return digestString(name).at(1, uint64(dir), uint64(ino))
}

// walk visits a directory that is there: names with one version lead to inodes that are there too, the others
// go to open.
func (c *compiler) walk(dir Ino, there map[Ino]bool, open *[]*entryCell, d *digest) {
	if there[dir] {
		return
	}
	there[dir] = true
	c.spend(1)
	follow := func(name string, i Ino) {
		*d = d.plus(entryDigest(dir, name, i))
		if c.l.mode(i).IsDir() {
			c.walk(i, there, open, d)
		} else {
			there[i] = true
		}
	}
	touched := c.w.t.dirs[dir]
	if in := c.w.peek(dir); c.w.t.base != nil && (in == nil || in.fromBase) {
		for _, e := range c.w.t.base.names(dir) {
			c.spend(1)
			if touched == nil || touched.cells[e.name] == nil {
				follow(e.name, e.ino)
			}
		}
	}
	if touched == nil {
		return
	}
	for _, e := range sortedCells(touched) {
		c.spend(1)
		if len(e.vers) > 1 && c.openAt(e) {
			*open = append(*open, e)
		} else if i := e.vers[len(e.vers)-1].ino; i != 0 {
			follow(e.name, i)
		}
	}
}

// openAt says whether e may really hold more than one value.
func (c *compiler) openAt(e *entryCell) bool {
	return slices.ContainsFunc(e.vers[1:], func(v entryVer) bool { return v.ino != e.vers[0].ino })
}

func sortedCells(d *dirCells) []*entryCell {
	cells := make([]*entryCell, 0, len(d.cells))
	for _, e := range d.cells {
		cells = append(cells, e)
	}
	slices.SortFunc(cells, compareCells)
	return cells
}

func sortedInos(m map[Ino]bool) []Ino {
	out := make([]Ino, 0, len(m))
	for i := range m {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}

// components is the product over independent groups of names, for profiles without one order.
func (c *compiler) components() *node {
	var kids []*node
	groups := map[*component][]*entryCell{}
	var order []*component
	for _, e := range c.front {
		g := c.w.comp[e]
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], e)
	}
	for _, g := range order {
		kids = append(kids, c.byDirs(groups[g], map[Ino]bool{}, digest{}))
	}
	for _, i := range sortedInos(c.sure) {
		kids = append(kids, c.freeInode(i))
	}
	return product(effect{}, c.fixed, kids)
}

// byDirs enumerates the values of the entries that may hold directories, then hands on the rest.
func (c *compiler) byDirs(open []*entryCell, there map[Ino]bool, d digest) *node {
	c.spend(1)
	slices.SortFunc(open, compareCells)
	for x, e := range open {
		if !slices.ContainsFunc(e.vers, func(v entryVer) bool { return v.ino != 0 && c.l.mode(v.ino).IsDir() }) {
			continue
		}
		rest := slices.Delete(slices.Clone(open), x, x+1)
		var kids []*node
		for _, v := range c.l.entryValues(e) {
			c.l.setCell(e, v)
			more, seen, dv := slices.Clone(rest), cloneSet(there), d
			var leaf digest
			if v != 0 {
				leaf = entryDigest(e.dir, e.name, v)
				if c.l.mode(v).IsDir() {
					c.walk(v, seen, &more, &leaf)
				} else {
					seen[v] = true
				}
			}
			sub := c.byDirs(more, seen, dv)
			kids = append(kids, product(effect{kind: cellEntry, cell: e, ino: v}, leaf, []*node{sub}))
			delete(c.l.ents, e)
		}
		return sumOf(kids)
	}
	return c.byFiles(open, there, d)
}

func cloneSet(m map[Ino]bool) map[Ino]bool {
	n := make(map[Ino]bool, len(m))
	for k := range m {
		n[k] = true
	}
	return n
}

// byFiles is the product over groups of entries that share no file, times the inodes that are there anyway.
func (c *compiler) byFiles(open []*entryCell, there map[Ino]bool, d digest) *node {
	var kids []*node
	for len(open) > 0 {
		group := []*entryCell{open[0]}
		rest := open[1:]
		for i := 0; i < len(group); i++ {
			var next []*entryCell
			for _, e := range rest {
				if c.share(group[i], e) {
					group = append(group, e)
				} else {
					next = append(next, e)
				}
			}
			rest = next
		}
		open = rest
		slices.SortFunc(group, compareCells)
		count := 0
		kids = append(kids, c.assign(group, there, nil, &count))
	}
	for _, i := range sortedInos(there) {
		if !c.sure[i] {
			kids = append(kids, c.freeInode(i))
		}
	}
	return product(effect{}, d, kids)
}

func (c *compiler) share(a, b *entryCell) bool {
	for _, v := range a.vers {
		if v.ino != 0 && slices.ContainsFunc(b.vers, func(o entryVer) bool { return o.ino == v.ino }) {
			return true
		}
	}
	return false
}

// assign sums over the legal values of a group of entries that hold files only. named collects the files.
func (c *compiler) assign(group []*entryCell, there map[Ino]bool, named []Ino, count *int) *node {
	if len(group) == 0 {
		if *count++; *count > maxAssignments {
			panic(tooLarge{})
		}
		c.spend(1)
		slices.Sort(named)
		var kids []*node
		for x, i := range named {
			if (x == 0 || named[x-1] != i) && !there[i] && !c.sure[i] {
				kids = append(kids, c.freeInode(i))
			}
		}
		return product(effect{}, digest{}, kids)
	}
	e := group[0]
	var kids []*node
	for _, v := range c.l.entryValues(e) {
		c.l.setCell(e, v)
		var d digest
		files := named
		if v != 0 {
			d = entryDigest(e.dir, e.name, v)
			files = append(slices.Clone(named), v)
		}
		sub := c.assign(group[1:], there, files, count)
		kids = append(kids, product(effect{kind: cellEntry, cell: e, ino: v}, d, []*node{sub}))
		delete(c.l.ents, e)
	}
	return sumOf(kids)
}
