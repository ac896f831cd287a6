package fsim

import (
	"io/fs"
	"maps"
	"slices"
)

// While a disk has faults, it tells what the cache shows of a file from what
// the medium holds: for blocks that are dirty, and for blocks that pass for
// clean and are not, after a failed sync or a lost write.

// beforeWrite takes note of what the medium holds of a block, bytes [o,end) of
// which are about to be written. A bad block can be written as a whole only.
func (d *Disk) beforeWrite(i *inode, k int64, s *slot, o, end int, kind opKind) error {
	if i.bad[k] {
		if o > 0 || end < int(s.n) {
			return errIO
		}
		delete(i.bad, k)
	}
	if i.dirty == nil && i.stale == nil {
		d.tracked = append(d.tracked, i)
	}
	old, isDirty := i.dirty[k]
	if !isDirty {
		var isStale bool
		if old, isStale = i.stale[k]; !isStale {
			s.hw = max(s.hw, s.n)
			old = *s
		}
	}
	if kind == opLost {
		delete(i.dirty, k)
		i.stale = put(i.stale, k, old)
		return nil
	}
	delete(i.stale, k)
	i.dirty = put(i.dirty, k, old)
	return nil
}

func put(m map[int64]slot, k int64, s slot) map[int64]slot {
	if m == nil {
		m = map[int64]slot{}
	}
	m[k] = s
	return m
}

// cutMedium forgets what the medium holds beyond the new end of the file.
func (i *inode) cutMedium(size int64) {
	end := (size + BlockSize - 1) / BlockSize
	for _, m := range []map[int64]slot{i.dirty, i.stale} {
		for k, s := range m {
			if k >= end {
				delete(m, k)
			} else if left := size - k*BlockSize; left < int64(s.n) {
				s.n = int16(left)
				m[k] = s
			}
		}
	}
	for k := range i.bad {
		if k >= end {
			delete(i.bad, k)
		}
	}
}

// syncAll makes everything durable.
func (d *Disk) syncAll() {
	for _, i := range d.tracked {
		i.dirty = nil
	}
	d.emit(&op{kind: opSyncAll})
}

// failSync lets a sync of the file fail as the kernel does, and returns its
// error. The pages are clean, hold the new content until they are evicted, and
// are not written again; every handle that was open is told once. A file
// system that journals data stops instead, and so does ext4 with
// data_err=abort. (Rebello et al., "Can Applications Recover from fsync
// Failures?", USENIX ATC 2020; measured again on Linux 6.18.)
func (d *Disk) failSync(i *inode, f *Fault) error {
	if d.profile.dataInOrder {
		d.readOnly, d.aborted = true, true
		return errReadOnly
	}
	i.errSeq++
	for k, s := range i.dirty {
		i.stale = put(i.stale, k, s)
	}
	i.dirty = nil
	d.emit(&op{kind: opSyncFail, ino: i.ino})
	if f.Evict {
		d.evict(i)
	}
	if f.Abort {
		d.readOnly, d.aborted = true, true
	}
	return f.Errno
}

// FailWriteback lets the kernel fail to write the dirty pages of a file back
// while nobody waits for it: the pages are clean, and the next sync of the file
// is told, on whichever handle, even one that is opened by then. It does
// nothing on a profile that journals data.
func (d *Disk) FailWriteback(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, err := d.find(&d.view, name, walkFollow)
	if err != nil {
		return &fs.PathError{Op: "writeback", Path: name, Err: err}
	}
	if !d.profile.dataInOrder {
		_ = d.failSync(i, &Fault{Kind: FaultError})
		i.errUnseen = true
	}
	return nil
}

// DropCaches evicts every page that passes for clean, as memory pressure may do
// at any time: of a file whose sync failed, or whose write was lost, what the
// medium holds is seen from then on.
func (d *Disk) DropCaches() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.tracked {
		d.evict(i)
	}
}

// evict shows what the medium holds of the blocks that pass for clean.
func (d *Disk) evict(i *inode) {
	for _, k := range slices.Sorted(maps.Keys(i.stale)) {
		old := i.stale[k]
		s := i.makeSlot(k)
		paid := s.paid
		*s = old
		s.hw, s.paid = BlockSize, paid
		delete(i.stale, k)
	}
}

