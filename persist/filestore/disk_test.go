package filestore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/fsim"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/filestore"
	"github.com/understudy-go/understudy/persist/storetest"
)

func mustOpen(t *testing.T, fsys afero.Fs, dir string, o *filestore.Options) *filestore.Store {
	t.Helper()
	s, err := filestore.Open(fsys, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func mustCommit(t *testing.T, s persist.Store, st step) {
	t.Helper()
	if _, err := s.Commit(context.Background(), changes(st)...); err != nil {
		t.Fatal(err)
	}
}

// names returns the files of a folder that begin with "@".
func names(t *testing.T, fsys afero.Fs, folder string) (all []string) {
	t.Helper()
	infos, err := afero.ReadDir(fsys, folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		if info.Name()[0] == '@' {
			all = append(all, info.Name())
		}
	}
	return all
}

func TestASecondOpenOfADirectoryIsLocked(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, afero.NewOsFs(), dir, nil)
	if _, err := filestore.Open(afero.NewOsFs(), dir, nil); !errors.Is(err, persist.ErrLocked) {
		t.Fatalf("expected ErrLocked, got %v", err)
	}
	mustCommit(t, s, step{"a": "1"}) // the refused open has fenced nobody
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, afero.NewOsFs(), dir, nil)
}

func TestStatsSayWhetherThereIsALock(t *testing.T) {
	flock := func(s *filestore.Store) any {
		for _, stat := range s.Stats() {
			if stat.Name == "flock" {
				return stat.Value
			}
		}
		return nil
	}
	if got := flock(mustOpen(t, afero.NewOsFs(), t.TempDir(), nil)); got != true {
		t.Errorf("on afero.OsFs: %v", got)
	}
	if got := flock(mustOpen(t, afero.NewBasePathFs(afero.NewOsFs(), t.TempDir()), "/s", nil)); got != false {
		t.Errorf("on afero.BasePathFs: %v", got)
	}
}

func TestOldGenerationsAreKeptAsAskedFor(t *testing.T) {
	for keep, want := range map[int]int{0: 2, 1: 2, 3: 4, -1: 1} {
		fsys := afero.NewMemMapFs()
		s := mustOpen(t, fsys, "/s", &filestore.Options{Keep: keep})
		for i := range 7 {
			mustCommit(t, s, step{"a": fmt.Sprint(i)})
		}
		if got := names(t, fsys, "/s/a"); len(got) != want {
			t.Errorf("Keep %d: %d files, expected %d: %q", keep, len(got), want, got)
		}
	}
}

// Evidence is moved aside, reported, told with every load, and survives later
// saves, a delete, and a birth after it.
func TestADamagedGenerationIsMovedAsideAndKept(t *testing.T) {
	fsys, ctx := afero.NewMemMapFs(), context.Background()
	var reports []*persist.CorruptError
	o := &filestore.Options{Report: func(e *persist.CorruptError) { reports = append(reports, e) }}
	s := mustOpen(t, fsys, "/s", o)
	mustCommit(t, s, step{"a": "old", "b": "well"})
	mustCommit(t, s, step{"a": "new"})
	if err := damageNewest(fsys, "/s/a"); err != nil {
		t.Fatal(err)
	}
	evidence, _ := afero.ReadFile(fsys, generations(fsys, "/s/a")[1])
	bad := generations(fsys, "/s/a")[1] + ".bad"
	for i := range 3 {
		if i == 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = mustOpen(t, fsys, "/s", o)
		}
		r, v, err := s.Load(ctx, "a")
		if err != nil || string(r.Payload) != "old" || r.Fallback == nil || r.Fallback.Place != bad {
			t.Fatalf("load %d: %q %v %v", i, r.Payload, r.Fallback, err)
		}
		for e, err := range s.List(ctx, "a") {
			if err != nil || e.Version != v {
				t.Fatalf("list: %v %v, load says %q", e, err, v)
			}
		}
	}
	if len(reports) != 1 || reports[0].Place != bad || reports[0].Key != "a" {
		t.Fatalf("reports: %v", reports)
	}
	for i := range 4 {
		mustCommit(t, s, step{"a": fmt.Sprint(i)})
	}
	if r, _, err := s.Load(ctx, "a"); err != nil || r.Fallback != nil || string(r.Payload) != "3" {
		t.Fatalf("after saves: %q %v %v", r.Payload, r.Fallback, err)
	}
	mustCommit(t, s, step{"a": ""})
	if _, _, err := s.Load(ctx, "a"); !errors.Is(err, persist.ErrNotFound) {
		t.Fatalf("after a delete: %v", err)
	}
	mustCommit(t, s, step{"a": "born again"})
	if r, _, err := s.Load(ctx, "a"); err != nil || r.Fallback != nil || string(r.Payload) != "born again" {
		t.Fatalf("after a birth: %q %v %v", r.Payload, r.Fallback, err)
	}
	if got, err := afero.ReadFile(fsys, bad); err != nil || string(got) != string(evidence) {
		t.Fatalf("the evidence changed: %v", err)
	}
}

