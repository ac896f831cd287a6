package fsim

import (
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/afero"
)

// fakeT takes what Check tells a test.
type fakeT struct {
	testing.TB
	fatal string
	logs  string
}

func (f *fakeT) Helper()                   {}
func (f *fakeT) Fatalf(s string, a ...any) { f.fatal = fmt.Sprintf(s, a...) }
func (f *fakeT) Log(a ...any)              { f.logs += fmt.Sprint(a...) }

// careless replaces a file without any sync.
func careless(d *Disk) error {
	if err := afero.WriteFile(d, "/f", []byte("old"), 0o644); err != nil {
		return err
	}
	d.SyncAll()
	d.Ack("old")
	if err := afero.WriteFile(d, "/f.tmp", []byte("new"), 0o644); err != nil {
		return err
	}
	return d.Rename("/f.tmp", "/f")
}

func wantOldOrNew(d *Disk, acked []any) error {
	b, err := afero.ReadFile(d, "/f")
	if len(acked) == 0 || err == nil && (string(b) == "old" || string(b) == "new") {
		return nil
	}
	return fmt.Errorf("f holds %q, %v", b, err)
}

func TestCheckTellsTheStoryAndItsTokenReplays(t *testing.T) {
	f := &fakeT{TB: t}
	Check(f, careless, wantOldOrNew, nil)
	for _, part := range []string{"rename /f.tmp", "power cut", "would have prevented it: Sync of /f.tmp", "func TestCrash", "wantOldOrNew"} {
		if !strings.Contains(f.fatal, part) {
			t.Errorf("no %q in the story:\n%s", part, f.fatal)
		}
	}
	_, rest, _ := strings.Cut(f.fatal, "token: ")
	token, _, _ := strings.Cut(rest, "\n")
	if err := Replay(careless, wantOldOrNew, token, nil); err == nil || errors.Is(err, ErrStaleToken) {
		t.Errorf("replay of %s: %v", token, err)
	}
	if err := Replay(careless, wantOldOrNew, token, &ExploreOptions{Profile: XFS}); !errors.Is(err, ErrStaleToken) {
		t.Errorf("on another profile: %v", err)
	}
	other := func(d *Disk) error { d.Mkdir("/x", 0o755); return careless(d) }
	if err := Replay(other, wantOldOrNew, token, nil); !errors.Is(err, ErrStaleToken) {
		t.Errorf("with another workload: %v", err)
	}
}

func TestNestedFailureReplays(t *testing.T) {
	// Recovery itself replaces the file without care; only a second cut shows it.
	again := func(d *Disk, acked []any) error {
		if err := wantOldOrNew(d, acked); err != nil || len(acked) == 0 {
			return err
		}
		if err := afero.WriteFile(d, "/g", []byte("new"), 0o644); err != nil {
			return err
		}
		return d.Rename("/g", "/f")
	}
	work := func(d *Disk) error {
		if err := afero.WriteFile(d, "/f", []byte("old"), 0o644); err != nil {
			return err
		}
		d.SyncAll()
		d.Ack(1)
		return nil
	}
	r, err := Explore(work, again, nil)
	if err != nil || r.Failure != nil || !r.Exhausted {
		t.Fatal(r, err)
	}
	r, err = Explore(work, again, &ExploreOptions{Depth: 1})
	if err != nil || r.Failure == nil {
		t.Fatal(r, err)
	}
	if err := Replay(work, again, r.Failure.Token, nil); err == nil || errors.Is(err, ErrStaleToken) {
		t.Errorf("replay of %s: %v", r.Failure.Token, err)
	}
	if s := r.Failure.Story(); !strings.Contains(s, "second power cut") {
		t.Error(s)
	}
}

func TestWhatIsWrongWithARecoveryIsAFindingNotACrash(t *testing.T) {
	var mu sync.Mutex
	turn := 0
	for name, c := range map[string]struct {
		recover Recover
		o       ExploreOptions
		want    error
	}{
		"panics": {func(*Disk, []any) error { panic("oh") }, ExploreOptions{}, ErrRecoveryPanic},
		"exits":  {func(*Disk, []any) error { runtime.Goexit(); return nil }, ExploreOptions{}, ErrRecoveryPanic},
		"never ends": {func(d *Disk, _ []any) error {
			for {
				d.Stat("/f")
			}
		}, ExploreOptions{Steps: 100}, ErrTooManySteps},
		"gives up": {func(d *Disk, _ []any) error {
			for {
				if _, err := d.Stat("/"); err != nil {
					return err
				}
			}
		}, ExploreOptions{Steps: 100}, ErrTooManySteps},
		"writes": {func(d *Disk, _ []any) error { return d.Mkdir("/x", 0o755) }, ExploreOptions{LookOnly: true}, ErrWrote},
		"not the same twice": {func(d *Disk, _ []any) error {
			mu.Lock()
			turn++
			now := turn
			mu.Unlock()
			d.Stat(fmt.Sprintf("/f%s", []string{"", ".tmp"}[now%2]))
			return nil
		}, ExploreOptions{}, ErrNondeterministic},
	} {
		r, err := Explore(careless, c.recover, &c.o)
		if err != nil || r.Failure == nil || !errors.Is(r.Failure, c.want) {
			t.Errorf("%s: %v, %v", name, r, err)
			continue
		}
		if name == "not the same twice" && !strings.Contains(r.Failure.Err.Error(), "entry") {
			t.Errorf("the cell is not named: %v", r.Failure)
		}
	}
	if _, err := Explore(func(*Disk) error { return errors.New("no") }, wantOldOrNew, nil); err == nil {
		t.Error("a workload that fails goes unnoticed")
	}
}

