package fsim

import (
	"fmt"
	"strings"
)

// narrator puts a history into words.
type narrator struct {
	ops  []op
	disk *Disk // for the words of the trace; may be nil
	path map[Ino]string
}

// newNarrator learns the names of the first n operations. An inode is called by the first name that it had.
func newNarrator(ops []op, disk *Disk) *narrator {
	n := &narrator{ops: ops, disk: disk, path: map[Ino]string{rootIno: ""}}
	for i := range ops {
		o := &ops[i]
		switch o.kind {
		case opLink:
			n.learn(o.ino, o.dir, o.name)
		case opRename:
			n.learn(o.ino, o.dir, o.name)
			n.learn(o.ino, o.dir2, o.name2)
		case opUnlink:
			n.learn(o.ino, o.dir, o.name)
		}
	}
	return n
}

func (n *narrator) learn(i, dir Ino, name string) {
	if _, ok := n.path[i]; !ok {
		n.path[i] = n.path[dir] + "/" + name
	}
}

func (n *narrator) name(i Ino) string {
	if i == rootIno {
		return "/"
	}
	if p := n.path[i]; p != "" {
		return p
	}
	return fmt.Sprintf("inode %d", i)
}

// op says what one micro-operation did.
func (n *narrator) op(o *op) string {
	entry := func(dir Ino, name string) string { return strings.TrimSuffix(n.name(dir), "/") + "/" + name }
	switch o.kind {
	case opInode:
		return "create an inode"
	case opLink:
		return "name it " + entry(o.dir, o.name)
	case opUnlink:
		return "remove " + entry(o.dir, o.name)
	case opRename:
		return "rename " + entry(o.dir, o.name) + " to " + entry(o.dir2, o.name2)
	case opWrite, opLost:
		return fmt.Sprintf("write %d bytes at %d of %s", o.n, o.block*BlockSize+int64(o.off), n.name(o.ino))
	case opTruncate:
		return fmt.Sprintf("truncate %s to %d", n.name(o.ino), o.size)
	case opMeta:
		return "change the metadata of " + n.name(o.ino)
	case opFsync:
		return "sync " + n.name(o.ino)
	case opFdatasync:
		return "sync the data of " + n.name(o.ino)
	case opSyncAll:
		return "sync everything"
	case opAck:
		return fmt.Sprintf("acknowledge %v", o.note)
	}
	return o.kind.String() + " " + n.name(o.ino)
}

// call says which call o belongs to.
func (n *narrator) call(o *op) string {
	if n.disk != nil && o.kind != opAck {
		if _, line, ok := strings.Cut(n.disk.traceLine(o.call), " "); ok {
			return strings.TrimPrefix(line, "- ")
		}
	}
	return n.op(o)
}

// calls gives the operations up to the instant, one line a call.
func (n *narrator) calls(instant int) string {
	var b strings.Builder
	last := int64(-1)
	for i := range n.ops[:instant] {
		o := &n.ops[i]
		if n.disk != nil && o.kind != opAck && o.call == last {
			continue
		}
		last = o.call
		if o.kind == opAck {
			last = -1
		}
		if o.kind == opInode && n.disk == nil {
			continue
		}
		fmt.Fprintf(&b, "  %3d  %s\n", i+1, n.call(o))
	}
	if instant < len(n.ops) {
		fmt.Fprintf(&b, "       -- power cut, before: %s\n", n.op(&n.ops[instant]))
	} else {
		b.WriteString("       -- power cut\n")
	}
	return b.String()
}

// pick says how a cell differs from what it would hold had everything reached the medium.
func (n *narrator) pick(w *world, p pick) string {
	again := strings.Repeat("(after the next cut) ", p.key.level)
	if p.key.level > 0 {
		return again + p.key.String()
	}
	switch p.key.kind {
	case cellEntry:
		at := strings.TrimSuffix(n.name(p.key.ino), "/") + "/" + p.key.name
		if p.id == 0 {
			return at + " is not there"
		}
		if p := n.name(Ino(p.id)); p != at {
			return at + " is the file that was created as " + p
		}
		return at + " is still there"
	case cellSize:
		return fmt.Sprintf("%s has %d bytes", n.name(p.key.ino), p.id)
	case cellMeta:
		return n.name(p.key.ino) + " has older metadata"
	case cellBlock:
		return fmt.Sprintf("block %d of %s %s", p.key.index, n.name(p.key.ino), n.block(w, p))
	}
	return p.key.String()
}

// block says which version of a block was picked.
func (n *narrator) block(w *world, p pick) string {
	in := w.peek(p.key.ino)
	if in == nil {
		return "differs"
	}
	ic := w.contexts(in)
	for x := range ic.list {
		for _, s := range w.sizes(in, ic, x, func() int64 { return 0 }) {
			for _, c := range w.block(in, ic, x, s, p.key.index, func() page { return page{} }) {
				if c.digest[0] == p.id {
					return n.version(c)
				}
			}
		}
	}
	return "differs"
}

func (n *narrator) version(c choice) string {
	by := func(seq int) string {
		if seq > 0 && seq <= len(n.ops) && n.ops[seq-1].kind == opWrite {
			return fmt.Sprintf("operation %d", seq)
		}
		return "before"
	}
	switch {
	case c.waste:
		return "holds garbage"
	case c.mask != 0:
		fresh := 0
		for s := 0; s < BlockSize/SectorSize; s++ {
			if c.mask>>s&1 == 0 {
				fresh++
			}
		}
		where := "last"
		if c.mask&1 == 0 {
			where = "first"
		}
		return fmt.Sprintf("is torn: its %s %d sectors are from %s, the others from %s", where, fresh, by(c.seq), by(c.over))
	case c.digest == digest{}:
		return "was never written: zeros"
	}
	return "is as it was " + strings.Replace("after "+by(c.seq), "after before", "before", 1)
}
