package fsim

import (
	"os"
	"path"
	"strings"
)

// A Budget keeps faults from destroying what no protocol could bring back, so
// that a failure under faults is the failure of a program. It knows which
// directories hold copies of the same files; of each block, counted by its path
// below the copy's directory and its index, one copy is always left intact.
// Rot, bad blocks, lost and misdirected writes and lying syncs strike only
// within it; they pass over files of which there is no copy. (After the fault
// atlas of TigerBeetle's storage simulator.)
type Budget struct {
	copies  []string
	damaged map[damage]bool
}

// A damage is one block of one copy; block -1 is the whole file.
type damage struct {
	copy  int
	file  string
	block int64
}

// SetBudget bounds the damage that faults may do, where the given directories
// hold copies of each other; without any, damage has no bound. It starts from
// an undamaged disk.
func (d *Disk) SetBudget(copies ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.faults == nil {
		d.faults = &faultSet{}
	}
	d.faults.budget = nil
	if len(copies) > 0 {
		b := &Budget{damaged: map[damage]bool{}}
		for _, c := range copies {
			b.copies = append(b.copies, path.Clean("/"+c))
		}
		d.faults.budget = b
	}
}

// locate says which copy a path belongs to, and as which file.
func (b *Budget) locate(name string) (damage, bool) {
	name = path.Clean("/" + name)
	for k, dir := range b.copies {
		if file, ok := strings.CutPrefix(name, strings.TrimSuffix(dir, "/")+"/"); ok {
			return damage{copy: k, file: file}, true
		}
	}
	return damage{}, false
}

// allows reports whether a fault may strike a call, and if it may, books the
// damage.
func (b *Budget) allows(f *Fault, c *cmd) bool {
	if b == nil {
		return true
	}
	type span struct{ first, last int64 }
	blocks := func(off, n int64) span {
		off = max(off, 0)
		return span{off / BlockSize, (off + max(n, 1) - 1) / BlockSize}
	}
	var spans []span
	switch f.Kind {
	case FaultRot, FaultBad:
		spans = []span{blocks(f.At, 1)}
	case FaultLie:
		spans = []span{{-1, -1}}
	case FaultLost, FaultMisdirect:
		off := c.Off
		if c.Op == CallRead || c.Op == CallReadAt {
			return true // what is read wrong is still there
		}
		if c.Op == CallWrite {
			off = c.handle.writeOffset()
		}
		spans = []span{blocks(off, c.Len)}
		if f.Kind == FaultMisdirect {
			spans = append(spans, blocks(off+f.distance(), c.Len))
		}
	default:
		return true
	}
	at, ok := b.locate(c.Path)
	if !ok || c.Op == CallSyncAll {
		return false
	}
	var booked []damage
	for _, s := range spans {
		for k := s.first; k <= s.last; k++ {
			at.block = k
			if !b.spare(at) {
				return false
			}
			booked = append(booked, at)
		}
	}
	for _, at := range booked {
		b.damaged[at] = true
	}
	return true
}

// spare reports whether some other copy of the block is intact.
func (b *Budget) spare(at damage) bool {
	for k := range b.copies {
		if k != at.copy && b.intact(damage{k, at.file, at.block}) {
			return true
		}
	}
	return false
}

func (b *Budget) intact(at damage) bool {
	if at.block >= 0 {
		return !b.damaged[at] && !b.damaged[damage{at.copy, at.file, -1}]
	}
	for other := range b.damaged {
		if other.copy == at.copy && other.file == at.file {
			return false
		}
	}
	return true
}

// heal takes note that n bytes from off on were written well.
func (b *Budget) heal(name string, off, n int64) {
	if b == nil {
		return
	}
	at, ok := b.locate(name)
	if !ok {
		return
	}
	for k := (off + BlockSize - 1) / BlockSize; (k+1)*BlockSize <= off+n; k++ {
		at.block = k
		delete(b.damaged, at)
	}
}

// writeOffset is where the next Write on the handle goes.
func (f *File) writeOffset() int64 {
	if f.flag&os.O_APPEND != 0 && !f.i.isDir() {
		return f.v.d.needSize(f.i)
	}
	return f.off
}
