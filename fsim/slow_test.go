package fsim

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// slow enumerates crash states the long way: whole snapshots of the disk at every time, floors as plain times,
// every combination built, checked and printed. It is the judge of everything that is fast; it shares the table
// of rules with it and nothing else.
type slow struct {
	rules
	ops    []op
	ents   []map[holder]Ino       // by time
	data   []map[Ino][]byte       // by time: the bytes, as long as the size
	alloc  []map[Ino]map[int]bool // by time: blocks that were ever written since the last cut
	metas  []map[Ino]meta
	kind   map[Ino]fs.FileMode
	born   map[Ino]int
	floorE map[holder]int
	floorM int
	floorD map[Ino]int
	floorS map[Ino]map[int]bool // times whose data a failed sync has spoilt
	floorA map[Ino]int          // metadata
	sure   map[Ino]bool         // was durable, and linked ever since
	ranged map[Ino][]int        // times of syncs that covered one write only
	all    int
	limit  int
	out    map[string]bool
}

// slowStates gives all states after ops, or nil if they are more than limit combinations.
func slowStates(p *Profile, ops []op, limit int) map[string]bool {
	s := &slow{rules: p.rules, ops: ops, kind: map[Ino]fs.FileMode{rootIno: fs.ModeDir}, born: map[Ino]int{},
		floorE: map[holder]int{}, floorD: map[Ino]int{}, floorS: map[Ino]map[int]bool{}, floorA: map[Ino]int{}, sure: map[Ino]bool{}, ranged: map[Ino][]int{},
		limit: limit, out: map[string]bool{}}
	s.ents = []map[holder]Ino{{}}
	s.data, s.metas = []map[Ino][]byte{{}}, []map[Ino]meta{{}}
	s.alloc = []map[Ino]map[int]bool{{}}
	for i := range ops {
		s.step(i+1, &ops[i])
		linked := map[Ino]bool{}
		for _, c := range s.cells(i + 1) {
			s.sure[s.ents[s.floor(c)][c]] = true
			linked[s.ents[i+1][c]] = true
		}
		for ino := range s.sure {
			if !linked[ino] {
				delete(s.sure, ino)
			}
		}
	}
	if s.order == namesPrefix {
		for m := max(s.floorM, s.all); m <= len(ops); m++ {
			s.emit(s.ents[m], m)
		}
	} else {
		s.combine()
	}
	if s.limit < 0 {
		return nil
	}
	return s.out
}

func clone[K comparable, V any](m map[K]V) map[K]V {
	n := map[K]V{}
	for k, v := range m {
		n[k] = v
	}
	return n
}

func (s *slow) step(t int, o *op) {
	e, d, m, a := clone(s.ents[t-1]), clone(s.data[t-1]), clone(s.metas[t-1]), clone(s.alloc[t-1])
	s.ents, s.data, s.metas, s.alloc = append(s.ents, e), append(s.data, d), append(s.metas, m), append(s.alloc, a)
	switch o.kind {
	case opInode:
		s.kind[o.ino], s.born[o.ino] = o.meta.mode, t
		d[o.ino], m[o.ino], a[o.ino] = nil, o.meta, map[int]bool{}
	case opLink:
		e[holder{o.dir, o.name}] = o.ino
	case opUnlink:
		delete(e, holder{o.dir, o.name})
	case opRename:
		delete(e, holder{o.dir, o.name})
		e[holder{o.dir2, o.name2}] = o.ino
	case opWrite:
		b := make([]byte, max(int64(len(d[o.ino])), o.size))
		copy(b, d[o.ino])
		o.page.readAt(b[o.block*BlockSize:min(int64(len(b)), (o.block+1)*BlockSize)], 0)
		d[o.ino] = b
		a[o.ino] = clone(a[o.ino])
		a[o.ino][int(o.block)] = true
	case opTruncate:
		b := make([]byte, o.size)
		copy(b, d[o.ino])
		d[o.ino] = b
		a[o.ino] = clone(a[o.ino])
		for i := range a[o.ino] {
			if int64(i)*BlockSize >= o.size {
				delete(a[o.ino], i)
			}
		}
	case opMeta:
		m[o.ino] = o.meta
	case opFsync, opFdatasync:
		s.sync(t, o)
	case opSyncAll:
		s.all, s.floorM = t, t
	case opSyncFail:
		if s.floorS[o.ino] == nil {
			s.floorS[o.ino] = map[int]bool{}
		}
		for u := max(s.floorD[o.ino], s.all, lowest(s.floorS[o.ino])) + 1; u <= t; u++ {
			s.floorS[o.ino][u] = true
		}
	}
}

