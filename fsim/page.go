package fsim

// A page is one immutable version of a block: bytes [0,n) of p, then zeros up
// to BlockSize. A nil p is a block of zeros.
//
// Several versions may share one p. An append inside a block only raises n,
// so the shorter version still reads right; a truncation only lowers it. What
// lies below the largest n that was ever handed out is never written again.
type page struct {
	p *[BlockSize]byte
	n int32
}

// cut returns the page with everything from byte n on replaced by zeros. It
// copies nothing.
func (g page) cut(n int32) page {
	if g.n <= n {
		return g
	}
	if n <= 0 {
		return page{}
	}
	return page{p: g.p, n: n}
}

// readAt fills b with the bytes of the page from off on and returns how many
// it filled, which is fewer than len(b) only where the block ends.
func (g page) readAt(b []byte, off int) int {
	want := min(len(b), BlockSize-off)
	got := 0
	if g.p != nil && off < int(g.n) {
		got = copy(b[:want], g.p[off:g.n])
	}
	clear(b[got:want])
	return want
}

// bytes returns the part of the page that may be other than zero. The caller
// must not write to it.
func (g page) bytes() []byte {
	if g.p == nil {
		return nil
	}
	return g.p[:g.n]
}

// newPage makes a page out of b, which it copies. Bytes beyond BlockSize are
// ignored.
func newPage(b []byte) page {
	p := new([BlockSize]byte)
	return page{p: p, n: int32(copy(p[:], b))}
}
