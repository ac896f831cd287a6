package fsim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/afero"
)

// The judge: random sequences of calls are made on a Disk and on a temporary
// directory of the kernel through afero.OsFs, under the same paths. After each
// call the result, the text of the error and the whole tree must agree.

// judgeUsers are the users that make the calls: root, two of one group, one of
// another.
var judgeUsers = []struct{ uid, gid int }{{0, 0}, {31001, 32000}, {31002, 32000}, {31003, 32001}}

// A judgeStep is one call, to be made on either side.
type judgeStep struct {
	op          string
	user        int
	path, path2 string
	flag        int
	mode        fs.FileMode
	handle      int
	n           int
	off         int64
	data        string
}

func (s judgeStep) String() string {
	b := fmt.Sprintf("%d:", judgeUsers[s.user].uid)
	if s.user == 0 {
		b = ""
	}
	b += s.op
	if strings.HasPrefix(s.op, "f.") {
		return fmt.Sprintf("%s #%d n=%d off=%d data=%s", b, s.handle, s.n, s.off, squeeze([]byte(s.data)))
	}
	b += " " + s.path
	switch s.op {
	case "rename", "link":
		b += " -> " + s.path2
	case "symlink":
		b += " -> " + s.data
	case "open":
		b += fmt.Sprintf(" #%d %#x %s %v", s.handle, s.flag, flagNames(s.flag), s.mode)
	case "mkdir", "mkdirall", "chmod":
		b += " " + s.mode.String()
	case "chown", "chtimes":
		b += fmt.Sprintf(" %d %d", s.n, s.off)
	case "create":
		b += " " + squeeze([]byte(s.data))
	}
	return b
}

// A judgeSide is one of the two filesystems under test.
type judgeSide struct {
	fs       [4]afero.Fs // one for each user
	link     func(user int, oldname, newname string) error
	become   func(user int)
	dataSync func(f afero.File) error
	handles  [3]afero.File
	openers  [3]int // the users who opened them, who also use them
}

func kernelSide() *judgeSide {
	s := &judgeSide{become: becomeUser}
	for i := range s.fs {
		s.fs[i] = afero.NewOsFs()
	}
	s.link = func(_ int, a, b string) error { return os.Link(a, b) }
	s.dataSync = func(f afero.File) error {
		if err := syscall.Fdatasync(int(f.(*os.File).Fd())); err != nil {
			return &fs.PathError{Op: "sync", Path: f.Name(), Err: err}
		}
		return nil
	}
	return s
}

func diskSide(d *Disk) *judgeSide {
	s := &judgeSide{become: func(int) {}}
	for i, u := range judgeUsers {
		s.fs[i] = d.AsUser(u.uid, u.gid)
	}
	s.link = func(user int, a, b string) error { return s.fs[user].(*view).Link(a, b) }
	s.dataSync = func(f afero.File) error { return f.(*File).SyncData() }
	return s
}

// becomeUser makes the kernel take the calls of this thread for the user's.
func becomeUser(user int) {
	u := judgeUsers[user]
	if user == 0 {
		syscall.Setfsuid(0)
		syscall.Setfsgid(0)
		return
	}
	syscall.Setfsgid(u.gid)
	syscall.Setfsuid(u.uid)
}

func errText(err error) string {
	if err == nil {
		return "ok"
	}
	var no syscall.Errno
	name := ""
	if errors.As(err, &no) {
		name = ErrnoName(no)
	}
	if err == io.EOF {
		return "EOF"
	}
	// Reading the entries of a closed directory is the one place where package
	// os lets an error out that is not fs.ErrClosed.
	text := strings.ReplaceAll(err.Error(), "use of closed file", "file already closed")
	return fmt.Sprintf("%T %s %s exist=%v notexist=%v perm=%v", err, text, name,
		errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission))
}