func lowest(m map[int]bool) int {
	lo := 0
	for u := range m {
		if lo == 0 || u-1 < lo {
			lo = u - 1
		}
	}
	return lo
}

// changes gives the times at which ino changed so that fsync must care, or fdatasync if data.
func (s *slow) lastChange(ino Ino, t int, data bool) int {
	last := 0
	for u := 1; u <= t; u++ {
		o := &s.ops[u-1]
		switch o.kind {
		case opInode, opTruncate:
			if o.ino == ino {
				last = u
			}
		case opMeta:
			if o.ino == ino && !data {
				last = u
			}
		case opWrite:
			grew := len(s.data[u][ino]) > len(s.data[u-1][ino])
			hole := !s.alloc[u-1][ino][int(o.block)]
			if o.ino == ino && (grew || hole || s.dataInOrder) {
				last = u
			}
		case opLink, opUnlink, opRename:
			if data {
				continue
			}
			if o.ino == ino || o.dir == ino || o.kind == opRename && (o.dir2 == ino || o.over == ino) {
				last = u
			}
		}
	}
	return last
}

func (s *slow) floor(c holder) int { return max(s.floorE[c], s.all) }

func (s *slow) sync(t int, o *op) {
	if o.n == 0 {
		s.floorD[o.ino] = t
	} else if len(s.floorS[o.ino]) == 0 {
		s.ranged[o.ino] = append(s.ranged[o.ino], t)
	}
	if o.kind == opFsync {
		s.floorA[o.ino] = t
	}
	change := s.lastChange(o.ino, t, o.kind == opFdatasync)
	if s.order == namesPrefix {
		s.floorM = max(s.floorM, change)
		return
	}
	if s.fileSyncNames {
		s.raiseNames(o.ino, change, t)
	}
	if o.kind == opFsync {
		for _, c := range s.cells(t) {
			if c.dir == o.ino {
				s.floorE[c] = t
			}
		}
	}
}

// cells gives every name that was ever there up to time t.
func (s *slow) cells(t int) []holder {
	seen := map[holder]bool{}
	for u := 0; u <= t; u++ {
		for c := range s.ents[u] {
			seen[c] = true
		}
	}
	var out []holder
	for c := range seen {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b holder) int {
		return strings.Compare(fmt.Sprintf("%05d/%s", a.dir, a.name), fmt.Sprintf("%05d/%s", b.dir, b.name))
	})
	return out
}

func (s *slow) durable(ino Ino, t int) bool {
	if ino == rootIno {
		return true
	}
	linked, sure := false, s.sure[ino]
	for _, c := range s.cells(t) {
		linked = linked || s.ents[t][c] == ino
		sure = sure || s.ents[s.floor(c)][c] == ino
	}
	return linked && sure
}

func (s *slow) raiseNames(ino Ino, at, t int) {
	for _, c := range s.cells(t) {
		held := false
		for u := s.floor(c); u <= at; u++ {
			held = held || s.ents[u][c] == ino
		}
		if !held {
			continue
		}
		here := s.ents[max(at, s.floor(c))][c] == ino
		s.floorE[c] = max(s.floorE[c], at)
		if here && !s.durable(c.dir, t) {
			s.raiseNames(c.dir, at, t)
		}
	}
}

// combine tries every value of every name.
func (s *slow) combine() {
	now := len(s.ops)
	cells := s.cells(now)
	pick := map[holder]Ino{}
	var rec func(i int)
	rec = func(i int) {
		if s.limit < 0 {
			return
		}
		if i == len(cells) {
			if s.legal(pick, now) {
				s.emit(pick, -1)
			} else {
				s.limit--
			}
			return
		}
		seen := map[Ino]bool{}
		for t := s.floor(cells[i]); t <= now; t++ {
			v := s.ents[t][cells[i]]
			if seen[v] {
				continue
			}
			seen[v] = true
			if v == 0 {
				delete(pick, cells[i])
			} else {
				pick[cells[i]] = v
			}
			rec(i + 1)
		}
		delete(pick, cells[i])
	}
	rec(0)
}

