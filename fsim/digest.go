package fsim

import (
	"encoding/binary"
	"math/bits"
)

// digest identifies content. Digests of parts that lie in different places are added, in any order; nothing
// and zeros have the zero digest, so a hole is the same as a block of zeros. It resists accident, not malice.
type digest [2]uint64

func (d digest) plus(e digest) digest {
	lo, carry := bits.Add64(d[0], e[0], 0)
	hi, _ := bits.Add64(d[1], e[1], carry)
	return digest{lo, hi}
}

// scramble is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
// generators, 2014), a bijection.
func scramble(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// at gives the digest of the same content in another place.
func (d digest) at(kind uint8, a, b uint64) digest {
	if d == (digest{}) {
		return d
	}
	place := scramble(a*0x9e3779b97f4a7c15+uint64(kind)) ^ scramble(b+0x632be59bd9b4e019)
	lo := scramble(d[0] ^ place)
	hi := scramble(d[1] + lo + place*0xd6e8feb86659fd93)
	return digest{lo + hi, hi}
}

func digestString(s string) digest {
	d := digest{uint64(len(s)) + 1, 0x243f6a8885a308d3}
	for i := 0; i < len(s); i++ {
		d[0] = scramble(d[0] ^ uint64(s[i]))
		d[1] = scramble(d[1] + d[0])
	}
	return d
}

// digest of the bytes of a page.
func (g page) digest() digest {
	b := g.bytes()
	var d digest
	for i := 0; i < len(b); i += 8 {
		var w uint64
		if i+8 <= len(b) {
			w = binary.LittleEndian.Uint64(b[i:])
		} else {
			var tail [8]byte
			copy(tail[:], b[i:])
			w = binary.LittleEndian.Uint64(tail[:])
		}
		if w == 0 {
			continue
		}
		h := scramble(w + uint64(i)*0x9e3779b97f4a7c15)
		d[0] += h
		d[1] += scramble(h ^ uint64(i+1)*0xc2b2ae3d27d4eb4f)
	}
	return d
}

// diffSectors gives the sectors in which two pages differ, sector 0 in bit 0.
func diffSectors(a, b page) uint8 {
	if a == b {
		return 0
	}
	var bufA, bufB [SectorSize]byte
	var diff uint8
	for s := 0; s < BlockSize/SectorSize; s++ {
		a.readAt(bufA[:], s*SectorSize)
		b.readAt(bufB[:], s*SectorSize)
		if bufA != bufB {
			diff |= 1 << s
		}
	}
	return diff
}

// mixPages gives prev with the sectors of fresh taken from next.
func mixPages(prev, next page, fresh uint8) page {
	out := page{p: new([BlockSize]byte), n: BlockSize}
	prev.readAt(out.p[:], 0)
	for s := 0; s < BlockSize/SectorSize; s++ {
		if fresh>>s&1 == 1 {
			next.readAt(out.p[s*SectorSize:(s+1)*SectorSize], s*SectorSize)
		}
	}
	return out
}

// garbagePage stands for whatever a newly allocated block held before.
var garbagePage = func() page {
	g := page{p: new([BlockSize]byte), n: BlockSize}
	for i := range g.p {
		g.p[i] = 0xa5 ^ byte(i)
	}
	return g
}()

// mix adds what o does to a running hash of a history. Of written bytes it takes a few from either end: it
// tells two histories apart, not two forgeries.
func (o *op) mix(h uint64) uint64 {
	h = scramble(h ^ uint64(o.kind)<<56 ^ uint64(o.ino)<<24 ^ uint64(o.block))
	h = scramble(h + uint64(o.size) + uint64(uint32(o.off))<<32 + uint64(uint32(o.n)))
	switch o.kind {
	case opLink, opUnlink, opRename:
		h = scramble(h ^ digestString(o.name)[0] ^ uint64(o.dir)<<32)
		h = scramble(h ^ digestString(o.name2)[0] ^ uint64(o.dir2)<<32)
	case opInode, opMeta:
		h = scramble(h ^ uint64(o.meta.mode) ^ uint64(o.meta.mtime) ^ digestString(o.meta.target)[0])
		h = scramble(h ^ uint64(o.meta.uid)<<32 ^ uint64(o.meta.gid))
	case opWrite:
		b := o.page.bytes()
		b = b[min(len(b), int(o.off)):min(len(b), int(o.off+o.n))]
		var ends [32]byte
		copy(ends[:16], b)
		copy(ends[16:], b[max(0, len(b)-16):])
		for i := 0; i < len(ends); i += 8 {
			h = scramble(h ^ binary.LittleEndian.Uint64(ends[i:]))
		}
	}
	return h
}
