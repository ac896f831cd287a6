package fsim

import (
	"slices"
)

// context is what the order of names says about the data of one inode: in a prefix profile what the prefix m
// says, else all that is left open. Contexts of one inode that are equal allow the same content.
type context struct {
	epoch int // sequence number of the truncate (or birth) that was the last; -1: truncates are independent too
	next  int // sequence number of the first truncate after it, or afterEnd
	flush int // the data is at least that of this time, where it was newly allocated
	at    int // dataInOrder: everything is exactly as at this time; else -1
	meta  int // index of the metadata version; -1: open
}

const afterEnd = int(^uint(0) >> 1)

// choice is one legal value of a block, and how it came about.
type choice struct {
	page   page
	digest digest
	seq    int   // the version that it shows
	over   int   // with a tear: the older version
	mask   uint8 // the sectors of over that it shows; 0: whole
	waste  bool  // garbage
}

type sizeChoice struct {
	size int64
	need int // the last block is at least of this time; 0: no such rule
	seq  int
	when int64
}

// contextAt gives what prefix m says about in.
func (t *tracker) contextAt(in *inodeCells, m int) context {
	c := context{at: -1, next: afterEnd, meta: indexAt(in.metas, metaSeq, m)}
	if t.p.dataInOrder {
		for _, v := range in.sizes {
			if v.seq <= m {
				c.at = max(c.at, v.seq)
			}
		}
		for _, b := range in.dirty {
			for _, v := range in.blocks[b].vers {
				if v.seq <= m {
					c.at = max(c.at, v.seq)
				}
			}
		}
		return c
	}
	c.epoch, c.next = epochAt(in, m)
	if t.p.partialTruncate {
		c.epoch, c.next = -1, afterEnd
	}
	if t.p.replaceWaits {
		for _, f := range in.flushes {
			if f.seq <= m && f.seq > t.dataFloor(in) {
				c.flush = f.seq
			}
		}
	}
	return c
}

func epochAt(in *inodeCells, m int) (epoch, next int) {
	epoch, next = 0, afterEnd
	for _, tr := range in.truncs {
		if tr.seq <= m {
			epoch = tr.seq
		} else if next == afterEnd {
			next = tr.seq
		}
	}
	return epoch, next
}

// contexts gives every context that is legal whatever the names are. Prefix profiles use contextAt instead.
func (t *tracker) contexts(in *inodeCells) []context {
	if t.p.partialTruncate {
		return []context{{epoch: -1, next: afterEnd, at: -1, meta: -1}}
	}
	var cs []context
	floor := max(t.dataFloor(in), in.cutFloor)
	first, next := epochAt(in, floor)
	for _, tr := range in.truncs {
		if tr.seq > floor {
			cs = append(cs, context{epoch: first, next: tr.seq, at: -1, meta: -1})
			first, next = tr.seq, afterEnd
		}
	}
	cs = append(cs, context{epoch: first, next: next, at: -1, meta: -1})
	slices.Reverse(cs) // newest first
	return cs
}

// metaChoices gives the legal metadata, newest first, without duplicates.
func (t *tracker) metaChoices(in *inodeCells, c context) []metaVer {
	if c.meta >= 0 {
		return in.metas[c.meta : c.meta+1]
	}
	var out []metaVer
	for i := len(in.metas) - 1; i >= indexAt(in.metas, metaSeq, t.metaFloor(in)); i-- {
		v := in.metas[i]
		if !slices.ContainsFunc(out, func(o metaVer) bool { return o.meta == v.meta && o.fromBase == v.fromBase }) {
			out = append(out, v)
		}
	}
	return out
}

// sizeChoices gives the legal sizes in context c, newest first, without duplicates. ask gives the base's size.
func (t *tracker) sizeChoices(in *inodeCells, c context, ask func() int64) []sizeChoice {
	if in.mode.IsDir() {
		return []sizeChoice{{}}
	}
	floor := floorOf(in, in.sizes, sizeSeq, t.dataFloor(in))
	lo, hi := floor, len(in.sizes)
	switch {
	case c.at >= 0 || t.p.dataInOrder:
		lo = indexAt(in.sizes, sizeSeq, c.at)
		hi = lo + 1
	case c.epoch >= 0:
		lo = max(lo, indexAt(in.sizes, sizeSeq, c.epoch))
		for hi > lo+1 && in.sizes[hi-1].seq >= c.next {
			hi--
		}
		if c.flush > 0 {
			lo = max(lo, t.flushedSize(in, lo, hi, c.flush))
		}
	}
	var out []sizeChoice
	add := func(s sizeChoice) {
		if !slices.ContainsFunc(out, func(o sizeChoice) bool { return o.size == s.size }) {
			out = append(out, s)
		}
	}
	for i := hi - 1; i >= lo; i-- {
		v := in.sizes[i]
		s := sizeChoice{size: v.size, seq: v.seq, when: v.when}
		if v.fromBase {
			s.size = ask()
		}
		lost := t.p.lostSizeStays && v.seq > in.failFloor && v.seq <= in.failSeq
		if i > lo && !v.cut && !t.p.sizeBeforeData && c.at < 0 && !lost {
			s.need = v.seq
		}
		add(s)
		if t.p.partialTruncate && i > lo && v.cut {
			prev := in.sizes[i-1].size
			if in.sizes[i-1].fromBase {
				prev = ask()
			}
			for _, b := range boundaries(in, prev, v.size) {
				add(sizeChoice{size: b, seq: v.seq, when: v.when})
			}
		}
	}
	return out
}

