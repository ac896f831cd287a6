package fsim

import (
	"fmt"
	"slices"
	"strings"
)

// remedy is a sync that was not there.
type remedy struct {
	after int // operations before it
	ino   Ino
}

// missingSync finds, by trying, the sync or the two syncs that would have made the whole workload safe, and
// puts them into words.
func (e *explorer) missingSync(f *Failure, n *narrator) string {
	if f.history.base != nil {
		return "not looked for: the disk was mounted from a crash"
	}
	ops := f.history.ops()
	all := e.remedies(f, ops)
	left := trials
	works := func(rs ...remedy) bool {
		if left == 0 {
			return false
		}
		left--
		with := insert(ops, rs)
		bad, done := e.try(with)
		return bad == nil && (done || e.o.Deviations > 0)
	}
	for _, r := range all {
		if works(r) {
			return n.remedy(r)
		}
	}
	for i, r := range all {
		for _, q := range all[i+1:] {
			if works(r, q) {
				return n.remedy(r) + ", and " + n.remedy(q)
			}
		}
	}
	if left == 0 {
		return "not found within the trials allowed; not every place for a sync was tried"
	}
	return "no sync, nor two: bytes that are still needed must not be written over"
}

// remedies lists the syncs worth trying: of the inode whose cell was not as written, and of what else the
// workload changed, at the end of each call that changed it. The files of the failure come first, late places
// after early ones.
func (e *explorer) remedies(f *Failure, ops []op) []remedy {
	blamed := map[Ino]bool{}
	for _, p := range f.picks {
		blamed[p.key.ino] = true
	}
	var first, rest []remedy
	add := func(ino Ino, at int) {
		r := remedy{at, ino}
		if slices.Contains(first, r) || slices.Contains(rest, r) {
			return
		}
		if blamed[ino] {
			first = append(first, r)
		} else {
			rest = append(rest, r)
		}
	}
	at := 0
	for _, g := range groups(ops) {
		at += len(g)
		for i := range g {
			switch o := &g[i]; o.kind {
			case opWrite, opTruncate, opMeta:
				add(o.ino, at)
			case opLink, opUnlink:
				add(o.dir, at)
			case opRename:
				add(o.dir2, at)
				add(o.dir, at)
			}
		}
	}
	return append(first, rest...)
}

// insert gives ops with the syncs put in.
func insert(ops []op, rs []remedy) []op {
	out := make([]op, 0, len(ops)+len(rs))
	for i := 0; i <= len(ops); i++ {
		for _, r := range rs {
			if r.after == i {
				out = append(out, op{kind: opFsync, ino: r.ino})
			}
		}
		if i < len(ops) {
			out = append(out, ops[i])
		}
	}
	return out
}

func (n *narrator) remedy(r remedy) string {
	what := "Sync of " + n.name(r.ino)
	for i := range n.ops {
		if o := &n.ops[i]; o.kind == opInode && o.ino == r.ino && o.meta.mode.IsDir() || r.ino == rootIno {
			what = "Sync of the directory " + n.name(r.ino)
			break
		}
	}
	return fmt.Sprintf("%s after operation %d (%s)", what, r.after, strings.TrimSpace(n.call(&n.ops[r.after-1])))
}

// goTest prints a test that does the operations of the failure and checks them.
func goTest(f *Failure, p *Profile, recovery string) string {
	var b strings.Builder
	ops := f.history.ops()
	b.WriteString("func TestCrash(t *testing.T) {\n\tfsim.Check(t, func(d *fsim.Disk) error {\n")
	g := &goWriter{b: &b, path: map[Ino]string{rootIno: ""}, open: map[Ino]bool{}, dir: map[Ino]bool{rootIno: true}}
	for i := range ops {
		g.op(ops, i)
	}
	profile := map[string]string{"linux": "Linux", "ext4": "Ext4", "ext4-writeback": "Ext4Writeback",
		"ext4-journal": "Ext4Journal", "xfs": "XFS", "btrfs": "Btrfs", "posix": "POSIX"}[p.String()]
	if profile == "" {
		profile = "Linux"
	}
	fmt.Fprintf(&b, "\t\treturn nil\n\t}, %s, &fsim.ExploreOptions{Profile: fsim.%s})\n}\n", recovery, profile)
	return b.String()
}

// goWriter prints operations as calls.
type goWriter struct {
	b    *strings.Builder
	path map[Ino]string
	open map[Ino]bool
	dir  map[Ino]bool
}

func (g *goWriter) line(format string, a ...any) { fmt.Fprintf(g.b, "\t\t"+format+"\n", a...) }

func (g *goWriter) op(ops []op, i int) {
	o := &ops[i]
	switch o.kind {
	case opInode:
		g.dir[o.ino] = o.meta.mode.IsDir()
	case opLink:
		at := g.path[o.dir] + "/" + o.name
		switch _, known := g.path[o.ino]; {
		case known:
			g.line("d.Link(%q, %q)", g.path[o.ino], at)
		case g.dir[o.ino]:
			g.line("d.Mkdir(%q, 0o755)", at)
		default:
			g.line("f%d, _ := d.Create(%q)", o.ino, at)
			g.open[o.ino] = true
		}
		g.path[o.ino] = at
	case opUnlink:
		g.line("d.Remove(%q)", g.path[o.dir]+"/"+o.name)
	case opRename:
		to := g.path[o.dir2] + "/" + o.name2
		g.line("d.Rename(%q, %q)", g.path[o.dir]+"/"+o.name, to)
		g.path[o.ino] = to
	case opWrite:
		b := make([]byte, o.n)
		o.page.readAt(b, int(o.off))
		g.line("f%d.WriteAt(%s, %d)", o.ino, goBytes(b), o.block*BlockSize+int64(o.off))
	case opTruncate:
		g.line("f%d.Truncate(%d)", o.ino, o.size)
	case opMeta:
		g.line("d.Chmod(%q, %#o)", g.path[o.ino], o.meta.mode.Perm())
	case opFsync, opFdatasync:
		if g.open[o.ino] {
			g.line("f%d.Sync()", o.ino)
		} else {
			g.line("d%d, _ := d.Open(%q)", i, g.path[o.ino]+"/")
			g.line("d%d.Sync()", i)
		}
	case opSyncAll:
		g.line("d.SyncAll()")
	case opAck:
		g.line("d.Ack(%#v)", o.note)
	}
}

// goBytes prints bytes as Go.
func goBytes(b []byte) string {
	if len(b) > 8 && strings.Count(string(b), string(b[:1])) == len(b) {
		return fmt.Sprintf("bytes.Repeat([]byte(%q), %d)", b[:1], len(b))
	}
	return fmt.Sprintf("[]byte(%q)", b)
}