func TestWhereNothingIsIntactNothingIsMoved(t *testing.T) {
	fsys, ctx := afero.NewMemMapFs(), context.Background()
	s := mustOpen(t, fsys, "/s", nil)
	mustCommit(t, s, step{"a": "1"})
	mustCommit(t, s, step{"a": "2"})
	before := generations(fsys, "/s/a")
	for _, path := range before {
		if err := flipBit(fsys, path); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		var damage *persist.CorruptError
		if _, _, err := s.Load(ctx, "a"); !errors.As(err, &damage) || damage.Place != before[1] || damage.Key != "a" {
			t.Fatalf("expected a *CorruptError, got %v", err)
		}
		for l, err := range s.LoadTree(ctx, "") {
			if l.Key != "a" || !errors.As(err, &damage) {
				t.Fatalf("%v %v", l, err)
			}
		}
	}
	if after := generations(fsys, "/s/a"); !slices.Equal(after, before) {
		t.Fatalf("%q became %q", before, after)
	}
}

// Never past a delete: what it ended is no fallback.
func TestADamagedBirthAfterADeleteDoesNotFallBackBehindIt(t *testing.T) {
	fsys, ctx := afero.NewMemMapFs(), context.Background()
	s := mustOpen(t, fsys, "/s", nil)
	mustCommit(t, s, step{"a": "1"})
	mustCommit(t, s, step{"a": "2"})
	for range s.LoadTree(ctx, "") { // pins what is there
		mustCommit(t, s, step{"a": ""})
		mustCommit(t, s, step{"a": "3"})
		if err := damageNewest(fsys, "/s/a"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Load(ctx, "a"); !errors.Is(err, persist.ErrCorrupt) {
			t.Fatalf("expected ErrCorrupt, got %v", err)
		}
	}
}

func TestTheLoopOfATreeMayChangeTheStore(t *testing.T) {
	fsys, ctx := afero.NewMemMapFs(), context.Background()
	s := mustOpen(t, fsys, "/s", &filestore.Options{Readers: 1})
	mustCommit(t, s, step{"a": "1", "b": "1", "c": "1"})
	var seen []string
	for l, err := range s.LoadTree(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, string(l.Key)+string(l.Payload))
		for i := range 3 {
			mustCommit(t, s, step{"b": fmt.Sprint(i), "c": "", "d": "1"})
		}
	}
	if got := strings.Join(seen, " "); got != "a1 b1 c1" {
		t.Fatalf("the tree shows %s", got)
	}
	if n := len(names(t, fsys, "/s/b")); n != 2 { // tidied when the loop had ended
		t.Fatalf("%d files are left of b", n)
	}
	if ok, _ := afero.Exists(fsys, "/s/c"); ok {
		t.Fatal("the folder of the deleted c is left")
	}
}

func TestADeleteLeavesNoEmptyFolder(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, afero.NewOsFs(), dir, nil)
	long := persist.Key(strings.Repeat("L", 255))
	mustCommit(t, s, step{"a/b/c/d": "1", "a/x": "1", long + "/" + long: "1"})
	mustCommit(t, s, step{"a/b/c/d": ""})
	mustCommit(t, s, step{long + "/" + long: ""})
	entries, err := os.ReadDir(filepath.Join(dir, "a"))
	if err != nil || len(entries) != 1 || entries[0].Name() != "x" {
		t.Fatalf("%v %v", entries, err)
	}
	if entries, err = os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Fatalf("%v %v", entries, err)
	}
}

