package main

// pageSize is the grain at which images share memory. sectorSize is the grain at which a write may tear.
const (
	pageSize   = 4096
	sectorSize = 512
)

// An image is the content of a block device in memory. Pages are never changed once they are in an image, so
// that clones share them; nil is a page of zeros. An image is not safe for concurrent use.
type image struct {
	pages []*[pageSize]byte
}

// newImage makes an image of zeros; size is in bytes and a multiple of a page.
func newImage(size int64) *image { return &image{make([]*[pageSize]byte, size/pageSize)} }

func (m *image) size() int64 { return int64(len(m.pages)) * pageSize }

// clone gives an image that does not see what is written to m from now on.
func (m *image) clone() *image { return &image{append([]*[pageSize]byte(nil), m.pages...)} }

// readAt fills b from byte off on; beyond the end it fills zeros.
func (m *image) readAt(b []byte, off int64) {
	for len(b) > 0 {
		k, o := off/pageSize, int(off%pageSize)
		n := min(pageSize-o, len(b))
		if k < int64(len(m.pages)) && m.pages[k] != nil {
			copy(b[:n], m.pages[k][o:])
		} else {
			clear(b[:n])
		}
		b, off = b[n:], off+int64(n)
	}
}

// writeAt puts b at byte off and drops what lies beyond the end.
func (m *image) writeAt(b []byte, off int64) {
	for len(b) > 0 {
		k, o := off/pageSize, int(off%pageSize)
		n := min(pageSize-o, len(b))
		if k >= int64(len(m.pages)) {
			return
		}
		p := new([pageSize]byte)
		if old := m.pages[k]; old != nil && n < pageSize {
			*p = *old
		}
		copy(p[o:], b[:n])
		m.pages[k] = p
		b, off = b[n:], off+int64(n)
	}
}
