package fsim

import "io/fs"

// maxFileSize is the largest file of ext4 with 4 KiB blocks: 2^32-1 blocks
// less one (fs/ext4/super.c, ext4_max_size).
const maxFileSize = (1<<32 - 1) * BlockSize

// slot returns the slot of block k, or nil where the block is a hole.
func (i *inode) slot(k int64) *slot {
	if k < int64(len(i.slots)) {
		return &i.slots[k]
	}
	if s, ok := i.far[k]; ok {
		return s
	}
	if k*BlockSize < i.keep {
		return i.makeSlot(k)
	}
	return nil
}

// lazySlot is the slot of a block that is the base's as far as it was kept.
func (i *inode) lazySlot(k int64) slot {
	if left := i.keep - k*BlockSize; left > 0 {
		return slot{n: int16(min(left, BlockSize)), lazy: true}
	}
	return slot{}
}

// makeSlot returns the slot of block k, which it makes where there is none.
func (i *inode) makeSlot(k int64) *slot {
	n := int64(len(i.slots))
	switch {
	case k < n:
		return &i.slots[k]
	case k == n && i.far == nil:
		i.slots = append(i.slots, i.lazySlot(k))
		return &i.slots[k]
	case k > 2*n+farBlock:
		if i.far == nil {
			i.far = map[int64]*slot{}
		}
		s := i.far[k]
		if s == nil {
			l := i.lazySlot(k)
			s = &l
			i.far[k] = s
		}
		return s
	}
	for ; n <= k; n++ {
		s, ok := i.far[n]
		if ok {
			i.slots = append(i.slots, *s)
			delete(i.far, n)
			continue
		}
		i.slots = append(i.slots, i.lazySlot(n))
	}
	return &i.slots[k]
}

// fetch asks the base for a lazy slot.
func (d *Disk) fetch(i *inode, k int64, s *slot) {
	if !s.lazy {
		return
	}
	g := d.base.block(i.ino, k).cut(int32(s.n))
	*s = slot{p: g.p, n: int16(g.n), hw: BlockSize}
}

// readData fills b from offset off and returns how many bytes it filled: 0 at
// or beyond the end of the file.
func (d *Disk) readData(i *inode, b []byte, off int64) int {
	size := d.needSize(i)
	if off >= size {
		return 0
	}
	if int64(len(b)) > size-off {
		b = b[:size-off]
	}
	if k, o := off/BlockSize, int(off%BlockSize); k < int64(len(i.slots)) {
		s := &i.slots[k] // within one block, as most reads are
		if !s.lazy && s.p != nil && o+len(b) <= int(s.n) {
			return copy(b, s.p[o:])
		}
	}
	done := 0
	for done < len(b) {
		at := off + int64(done)
		k, o := at/BlockSize, int(at%BlockSize)
		var g page
		if s := i.slot(k); s != nil {
			d.fetch(i, k, s)
			g = s.page()
		}
		done += g.readAt(b[done:], o)
	}
	return done
}

// writeData writes b at offset off, one micro-operation for each block that it
// touches. It returns how many bytes it wrote; fewer than len(b) come with an
// error. The kind is opWrite, or opLost for a write that the medium never sees.
func (d *Disk) writeData(i *inode, b []byte, off int64, kind opKind) (int, error) {
	size := d.needSize(i)
	done := 0
	for done < len(b) {
		at := off + int64(done)
		if at >= maxFileSize {
			return done, errTooBig
		}
		k, o := at/BlockSize, int(at%BlockSize)
		n := min(BlockSize-o, len(b)-done)
		s := i.makeSlot(k)
		if d.faults != nil {
			if err := d.beforeWrite(i, k, s, o, o+n, kind); err != nil {
				return done, err
			}
		}
		if err := d.put(i, k, s, b[done:done+n], o); err != nil {
			return done, err
		}
		done += n
		size = max(size, at+int64(n))
		i.size = size
		if d.rec != nil {
			s.hw = max(s.hw, s.n)
			d.emit(&op{
				kind: kind, ino: i.ino, block: k, off: int32(o), n: int32(n),
				page: s.page(), size: size,
			})
		}
	}
	return done, nil
}

// put makes bytes [o,o+len(b)) of the block b, in place where no older version
// of the block would show it.
func (d *Disk) put(i *inode, k int64, s *slot, b []byte, o int) error {
	end := o + len(b)
	if s.lazy && (o > 0 || end < int(s.n)) {
		d.fetch(i, k, s)
	}
	whole := o == 0 && end >= int(s.n) // nothing of the old version stays
	inPlace := s.p != nil && !s.lazy && min(o, int(s.n)) >= int(s.hw)
	if !inPlace {
		if s.p == nil && !s.lazy {
			if err := d.take(BlockSize); err != nil {
				return err
			}
			i.blocks++
			s.paid = true
		}
		if len(b) == BlockSize { // append does not clear what it then fills
			*s = slot{p: (*[BlockSize]byte)(append([]byte(nil), b...)), n: BlockSize, paid: s.paid}
			return nil
		}
		old := s.page()
		*s = slot{p: new([BlockSize]byte), paid: s.paid}
		if !whole && old.p != nil {
			s.n = int16(copy(s.p[:], old.bytes()))
		}
	}
	if o > int(s.n) {
		clear(s.p[s.n:o])
	}
	copy(s.p[o:], b)
	s.n = int16(max(int(s.n), end))
	if whole {
		s.n = int16(end)
	}
	return nil
}

// truncate sets the size of the file and tells the recorder.
func (d *Disk) truncate(i *inode, size int64) {
	if size > 0 {
		d.needSize(i)
	}
	same := !i.lazySize && i.size == size
	if i.lazySize || size < i.size {
		d.cutData(i, size)
	}
	i.lazySize, i.size = false, size
	d.changed(i)
	if !same {
		d.emit(&op{kind: opTruncate, ino: i.ino, size: size})
	}
}

// cutData forgets everything from offset size on. It asks for no block.
func (d *Disk) cutData(i *inode, size int64) {
	i.keep = min(i.keep, size)
	end := (size + BlockSize - 1) / BlockSize
	freed := int64(0)
	for k := end; k < int64(len(i.slots)); k++ {
		if i.slots[k].paid {
			freed++
		}
		i.slots[k] = slot{}
	}
	if end < int64(len(i.slots)) {
		i.slots = i.slots[:end]
	}
	for k, s := range i.far {
		if k >= end {
			if s.paid {
				freed++
			}
			delete(i.far, k)
		}
	}
	i.blocks -= freed
	d.used -= freed * BlockSize
	i.cutMedium(size)
	if o := size % BlockSize; o != 0 {
		if s := i.slot(end - 1); s != nil {
			s.n = min(s.n, int16(o))
		}
	}
}

// stripSetID drops the setuid and setgid bits of a file that someone other
// than root writes to, as file_remove_privs in fs/inode.c of Linux does.
func (d *Disk) stripSetID(v *view, i *inode) {
	if v.uid == 0 || i.kind != 0 {
		return
	}
	d.needMeta(i)
	perm := i.perm &^ fs.ModeSetuid
	if perm&0o010 != 0 || !v.inGroup(int(i.gid)) {
		perm &^= fs.ModeSetgid
	}
	if perm != i.perm {
		i.perm = perm
		d.emit(&op{kind: opMeta, ino: i.ino, meta: i.meta()})
	}
}
