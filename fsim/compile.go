package fsim

import (
	"cmp"
	"fmt"
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

// freeInode is everything that one inode may hold whatever else is the case.
func (c *compiler) freeInode(i Ino) *node {
	key := inodeAt{i, -1}
	if n := c.inodes[key]; n != nil {
		return n
	}
	in := c.w.peek(i)
	if in == nil {
		c.inodes[key] = leaf(effect{}, c.fixedInode(i))
		return c.inodes[key]
	}
	ic := c.w.contexts(in)
	var n *node
	if len(ic.list) == 1 {
		n = c.inode(in, ic, 0)
	} else {
		tuples := make([][]int32, len(ic.list))
		for x := range tuples {
			tuples[x] = []int32{int32(x)}
		}
		n = c.union([]*inodeCells{in}, tuples)
	}
	c.inodes[key] = n
	return n
}

// fixedInode is the digest of an inode that only the base knows.
func (c *compiler) fixedInode(i Ino) digest {
	b := c.w.t.base
	d := metaDigest(i, b.meta(i))
	if b.mode(i).IsDir() {
		return d
	}
	size := b.size(i)
	d = d.plus(sizeDigest(i, size))
	for x := int64(0); x*BlockSize < size; x++ {
		c.spend(1)
		d = d.plus(blockDigest(i, x, b.block(i, x).cut(clampLim(size-x*BlockSize)).digest()))
	}
	return d
}

func metaDigest(i Ino, m meta) digest {
	return digestString(fmt.Sprint(uint32(m.mode), m.uid, m.gid, m.atime, m.mtime, m.target)).at(2, uint64(i), 0)
}

func sizeDigest(i Ino, size int64) digest {
	return digest{uint64(size) + 1, 1}.at(3, uint64(i), 0)
}

func blockDigest(i Ino, x int64, d digest) digest { return d.at(4, uint64(i), uint64(x)) }

// inode is everything that one inode may hold in one context.
func (c *compiler) inode(in *inodeCells, ic *inodeContexts, x int) *node {
	key := inodeAt{in.ino, int32(x)}
	if n := c.inodes[key]; n != nil {
		return n
	}
	var metas []*node
	for _, v := range c.metas(in, ic, x) {
		metas = append(metas, leaf(effect{kind: cellMeta, ino: in.ino, meta: v}, metaDigest(in.ino, v.meta)))
	}
	kids := []*node{sumOf(metas)}
	if !in.mode.IsDir() {
		var sizes []*node
		for _, s := range c.w.sizes(in, ic, x, c.askSize(in)) {
			sizes = append(sizes, c.sized(in, ic, x, s, 0))
		}
		kids = append(kids, sumOf(sizes))
	}
	c.inodes[key] = product(effect{}, digest{}, kids)
	return c.inodes[key]
}

func (c *compiler) askSize(in *inodeCells) func() int64 {
	return func() int64 { return c.w.t.base.size(in.ino) }
}

func (c *compiler) askBlock(in *inodeCells, b int64) func() page {
	return func() page { return c.w.t.base.block(in.ino, b) }
}

func (c *compiler) metas(in *inodeCells, ic *inodeContexts, x int) []metaVer {
	var out []metaVer
	for _, v := range c.w.t.metaChoices(in, ic.list[x]) {
		if v.fromBase {
			v = metaVer{seq: v.seq, meta: c.w.t.base.meta(in.ino)}
		}
		if !slices.ContainsFunc(out, func(o metaVer) bool { return o.meta == v.meta }) {
			out = append(out, v)
		}
	}
	return out
}

// sized is everything that the blocks of in from block first on may hold at size s.
func (c *compiler) sized(in *inodeCells, ic *inodeContexts, x int, s sizeChoice, first int64) *node {
	var kids []*node
	d := digest{}
	if first == 0 {
		d = sizeDigest(in.ino, s.size)
	}
	for _, b := range c.blocksOf(in, s.size) {
		if b < first {
			continue
		}
		c.spend(1)
		k := c.block(in, ic, x, s, b)
		if k.small.lo == 1 && k.small.hi == 0 && k.set.kind == cellBlock && len(in.block(b)) == 1 {
			d = d.plus(k.own)
			continue
		}
		kids = append(kids, k)
	}
	e := effect{}
	if first == 0 {
		e = effect{kind: cellSize, ino: in.ino, size: s}
	}
	return product(e, d, kids)
}

// blocksOf gives the blocks below size that may hold anything but zeros, in order.
func (c *compiler) blocksOf(in *inodeCells, size int64) []int64 {
	var out []int64
	if in.fromBase {
		had := c.w.t.base.size(in.ino)
		for b := int64(0); b*BlockSize < min(size, had); b++ {
			out = append(out, b)
		}
	}
	for b := range in.blocks {
		if b*BlockSize < size && (len(out) == 0 || b > out[len(out)-1] || !in.fromBase) {
			out = append(out, b)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (c *compiler) block(in *inodeCells, ic *inodeContexts, x int, s sizeChoice, b int64) *node {
	k := blockKey{in.ino, int32(x), clampLim(s.size - b*BlockSize), 0, b}
	if (s.size-1)/BlockSize == b {
		k.need = s.need
	}
	if n := c.blocks[k]; n != nil {
		return n
	}
	var kids []*node
	for _, v := range c.w.block(in, ic, x, s, b, c.askBlock(in, b)) {
		kids = append(kids, leaf(effect{kind: cellBlock, ino: in.ino, index: b, page: v.page}, blockDigest(in.ino, b, v.digest)))
	}
	c.spend(len(kids))
	c.blocks[k] = sumOf(kids)
	return c.blocks[k]
}

// prefixes is the sum over what the names may be, each with everything that the prefixes which give those
// names allow.
func (c *compiler) prefixes() *node {
	type group struct {
		vals []Ino
		alts []int
	}
	byNames := map[string]*group{}
	var order []*group
	for a, m := range c.w.alts {
		c.spend(len(c.w.open) + 1)
		vals := make([]Ino, len(c.w.open))
		for i, e := range c.w.open {
			vals[i] = e.at(m)
		}
		key := fmt.Sprint(vals)
		g := byNames[key]
		if g == nil {
			g = &group{vals: vals}
			byNames[key] = g
			order = append(order, g)
		}
		g.alts = append(g.alts, a)
	}
	var kids []*node
	for _, g := range order {
		kids = append(kids, c.group(g.vals, g.alts))
	}
	return product(effect{}, c.fixed, []*node{sumOf(kids)})
}

// group is everything that prefixes with the same names allow.
func (c *compiler) group(vals []Ino, alts []int) *node {
	var own digest
	there := cloneSet(c.sure)
	value := map[*entryCell]Ino{}
	for i, e := range c.w.open {
		value[e] = vals[i]
	}
	var kids []*node
	todo := slices.Clone(c.front)
	for len(todo) > 0 {
		e := todo[0]
		todo = todo[1:]
		v := value[e]
		kids = append(kids, leaf(effect{kind: cellEntry, cell: e, ino: v}, digest{}))
		if v == 0 {
			continue
		}
		own = own.plus(entryDigest(e.dir, e.name, v))
		if c.l.mode(v).IsDir() {
			c.walk(v, there, &todo, &own)
		} else {
			there[v] = true
		}
	}
	var differ []*inodeCells
	for _, i := range sortedInos(there) {
		in := c.w.peek(i)
		if in == nil {
			kids = append(kids, c.freeInode(i))
			continue
		}
		ic := c.w.contexts(in)
		if same := !slices.ContainsFunc(alts, func(a int) bool { return ic.of[a] != ic.of[alts[0]] }); same {
			kids = append(kids, c.inode(in, ic, int(ic.of[alts[0]])))
		} else {
			differ = append(differ, in)
		}
	}
	if len(differ) > 0 {
		var tuples [][]int32
		for _, a := range alts {
			t := make([]int32, len(differ))
			for i, in := range differ {
				t[i] = c.w.contexts(in).of[a]
			}
			if !slices.ContainsFunc(tuples, func(o []int32) bool { return slices.Equal(o, t) }) {
				tuples = append(tuples, t)
			}
		}
		kids = append(kids, c.union(differ, tuples))
	}
	return product(effect{}, own, kids)
}

// union is the set of states of inodes that at least one tuple of contexts allows, each once. Decisions are
// taken in one order; after each, the tuples that still agree go on.
func (c *compiler) union(inodes []*inodeCells, tuples [][]int32) *node {
	c.spend(len(tuples))
	if len(inodes) == 0 {
		return product(effect{}, digest{}, nil)
	}
	in, ic := inodes[0], c.w.contexts(inodes[0])
	if !slices.ContainsFunc(tuples, func(t []int32) bool { return t[0] != tuples[0][0] }) {
		rest := make([][]int32, len(tuples))
		for i, t := range tuples {
			rest[i] = t[1:]
		}
		return product(effect{}, digest{}, []*node{c.inode(in, ic, int(tuples[0][0])), c.union(inodes[1:], rest)})
	}
	var metas []metaVer
	for _, t := range tuples {
		for _, v := range c.metas(in, ic, int(t[0])) {
			if !slices.ContainsFunc(metas, func(o metaVer) bool { return o.meta == v.meta }) {
				metas = append(metas, v)
			}
		}
	}
	var kids []*node
	for _, v := range metas {
		alive := slices.DeleteFunc(slices.Clone(tuples), func(t []int32) bool {
			return !slices.ContainsFunc(c.metas(in, ic, int(t[0])), func(o metaVer) bool { return o.meta == v.meta })
		})
		sub := c.unionSizes(inodes, ic, alive)
		kids = append(kids, product(effect{kind: cellMeta, ino: in.ino, meta: v}, metaDigest(in.ino, v.meta), []*node{sub}))
	}
	return sumOf(kids)
}

func (c *compiler) unionSizes(inodes []*inodeCells, ic *inodeContexts, tuples [][]int32) *node {
	in := inodes[0]
	if in.mode.IsDir() {
		return c.unionNext(inodes, tuples)
	}
	var sizes []sizeChoice
	for _, t := range tuples {
		for _, s := range c.w.sizes(in, ic, int(t[0]), c.askSize(in)) {
			if findSize(sizes, s.size) == nil {
				sizes = append(sizes, s)
			}
		}
	}
	slices.SortFunc(sizes, func(a, b sizeChoice) int { return cmp.Compare(b.seq, a.seq) })
	var kids []*node
	for _, s := range sizes {
		alive := slices.DeleteFunc(slices.Clone(tuples), func(t []int32) bool {
			return findSize(c.w.sizes(in, ic, int(t[0]), c.askSize(in)), s.size) == nil
		})
		memo := map[string]*node{}
		sub := c.unionBlocks(inodes, ic, alive, s.size, c.blocksOf(in, s.size), memo)
		kids = append(kids, product(effect{kind: cellSize, ino: in.ino, size: s}, sizeDigest(in.ino, s.size), []*node{sub}))
	}
	return sumOf(kids)
}

func (c *compiler) unionNext(inodes []*inodeCells, tuples [][]int32) *node {
	var rest [][]int32
	for _, t := range tuples {
		if !slices.ContainsFunc(rest, func(o []int32) bool { return slices.Equal(o, t[1:]) }) {
			rest = append(rest, t[1:])
		}
	}
	return c.union(inodes[1:], rest)
}

func (c *compiler) unionBlocks(inodes []*inodeCells, ic *inodeContexts, tuples [][]int32, size int64, blocks []int64, memo map[string]*node) *node {
	in := inodes[0]
	if len(blocks) == 0 {
		return c.unionNext(inodes, tuples)
	}
	key := fmt.Sprint(len(blocks), tuples)
	if n := memo[key]; n != nil {
		return n
	}
	c.spend(len(tuples))
	pick := func(t []int32) []choice {
		s := findSize(c.w.sizes(in, ic, int(t[0]), c.askSize(in)), size)
		return c.w.block(in, ic, int(t[0]), *s, blocks[0], c.askBlock(in, blocks[0]))
	}
	list := chooser{seen: map[digest]bool{}}
	for _, t := range tuples {
		for _, v := range pick(t) {
			list.add(v)
		}
	}
	var kids []*node
	for _, v := range list.out {
		alive := slices.DeleteFunc(slices.Clone(tuples), func(t []int32) bool {
			return !slices.ContainsFunc(pick(t), func(o choice) bool { return o.digest == v.digest })
		})
		sub := c.unionBlocks(inodes, ic, alive, size, blocks[1:], memo)
		kids = append(kids, product(effect{kind: cellBlock, ino: in.ino, index: blocks[0], page: v.page},
			blockDigest(in.ino, blocks[0], v.digest), []*node{sub}))
	}
	memo[key] = sumOf(kids)
	return memo[key]
}
