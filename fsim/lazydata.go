package fsim

import "slices"

// concrete says that a base has decided every cell, so that asking it costs nothing.
func concrete(b base) bool {
	c, ok := b.(interface{ decided() bool })
	return b == nil || ok && c.decided()
}

// sizeOf decides the size of in.
func (l *lazyBase) sizeOf(in *inodeCells) sizeChoice {
	if s, ok := l.lens[in.ino]; ok {
		l.note(cellKey{kind: cellSize, ino: in.ino})
		l.note(cellKey{kind: cellSizeOrigin, ino: in.ino})
		return s
	}
	var s sizeChoice
	ic := l.w.contexts(in)
	if len(ic.list) == 1 && fixedSizes(in) {
		if vals := l.w.sizes(in, ic, 0, nil); len(vals) == 1 {
			return vals[0]
		} else {
			s = vals[l.d.decide(cellKey{level: l.level, kind: cellSize, ino: in.ino}, sizeValues(vals))]
		}
	} else {
		s = l.decideSize(in, ic)
	}
	if l.lens == nil {
		l.lens = map[Ino]sizeChoice{}
	}
	l.lens[in.ino] = s
	return s
}

func sizeValues(vals []sizeChoice) values {
	return values{len(vals), oldestBy(vals, choiceSeq), func(i int) uint64 { return uint64(vals[i].size) }}
}

func blockValues(vals []choice) values {
	return values{len(vals), oldestBlock(vals), func(i int) uint64 { return vals[i].digest[0] }}
}

func choiceSeq(s sizeChoice) int { return s.seq }

// opaque stands for the size that an undecided base has.
const opaque = -1

func (l *lazyBase) decideSize(in *inodeCells, ic *inodeContexts) sizeChoice {
	ask := func() int64 { return l.w.t.base.size(in.ino) }
	if !concrete(l.w.t.base) && !l.w.t.p.partialTruncate && len(in.sizes) > 1 && in.sizes[0].fromBase {
		vals := l.sizeValues(in, ic, func() int64 { return opaque })
		if len(vals) > 1 && slices.ContainsFunc(vals, isOpaque) {
			pick := l.d.decide(cellKey{level: l.level, kind: cellSizeOrigin, ino: in.ino}, sizeValues(vals))
			s := vals[pick]
			l.keepContexts(in, ic, func(x int32) bool {
				return slices.ContainsFunc(l.w.t.sizeChoices(in, ic.list[x], func() int64 { return opaque }),
					func(o sizeChoice) bool { return o.size == s.size })
			})
			if isOpaque(s) {
				s.size = ask()
			}
			return s
		}
	}
	vals := l.sizeValues(in, ic, ask)
	pick := 0
	if len(vals) > 1 {
		pick = l.d.decide(cellKey{level: l.level, kind: cellSize, ino: in.ino}, sizeValues(vals))
	}
	l.keepContexts(in, ic, func(x int32) bool { return findSize(l.w.sizes(in, ic, int(x), ask), vals[pick].size) != nil })
	return vals[pick]
}

func isOpaque(s sizeChoice) bool { return s.size == opaque }

func findSize(vals []sizeChoice, size int64) *sizeChoice {
	for i := range vals {
		if vals[i].size == size {
			return &vals[i]
		}
	}
	return nil
}

// sizeValues gives the sizes that some live context allows.
func (l *lazyBase) sizeValues(in *inodeCells, ic *inodeContexts, ask func() int64) []sizeChoice {
	var vals []sizeChoice
	for _, x := range l.live(in, ic) {
		for _, s := range l.w.t.sizeChoices(in, ic.list[x], ask) {
			if findSize(vals, s.size) == nil {
				vals = append(vals, s)
			}
		}
	}
	return vals
}