// do makes the call and returns everything that can be seen of its result.
func (s *judgeSide) do(st judgeStep) string {
	if strings.HasPrefix(st.op, "f.") {
		st.user = s.openers[st.handle]
	}
	s.become(st.user)
	defer s.become(0)
	if strings.HasPrefix(st.op, "f.") {
		return s.doHandle(st)
	}
	fsys := s.fs[st.user]
	switch st.op {
	case "open":
		f, err := fsys.OpenFile(st.path, st.flag, st.mode)
		if err != nil {
			return errText(err)
		}
		if old := s.handles[st.handle]; old != nil {
			old.Close()
		}
		s.handles[st.handle], s.openers[st.handle] = f, st.user
		return "ok " + f.Name()
	case "create":
		f, err := fsys.Create(st.path)
		if err != nil {
			return errText(err)
		}
		_, err = f.WriteString(st.data)
		return errText(errors.Join(err, f.Close()))
	case "mkdir":
		return errText(fsys.Mkdir(st.path, st.mode))
	case "mkdirall":
		return errText(fsys.MkdirAll(st.path, st.mode))
	case "remove":
		return errText(fsys.Remove(st.path))
	case "removeall":
		err := fsys.RemoveAll(st.path)
		if err != nil && st.user != 0 {
			return "failed" // which of several errors comes first is up to the order of names
		}
		return errText(err)
	case "rename":
		return errText(fsys.Rename(st.path, st.path2))
	case "link":
		return errText(s.link(st.user, st.path, st.path2))
	case "symlink":
		return errText(fsys.(afero.Linker).SymlinkIfPossible(st.data, st.path))
	case "readlink":
		target, err := fsys.(afero.LinkReader).ReadlinkIfPossible(st.path)
		return target + errText(err)
	case "stat":
		fi, err := fsys.Stat(st.path)
		return infoText(fi) + errText(err)
	case "lstat":
		fi, _, err := fsys.(afero.Lstater).LstatIfPossible(st.path)
		return infoText(fi) + errText(err)
	case "chmod":
		return errText(fsys.Chmod(st.path, st.mode))
	case "chown":
		return errText(fsys.Chown(st.path, st.n, int(st.off)))
	case "chtimes":
		var a, m time.Time
		if st.n&1 != 0 {
			a = time.Unix(st.off, 5)
		}
		if st.n&2 != 0 {
			m = time.Unix(st.off, 7)
		}
		return errText(fsys.Chtimes(st.path, a, m))
	}
	panic("unknown step " + st.op)
}

func (s *judgeSide) doHandle(st judgeStep) string {
	f := s.handles[st.handle]
	if f == nil {
		return "no handle"
	}
	fi, statErr := f.Stat()
	isDir := statErr == nil && fi.IsDir()
	switch st.op {
	case "f.read":
		b := make([]byte, st.n)
		n, err := f.Read(b)
		if isDir && errors.Is(err, syscall.EINVAL) {
			err = &fs.PathError{Op: "read", Path: f.Name(), Err: syscall.EISDIR} // ext4, at the end of the names
		}
		return fmt.Sprintf("%d %q %s", n, squeeze(b[:n]), errText(err))
	case "f.readat":
		b := make([]byte, st.n)
		n, err := f.ReadAt(b, st.off)
		return fmt.Sprintf("%d %q %s", n, squeeze(b[:n]), errText(err))
	case "f.write":
		n, err := f.WriteString(st.data)
		return fmt.Sprintf("%d %s", n, errText(err))
	case "f.writeat":
		n, err := f.WriteAt([]byte(st.data), st.off)
		return fmt.Sprintf("%d %s", n, errText(err))
	case "f.seek":
		if isDir {
			st.off, st.n = 0, 0
		}
		n, err := f.Seek(st.off, st.n)
		return fmt.Sprintf("%d %s", n, errText(err))
	case "f.truncate":
		return errText(f.Truncate(st.off))
	case "f.sync":
		return errText(f.Sync())
	case "f.datasync":
		if statErr != nil {
			return "closed"
		}
		return errText(s.dataSync(f))
	case "f.stat":
		return infoText(fi) + errText(statErr)
	case "f.close":
		return errText(f.Close())
	case "f.readdirnames":
		names, err := f.Readdirnames(st.n)
		sort.Strings(names)
		if st.n > 0 {
			return fmt.Sprint(len(names), errText(err))
		}
		return fmt.Sprintf("%q %v %s", names, names == nil, errText(err))
	case "f.readdir":
		infos, err := f.Readdir(st.n)
		if st.n > 0 {
			return fmt.Sprint(len(infos), errText(err))
		}
		sort.Slice(infos, func(i, j int) bool { return infos[i].Name() < infos[j].Name() })
		var b strings.Builder
		for _, fi := range infos {
			b.WriteString(infoText(fi))
		}
		return fmt.Sprintf("%s %v %s", b.String(), infos == nil, errText(err))
	}
	panic("unknown step " + st.op)
}