func TestStrangersInTheDirectoryAreIgnoredAndStay(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	s := mustOpen(t, afero.NewOsFs(), dir, nil)
	mustCommit(t, s, step{"a": "1", "a/b": "1"})
	strangers := []string{"notes.txt", "a/README", "a/.DS_Store", "a/@x", "a/b/@00000001.000000000001~", "a/b/Thumbs.db", "UPPER/x", "a/%41/x", "a/lower/deep/x"}
	for _, name := range strangers {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Load(ctx, "notes.txt/below"); !errors.Is(err, persist.ErrNotFound) {
		t.Errorf("below a stranger: %v", err)
	}
	if _, err := s.Commit(ctx, changes(step{"notes.txt/below": "1"})...); err == nil || errors.Is(err, persist.ErrUnknownOutcome) {
		t.Errorf("a key in a stranger's place: %v", err)
	}
	mustCommit(t, s, step{"a": "2", "a/b": "2"})
	mustCommit(t, s, step{"a/b": ""})
	got, err := contents(s)
	if err != nil || len(got) != 1 || got["a"] != "2" {
		t.Errorf("%v %v", got, err)
	}
	for _, name := range strangers {
		if b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))); err != nil || string(b) != name {
			t.Errorf("%s: %q %v", name, b, err)
		}
	}
}

// No two files or folders of the store are the same where case does not count.
func TestNothingCollidesWhereCaseDoesNotCount(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, afero.NewOsFs(), dir, nil)
	for _, k := range storetest.HostileKeys() {
		mustCommit(t, s, step{k: "x"})
	}
	seen := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		lower := strings.ToLower(rel)
		if other, ok := seen[lower]; ok || len(filepath.Base(path)) > 143 {
			t.Errorf("%q and %q", rel, other)
		}
		seen[lower] = rel
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestADirectoryThatCannotBeAStoreIsAClearError(t *testing.T) {
	osfs, dir := afero.NewOsFs(), t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o644))
	newer, torn := filepath.Join(dir, "newer"), filepath.Join(dir, "torn")
	for d, text := range map[string]string{newer: "understudy filestore 2\n", torn: "understudy filest"} {
		must(t, os.MkdirAll(filepath.Join(d, "@store"), 0o755))
		must(t, os.WriteFile(filepath.Join(d, "@store", "format"), []byte(text), 0o644))
	}
	for what, tc := range map[string]struct {
		fs   afero.Fs
		dir  string
		want error
	}{
		"a file":                {osfs, file, nil},
		"below a file":          {osfs, filepath.Join(file, "x"), nil},
		"read-only":             {afero.NewReadOnlyFs(osfs), dir, fs.ErrPermission},
		"a newer format":        {osfs, newer, persist.ErrTooNew},
		"a torn format":         {osfs, torn, persist.ErrCorrupt},
		"the root":              {osfs, "/", persist.ErrBadKey},
		"no key":                {osfs, filepath.Join(dir, "what?"), persist.ErrBadKey},
		"relative, and no OsFs": {afero.NewMemMapFs(), "data", persist.ErrBadKey},
	} {
		s, err := filestore.Open(tc.fs, tc.dir, nil)
		if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.dir) {
			t.Errorf("%s: %v, %v", what, s, err)
		}
	}
	for _, d := range []string{newer, torn} {
		if entries, err := os.ReadDir(filepath.Join(d, "@store")); err != nil || len(entries) != 1 {
			t.Errorf("%s was touched: %v %v", d, entries, err)
		}
	}
}

// A full disk is an error that changes nothing and passes.
func TestAFullDiskIsACleanErrorThatPasses(t *testing.T) {
	disk, ctx := fsim.New(fsim.Linux), context.Background()
	s := mustOpen(t, disk, "/store", sequential())
	mustCommit(t, s, step{"a": "1", "b/c": "1"})
	mustCommit(t, s, step{"a": "2"})
	used := disk.Used()
	disk.SetCapacity(used + 8192)
	big := strings.Repeat("x", 100_000)
	for _, st := range []step{{"a": big}, {"new/folder": big}, {"a": "3", "b/c": big, "d": "3"}} {
		_, err := s.Commit(ctx, changes(st)...)
		if err == nil || errors.Is(err, persist.ErrUnknownOutcome) || errors.Is(err, persist.ErrStoreFailed) {
			t.Fatalf("on a full disk: %v", err)
		}
		got, err := contents(s)
		if err != nil || len(got) != 2 || got["a"] != "2" || got["b/c"] != "1" {
			t.Fatalf("%v %v", got, err)
		}
		if now := disk.Used(); now > used+8192 {
			t.Fatalf("%d bytes were used, now %d", used, now)
		}
	}
	disk.SetCapacity(0)
	mustCommit(t, s, step{"a": big, "b/c": big, "new/folder": big})
}

