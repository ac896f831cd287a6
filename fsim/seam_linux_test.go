package fsim

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/afero"
)

// A frozen is a disk taken as the base of another one. It notes what it is
// asked.
type frozen struct {
	next   Ino
	inodes map[Ino]*inode
	asked  []string
}

// freeze takes over what the disk holds. The disk must not be used any more.
func freeze(d *Disk) *frozen {
	b := &frozen{next: d.nextIno, inodes: map[Ino]*inode{}}
	var visit func(i *inode)
	visit = func(i *inode) {
		b.inodes[i.ino] = i
		if i.isDir() {
			for _, name := range d.names(i) {
				visit(d.entry(i, name))
			}
		}
	}
	visit(d.root)
	return b
}

func (b *frozen) note(format string, args ...any) {
	b.asked = append(b.asked, fmt.Sprintf(format, args...))
}

func (b *frozen) nextIno() Ino             { return b.next }
func (b *frozen) mode(ino Ino) fs.FileMode { return b.inodes[ino].kind }
func (b *frozen) holders(Ino) []holder     { return nil }

func (b *frozen) lookup(dir Ino, name string) Ino {
	b.note("lookup %s", name)
	if i := b.inodes[dir].dir.entries[name]; i != nil {
		return i.ino
	}
	return 0
}

func (b *frozen) names(dir Ino) (list []dirent) {
	b.note("names %d", dir)
	for name, i := range b.inodes[dir].dir.entries {
		list = append(list, dirent{name, i.ino})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].name < list[j].name })
	return list
}

func (b *frozen) meta(ino Ino) meta {
	b.note("meta %d", ino)
	return b.inodes[ino].meta()
}

func (b *frozen) size(ino Ino) int64 {
	b.note("size %d", ino)
	return b.inodes[ino].size
}

func (b *frozen) block(ino Ino, index int64) page {
	b.note("block %d.%d", ino, index)
	if s := b.inodes[ino].slot(index); s != nil {
		return s.page()
	}
	return page{}
}

func (b *frozen) nlink(ino Ino) int {
	b.note("nlink %d", ino)
	return int(b.inodes[ino].nlink)
}

func (b *frozen) modTime(ino Ino) int64 {
	b.note("mtime %d", ino)
	return b.inodes[ino].mtime
}

// A tape keeps micro-operations, and the pages as they were when it got them.
type tape struct {
	ops   []op
	bytes [][]byte
}

func (t *tape) record(o *op) {
	t.ops = append(t.ops, *o)
	t.bytes = append(t.bytes, bytes.Clone(o.page.bytes()))
}