// reached counts, per inode, the names that lead to it from the root. It is nil if that does not end.
func reached(pick map[holder]Ino, kind map[Ino]fs.FileMode) map[Ino]int {
	n := map[Ino]int{rootIno: 1}
	for round := 0; round < 100; round++ {
		m := map[Ino]int{rootIno: 1}
		for c, v := range pick {
			if n[c.dir] > 0 {
				m[v]++
			}
		}
		same := len(m) == len(n)
		for k := range m {
			same = same && n[k] == m[k]
		}
		if same {
			return n
		}
		n = m
	}
	return nil
}

func (s *slow) legal(pick map[holder]Ino, now int) bool {
	n := reached(pick, s.kind)
	if n == nil || n[rootIno] != 1 {
		return false
	}
	for ino, k := range s.kind {
		if k.IsDir() && n[ino] > 1 {
			return false
		}
		if s.order == namesLinked && n[ino] == 0 && s.durable(ino, now) {
			return false
		}
	}
	return true
}

// emit prints the states with these names, for prefix m, or -1.
func (s *slow) emit(pick map[holder]Ino, m int) {
	var inos []Ino
	for ino, n := range reached(pick, s.kind) {
		if n > 0 && ino != rootIno {
			inos = append(inos, ino)
		}
	}
	slices.Sort(inos)
	var rec func(i int, text map[Ino]string)
	rec = func(i int, text map[Ino]string) {
		if s.limit--; s.limit < 0 {
			return
		}
		if i == len(inos) {
			s.out[s.print(pick, text)] = true
			return
		}
		for _, v := range s.inode(inos[i], m) {
			text[inos[i]] = v
			rec(i+1, text)
		}
	}
	rec(0, map[Ino]string{})
}

func (s *slow) print(pick map[holder]Ino, text map[Ino]string) string {
	var out strings.Builder
	seen := map[Ino]bool{}
	var walk func(dir Ino, path string)
	walk = func(dir Ino, path string) {
		var names []string
		for c := range pick {
			if c.dir == dir {
				names = append(names, c.name)
			}
		}
		slices.Sort(names)
		for _, n := range names {
			i := pick[holder{dir, n}]
			fmt.Fprintf(&out, "%s=%d", path+n, i)
			if !seen[i] {
				seen[i] = true
				out.WriteString(" " + text[i])
			}
			out.WriteString("; ")
			if s.kind[i].IsDir() {
				walk(i, path+n+"/")
			}
		}
	}
	walk(rootIno, "")
	return out.String()
}

// inode gives the texts of everything that one inode may hold.
func (s *slow) inode(ino Ino, m int) []string {
	now := len(s.ops)
	var modes []string
	add := func(list *[]string, v string) {
		if !slices.Contains(*list, v) {
			*list = append(*list, v)
		}
	}
	if m >= 0 {
		add(&modes, fmt.Sprint(s.metas[m][ino].mode))
	} else {
		for t := max(s.floorA[ino], s.all, s.born[ino]); t <= now; t++ {
			add(&modes, fmt.Sprint(s.metas[t][ino].mode))
		}
	}
	if s.kind[ino].IsDir() {
		return modes
	}
	var out []string
	for _, c := range s.contents(ino, m) {
		for _, mode := range modes {
			add(&out, mode+" "+c)
		}
	}
	return out
}

// end gives where the range of the sync at time r ends.
func (s *slow) end(r int) int {
	o := &s.ops[r-1]
	return int(o.block)*BlockSize + int(o.off+o.n)
}

// leastSize gives the time from which sizes are at least those that syncs of single writes promise.
func (s *slow) leastSize(ino Ino) int {
	least := 0
	for _, r := range s.ranged[ino] {
		u := r
		for u > s.born[ino] && len(s.data[u-1][ino]) >= s.end(r) && u > s.lastCut(ino, r) {
			u--
		}
		least = max(least, u)
	}
	return least
}

// lastCut gives the last truncate of ino up to time t.
func (s *slow) lastCut(ino Ino, t int) int {
	for u := t; u > 0; u-- {
		if o := &s.ops[u-1]; o.ino == ino && o.kind == opTruncate {
			return u
		}
	}
	return 0
}

// leastCut gives the last truncate that a sync of a single write made durable.
func (s *slow) leastCut(ino Ino) int {
	least := 0
	for _, r := range s.ranged[ino] {
		least = max(least, s.lastCut(ino, r))
	}
	return least
}