func (l *lazyBase) block(ino Ino, b int64) page {
	in := l.w.peek(ino)
	if in == nil {
		return l.w.t.base.block(ino, b)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sizeOf(in)
	if b*BlockSize >= s.size {
		return page{}
	}
	at := blockAt{ino, b}
	if p, ok := l.blks[at]; ok {
		l.note(cellKey{kind: cellBlock, ino: ino, index: b})
		l.note(cellKey{kind: cellBlockOrigin, ino: ino, index: b})
		return p
	}
	p := l.decideBlock(in, s, b)
	if l.blks == nil {
		l.blks = map[blockAt]page{}
	}
	l.blks[at] = p
	return p
}

func (l *lazyBase) decideBlock(in *inodeCells, s sizeChoice, b int64) page {
	ask := func() page { return l.w.t.base.block(in.ino, b) }
	vis := clampLim(s.size - b*BlockSize)
	vers := in.block(b)
	if len(vers) == 1 {
		if vers[0].fromBase {
			return ask().cut(vers[0].lim).cut(vis)
		}
		return vers[0].page.cut(vis)
	}
	ic := l.w.contexts(in)
	if vers[0].fromBase && !concrete(l.w.t.base) {
		if c, done := l.blockOrigin(in, ic, s, b, vers); done {
			return c.page
		}
	}
	vals := l.blockValues(in, ic, s, b, ask)
	pick := 0
	if len(vals) > 1 {
		pick = l.d.decide(cellKey{level: l.level, kind: cellBlock, ino: in.ino, index: b}, blockValues(vals))
	}
	l.keepBlock(in, ic, s, b, vals[pick].digest, ask)
	return vals[pick].page
}

// blockOrigin decides first whether a block over an undecided base shows anything of the base at all. Only
// then is the base asked.
func (l *lazyBase) blockOrigin(in *inodeCells, ic *inodeContexts, s sizeChoice, b int64, vers []blockVer) (choice, bool) {
	if len(ic.list) != 1 {
		return choice{}, false
	}
	lo, hi := l.w.t.window(in, ic.list[0], l.sizeIn(in, ic, 0, s), b, vers)
	if hi-lo == 1 || !vers[lo].fromBase {
		return choice{}, false
	}
	first := lo
	for first < hi && vers[first].fromBase {
		first++
	}
	if first == hi {
		return choice{}, false
	}
	list := chooser{seen: map[digest]bool{}}
	vis := clampLim(s.size - b*BlockSize)
	for i := hi - 1; i >= first; i-- {
		list.add(choice{page: vers[i].page.cut(vis), seq: vers[i].seq})
	}
	n := len(list.out)
	origin := values{n + 1, n, func(i int) uint64 {
		if i == n {
			return ^uint64(0)
		}
		return list.out[i].digest[0]
	}}
	if pick := l.d.decide(cellKey{level: l.level, kind: cellBlockOrigin, ino: in.ino, index: b}, origin); pick < n {
		return list.out[pick], true
	}
	all := l.blockValues(in, ic, s, b, func() page { return l.w.t.base.block(in.ino, b) })
	rest := slices.DeleteFunc(slices.Clone(all), func(c choice) bool { return list.seen[c.digest] })
	if len(rest) == 0 {
		return list.out[len(list.out)-1], true
	}
	pick := 0
	if len(rest) > 1 {
		pick = l.d.decide(cellKey{level: l.level, kind: cellBlock, ino: in.ino, index: b}, blockValues(rest))
	}
	return rest[pick], true
}

// sizeIn finds the choice for the decided size as context x has it.
func (l *lazyBase) sizeIn(in *inodeCells, ic *inodeContexts, x int32, s sizeChoice) sizeChoice {
	if len(ic.list) == 1 {
		return s
	}
	if f := findSize(l.w.sizes(in, ic, int(x), func() int64 { return s.size }), s.size); f != nil {
		return *f
	}
	return s
}

func (l *lazyBase) blockValues(in *inodeCells, ic *inodeContexts, s sizeChoice, b int64, ask func() page) []choice {
	live := l.live(in, ic)
	if len(live) == 1 {
		return l.w.block(in, ic, int(live[0]), l.sizeIn(in, ic, live[0], s), b, ask)
	}
	list := chooser{seen: map[digest]bool{}}
	for _, x := range live {
		for _, c := range l.w.block(in, ic, int(x), l.sizeIn(in, ic, x, s), b, ask) {
			list.add(c)
		}
	}
	return list.out
}

func (l *lazyBase) keepBlock(in *inodeCells, ic *inodeContexts, s sizeChoice, b int64, d digest, ask func() page) {
	l.keepContexts(in, ic, func(x int32) bool {
		if !slices.Contains(l.live(in, ic), x) {
			return false
		}
		return slices.ContainsFunc(l.w.block(in, ic, int(x), l.sizeIn(in, ic, x, s), b, ask),
			func(c choice) bool { return c.digest == d })
	})
}

// oldestBlock finds the whole version that is oldest.
func oldestBlock(vals []choice) int {
	best := 0
	for i, c := range vals {
		if c.mask == 0 && !c.waste && c.seq < vals[best].seq {
			best = i
		}
	}
	return best
}

func (l *lazyBase) meta(ino Ino) meta {
	in := l.w.peek(ino)
	if in == nil {
		return l.w.t.base.meta(ino)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	v, ok := l.metas[ino]
	if ok {
		l.note(cellKey{kind: cellMeta, ino: ino})
	} else {
		v = l.decideMeta(in)
		if l.metas == nil {
			l.metas = map[Ino]metaVer{}
		}
		l.metas[ino] = v
	}
	if v.fromBase {
		return l.w.t.base.meta(ino)
	}
	return v.meta
}

func (l *lazyBase) decideMeta(in *inodeCells) metaVer {
	if len(in.metas) == 1 {
		return in.metas[0]
	}
	ic := l.w.contexts(in)
	same := func(a, b metaVer) bool { return a.meta == b.meta && a.fromBase == b.fromBase }
	var vals []metaVer
	for _, x := range l.live(in, ic) {
		for _, v := range l.w.t.metaChoices(in, ic.list[x]) {
			if v.fromBase && in.fromBase {
				v = metaVer{seq: v.seq, meta: l.w.t.base.meta(in.ino)}
			}
			if !slices.ContainsFunc(vals, func(o metaVer) bool { return same(o, v) }) {
				vals = append(vals, v)
			}
		}
	}
	pick := 0
	if len(vals) > 1 {
		pick = l.d.decide(cellKey{level: l.level, kind: cellMeta, ino: in.ino},
			values{len(vals), oldestBy(vals, metaSeq), func(i int) uint64 { return metaDigest(0, vals[i].meta)[0] }})
	}
	l.keepContexts(in, ic, func(x int32) bool {
		return slices.ContainsFunc(l.w.t.metaChoices(in, ic.list[x]), func(v metaVer) bool {
			if v.fromBase {
				v = metaVer{meta: l.w.t.base.meta(in.ino)}
			}
			return same(v, vals[pick])
		})
	})
	return vals[pick]
}

// oldestBy finds the value whose version is oldest; of several the first.
func oldestBy[V any](vals []V, seq func(V) int) int {
	best := 0
	for i, v := range vals {
		if seq(v) < seq(vals[best]) {
			best = i
		}
	}
	return best
}