func TestWorkersSeeTheSameClasses(t *testing.T) {
	for _, n := range []int{2, 3} {
		one, err1 := Explore(appends(n), whole, &ExploreOptions{Budget: 1 << 20})
		many, err2 := Explore(appends(n), whole, &ExploreOptions{Budget: 1 << 20, Workers: 4})
		if err1 != nil || err2 != nil || one.String() != many.String() {
			t.Errorf("%d appends: %v and %v", n, one, many)
		}
	}
	r, err := Explore(careless, wantOldOrNew, &ExploreOptions{Workers: 3})
	if err != nil || r.Failure == nil {
		t.Error(r, err)
	}
}

func TestBudgetEndsInAnHonestReport(t *testing.T) {
	r, err := Explore(appends(20), whole, &ExploreOptions{Budget: 1000})
	if err != nil || r.Exhausted || r.Deviations != 1 || r.Failure != nil {
		t.Fatal(r, err)
	}
	if s := r.String(); !strings.Contains(s, "within 1 cells") || !strings.Contains(s, "sectors") {
		t.Error(s)
	}
	r, err = Explore(appends(20), byRecord, nil)
	if err != nil || !r.Exhausted {
		t.Fatal(r, err)
	}
	r, err = Explore(replaceFive, listAndRead, nil)
	if err != nil || !r.Exhausted {
		t.Fatal(r, err)
	}
}

func TestStatesAreTheSameOnEveryRun(t *testing.T) {
	sequence := func() string {
		d := NewWith(nil, &Options{History: HistoryFull})
		if err := careless(d); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for i := 0; i <= d.History().Len(); i++ {
			c, err := d.History().At(i).Crash()
			if err != nil {
				t.Fatal(err)
			}
			for s := range c.All() {
				b.WriteString(s.Digest() + " " + s.Token() + "\n")
			}
			n := 0
			for s := range c.Sample(7) {
				if n++; n > 20 {
					break
				}
				b.WriteString(s.Token() + "\n")
			}
		}
		return b.String()
	}
	want := sequence()
	old := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(old)
	for i := 0; i < 100; i++ {
		runtime.GOMAXPROCS(1 + i%2)
		if got := sequence(); got != want {
			t.Fatalf("run %d differs", i)
		}
	}
}