// leastBlock gives the last sync of a single write that covered block b.
func (s *slow) leastBlock(ino Ino, b int) int {
	least := 0
	for _, r := range s.ranged[ino] {
		if o := &s.ops[r-1]; int(o.block) <= b && b*BlockSize < s.end(r) {
			least = r
		}
	}
	return least
}

// guaranteed gives the time from which a version of something is guaranteed: the data floor, unless that
// version was written between a sync that failed and the one before it.
func (s *slow) guaranteed(ino Ino, least int, value func(t int) string) int {
	f := max(s.floorD[ino], s.all, s.born[ino], least)
	made := f
	for made > s.born[ino] && value(made) == value(made-1) {
		made--
	}
	if s.floorS[ino][made] && made > least {
		return max(lowest(s.floorS[ino]), s.born[ino])
	}
	return f
}

func (s *slow) contents(ino Ino, m int) []string {
	now := len(s.ops)
	if s.dataInOrder {
		b := s.data[m][ino]
		return []string{fmt.Sprintf("%d[%s]", len(b), runs(b))}
	}
	cuts := []int{s.born[ino]}
	for t := s.born[ino] + 1; t <= now; t++ {
		if o := &s.ops[t-1]; o.kind == opTruncate && o.ino == ino {
			cuts = append(cuts, t)
		}
	}
	var out []string
	for i, from := range cuts {
		to := now + 1
		if i+1 < len(cuts) {
			to = cuts[i+1]
		}
		switch {
		case m >= 0 && (from > m || to <= m):
			continue // not the truncate that prefix m ends with
		case m < 0 && to <= max(s.floorD[ino], s.all, s.leastCut(ino)):
			continue // the next truncate is durable
		}
		if s.partialTruncate {
			from, to = -1, now+1
		}
		s.inEpoch(ino, m, from, to, &out)
		if from < 0 {
			break
		}
	}
	return out
}

// inEpoch adds the contents with a size from times [from, to), all times if from is negative.
func (s *slow) inEpoch(ino Ino, m, from, to int, out *[]string) {
	size := func(t int) int { return len(s.data[t][ino]) }
	ver := func(t int) string { // changes whenever the size cell gets a version
		n := 0
		for u := 1; u <= t; u++ {
			if o := &s.ops[u-1]; o.ino == ino && (o.kind == opTruncate || o.kind == opWrite && size(u) > size(u-1)) {
				n = u
			}
		}
		return fmt.Sprint(n)
	}
	start := max(s.guaranteed(ino, s.leastSize(ino), ver), s.born[ino], from)
	if f := s.flushed(ino, m); f > 0 {
		start = s.flushedSize(ino, start, min(f, to-1))
	}
	for t := start; t < to; t++ {
		need := 0
		if !s.sizeBeforeData && ver(t) != ver(start) {
			var w int
			fmt.Sscan(ver(t), &w)
			if s.ops[w-1].kind == opWrite && !(s.lostSizeStays && s.floorS[ino][w]) {
				need = w
			}
		}
		s.withSize(ino, m, from, to, size(t), need, out)
		if s.partialTruncate && t > start && s.ops[t-1].kind == opTruncate && s.ops[t-1].ino == ino {
			lo, hi := min(size(t-1), size(t)), max(size(t-1), size(t))
			for b := BlockSize; b < hi; b += BlockSize {
				if b > lo {
					s.withSize(ino, m, from, to, b, 0, out)
				}
			}
		}
	}
}

// flushed gives the last rename over an existing file within prefix m that the data waits for, or 0.
func (s *slow) flushed(ino Ino, m int) int {
	f := 0
	for t := max(s.floorD[ino], s.all) + 1; t <= m && s.replaceWaits; t++ {
		if o := &s.ops[t-1]; o.kind == opRename && o.ino == ino && o.over != 0 {
			f = t
		}
	}
	return f
}

// flushedSize: sizes up to time f that end in a newly allocated block are waited for.
func (s *slow) flushedSize(ino Ino, start, f int) int {
	for t := f; t > start; t-- {
		o := &s.ops[t-1]
		if o.ino != ino || o.kind == opTruncate && false {
			continue
		}
		grew := o.kind == opWrite && len(s.data[t][ino]) > len(s.data[t-1][ino])
		if o.kind == opTruncate || grew && s.fresh(ino, (len(s.data[t][ino])-1)/BlockSize) {
			return t
		}
	}
	return start
}

