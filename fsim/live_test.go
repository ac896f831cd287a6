package fsim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/spf13/afero"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, d afero.Fs, name, content string) {
	t.Helper()
	must(t, afero.WriteFile(d, name, []byte(content), 0o644))
}

func TestDiskPassesFstest(t *testing.T) {
	d := New(Linux)
	must(t, d.MkdirAll("dir/sub/empty", 0o755))
	write(t, d, "hello.txt", "hello")
	write(t, d, "dir/big", strings.Repeat("x", 3*BlockSize+17))
	write(t, d, "dir/sub/none", "")
	must(t, d.SymlinkIfPossible("big", "dir/link"))
	must(t, fstest.TestFS(afero.NewIOFS(d), "hello.txt", "dir/big", "dir/sub/none", "dir/sub/empty"))
}

func TestInodeSurvivesRenameAndTellsItsNames(t *testing.T) {
	d := New(Linux)
	write(t, d, "/a", "1")
	ino := func(name string) (uint64, int) {
		fi, err := d.Stat(name)
		must(t, err)
		ino, links, ok := Inode(fi)
		if !ok {
			t.Fatal(name)
		}
		return ino, links
	}
	first, _ := ino("/a")
	must(t, d.Link("/a", "/b"))
	must(t, d.Rename("/a", "/c"))
	for _, name := range []string{"/b", "/c"} {
		if i, n := ino(name); i != first || n != 2 {
			t.Errorf("%s: inode %d, %d names", name, i, n)
		}
	}
	must(t, d.Remove("/b"))
	must(t, d.Remove("/c"))
	write(t, d, "/a", "2")
	if i, n := ino("/a"); i == first || n != 1 {
		t.Errorf("inode %d came again, %d names", i, n)
	}
	if _, _, ok := Inode(nil); ok {
		t.Error("a foreign FileInfo has no inode here")
	}
}

func TestOpenHandleOutlivesRemoveAndRename(t *testing.T) {
	d := New(Linux)
	d.SetCapacity(1 << 20)
	f, err := d.Create("/f")
	must(t, err)
	_, err = f.WriteString(strings.Repeat("x", 10*BlockSize))
	must(t, err)
	must(t, d.Rename("/f", "/g"))
	write(t, d, "/f", "other")
	must(t, d.Remove("/g"))
	before := d.Used()
	if _, err := f.WriteAt([]byte("y"), 0); err != nil {
		t.Error(err)
	}
	b := make([]byte, 2)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "yx" || f.Name() != "/f" {
		t.Error(err, string(b), f.Name())
	}
	must(t, f.Close())
	if freed := before - d.Used(); freed < 10*BlockSize {
		t.Errorf("the last Close freed %d bytes", freed)
	}
}