// squeeze shortens runs, so that a difference can be read.
func squeeze(b []byte) string {
	var s strings.Builder
	for i := 0; i < len(b); {
		j := i
		for j < len(b) && b[j] == b[i] {
			j++
		}
		fmt.Fprintf(&s, "%c%d ", max(b[i], '.'), j-i)
		i = j
	}
	return s.String()
}

// infoText is what a FileInfo says, without what is bound to differ.
func infoText(fi fs.FileInfo) string {
	if fi == nil || fi == (*info)(nil) {
		return ""
	}
	st := fi.Sys().(*syscall.Stat_t)
	size := fi.Size()
	if fi.IsDir() {
		size = -1
	}
	when := ""
	if t := fi.ModTime(); t.Year() < 1990 {
		when = t.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprintf("[%s %v size=%d links=%d owner=%d:%d %s %o]",
		fi.Name(), fi.Mode(), size, st.Nlink, st.Uid, st.Gid, when, st.Mode)
}

// dump prints the whole tree below dir, with inodes numbered as they come.
func (s *judgeSide) dump(b *strings.Builder, dir string, inos map[uint64]int) {
	fsys := s.fs[0]
	f, err := fsys.Open(dir)
	if err != nil {
		fmt.Fprintf(b, "%s: %v\n", dir, err)
		return
	}
	names, err := f.Readdirnames(-1)
	f.Close()
	if err != nil {
		fmt.Fprintf(b, "%s: %v\n", dir, err)
	}
	sort.Strings(names)
	for _, name := range names {
		path := dir + "/" + name
		fi, _, err := fsys.(afero.Lstater).LstatIfPossible(path)
		if err != nil {
			fmt.Fprintf(b, "%s: %v\n", path, err)
			continue
		}
		ino := uint64(fi.Sys().(*syscall.Stat_t).Ino)
		if _, ok := inos[ino]; !ok {
			inos[ino] = len(inos)
		}
		fmt.Fprintf(b, "%s #%d %s", path, inos[ino], infoText(fi))
		switch fi.Mode().Type() {
		case 0:
			data, err := readEnds(fsys, path, fi.Size())
			fmt.Fprintf(b, " %s %v", squeeze(data), err)
		case fs.ModeSymlink:
			target, err := fsys.(afero.LinkReader).ReadlinkIfPossible(path)
			fmt.Fprintf(b, " -> %s %v", target, err)
		}
		b.WriteByte('\n')
		if fi.IsDir() {
			s.dump(b, path, inos)
		}
	}
}

// readEnds reads a file, of a huge one the beginning and the end.
func readEnds(fsys afero.Fs, path string, size int64) ([]byte, error) {
	if size < 1<<24 {
		return afero.ReadFile(fsys, path)
	}
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, 8*BlockSize)
	if _, err := f.ReadAt(b[:4*BlockSize], 0); err != nil {
		return b, err
	}
	_, err = f.ReadAt(b[4*BlockSize:], size-4*BlockSize)
	return b, err
}

func (s *judgeSide) tree(dir string) string {
	var b strings.Builder
	s.dump(&b, dir, map[uint64]int{})
	return b.String()
}

// judge runs sequences of calls and fails at the first disagreement.
func judge(t *testing.T, users int, seeds iter.Seq[uint64]) {
	dir := judgeDir(t)
	for seed := range seeds {
		judgeOne(t, seed, dir, users)
		if t.Failed() {
			return
		}
	}
}