// fresh says that block b was not allocated at the floor.
func (s *slow) fresh(ino Ino, b int) bool {
	f := s.guaranteed(ino, s.leastBlock(ino, b), func(t int) string { return fmt.Sprint(s.blockTime(ino, b, t)) })
	return !s.alloc[f][ino][b]
}

// blockTime gives the time at which block b got the version that it has at time t.
func (s *slow) blockTime(ino Ino, b, t int) int {
	last := s.born[ino]
	for u := s.born[ino] + 1; u <= t; u++ {
		o := &s.ops[u-1]
		if o.ino == ino && o.kind == opWrite && int(o.block) == b {
			last = u
		}
		if o.ino == ino && o.kind == opTruncate && s.slice(ino, b, u) != s.slice(ino, b, u-1) {
			last = u
		}
	}
	return last
}

// slice gives block b at time t, BlockSize long.
func (s *slow) slice(ino Ino, b, t int) string {
	buf := make([]byte, BlockSize)
	if d := s.data[t][ino]; len(d) > b*BlockSize {
		copy(buf, d[b*BlockSize:])
	}
	return string(buf)
}

func (s *slow) withSize(ino Ino, m, from, to, size, need int, out *[]string) {
	texts := []string{""}
	for b := 0; b*BlockSize < size; b++ {
		vis := min(BlockSize, size-b*BlockSize)
		wait := 0
		if b == (size-1)/BlockSize {
			wait = need
		}
		var next []string
		for _, v := range s.block(ino, m, from, to, b, vis, wait) {
			for _, t := range texts {
				next = append(next, t+v)
			}
		}
		texts = next
		if s.limit -= len(texts); s.limit < 0 {
			return
		}
	}
	for _, t := range texts {
		if v := fmt.Sprintf("%d[%s]", size, runs([]byte(t))); !slices.Contains(*out, v) {
			*out = append(*out, v)
		}
	}
}

// block gives the values of the first vis bytes of block b.
func (s *slow) block(ino Ino, m, from, to, b, vis, wait int) []string {
	now := len(s.ops)
	lo, hi := s.guaranteed(ino, s.leastBlock(ino, b), func(t int) string { return fmt.Sprint(s.blockTime(ino, b, t)) }), now
	if from >= 0 && !s.cutReturns {
		for t := s.born[ino] + 1; t <= now; t++ {
			o := &s.ops[t-1]
			if o.kind != opTruncate || o.ino != ino || o.size > int64(b)*BlockSize {
				continue
			}
			if t <= from {
				lo = max(lo, t)
			} else {
				hi = t - 1
				break
			}
		}
	}
	hole := !s.alloc[lo][ino][b]
	if f := s.flushed(ino, m); f > 0 && hole {
		lo = min(hi, max(lo, f))
	}
	lo = min(max(lo, wait), max(hi, lo))
	var out []string
	add := func(v string) {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	// A truncate takes a block away without writing it: that is seen only once the truncate has happened, and
	// tears nothing.
	taken := func(t int) bool {
		o := &s.ops[max(s.blockTime(ino, b, t), 1)-1]
		return o.ino == ino && o.kind == opTruncate && o.size <= int64(b)*BlockSize
	}
	future := func(t int) bool { return from >= 0 && taken(t) && s.blockTime(ino, b, t) >= to }
	for t := lo; t <= hi; t++ {
		if !future(t) {
			add(s.slice(ino, b, t)[:vis])
		}
	}
	writes := 0
	for t := lo; t <= hi; t++ {
		for u := t + 1; u <= hi; u++ {
			x, y := s.slice(ino, b, t)[:vis], s.slice(ino, b, u)[:vis]
			if s.blockTime(ino, b, u) != s.blockTime(ino, b, t) {
				writes++
			}
			for cut := SectorSize; cut < vis && !taken(u) && !future(t) && s.tear != TearNone; cut += SectorSize {
				add(y[:cut] + x[cut:])
				add(x[:cut] + y[cut:])
			}
		}
	}
	if s.garbage && !s.alloc[lo][ino][b] && writes > 0 {
		g := make([]byte, BlockSize)
		garbagePage.readAt(g, 0)
		add(string(g[:vis]))
	}
	return out
}