// lostWrite writes to the cache and not to the medium.
func (d *Disk) lostWrite(i *inode, b []byte, off int64, evict bool) (int, error) {
	n, err := d.writeData(i, b, off, opLost)
	if evict {
		d.evict(i)
	}
	return n, err
}

// misdirectedWrite writes to the cache, and on the medium somewhere else in the
// same file. What it overwrites there is not in the cache and is seen at once.
func (d *Disk) misdirectedWrite(i *inode, b []byte, off int64, f *Fault) (int, error) {
	n, err := d.lostWrite(i, b, off, f.Evict)
	size := d.needSize(i)
	for done := 0; done < n; {
		at := off + f.distance() + int64(done)
		k, o := at/BlockSize, int(at%BlockSize)
		if at < 0 || at >= size {
			break
		}
		step := min(BlockSize-o, n-done)
		d.overwriteMedium(i, k, func(p *[BlockSize]byte) int {
			return o + copy(p[o:], b[done:done+step])
		})
		done += step
	}
	return n, err
}

// rot flips a bit on the medium.
func (d *Disk) rot(i *inode, at int64, bit int) {
	if i.isDir() || at < 0 || at >= d.needSize(i) {
		return
	}
	d.overwriteMedium(i, at/BlockSize, func(p *[BlockSize]byte) int {
		p[at%BlockSize] ^= 1 << (bit & 7)
		return int(at%BlockSize) + 1
	})
}

// overwriteMedium changes a block on the medium. Where the cache holds another
// version of it, nothing is seen of that until the page is evicted, and nothing
// at all where the page is dirty and will be written.
func (d *Disk) overwriteMedium(i *inode, k int64, change func(p *[BlockSize]byte) (end int)) {
	s := i.makeSlot(k)
	hidden := true
	at := i.dirty
	old, ok := at[k]
	if !ok {
		at = i.stale
		old, ok = at[k]
	}
	if !ok {
		hidden = false
		old = *s
	}
	d.fetch(i, k, &old)
	fresh := slot{p: new([BlockSize]byte), hw: BlockSize, paid: old.paid}
	copy(fresh.p[:], old.page().bytes())
	fresh.n = int16(max(int(old.n), change(fresh.p)))
	if left := i.size - k*BlockSize; int64(fresh.n) > left {
		fresh.n = int16(max(left, 0))
	}
	if hidden {
		at[k] = fresh
		return
	}
	*s = fresh
	d.emit(&op{kind: opRot, ino: i.ino, block: k, page: s.page(), size: i.size})
}

// spoil makes a block unreadable.
func (d *Disk) spoil(i *inode, at int64) {
	if i.isDir() || at < 0 || at >= d.needSize(i) {
		return
	}
	if i.bad == nil {
		i.bad = map[int64]bool{}
	}
	i.bad[at/BlockSize] = true
}

// isBad reports whether the byte at offset off is unreadable.
func (i *inode) isBad(off int64) bool { return i.bad[off/BlockSize] }

// beforeBad cuts b where the first unreadable block begins, for a read from off.
func (i *inode) beforeBad(b []byte, off int64) []byte {
	if len(i.bad) == 0 || len(b) == 0 {
		return b
	}
	for k := off / BlockSize; k*BlockSize < off+int64(len(b)); k++ {
		if i.bad[k] {
			return b[:max(k*BlockSize-off, 0)]
		}
	}
	return b
}

// writeFor writes for a handle, as the fault that strikes the call wants it.
func (d *Disk) writeFor(f *File, c *cmd, b []byte, off int64) (n int, err error) {
	kind := FaultKind(0)
	if c.hit != nil {
		kind = c.hit.fault.Kind
	}
	switch kind {
	case FaultLost:
		return d.lostWrite(f.i, b, off, c.hit.fault.Evict)
	case FaultMisdirect:
		return d.misdirectedWrite(f.i, b, off, c.hit.fault)
	}
	n, err = d.writeData(f.i, b, off, opWrite)
	if d.faults != nil {
		d.faults.budget.heal(f.name, off, int64(n))
	}
	return n, err
}