// One folder with very many keys: a commit looks at its own folder only.
func TestAKeyAmongThousandsCostsNoMoreCalls(t *testing.T) {
	count := func(siblings int) int {
		k := &killed{Fs: afero.NewMemMapFs(), left: 1 << 30}
		s := mustOpen(t, k, "/s", sequential())
		for i := range siblings {
			must(t, k.Fs.MkdirAll(fmt.Sprintf("/s/p/k%d", i), 0o755))
		}
		mustCommit(t, s, step{"p/x": "1"})
		before := k.left
		mustCommit(t, s, step{"p/x": "2"})
		mustCommit(t, s, step{"p/x": ""})
		mustCommit(t, s, step{"p/x": "3"})
		return before - k.left
	}
	if few, many := count(3), count(10_000); few != many {
		t.Fatalf("%d calls among 3 siblings, %d among 10,000", few, many)
	}
}

// told is a filesystem that tells its callers apart.
type told struct {
	afero.Fs
	mu   *sync.Mutex
	seen map[string]bool
}

func (f told) As(who string) afero.Fs {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen[who] = true
	return f.Fs
}

func TestEveryCallerAndGoroutineHasItsOwnFilesystem(t *testing.T) {
	f := told{afero.NewMemMapFs(), new(sync.Mutex), map[string]bool{}}
	var started []string
	s := mustOpen(t, f, "/s", &filestore.Options{Readers: 2, Go: func(name string, run func()) {
		started = append(started, name)
		go run()
	}})
	mustCommit(t, s, step{"a": "1"})
	ctx := persist.WithCaller(context.Background(), "me")
	if _, err := s.Commit(ctx, changes(step{"a": "1", "b": "1", "c": "1"})...); err != nil {
		t.Fatal(err)
	}
	for _, err := range s.LoadTree(ctx, "") {
		must(t, err)
	}
	readers := f.seen["me/filestore/read0"] || f.seen["me/filestore/read1"] // either may have been quick enough for all
	if !f.seen[""] || !f.seen["me"] || !readers {
		t.Errorf("some caller was nobody: %v", f.seen)
	}
	if len(started) == 0 {
		t.Error("no goroutine was started through Options.Go")
	}
}

func TestADamagedIntentIsNotGuessedAt(t *testing.T) {
	fsys := afero.NewMemMapFs()
	s := mustOpen(t, fsys, "/s", nil)
	must(t, s.Close())
	must(t, fsys.MkdirAll("/s/@store/staging.1", 0o755))
	must(t, afero.WriteFile(fsys, "/s/@store/staging.1/batch-7", []byte("torn"), 0o644))
	for range 2 {
		var damage *persist.CorruptError
		if _, err := filestore.Open(fsys, "/s", nil); !errors.As(err, &damage) || !strings.HasSuffix(damage.Place, "batch-7") {
			t.Fatalf("expected a *CorruptError that names the intent, got %v", err)
		}
	}
}

func TestACommitThatWaitsIsEndedByItsContextAndLeavesNothing(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	k := &killed{Fs: afero.NewMemMapFs(), left: 1 << 30}
	s := mustOpen(t, k, "/s", nil)
	mustCommit(t, s, step{"a": "1"})
	k.before = func() { once.Do(func() { close(entered); <-leave }) }
	done := make(chan error)
	go func() {
		_, err := s.Commit(context.Background(), changes(step{"a": "2"})...)
		done <- err
	}()
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	waiting := make(chan error)
	go func() {
		_, err := s.Commit(ctx, changes(step{"a": "3"})...)
		waiting <- err
	}()
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Fatalf("expected context.Canceled, got %v", err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if r, _, err := s.Load(context.Background(), "a"); err != nil || string(r.Payload) != "2" {
		t.Fatalf("%q %v", r.Payload, err)
	}
}
