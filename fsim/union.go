package fsim

import (
	"cmp"
	"fmt"
	"slices"
)

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