// span are n seeds from first on.
func span(first uint64, n int) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for k := range uint64(n) {
			if !yield(first + k) {
				return
			}
		}
	}
}

// judgeDir returns a directory of the kernel that all users can reach, and binds
// the test to a thread that may change its user.
func judgeDir(t *testing.T) string {
	if os.Getuid() != 0 {
		t.Skip("the judge changes users, which takes root")
	}
	runtime.LockOSThread() // and never unlock: the thread's groups are changed
	if _, _, e := syscall.RawSyscall(syscall.SYS_SETGROUPS, 0, 0, 0); e != 0 {
		t.Fatal(e)
	}
	old := syscall.Umask(0o022)
	t.Cleanup(func() { syscall.Umask(old) })
	dir := t.TempDir()
	for d := dir; len(d) > 1; d = filepath.Dir(d) {
		if fi, err := os.Stat(d); err == nil && fi.Mode().Perm()&0o055 != 0o055 {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func judgeOne(t *testing.T, seed uint64, dir string, users int) {
	g := &judgeGen{r: rand.New(rand.NewPCG(seed, 1)), users: users}
	g.base = fmt.Sprintf("%s/s%d/1/2/3/4/5", dir, seed)
	steps := func(yield func(judgeStep) bool) {
		for range 14 {
			if !yield(g.step()) {
				return
			}
		}
	}
	judgeSteps(t, fmt.Sprint("seed ", seed), g.base, steps)
}

// judgeSteps makes the same calls on both sides.
func judgeSteps(t *testing.T, name, base string, steps iter.Seq[judgeStep]) {
	top := strings.TrimSuffix(base, "/1/2/3/4/5")
	disk := NewWith(Linux, &Options{History: HistoryOff, NoTrace: true})
	kernel, sim := kernelSide(), diskSide(disk)
	for _, s := range []*judgeSide{kernel, sim} {
		must(t, s.fs[0].MkdirAll(base, 0o755))
		must(t, s.fs[0].Chmod(base, 0o777))
	}
	defer os.RemoveAll(top)
	defer kernel.closeAll()
	var log []string
	for st := range steps {
		a, b := kernel.do(st), sim.do(st)
		log = append(log, st.String()+" = "+a)
		what := ""
		if a != b {
			what = fmt.Sprintf("kernel %s\ndisk   %s", a, b)
		} else if x, y := kernel.tree(top), sim.tree(top); x != y {
			what = fmt.Sprintf("kernel tree\n%s\ndisk tree\n%s", x, y)
		}
		if what != "" {
			t.Errorf("%s, after\n%s\n%s", name, strings.ReplaceAll(strings.Join(log, "\n"), base, "@"),
				strings.ReplaceAll(what, base, "@"))
			return
		}
	}
}

func (s *judgeSide) closeAll() {
	for _, f := range s.handles {
		if f != nil {
			f.Close()
		}
	}
}

// deep returns the bigger budget where UNDERSTUDY_DEEP is set.
func deep(small, big int) int {
	if os.Getenv("UNDERSTUDY_DEEP") != "" {
		return big
	}
	return small
}

func TestRandomCallsAgreeWithTheKernelForRoot(t *testing.T) {
	judge(t, 1, slices.Values([]uint64{27, 68, 271, 1077, 3869, 10744, 12858, 60753, 208827}))
	judge(t, 1, span(1, deep(250, 50_000)))
}

func TestRandomCallsAgreeWithTheKernelForOtherUsers(t *testing.T) {
	judge(t, len(judgeUsers), slices.Values([]uint64{1000184, 1000375, 1000436, 1000554, 1010599,
		1019313, 1020400, 1043174, 1063557, 1089709, 1307757}))
	judge(t, len(judgeUsers), span(1_000_000, deep(250, 50_000)))
}

// Sequences that random ones hit too seldom.
func TestScriptedCallsAgreeWithTheKernel(t *testing.T) {
	dir := judgeDir(t)
	for k, steps := range [][]judgeStep{
		{ // a directory that its mover may not write to
			{op: "mkdir", user: 1, path: "a", mode: 0o755}, {op: "mkdir", user: 1, path: "b", mode: 0o555},
			{op: "rename", user: 1, path: "b", path2: "a/b"}, {op: "rename", user: 1, path: "b", path2: "c"},
			{op: "chmod", user: 1, path: "c", mode: 0o755}, {op: "rename", user: 1, path: "c", path2: "a/b"},
			{op: "rename", user: 1, path: "a", path2: "a/b/c"},
		},
		{ // where an append leaves the offset
			{op: "create", path: "f", data: "12345"}, {op: "open", path: "f", flag: os.O_RDWR | os.O_APPEND},
			{op: "f.write", data: "67"}, {op: "f.seek", n: io.SeekCurrent}, {op: "f.seek", off: 1},
			{op: "f.write"}, {op: "f.seek", n: io.SeekCurrent}, {op: "f.write", data: "8"}, {op: "f.read", n: 9},
			{op: "f.seek", off: 2}, {op: "f.read", n: 9}, {op: "f.writeat", data: "x"},
		},
		{ // setuid and setgid bits at chown, chmod and write
			{op: "create", user: 1, path: "f"}, {op: "chmod", user: 1, path: "f", mode: 0o755 | fs.ModeSetuid | fs.ModeSetgid},
			{op: "chown", path: "f", n: -1, off: -1},
			{op: "chmod", user: 1, path: "f", mode: 0o745 | fs.ModeSetuid | fs.ModeSetgid}, {op: "chown", path: "f", n: -1, off: 32001},
			{op: "chmod", user: 1, path: "f", mode: 0o745 | fs.ModeSetgid}, {op: "chown", user: 1, path: "f", n: -1, off: 32000},
			{op: "chown", user: 1, path: "f", n: -1, off: 32001}, {op: "chown", user: 2, path: "f", n: -1, off: -1},
			{op: "chmod", path: "f", mode: 0o777 | fs.ModeSetuid | fs.ModeSetgid}, {op: "chown", user: 2, path: "f", n: -1, off: -1},
			{op: "open", user: 2, path: "f", flag: os.O_RDWR}, {op: "f.writeat", off: maxFileSize, data: "x"},
			{op: "f.truncate", off: maxFileSize + 1}, {op: "f.writeat"}, {op: "f.writeat", data: "x"},
			{op: "chmod", path: "f", mode: 0o767 | fs.ModeSetuid | fs.ModeSetgid}, {op: "f.truncate", off: 1},
		},
		{ // a setgid directory
			{op: "mkdir", user: 1, path: "a", mode: 0o777}, {op: "chmod", user: 1, path: "a", mode: 0o777 | fs.ModeSetgid},
			{op: "mkdir", user: 3, path: "a/b", mode: 0o777}, {op: "create", user: 3, path: "a/f"},
			{op: "open", user: 3, path: "a/g", flag: os.O_CREATE | os.O_RDWR, mode: 0o777 | fs.ModeSetgid},
			{op: "open", user: 3, path: "a/h", flag: os.O_CREATE | os.O_RDWR, mode: 0o707 | fs.ModeSetgid | fs.ModeSetuid},
			{op: "mkdir", path: "a/b/c", mode: 0o777 | fs.ModeSetgid | fs.ModeSetuid | fs.ModeSticky},
		},
		{ // reading a directory that goes meanwhile
			{op: "mkdir", path: "a", mode: 0o777}, {op: "create", path: "a/f"}, {op: "open", path: "a"},
			{op: "f.readdirnames", n: 1}, {op: "removeall", path: "a"}, {op: "f.readdirnames", n: 1}, {op: "f.readdir", n: -1},
			{op: "f.seek"}, {op: "f.readdir", n: 2}, {op: "f.sync"}, {op: "f.stat"}, {op: "f.close"}, {op: "f.close"},
		},
		{ // removing below a directory that its user may not read
			{op: "mkdir", user: 1, path: "p", mode: 0o755}, {op: "mkdirall", user: 1, path: "p/d/e", mode: 0o755},
			{op: "chmod", user: 1, path: "p", mode: 0o333}, {op: "removeall", user: 1, path: "p/d"},
			{op: "chmod", user: 1, path: "p", mode: 0o666}, {op: "removeall", user: 1, path: "p/d"},
		},
		{ // whom hard links are for
			{op: "create", path: "f", data: "x"}, {op: "link", user: 1, path: "f", path2: "g"},
			{op: "chmod", path: "f", mode: 0o666}, {op: "link", user: 1, path: "f", path2: "g"},
			{op: "chmod", path: "f", mode: 0o666 | fs.ModeSetuid}, {op: "link", user: 1, path: "f", path2: "h"},
			{op: "symlink", path: "s", data: "f"}, {op: "link", user: 1, path: "s", path2: "h"},
			{op: "link", path: "s", path2: "h"}, {op: "lstat", path: "h"}, {op: "readlink", path: "h"},
		},
	} {
		base := fmt.Sprintf("%s/s%d/1/2/3/4/5", dir, k)
		for n := range steps {
			steps[n].path = base + "/" + steps[n].path
			steps[n].path2 = base + "/" + steps[n].path2
		}
		judgeSteps(t, fmt.Sprint("script ", k), base, slices.Values(steps))
	}
}

// What random sequences hardly reach: bounds, each just kept and just broken.
func TestBoundsAgreeWithTheKernel(t *testing.T) {
	dir := t.TempDir()
	disk := NewWith(Linux, &Options{History: HistoryOff})
	must(t, disk.MkdirAll(dir, 0o755))
	kernel := afero.NewOsFs()
	name := strings.Repeat("n", maxName)
	long := dir + strings.Repeat("/.", (maxPath-len(dir))/2-2)
	for step, call := range []func(f afero.Fs) error{
		func(f afero.Fs) error { return afero.WriteFile(f, dir+"/0", []byte("end"), 0o644) },
		func(f afero.Fs) error { return f.Mkdir(dir+"/"+name, 0o755) },
		func(f afero.Fs) error { return f.Mkdir(dir+"/"+name+"n", 0o755) },
		func(f afero.Fs) error { _, err := f.Stat(long); return err },
		func(f afero.Fs) error { _, err := f.Stat(long + "/."); return err },
		func(f afero.Fs) error { _, err := f.Stat(long + "/./."); return err },
		func(f afero.Fs) error { _, err := f.Stat(long + "/././."); return err },
		func(f afero.Fs) error {
			for k := 1; k <= maxSymlinks+2; k++ {
				if err := f.(afero.Linker).SymlinkIfPossible(fmt.Sprint(k-1), fmt.Sprintf("%s/%d", dir, k)); err != nil {
					return err
				}
			}
			return nil
		},
		func(f afero.Fs) error { _, err := f.Stat(fmt.Sprintf("%s/%d", dir, maxSymlinks)); return err },
		func(f afero.Fs) error { _, err := f.Stat(fmt.Sprintf("%s/%d", dir, maxSymlinks+1)); return err },
		func(f afero.Fs) error {
			return f.(afero.Linker).SymlinkIfPossible(strings.Repeat("x", maxPath-1), dir+"/s")
		},
		func(f afero.Fs) error {
			return f.(afero.Linker).SymlinkIfPossible(strings.Repeat("x", maxPath), dir+"/t")
		},
		func(f afero.Fs) error { return f.(afero.Linker).SymlinkIfPossible("", dir+"/t") },
		func(f afero.Fs) error {
			h, err := f.OpenFile(dir+"/0", os.O_RDWR, 0)
			if err != nil {
				return err
			}
			_, err2 := h.Seek(maxFileSize, io.SeekStart)
			_, err3 := h.Seek(maxFileSize+1, io.SeekStart)
			return errors.Join(h.Truncate(maxFileSize), h.Truncate(maxFileSize+1), err2, err3, h.Truncate(0), h.Close())
		},
	} {
		if a, b := errText(call(kernel)), errText(call(disk)); a != b {
			t.Errorf("step %d:\nkernel %.200s\ndisk   %.200s", step, a, b)
		}
	}
}