// boundaries gives the block boundaries strictly between two sizes, largest first. Where they are many, only
// those at which a block with data begins or ends: a truncate that stopped elsewhere shows no other bytes.
func boundaries(in *inodeCells, a, b int64) []int64 {
	if a > b {
		a, b = b, a
	}
	var out []int64
	add := func(x int64) {
		if x > a && x < b && !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	if (b-a)/BlockSize <= 16 {
		for x := (a/BlockSize + 1) * BlockSize; x < b; x += BlockSize {
			add(x)
		}
	}
	for i := range in.blocks {
		add(i * BlockSize)
		add((i + 1) * BlockSize)
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}

// flushedSize is the oldest size that may be seen once the data was flushed at time f. Only what was newly
// allocated is waited for, so a size moves only if the block that it ends in was a hole at the floor.
func (t *tracker) flushedSize(in *inodeCells, lo, hi, f int) int {
	for i := min(hi-1, indexAt(in.sizes, sizeSeq, f)); i > lo; i-- {
		v := in.sizes[i]
		if v.cut || v.size == 0 {
			return i
		}
		if t.newlyAllocated(in, (v.size-1)/BlockSize) {
			return i
		}
	}
	return lo
}

func (t *tracker) newlyAllocated(in *inodeCells, b int64) bool {
	vers := in.block(b)
	return vers[floorOf(in, vers, blockSeq, t.dataFloor(in))].isHole()
}

// window gives the range of versions of block b that are legal in context c with size s.
func (t *tracker) window(in *inodeCells, c context, s sizeChoice, b int64, vers []blockVer) (lo, hi int) {
	if t.p.dataInOrder {
		lo = indexAt(vers, blockSeq, c.at)
		return lo, lo + 1
	}
	lo, hi = floorOf(in, vers, blockSeq, t.dataFloor(in)), len(vers)
	if c.epoch >= 0 && !t.p.cutReturns {
		for _, tr := range in.truncs {
			if tr.size > b*BlockSize {
				continue // part of the block is kept: old, zero and new bytes may mix there
			}
			if tr.seq <= c.epoch {
				lo = max(lo, indexAt(vers, blockSeq, tr.seq))
			} else {
				for hi > lo+1 && vers[hi-1].seq >= tr.seq {
					hi--
				}
				break
			}
		}
	}
	if c.flush > 0 && vers[lo].isHole() {
		lo = max(lo, min(hi-1, indexAt(vers, blockSeq, c.flush)))
	}
	if s.need > 0 && (s.size-1)/BlockSize == b {
		lo = max(lo, min(hi-1, indexAt(vers, blockSeq, s.need)))
	}
	return lo, hi
}

// blockChoices gives the legal values of block b in context c with size s: whole versions newest first, then
// torn ones, all cut to the size and without duplicates. ask gives the base's block.
func (t *tracker) blockChoices(in *inodeCells, c context, s sizeChoice, b int64, ask func() page) []choice {
	vers := in.block(b)
	lo, hi := t.window(in, c, s, b, vers)
	vis := clampLim(s.size - b*BlockSize)
	list := chooser{seen: map[digest]bool{}}
	pages := make([]page, hi-lo)
	for i := hi - 1; i >= lo; i-- {
		v := vers[i]
		if v.cut && v.seq >= c.next {
			continue // taken away only by a truncate that has not happened
		}
		if v.fromBase {
			v.page = ask().cut(v.lim)
		}
		pages[i-lo] = v.page.cut(vis)
		list.add(choice{page: pages[i-lo], seq: v.seq})
	}
	if t.p.tear != TearNone && vis > SectorSize {
		for i := hi - 1; i > lo; i-- {
			for j := i - 1; j >= lo; j-- {
				if vers[i].cut || vers[j].cut && vers[j].seq >= c.next {
					continue
				}
				list.tears(t.p.tear, pages[j-lo], pages[i-lo], vers[j].seq, vers[i].seq)
			}
		}
	}
	if t.p.garbage && vers[lo].isHole() && hi-lo > 1 {
		list.add(choice{page: garbagePage.cut(vis), seq: vers[hi-1].seq, waste: true})
	}
	return list.out
}

// chooser collects distinct block values.
type chooser struct {
	out  []choice
	seen map[digest]bool
}

func (l *chooser) add(c choice) {
	c.digest = c.page.digest()
	if !l.seen[c.digest] {
		l.seen[c.digest] = true
		l.out = append(l.out, c)
	}
}

// tears adds what a write of next over prev may leave when the power goes in the middle of it.
func (l *chooser) tears(model Tear, prev, next page, prevSeq, nextSeq int) {
	diff := diffSectors(prev, next)
	done := map[uint8]bool{0: true, diff: true}
	try := func(fresh uint8) {
		if fresh &= diff; !done[fresh] {
			done[fresh] = true
			l.add(choice{page: mixPages(prev, next, fresh), seq: nextSeq, over: prevSeq, mask: ^fresh})
		}
	}
	if model == TearAny {
		for m := 1; m < 255; m++ {
			try(uint8(m))
		}
		return
	}
	for k := 1; k < BlockSize/SectorSize; k++ {
		try(1<<k - 1)
	}
	for k := 1; k < BlockSize/SectorSize; k++ {
		try(^(1<<k - 1))
	}
}