func (t *tape) String() string {
	var b strings.Builder
	for _, o := range t.ops {
		fmt.Fprintf(&b, "%d %v", o.call, o.kind)
		switch o.kind {
		case opInode, opMeta:
			fmt.Fprintf(&b, " %d %v", o.ino, o.meta.mode)
		case opLink, opUnlink:
			fmt.Fprintf(&b, " %d/%s=%d", o.dir, o.name, o.ino)
		case opRename:
			fmt.Fprintf(&b, " %d/%s -> %d/%s = %d over %d", o.dir, o.name, o.dir2, o.name2, o.ino, o.over)
		case opWrite:
			fmt.Fprintf(&b, " %d.%d [%d,+%d) size=%d page=%d", o.ino, o.block, o.off, o.n, o.size, o.page.n)
		case opTruncate:
			fmt.Fprintf(&b, " %d size=%d", o.ino, o.size)
		case opFsync, opFdatasync:
			fmt.Fprintf(&b, " %d", o.ino)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// check fails where a page that the tape was handed has changed since.
func (t *tape) check(tb testing.TB) {
	tb.Helper()
	for k, o := range t.ops {
		if !bytes.Equal(o.page.bytes(), t.bytes[k]) {
			tb.Fatalf("operation %d was handed a page that changed later", k)
		}
	}
}

func TestCallsAreCrackedIntoMicroOperations(t *testing.T) {
	rec := &tape{}
	d := newDisk(Linux, nil, rec, nil)
	must(t, d.MkdirAll("/a/b", 0o755))
	f, err := d.OpenFile("/a/f", os.O_RDWR|os.O_CREATE, 0o644)
	must(t, err)
	_, err = f.WriteAt(make([]byte, 5000), 4000)
	must(t, err)
	must(t, f.Truncate(4100))
	must(t, f.Truncate(4100))
	must(t, f.Sync())
	must(t, f.(SyncDataer).SyncData())
	must(t, d.Link("/a/f", "/g"))
	must(t, d.Rename("/g", "/a/b/h"))
	must(t, d.Rename("/a/b/h", "/a/f")) // the same file: nothing
	must(t, d.Chmod("/a/f", 0o600))
	s, err := d.OpenFile("/a/f", os.O_WRONLY|os.O_TRUNC|os.O_SYNC, 0)
	must(t, err)
	_, err = s.WriteString("x")
	must(t, err)
	must(t, d.RemoveAll("/a"))
	dir, err := d.Open("/")
	must(t, err)
	must(t, dir.Sync())
	must(t, d.SyncAll())
	want := `1 inode 2 drwxr-xr-x
1 link 1/a=2
1 inode 3 drwxr-xr-x
1 link 2/b=3
2 inode 4 -rw-r--r--
2 link 2/f=4
3 write 4.0 [4000,+96) size=4096 page=4096
3 write 4.1 [0,+4096) size=8192 page=4096
3 write 4.2 [0,+808) size=9000 page=808
4 truncate 4 size=4100
6 fsync 4
7 fdatasync 4
8 link 1/g=4
9 rename 1/g -> 3/h = 4 over 0
11 meta 4 -rw-------
12 truncate 4 size=0
13 write 4.0 [0,+1) size=1 page=1
13 fsync 4
14 unlink 3/h=4
14 unlink 2/b=3
14 unlink 2/f=4
14 unlink 1/a=2
16 fsync 1
17 syncall
`
	if got := rec.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	rec.check(t)
}

func TestHandedOutPagesNeverChange(t *testing.T) {
	for seed := uint64(0); seed < 100; seed++ {
		rec := &tape{}
		d := newDisk(Linux, nil, rec, &Options{NoTrace: true})
		if seed%2 == 1 { // without a recorder blocks are written in place
			d = newDisk(Linux, nil, nil, &Options{NoTrace: true})
		}
		f, err := d.Create("/f")
		must(t, err)
		r := rand.New(rand.NewPCG(seed, 2))
		model := []byte{}
		for range 60 {
			off, n := r.IntN(2*BlockSize), r.IntN(100)
			if r.IntN(4) == 0 {
				n = r.IntN(2 * BlockSize)
			}
			switch r.IntN(4) {
			case 0:
				must(t, f.Truncate(int64(off)))
				model = append(model, make([]byte, 2*BlockSize)...)[:off]
			case 1:
				off = len(model)
				fallthrough
			default:
				b := bytes.Repeat([]byte{byte(1 + r.IntN(255))}, n)
				_, err := f.WriteAt(b, int64(off))
				must(t, err)
				if n > 0 && off+n > len(model) {
					model = append(model, make([]byte, off+n-len(model))...)
				}
				copy(model[min(off, len(model)):], b)
			}
			if got := read(t, d, "/f"); got != string(model) {
				t.Fatalf("seed %d: the file is not what was written", seed)
			}
		}
		rec.check(t)
	}
}

func TestAppendsShareTheirBlock(t *testing.T) {
	rec := &tape{}
	d := newDisk(Linux, nil, rec, nil)
	f, err := d.Create("/f")
	must(t, err)
	for range 40 {
		_, err := f.WriteString(strings.Repeat("x", 100))
		must(t, err)
	}
	blocks := map[*[BlockSize]byte]bool{}
	for _, o := range rec.ops {
		if o.kind == opWrite {
			blocks[o.page.p] = true
		}
	}
	if len(blocks) != 1 {
		t.Errorf("%d blocks keep 40 versions of one", len(blocks))
	}
	rec.check(t)
}

// An askCase is a call on a mounted disk and what it asks of the base.
type askCase struct {
	name string
	do   func(d *Disk) error
	want string
}

func checkAsked(t *testing.T, cases []askCase) {
	for _, c := range cases {
		d := NewWith(Linux, &Options{History: HistoryOff})
		write(t, d, "/f", strings.Repeat("a", 2*BlockSize+50))
		must(t, d.Mkdir("/dir", 0o755))
		must(t, d.Link("/f", "/link"))
		b := freeze(d)
		m := newDisk(Linux, b, nil, nil)
		if err := c.do(m); err != nil && c.name != "read again" {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := strings.Join(b.asked, ", "); got != c.want {
			t.Errorf("%s: asked %q, want %q", c.name, got, c.want)
		}
	}
}

func openF(t *testing.T, d *Disk, flag int) afero.File {
	f, err := d.OpenFile("/f", flag, 0)
	must(t, err)
	return f
}

func TestMountAsksForTheSizesAndBlocksItNeedsAndNoMore(t *testing.T) {
	put := func(f afero.File, off int64, n int) error {
		_, err := f.WriteAt(make([]byte, n), off)
		return err
	}
	open := func(d *Disk, flag int) afero.File { return openF(t, d, flag) }
	checkAsked(t, []askCase{
		{"truncating open", func(d *Disk) error { open(d, os.O_RDWR|os.O_TRUNC); return nil }, "lookup f"},
		{"truncate to 0", func(d *Disk) error { return open(d, os.O_RDWR).Truncate(0) }, "lookup f"},
		{"truncate in a block", func(d *Disk) error { return open(d, os.O_RDWR).Truncate(5) }, "lookup f, size 2"},
		{"sync", func(d *Disk) error { return open(d, os.O_RDONLY).Sync() }, "lookup f"},
		{"whole block", func(d *Disk) error { return put(open(d, os.O_RDWR), BlockSize, BlockSize) }, "lookup f, size 2"},
		{"all that is left of a block", func(d *Disk) error { return put(open(d, os.O_RDWR), 2*BlockSize, 100) },
			"lookup f, size 2"},
		{"part of a block", func(d *Disk) error { return put(open(d, os.O_RDWR), 10, 10) }, "lookup f, size 2, block 2.0"},
		{"append in a block", func(d *Disk) error {
			_, err := open(d, os.O_WRONLY|os.O_APPEND).Write([]byte("x"))
			return err
		}, "lookup f, size 2, block 2.2"},
		{"write beyond the end", func(d *Disk) error { return put(open(d, os.O_RDWR), 5*BlockSize+1, 10) },
			"lookup f, size 2"},
		{"read of one block", func(d *Disk) error {
			_, err := open(d, os.O_RDONLY).ReadAt(make([]byte, 10), BlockSize)
			return err
		}, "lookup f, size 2, block 2.1"},
		{"read again", func(d *Disk) error {
			f := open(d, os.O_RDONLY)
			_, err := io.ReadFull(f, make([]byte, 10))
			_, err2 := f.ReadAt(make([]byte, 10), 20)
			return fmt.Errorf("%w%w", err, err2)
		}, "lookup f, size 2, block 2.0"},
		{"read after a cut", func(d *Disk) error {
			f := open(d, os.O_RDWR)
			must(t, f.Truncate(3))
			b := make([]byte, 10)
			must(t, f.Truncate(10))
			_, err := f.ReadAt(b, 0)
			if string(b) != "aaa\x00\x00\x00\x00\x00\x00\x00" {
				t.Errorf("%q", b)
			}
			return err
		}, "lookup f, size 2, block 2.0"},
		{"read beyond a cut", func(d *Disk) error {
			f := open(d, os.O_RDWR)
			must(t, f.Truncate(BlockSize))
			must(t, f.Truncate(3*BlockSize))
			b := make([]byte, 2*BlockSize)
			_, err := f.ReadAt(b, BlockSize)
			if !bytes.Equal(b, make([]byte, len(b))) {
				t.Error("what was cut came back")
			}
			return err
		}, "lookup f, size 2"},
	})
}

func TestMountAsksForTheNamesAndMetadataItNeedsAndNoMore(t *testing.T) {
	checkAsked(t, []askCase{
		{"stat", func(d *Disk) error { _, err := d.Stat("/f"); return err }, "lookup f"},
		{"stat and its size", func(d *Disk) error {
			fi, err := d.Stat("/f")
			must(t, openF(t, d, os.O_RDWR).Truncate(0))
			if fi.Size() != 2*BlockSize+50 || fi.IsDir() {
				t.Error(fi.Size())
			}
			return err
		}, "lookup f, size 2"},
		{"stat and its mode", func(d *Disk) error {
			fi, err := d.Stat("/f")
			if fi.Mode() != 0o644 {
				t.Error(fi.Mode())
			}
			return err
		}, "lookup f, meta 2"},
		{"stat and its time", func(d *Disk) error {
			fi, err := d.Stat("/f")
			if fi.ModTime().IsZero() {
				t.Error(fi.ModTime())
			}
			return err
		}, "lookup f, meta 2, mtime 2"},
		{"stat and its links", func(d *Disk) error {
			fi, err := d.Stat("/f")
			must(t, d.Remove("/f"))
			if _, n, _ := Inode(fi); n != 2 {
				t.Error(n)
			}
			return err
		}, "lookup f, nlink 2"},
		{"listing", func(d *Disk) error {
			dir, err := d.Open("/")
			must(t, err)
			infos, err := dir.Readdir(-1)
			if len(infos) != 3 {
				t.Error(infos)
			}
			return err
		}, "names 1"},
		{"remove", func(d *Disk) error { return d.Remove("/f") }, "lookup f"},
		{"rename over", func(d *Disk) error { return d.Rename("/f", "/link") }, "lookup link, lookup f"},
		{"rmdir", func(d *Disk) error { return d.Remove("/dir") }, "lookup dir, names 3"},
		{"create", func(d *Disk) error { _, err := d.Create("/new"); return err }, "lookup new, meta 1"},
		{"missing", func(d *Disk) error {
			_, err := d.Stat("/none")
			_, err2 := d.Stat("/none")
			if err == nil || err2 == nil {
				t.Error("what is not there was found")
			}
			return nil
		}, "lookup none"},
	})
}

// A disk that was frozen in the middle of a sequence of calls and mounted goes
// on as one that was not.
func TestMountedDiskBehavesLikeTheOneItCameFrom(t *testing.T) {
	for seed := range uint64(deep(1500, 30_000)) {
		r := rand.New(rand.NewPCG(seed, 3))
		g := &judgeGen{r: r, base: "/1/2/3/4", users: len(judgeUsers)}
		first := NewWith(Linux, &Options{History: HistoryOff, NoTrace: true})
		second := NewWith(Linux, &Options{History: HistoryOff, NoTrace: true})
		a, b := diskSide(first), diskSide(second)
		for _, d := range []*Disk{first, second} {
			must(t, d.MkdirAll(g.base, 0o755))
			must(t, d.Chmod(g.base, 0o777))
		}
		var log []string
		for k := range 24 {
			if k == 12 {
				for h, f := range a.handles { // no handle outlives a mount
					if f != nil {
						f.Close()
						b.handles[h].Close()
					}
				}
				a.handles, b.handles = [3]afero.File{}, [3]afero.File{}
				b = diskSide(newDisk(Linux, freeze(second), nil, &Options{NoTrace: true}))
			}
			st := g.step()
			x, y := a.do(st), b.do(st)
			log = append(log, st.String()+" = "+x)
			if x != y {
				t.Fatalf("seed %d, after\n%s\nplain   %s\nmounted %s", seed, strings.Join(log, "\n"), x, y)
			}
			if k < 12 || r.IntN(4) > 0 {
				continue // looking at the whole tree would leave nothing lazy
			}
			if x, y := a.tree("/"), b.tree("/"); x != y {
				t.Fatalf("seed %d, after\n%s\nplain\n%s\nmounted\n%s", seed, strings.Join(log, "\n"), x, y)
			}
		}
	}
}

func TestMemoryGrowsWithWhatIsWritten(t *testing.T) {
	if os.Getenv("UNDERSTUDY_DEEP") == "" {
		t.Skip("takes gigabytes; set UNDERSTUDY_DEEP")
	}
	d := NewWith(Linux, &Options{History: HistoryFull, NoTrace: true})
	start := time.Now()
	buf := make([]byte, BlockSize)
	f, err := d.Create("/big")
	must(t, err)
	for k := range int64(1 << 18) { // 1 GiB
		_, err := f.WriteAt(buf, k*BlockSize)
		must(t, err)
		if (k+1)%(1<<16) == 0 {
			t.Logf("%4d MiB written: heap %4d MiB, %v", (k+1)>>8, heapMiB(), time.Since(start).Round(time.Millisecond))
		}
	}
	g, err := d.Create("/log")
	must(t, err)
	start = time.Now()
	for k := range 1_000_000 {
		_, err := g.Write(buf[:100])
		must(t, err)
		if (k+1)%250_000 == 0 {
			t.Logf("%7d appends of 100 bytes: heap %4d MiB, %v", k+1, heapMiB(), time.Since(start).Round(time.Millisecond))
		}
	}
}

func TestSysIsTheKernelsStructure(t *testing.T) {
	d := New(Linux)
	write(t, d, "/f", "12345")
	must(t, d.Link("/f", "/g"))
	must(t, d.Chown("/f", 7, 8))
	must(t, d.Chmod("/f", 0o640|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky))
	must(t, d.Chtimes("/f", time.Unix(3, 4), time.Unix(5, 6)))
	must(t, d.SymlinkIfPossible("f", "/s"))
	for name, mode := range map[string]uint32{"/f": syscall.S_IFREG | 0o7640, "/s": syscall.S_IFLNK | 0o777, "/": syscall.S_IFDIR | 0o755} {
		fi, _, err := d.LstatIfPossible(name)
		must(t, err)
		ino, links, _ := Inode(fi)
		st := fi.Sys().(*syscall.Stat_t)
		if uint64(st.Ino) != ino || int(st.Nlink) != links || st.Mode != mode || st.Size != fi.Size() {
			t.Errorf("%s: %+v", name, st)
		}
		if name == "/f" && (st.Uid != 7 || st.Gid != 8 || st.Atim.Nsec != 4 || st.Mtim.Sec != 5 || links != 2) {
			t.Errorf("%s: %+v", name, st)
		}
	}
}

func TestMountedDiskCountsWhatIsAddedToIt(t *testing.T) {
	d := NewWith(Linux, &Options{History: HistoryOff})
	write(t, d, "/f", "base")
	must(t, d.Link("/f", "/g"))
	m := newDisk(Linux, freeze(d), nil, &Options{Capacity: 1 << 20})
	f, err := m.OpenFile("/f", os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(make([]byte, 2*BlockSize), BlockSize)
	must(t, err)
	must(t, f.Close())
	used := m.Used()
	must(t, m.Remove("/f"))
	if m.Used() < used-BlockSize {
		t.Error("the space of a file was freed that has a name yet")
	}
	must(t, m.Remove("/g"))
	if m.Used() > used-2*BlockSize {
		t.Errorf("%d of %d bytes stay in use", m.Used(), used)
	}
}