func TestTokensBringStatesBack(t *testing.T) {
	d := NewWith(nil, &Options{History: HistoryFull})
	if err := careless(d); err != nil {
		t.Fatal(err)
	}
	h := d.History()
	c, err := h.At(h.Len()).Crash()
	if err != nil {
		t.Fatal(err)
	}
	check := func(s *State) {
		t.Helper()
		got, err := h.State(s.Token())
		if err != nil || got.Digest() != s.Digest() {
			t.Errorf("%s: %v", s.Token(), err)
		}
	}
	for s := range c.All() {
		check(s)
	}
	n := 0
	for s := range c.Sample(1) {
		if n++; n > 100 {
			break
		}
		check(s)
	}
	good := c.Extreme(Synced).Token()
	for _, bad := range []string{"", "fsim1", "x", good + ":", strings.Replace(good, "linux", "ntfs", 1),
		strings.Replace(good, ":i", ":j", 1), good + ";e1/f", good + ";q3=1", "fsim1:linux:i1:h12:", "fsim1:linux:i1:h0000000000000000:#-1"} {
		if _, err := h.State(bad); !errors.Is(err, ErrBadToken) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, stale := range []string{strings.Replace(good, "fsim1", "fsim9", 1), strings.Replace(good, "linux", "xfs", 1),
		strings.Replace(good, fmt.Sprintf(":i%d", h.Len()), ":i999", 1), strings.Replace(good, ":i", ":i0", 1)[:0] + strings.Replace(good, fmt.Sprintf(":i%d", h.Len()), ":i1", 1),
		strings.TrimSuffix(good, ";") + ";b77.0=1", strings.Split(good, ":e")[0] + ":#zzzzzzzz"} {
		if _, err := h.State(stale); !errors.Is(err, ErrStaleToken) {
			t.Errorf("%q: %v", stale, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("fsim1:linux:i12:h0123456789abcdef:e2/a%2Fb=3;s5=a;b5.0=1z;1~i=2")
	f.Add("fsim1:xfs:i0:h0000000000000000:#1z")
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := parseToken(s)
		if err != nil {
			if !errors.Is(err, ErrBadToken) && !errors.Is(err, ErrStaleToken) {
				t.Fatal(err)
			}
			return
		}
		again, err := parseToken(tok.String())
		if err != nil || again.String() != tok.String() {
			t.Fatalf("%q prints as %q: %v", s, tok.String(), err)
		}
	})
}

func TestHistoryModesSayWhatTheyKept(t *testing.T) {
	off := NewWith(nil, &Options{History: HistoryOff})
	if _, err := off.Crash(); !errors.Is(err, ErrNoHistory) {
		t.Error(err)
	}
	now, full := New(nil), NewWith(nil, &Options{History: HistoryFull})
	for _, d := range []*Disk{now, full} {
		if err := careless(d); err != nil {
			t.Fatal(err)
		}
	}
	a, err1 := now.Crash()
	b, err2 := full.Crash()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	x, _ := a.Count()
	y, _ := b.Count()
	if x.Cmp(y) != 0 || a.Extreme(Synced).Digest() != b.Extreme(Synced).Digest() {
		t.Error(x, y)
	}
	if _, err := now.History().At(1).Crash(); !errors.Is(err, ErrNoHistory) {
		t.Error(err)
	}
	if _, err := full.History().At(99).Crash(); !errors.Is(err, ErrNoInstant) {
		t.Error(err)
	}
	if _, err := b.State(y); err == nil {
		t.Error("a state beyond the last")
	}
	// What is done after a crash was observed does not change it.
	before := b.Extreme(Kept).Digest()
	afero.WriteFile(full, "/later", []byte("x"), 0o644)
	if b.Extreme(Kept).Digest() != before {
		t.Error("a crash changed when the disk worked on")
	}
	kill, err := full.Kill()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := afero.ReadFile(kill.Mount(nil), "/later"); err != nil || string(got) != "x" {
		t.Error("a killed process lost what a call had written", err)
	}
}

func TestAMountedStateCrashesAgain(t *testing.T) {
	d := NewWith(nil, &Options{History: HistoryFull})
	if err := careless(d); err != nil {
		t.Fatal(err)
	}
	c, err := d.Crash()
	if err != nil {
		t.Fatal(err)
	}
	for s := range c.All() {
		m := s.Mount(&Options{History: HistoryFull})
		again, err := m.Crash()
		if err != nil {
			t.Fatal(err)
		}
		if n, exact := again.Count(); !exact || n.Cmp(big.NewInt(1)) != 0 || again.Extreme(Kept).Digest() != s.Digest() {
			t.Fatalf("a state that nobody touched became %v states", n)
		}
		if err := afero.WriteFile(m, "/n", []byte("n"), 0o644); err != nil {
			t.Fatal(err)
		}
		again, err = m.Crash()
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for x := range again.All() {
			if seen[x.Digest()] {
				t.Fatal("a state twice")
			}
			seen[x.Digest()] = true
		}
		if !seen[s.Digest()] {
			t.Error("the state itself is not among those after an unsynced write")
		}
	}
}

func TestNamesTooEntangledToCountStillIterate(t *testing.T) {
	d := NewWith(nil, &Options{History: HistoryFull})
	for i := 0; i < 9; i++ {
		afero.WriteFile(d, fmt.Sprintf("/f%d", i), []byte("x"), 0o644)
	}
	d.SyncAll()
	for round := 0; round < 3; round++ {
		for i := 0; i < 9; i++ {
			d.Rename(fmt.Sprintf("/f%d", i), "/t")
			d.Rename(fmt.Sprintf("/f%d", (i+1)%9), fmt.Sprintf("/f%d", i))
			d.Rename("/t", fmt.Sprintf("/f%d", (i+1)%9))
		}
	}
	c, err := d.Crash()
	if err != nil {
		t.Fatal(err)
	}
	n, exact := c.Count()
	if exact || n.Sign() <= 0 {
		t.Fatalf("counted %v", n)
	}
	if _, err := c.State(new(big.Int)); !errors.Is(err, ErrNotIndexed) {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for s := range c.All() {
		if seen[s.Digest()] {
			t.Fatal("a state twice")
		}
		if seen[s.Digest()] = true; len(seen) == 100 {
			break
		}
	}
}

func TestParseProfile(t *testing.T) {
	for _, p := range Profiles() {
		if q, err := ParseProfile(p.String()); q != p || err != nil {
			t.Error(p, err)
		}
		for _, tear := range []Tear{TearEnds, TearNone, TearAny} {
			q, err := ParseProfile(p.WithTear(tear).String())
			if err != nil || q.tear != tear {
				t.Error(p, tear, err)
			}
		}
	}
	if _, err := ParseProfile("ntfs"); !errors.Is(err, ErrUnknownProfile) {
		t.Error(err)
	}
}
