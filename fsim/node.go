package fsim

import (
	"cmp"
	"math/big"
	"math/bits"
	"slices"
)

// node is a set of partial states in a form that counts and indexes without visiting: a sum holds the states
// of exactly one of its kids, a product one state of each of its kids, combined. No partial state is in it twice.
type node struct {
	sum   bool
	kids  []*node
	set   effect // what being in this node decides
	own   digest // what that adds to the digest of a state
	n     *big.Int
	small u128     // n, where it fits
	fits  bool     // n < 2^128
	upto  []u128   // sum: how many states kids 0..i have together
	flat  []digest // the digest of every state, for few
}

// effect is one decision of a state.
type effect struct {
	kind  cellKind // 0: none
	cell  *entryCell
	ino   Ino // of the inode, or the entry's value
	size  sizeChoice
	meta  metaVer
	index int64
	page  page
}

const flatLimit = 256

// u128 is an unsigned number of 128 bits.
type u128 struct{ hi, lo uint64 }

func (a u128) less(b u128) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a u128) add(b u128) u128 {
	lo, c := bits.Add64(a.lo, b.lo, 0)
	hi, _ := bits.Add64(a.hi, b.hi, c)
	return u128{hi, lo}
}

func (a u128) sub(b u128) u128 {
	lo, c := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, c)
	return u128{hi, lo}
}

func (a u128) divmod(d uint64) (u128, uint64) {
	if a.hi == 0 {
		return u128{0, a.lo / d}, a.lo % d
	}
	hi, r := a.hi/d, a.hi%d
	lo, r := bits.Div64(r, a.lo, d)
	return u128{hi, lo}, r
}

func toU128(n *big.Int) (u128, bool) {
	if n.BitLen() > 128 || n.Sign() < 0 {
		return u128{}, false
	}
	lo := new(big.Int).And(n, new(big.Int).SetUint64(^uint64(0))).Uint64()
	return u128{new(big.Int).Rsh(n, 64).Uint64(), lo}, true
}

// leaf is the node of one decision.
func leaf(e effect, d digest) *node {
	return finish(&node{set: e, own: d})
}

// product combines kids. Kids with one state and nothing to decide are folded away.
func product(e effect, own digest, kids []*node) *node {
	n := &node{set: e, own: own}
	for _, k := range kids {
		if len(k.kids) == 0 && k.set.kind == 0 {
			n.own = n.own.plus(k.own)
			continue
		}
		n.kids = append(n.kids, k)
	}
	// A kid with more states than a word holds goes last: of two numbers that fit in 128 bits together, only one can.
	slices.SortStableFunc(n.kids, func(a, b *node) int { return cmp.Compare(a.small.hi, b.small.hi) })
	if len(n.kids) == 1 && e.kind == 0 && n.own == (digest{}) {
		return n.kids[0]
	}
	return finish(n)
}

// sumOf joins disjoint kids; of one it is that one.
func sumOf(kids []*node) *node {
	if len(kids) == 1 {
		return kids[0]
	}
	return finish(&node{sum: true, kids: kids})
}

// finish computes what counting and indexing need.
func finish(n *node) *node {
	if n.sum {
		n.n = new(big.Int)
	} else {
		n.n = big.NewInt(1)
	}
	for _, k := range n.kids {
		if n.sum {
			n.n.Add(n.n, k.n)
		} else {
			n.n.Mul(n.n, k.n)
		}
	}
	n.small, n.fits = toU128(n.n)
	if n.sum && n.fits {
		acc := u128{}
		for _, k := range n.kids {
			acc = acc.add(k.small)
			n.upto = append(n.upto, acc)
		}
	}
	if n.fits && n.small.hi == 0 && n.small.lo <= flatLimit && len(n.kids) > 0 {
		flat := make([]digest, n.small.lo)
		for i := range flat {
			flat[i] = n.digestAt(u128{0, uint64(i)})
		}
		n.flat = flat
	}
	return n
}

// digestAt gives the digest of state k of a node that fits.
func (n *node) digestAt(k u128) digest {
	if n.flat != nil {
		return n.flat[k.lo]
	}
	d := n.own
	if n.sum {
		kid, rest := n.which(k)
		return d.plus(kid.digestAt(rest))
	}
	for i := 0; i < len(n.kids); {
		if i == len(n.kids)-1 {
			return d.plus(n.kids[i].digestAt(k))
		}
		// As many kids as fit in one word share one long division.
		radix, j := n.kids[i].small.lo, i+1
		for j < len(n.kids) && n.kids[j].small.hi == 0 {
			hi, lo := bits.Mul64(radix, n.kids[j].small.lo)
			if hi != 0 {
				break
			}
			radix = lo
			j++
		}
		q, r := k.divmod(radix)
		k = q
		for ; i < j; i++ {
			kid := n.kids[i]
			x := r % kid.small.lo
			r /= kid.small.lo
			if kid.flat != nil {
				d = d.plus(kid.flat[x])
			} else {
				d = d.plus(kid.digestAt(u128{0, x}))
			}
		}
	}
	return d
}

// which finds the kid of a sum that holds state k, and the state's index there.
func (n *node) which(k u128) (*node, u128) {
	i, j := 0, len(n.upto)-1
	for i < j {
		if m := int(uint(i+j) >> 1); k.less(n.upto[m]) {
			j = m
		} else {
			i = m + 1
		}
	}
	if i > 0 {
		k = k.sub(n.upto[i-1])
	}
	return n.kids[i], k
}

// each calls f with every decision of state k, and returns its digest.
func (n *node) each(k *big.Int, f func(e *effect)) digest {
	if n.set.kind != 0 {
		f(&n.set)
	}
	d := n.own
	if n.sum {
		rest := new(big.Int).Set(k)
		for _, kid := range n.kids {
			if rest.Cmp(kid.n) < 0 {
				return d.plus(kid.each(rest, f))
			}
			rest.Sub(rest, kid.n)
		}
	}
	q := new(big.Int).Set(k)
	for _, kid := range n.kids {
		r := new(big.Int)
		q.QuoRem(q, kid.n, r)
		d = d.plus(kid.each(r, f))
	}
	return d
}
