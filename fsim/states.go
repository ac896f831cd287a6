package fsim

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/big"
	"math/rand/v2"
	"sync"
)

// ErrNotIndexed says that the states of a crash cannot be reached by number: their names share inodes in too
// many ways to be counted exactly. They can still be iterated, sampled and explored.
var ErrNotIndexed = errors.New("states are not indexed")

// A Crash is the set of all states that a power cut at one instant may leave behind under one profile. Two
// states are the same when names, inode identity, sizes, visible bytes and explicit metadata agree. It does
// not change when the disk works on, and is safe for concurrent use.
type Crash struct {
	w     *world
	once  sync.Once
	nodes *node // nil: not indexed, or not compiled yet
}

// newCrash owns t from now on.
func newCrash(t *tracker) *Crash {
	return &Crash{w: newWorld(t)}
}

// root gives the compiled form, or nil where there is none.
func (c *Crash) root() *node {
	c.once.Do(func() {
		if concrete(c.w.t.base) {
			c.nodes, _ = compile(c.w)
		}
	})
	return c.nodes
}

// Profile is the one that says which states are legal.
func (c *Crash) Profile() *Profile { return c.w.t.p }

// Instant is the number of micro-operations that had happened.
func (c *Crash) Instant() int { return c.w.t.n }

// Count is the number of states. Where exact is false it is an upper bound, and State is [ErrNotIndexed].
func (c *Crash) Count() (n *big.Int, exact bool) {
	if c.root() != nil {
		return new(big.Int).Set(c.root().n), true
	}
	return c.w.bound(), false
}

// bound is the product over all cells as if they were independent.
func (w *world) bound() *big.Int {
	n := big.NewInt(int64(max(1, len(w.alts))))
	mul := func(k int) { n.Mul(n, big.NewInt(int64(max(1, k)))) }
	seen := map[Ino]bool{}
	for _, e := range w.open {
		if w.alts == nil {
			mul(len(e.vers))
		}
	}
	for i, in := range w.t.inodes {
		if seen[i] || len(in.sizes) == 1 && len(in.dirty) == 0 && len(in.metas) == 1 {
			continue
		}
		seen[i] = true
		mul(len(in.metas))
		mul(2 * len(in.sizes))
		for _, b := range in.dirty {
			v := len(in.blocks[b].vers)
			tears := v * (v - 1) / 2
			switch w.t.p.tear {
			case TearEnds:
				tears *= 2 * (BlockSize/SectorSize - 1)
			case TearAny:
				tears *= 1<<(BlockSize/SectorSize) - 2
			case TearNone:
				tears = 0
			}
			mul(v + tears + 1)
		}
	}
	return n
}

// A State is one disk that a power cut may have left. It never changes; what is done on a mounted state is
// done to a copy.
type State struct {
	crash  *Crash
	once   sync.Once
	lazy   *lazyBase
	index  *big.Int // nil: not by number
	picks  []pick   // then: how it differs from Kept
	digest digest
}

// State gives state k, from 0 to Count-1, without visiting the others. The order is fixed by the history
// alone. It is [ErrNotIndexed] where Count is a bound; a k out of range is an error too.
func (c *Crash) State(k *big.Int) (*State, error) {
	if c.root() == nil {
		return nil, ErrNotIndexed
	}
	if k.Sign() < 0 || k.Cmp(c.root().n) >= 0 {
		return nil, fmt.Errorf("state %v of %v: out of range", k, c.root().n)
	}
	s := &State{crash: c, index: k}
	if c.root().fits {
		small, _ := toU128(k)
		s.digest = c.root().digestAt(small)
	} else {
		s.digest = c.root().each(k, func(*effect) {})
	}
	return s, nil
}

// base gives the state as something to mount.
func (s *State) base() *lazyBase {
	s.once.Do(func() {
		if s.lazy == nil {
			l := newLazy(s.crash.w, kept{}, 0)
			l.whole = true
			s.crash.root().each(s.index, l.apply)
			s.lazy = l
		}
	})
	return s.lazy
}

// apply decides what e says.
func (l *lazyBase) apply(e *effect) {
	switch e.kind {
	case cellEntry:
		if l.ents == nil {
			l.ents = map[*entryCell]Ino{}
		}
		l.ents[e.cell] = e.ino
	case cellSize:
		if l.lens == nil {
			l.lens = map[Ino]sizeChoice{}
		}
		l.lens[e.ino] = e.size
	case cellMeta:
		if l.metas == nil {
			l.metas = map[Ino]metaVer{}
		}
		l.metas[e.ino] = e.meta
	case cellBlock:
		if l.blks == nil {
			l.blks = map[blockAt]page{}
		}
		l.blks[blockAt{e.ino, e.index}] = e.page
	}
}

