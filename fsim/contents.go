package fsim

import (
	"fmt"
	"slices"
)

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