func TestEveryCallFailsWithoutEffectAfterPowerOff(t *testing.T) {
	d := New(Linux)
	write(t, d, "/f", "content")
	must(t, d.Mkdir("/dir", 0o755))
	f, err := d.OpenFile("/f", os.O_RDWR, 0)
	must(t, err)
	dir, err := d.Open("/dir")
	must(t, err)
	v := d.As("late").(*view)
	d.PowerOff()
	b := make([]byte, 4)
	h := f.(*File)
	drop := func(_ any, err error) error { return err }
	for name, call := range map[string]func() error{
		"create":  func() error { return drop(d.Create("/new")) },
		"open":    func() error { return drop(v.Open("/f")) },
		"mkdir":   func() error { return v.Mkdir("/new", 0o755) },
		"mkdirs":  func() error { return v.MkdirAll("/new/er", 0o755) },
		"remove":  func() error { return v.Remove("/f") },
		"removes": func() error { return v.RemoveAll("/f") },
		"rename":  func() error { return v.Rename("/f", "/g") },
		"link":    func() error { return v.Link("/f", "/g") },
		"symlink": func() error { return v.SymlinkIfPossible("/f", "/g") },
		"readln":  func() error { return drop(v.ReadlinkIfPossible("/f")) },
		"stat":    func() error { return drop(v.Stat("/f")) },
		"lstat":   func() error { _, _, err := v.LstatIfPossible("/f"); return err },
		"chmod":   func() error { return v.Chmod("/f", 0) },
		"chown":   func() error { return v.Chown("/f", 1, 1) },
		"chtimes": func() error { return v.Chtimes("/f", time.Unix(1, 0), time.Unix(1, 0)) },
		"syncall": v.SyncAll,
		"read":    func() error { return drop(h.Read(b)) },
		"readat":  func() error { return drop(h.ReadAt(b, 0)) },
		"write":   func() error { return drop(h.Write(b)) },
		"writes":  func() error { return drop(h.WriteString("x")) },
		"writeat": func() error { return drop(h.WriteAt(b, 0)) },
		"seek":    func() error { return drop(h.Seek(0, 0)) },
		"trunc":   func() error { return h.Truncate(0) },
		"sync":    h.Sync,
		"data":    h.SyncData,
		"fstat":   func() error { return drop(h.Stat()) },
		"names":   func() error { return drop(dir.Readdirnames(0)) },
		"readdir": func() error { return drop(dir.Readdir(0)) },
		"dirsync": dir.Sync,
		"close":   h.Close,
	} {
		if err := call(); !errors.Is(err, ErrPoweredOff) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.mu.Lock()
	d.off = false
	d.mu.Unlock()
	names, err := afero.ReadDir(d, "/")
	must(t, err)
	if len(names) != 2 || read(t, d, "/f") != "content" {
		t.Error("a call had an effect after the power went")
	}
}

func TestFullDiskGivesENOSPCWhereSpaceIsNeeded(t *testing.T) {
	d := New(Linux)
	write(t, d, "/f", strings.Repeat("x", BlockSize))
	write(t, d, "/g", "")
	f, err := d.OpenFile("/f", os.O_RDWR|os.O_APPEND, 0)
	must(t, err)
	d.SetCapacity(d.Used() + 2*BlockSize)
	if n, err := f.Write(make([]byte, 4*BlockSize)); n != 2*BlockSize || !errors.Is(err, syscall.ENOSPC) {
		t.Error("a write stops where the disk is full:", n, err)
	}
	drop := func(_ any, err error) error { return err }
	for name, err := range map[string]error{
		"create":  drop(d.Create("/new")),
		"mkdir":   d.Mkdir("/new", 0o755),
		"symlink": d.SymlinkIfPossible("f", "/new"),
		"link":    d.Link("/f", "/new"),
		"rename":  d.Rename("/f", "/new"),
		"append":  drop(f.WriteString("x")),
	} {
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h, err := d.OpenFile("/f", os.O_RDWR, 0)
	must(t, err)
	_, err = h.WriteAt([]byte("y"), 5)
	must(t, err) // overwriting takes nothing
	must(t, h.Truncate(1<<40))
	must(t, d.Rename("/f", "/g")) // nor does a hole, nor a name that is there
	must(t, h.Truncate(BlockSize))
	write(t, d, "/new", "there is room again")
}

func TestUsedSpaceComesBackWhole(t *testing.T) {
	d := NewWith(Linux, &Options{History: HistoryOff})
	empty := d.Used()
	r := rand.New(rand.NewPCG(4, 4))
	for range 300 {
		name := fmt.Sprintf("/%d/%d", r.IntN(3), r.IntN(5))
		switch r.IntN(6) {
		case 0:
			_ = d.MkdirAll(name, 0o755)
		case 1:
			_ = d.MkdirAll("/1", 0o755)
			_ = afero.WriteFile(d, name, make([]byte, r.IntN(20000)), 0o644)
		case 2:
			_ = d.Rename(name, fmt.Sprintf("/%d/%d", r.IntN(3), r.IntN(5)))
		case 3:
			_ = d.Link(name, fmt.Sprintf("/%d/%d", r.IntN(3), r.IntN(5)))
		case 4:
			_ = d.SymlinkIfPossible("target", name)
		case 5:
			if f, err := d.OpenFile(name, os.O_RDWR, 0); err == nil {
				_ = f.Truncate(int64(r.IntN(20000)))
				_, _ = f.WriteAt([]byte("x"), r.Int64N(1<<40))
				_ = f.Close()
			}
		}
	}
	for _, name := range []string{"/0", "/1", "/2"} {
		must(t, d.RemoveAll(name))
	}
	if d.Used() != empty {
		t.Errorf("%d bytes are used on an empty disk", d.Used()-empty)
	}
}

func TestSparseFileCostsWhatItHolds(t *testing.T) {
	d := NewWith(Linux, &Options{History: HistoryOff})
	f, err := d.Create("/f")
	must(t, err)
	_, err = f.WriteAt([]byte("end"), maxFileSize-3)
	must(t, err)
	if n, err := f.WriteAt([]byte("over"), maxFileSize-3); n != 3 || !errors.Is(err, syscall.EFBIG) {
		t.Error(n, err)
	}
	b := make([]byte, 6)
	if _, err := f.ReadAt(b, maxFileSize-6); err != nil || string(b) != "\x00\x00\x00ove" {
		t.Errorf("%q %v", b, err)
	}
	if d.Used() > 2*BlockSize {
		t.Errorf("%d bytes used", d.Used())
	}
	must(t, f.Truncate(BlockSize))
	for k := int64(3000); k > 0; k-- { // from far to near: the dense table takes over
		_, err = f.WriteAt([]byte{byte(k)}, k*BlockSize)
		must(t, err)
	}
	for k := int64(1); k <= 3000; k++ {
		if _, err := f.ReadAt(b[:1], k*BlockSize); err != nil || b[0] != byte(k) {
			t.Fatal(k, b[0], err)
		}
	}
}

func TestTraceTellsWhoDidWhatInOneLine(t *testing.T) {
	d := New(Linux)
	ann, bob := d.As("ann"), d.As("bob the builder")
	f, err := ann.OpenFile("/wal", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	must(t, err)
	_, err = f.WriteString("record")
	must(t, err)
	_, _ = f.ReadAt(make([]byte, 10), 2)
	_, _ = f.Seek(-1, io.SeekEnd)
	must(t, f.Sync())
	_ = bob.Rename("/wal", "/no/where")
	_ = bob.Mkdir("/a b", 0o700)
	_, _ = bob.Stat("/\n")
	d.SetFaults(mustParse(t, "EIO sync who=ann"))
	_ = f.Sync()
	_ = f.Close()
	_ = f.Close()
	_ = d.SyncAll()
	_ = d.Chown("/wal", 5, -1)
	d.PowerOff()
	_ = d.Remove("/wal")
	got := ""
	for c := range d.Calls() {
		got += c.String() + "\n"
	}
	want := `1 ann open /wal RDWR|CREATE|EXCL 0640 = ok
2 ann write /wal #1 @0+6 = 6
3 ann readat /wal #1 @2+10 = 4 EOF
4 ann seek /wal #1 -1 2 = 5
5 ann sync /wal #1 = ok
6 "bob the builder" rename /wal -> /no/where = ENOENT
7 "bob the builder" mkdir "/a b" 0700 = ok
8 "bob the builder" stat "/\n" = ENOENT
9 ann sync /wal #1 = EIO [EIO sync who=ann]
10 ann close /wal #1 = ok
11 ann close /wal #1 = closed
12 - syncall = ok
13 - chown /wal 5 -1 = ok
14 - remove /wal = poweroff
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if c := d.Trace(); len(c) != 14 || d.traceLine(9) != c[8].String() || d.traceLine(15) != "" {
		t.Error(len(c), d.traceLine(9))
	}
	if NewWith(Linux, &Options{NoTrace: true}).Trace() != nil {
		t.Error("the trace is not off")
	}
}

func TestErrorNumbersHaveOneNameEach(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range errnos {
		if no, ok := errnoByName(e.name); !ok || no != e.no || ErrnoName(e.no) != e.name || seen[e.name] {
			t.Errorf("%s: %v", e.name, ErrnoName(e.no))
		}
		seen[e.name] = true
		wrapped := &fs.PathError{Op: "x", Path: "y", Err: e.no}
		if ErrnoName(wrapped) != e.name {
			t.Errorf("%s is lost in a *fs.PathError", e.name)
		}
	}
	if _, ok := errnoByName("ENOTHING"); ok || ErrnoName(errors.New("odd")) != "odd" {
		t.Error("a stranger has a name")
	}
}

func TestReadingADirectoryInPieces(t *testing.T) {
	d := New(Linux)
	for _, name := range []string{"/c", "/a", "/b"} {
		write(t, d, name, "")
	}
	dir, err := d.Open("/")
	must(t, err)
	first, err := dir.Readdirnames(2)
	must(t, err)
	must(t, d.Remove("/c"))
	write(t, d, "/d", "")
	infos, err := dir.Readdir(2)
	if !reflect.DeepEqual(first, []string{"a", "b"}) || len(infos) != 0 || err != io.EOF {
		t.Error(first, infos, err)
	}
	_, err = dir.Seek(0, io.SeekStart)
	must(t, err)
	again, err := dir.(fs.ReadDirFile).ReadDir(-1)
	if err != nil || len(again) != 3 || again[2].Name() != "d" || again[2].Type() != 0 {
		t.Error(again, err)
	}
}

func TestConcurrentCallsKeepTheDiskWhole(t *testing.T) {
	d := New(Linux)
	must(t, d.MkdirAll("/a", 0o755))
	must(t, d.MkdirAll("/b", 0o755))
	shared, err := d.OpenFile("/log", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	must(t, err)
	var wg sync.WaitGroup
	const workers, rounds = 8, 100
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			me := d.As(fmt.Sprint("worker", w))
			name := fmt.Sprintf("/a/%d", w)
			for k := range rounds {
				_, _ = shared.WriteString(fmt.Sprintf("%d:%02d\n", w, k))
				_ = afero.WriteFile(me, name, []byte{byte(k)}, 0o644)
				_ = me.Rename(name, fmt.Sprintf("/b/%d", w%2))
				_, _ = me.Stat(fmt.Sprintf("/b/%d", w%2))
				_ = me.Remove(fmt.Sprintf("/b/%d", (w+1)%2))
				_, _ = afero.ReadDir(me, "/b")
				_ = me.RemoveAll(name)
			}
		}()
	}
	wg.Wait()
	lines := strings.Fields(read(t, d, "/log"))
	next := map[string]int{}
	for _, l := range lines {
		w, k, _ := strings.Cut(l, ":")
		if fmt.Sprintf("%02d", next[w]) != k {
			t.Fatalf("append %s came out of order", l)
		}
		next[w]++
	}
	if len(lines) != workers*rounds {
		t.Errorf("%d appends of %d are there", len(lines), workers*rounds)
	}
	for k, c := range d.Trace() {
		if c.Seq != int64(k+1) {
			t.Fatalf("call %d is number %d of the trace", c.Seq, k+1)
		}
	}
}

// script is a workload whose trace must always be the same.
func script(seed uint64) string {
	d := New(Linux)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 60 {
		a, b := fmt.Sprintf("/%d", r.IntN(4)), fmt.Sprintf("/%d/%d", r.IntN(4), r.IntN(3))
		switch r.IntN(7) {
		case 0:
			_ = d.Mkdir(a, 0o755)
		case 1:
			_ = afero.WriteFile(d, b, make([]byte, r.IntN(9000)), 0o644)
		case 2:
			_ = d.Rename(b, a)
		case 3:
			_ = d.RemoveAll(a)
		case 4:
			_, _ = afero.ReadDir(d, a)
		case 5:
			_ = d.Link(b, a)
		case 6:
			if fi, err := d.Stat(b); err == nil {
				_ = d.Chtimes(b, fi.ModTime(), fi.ModTime().Add(time.Second))
			}
		}
	}
	s := ""
	for _, c := range d.Trace() {
		s += c.String() + "\n"
	}
	_ = afero.Walk(d, "/", func(path string, fi fs.FileInfo, err error) error {
		s += fmt.Sprint(path, err)
		if fi != nil {
			ino, links, _ := Inode(fi)
			s += fmt.Sprint(fi.ModTime().UTC(), fi.Size(), ino, links, "\n")
		}
		return nil
	})
	return s
}

func TestSameScriptSameTraceOnEveryRun(t *testing.T) {
	first := script(9)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for k := range 100 {
		runtime.GOMAXPROCS(1 + k%2)
		if again := script(9); again != first {
			t.Fatalf("run %d differs:\n%s\n%s", k, first, again)
		}
	}
}

func TestStatIsAsOfItsCall(t *testing.T) {
	d := New(Linux)
	write(t, d, "/f", "1")
	fi, err := d.Stat("/f")
	must(t, err)
	old := fi.ModTime()
	write(t, d, "/f", "123")
	must(t, d.Chmod("/f", 0))
	if fi.Size() != 1 || fi.Mode() != 0o644 || !fi.ModTime().Equal(old) {
		t.Error("a FileInfo changed after the call")
	}
	now, err := d.Stat("/f")
	must(t, err)
	if !now.ModTime().After(old) {
		t.Error("a write did not change the time")
	}
}

func TestClockAndUmaskOptions(t *testing.T) {
	at := time.Date(2031, 5, 6, 7, 8, 9, 10, time.UTC)
	d := NewWith(nil, &Options{Clock: func() time.Time { return at }, Umask: -1})
	if d.Profile() != Linux || d.Name() != "fsim" {
		t.Error(d.Profile(), d.Name())
	}
	must(t, d.Mkdir("/d", 0o777))
	fi, err := d.Stat("/d")
	must(t, err)
	if !fi.ModTime().Equal(at) || fi.Mode().Perm() != 0o777 {
		t.Error(fi.ModTime(), fi.Mode())
	}
	d = NewWith(nil, &Options{Umask: 0o077})
	write(t, d, "/f", "")
	if fi, err = d.Stat("/f"); err != nil || fi.Mode() != 0o600 {
		t.Error(fi.Mode(), err)
	}
}

func TestMovedDirectoryIsNotFoundUnderItsOldName(t *testing.T) {
	d := New(Linux)
	must(t, d.MkdirAll("/a/b", 0o755))
	write(t, d, "/a/b/f", "old")
	for _, name := range []string{"/a", "/a/b"} {
		if _, err := d.Stat("/a/b/f"); err != nil { // now it is remembered where /a/b is
			t.Fatal(err)
		}
		must(t, d.Rename(name, "/x"))
		if _, err := d.Stat("/a/b/f"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is moved: %v", name, err)
		}
		must(t, d.Rename("/x", name))
	}
}

func TestStickyDirectoryLetsOwnersDelete(t *testing.T) {
	d := New(Linux)
	must(t, d.Mkdir("/tmp", 0o777))
	must(t, d.Chown("/tmp", 1, 1))
	must(t, d.Chmod("/tmp", 0o777|fs.ModeSticky))
	for user, want := range map[int]string{0: "ok", 1: "ok", 2: "ok", 3: "EPERM"} {
		write(t, d.AsUser(2, 2), "/tmp/f", "")
		if got := ErrnoName(d.AsUser(user, user).Remove("/tmp/f")); got != want {
			t.Errorf("user %d: %s, want %s", user, got, want)
		}
	}
	must(t, d.Chmod("/", 0o711)) // nobody else writes here
	if got := ErrnoName(d.AsUser(4, 4, 9).Mkdir("/no", 0o755)); got != "EACCES" {
		t.Error(got)
	}
	must(t, d.Chown("/", 0, 9))
	must(t, d.Chmod("/", 0o770))
	must(t, d.AsUser(4, 4, 9).Mkdir("/yes", 0o755))
}