// Digest identifies the content of the state: names, inodes, sizes, bytes, explicit metadata. Equal states
// have equal digests, whatever profile and instant they come from.
func (s *State) Digest() string { return fmt.Sprintf("%016x%016x", s.digest[1], s.digest[0]) }

// Index is the number of the state in its crash, or nil if it was not reached by number. The caller must not
// change it.
func (s *State) Index() *big.Int { return s.index }

// All iterates over every state once, in a fixed order, also where they are not indexed.
func (c *Crash) All() iter.Seq[*State] {
	if c.root() != nil {
		return func(yield func(*State) bool) {
			one := big.NewInt(1)
			for k := new(big.Int); k.Cmp(c.root().n) < 0; k = new(big.Int).Add(k, one) {
				s, _ := c.State(k)
				if !yield(s) {
					return
				}
			}
		}
	}
	return func(yield func(*State) bool) {
		st := newStack()
		for more := true; more; more = st.advance(-1) {
			if !yield(c.settle(st)) {
				return
			}
		}
	}
}

// settle decides every cell with d.
func (c *Crash) settle(d decider) *State {
	note := &noting{decider: d}
	l := newLazy(c.w, note, 0)
	if f, ok := d.(*follower); ok {
		l.force(f.keys)
	}
	s := &State{crash: c, lazy: l, digest: digestOf(l)}
	s.picks = note.picks
	l.d, l.whole = kept{}, true
	return s
}

// digestOf decides every cell that a base shows and gives the digest.
func digestOf(b base) digest {
	var d digest
	seen := map[Ino]bool{}
	var walk func(i Ino)
	walk = func(i Ino) {
		if seen[i] {
			return
		}
		seen[i] = true
		d = d.plus(metaDigest(i, b.meta(i)))
		if b.mode(i)&fs.ModeType == fs.ModeDir {
			for _, e := range b.names(i) {
				d = d.plus(entryDigest(i, e.name, e.ino))
				walk(e.ino)
			}
			return
		}
		size := b.size(i)
		d = d.plus(sizeDigest(i, size))
		for x := int64(0); x*BlockSize < size; x++ {
			d = d.plus(blockDigest(i, x, b.block(i, x).cut(clampLim(size-x*BlockSize)).digest()))
		}
	}
	walk(rootIno)
	return d
}

// Extreme names one of the states that a crash is most likely to be wrong at.
type Extreme uint8

const (
	Kept          Extreme = iota // everything had reached the medium
	Synced                       // only what was synced had
	MetadataFirst                // names, sizes and metadata had, data had not
	DataFirst                    // data had, names, sizes and metadata had not
)

var extremeNames = [...]string{"kept", "synced", "metadata-first", "data-first"}

// Extremes lists them all.
func Extremes() []Extreme { return []Extreme{Kept, Synced, MetadataFirst, DataFirst} }

func (e Extreme) String() string {
	if int(e) < len(extremeNames) {
		return extremeNames[e]
	}
	return fmt.Sprintf("extreme(%d)", e)
}

// prefers gives the choice of an extreme for one cell.
func (e Extreme) prefers(k cellKey, oldest int) int {
	isData := k.kind == cellBlock || k.kind == cellBlockOrigin
	if e == Kept || e == MetadataFirst && !isData || e == DataFirst && isData {
		return 0
	}
	return oldest
}

func (e Extreme) decide(k cellKey, v values) int { return e.prefers(k, v.oldest) }

// kept decides everything as if it had been written back.
type kept struct{}

func (kept) decide(cellKey, values) int { return 0 }

// Extreme gives the named state.
func (c *Crash) Extreme(e Extreme) *State { return c.settle(e) }

// Sample iterates without end over states near the extremes: each extreme first, then each with few cells
// flipped, drawn from seed. States may repeat. Uniform sampling would almost never show a disk on which
// recovery gets anywhere.
func (c *Crash) Sample(seed uint64) iter.Seq[*State] {
	return func(yield func(*State) bool) {
		r := rand.New(rand.NewPCG(seed, 0x6673696d))
		for round := 0; ; round++ {
			for _, e := range Extremes() {
				rate := 0.0
				if round > 0 {
					rate = 1 / float64(int(1)<<(1+round%6))
				}
				if !yield(c.settle(&flipper{e, r, rate})) {
					return
				}
			}
		}
	}
}

// flipper follows an extreme except for some cells.
type flipper struct {
	e    Extreme
	r    *rand.Rand
	rate float64
}

func (f *flipper) decide(k cellKey, v values) int {
	if f.rate > 0 && f.r.Float64() < f.rate {
		return f.r.IntN(v.n)
	}
	return f.e.prefers(k, v.oldest)
}
