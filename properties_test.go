package understudy_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/anthdm/hollywood/actor"
	"github.com/spf13/afero"
	"pgregory.net/rapid"

	"github.com/understudy-go/understudy/fsim"
	"github.com/understudy-go/understudy/persist"
)

// The promises, one test each. They run real systems on a real store on the
// simulated disk. UNDERSTUDY_DEEP=1 gives the same tests larger budgets.

// budget returns the short or the deep size of a test.
func budget(short, long int) int {
	if deep {
		return long
	}
	return short
}

func profiles() []*fsim.Profile {
	if deep {
		return []*fsim.Profile{fsim.Linux, fsim.Ext4, fsim.Ext4Writeback, fsim.Ext4Journal, fsim.XFS, fsim.Btrfs, fsim.POSIX}
	}
	return []*fsim.Profile{fsim.Linux, fsim.POSIX}
}

// running runs a program on a disk and leaves the system running.
func running(fs afero.Fs, open opener, p program, m *model) (*stage, error) {
	store, err := open(fs)
	if err != nil {
		return nil, err
	}
	s, err := raise(store, p.policy)
	if err != nil {
		return nil, err
	}
	return s, s.play(p, m)
}

// comeBack opens what is on a disk and returns all actors as they come back.
func comeBack(fs afero.Fs, open opener, p program) (back view, steps map[persist.Key]int, err error) {
	store, err := open(fs)
	if err != nil {
		return nil, nil, err
	}
	s, err := raise(store, p.policy)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, s.sys.Close(context.Background())) }()
	if err := s.sys.RespawnAll(s.ctx, ""); err != nil {
		return nil, nil, err
	}
	back, steps = s.look(), map[persist.Key]int{}
	for _, key := range treeKeys {
		s.on(key, func(q *part, _ *actor.Context) { steps[key] = q.Step })
	}
	return back, steps, nil
}

// workload and recovery of a program, for an exploration.
func crashable(open opener, p program) (fsim.Workload, fsim.Recover) {
	var m *model
	work := func(d *fsim.Disk) error {
		m = newModel(p, d.Ack)
		s, err := running(d, open, p, m)
		if err != nil {
			return err
		}
		return s.sys.Close(context.Background())
	}
	return work, func(d *fsim.Disk, acked []any) error {
		back, steps, err := comeBack(d, open, p)
		if err != nil {
			return err
		}
		return m.check(acked, back, steps)
	}
}

// Promise 1, without crashes: any tree, any kinds, any policy. A restart is a
// kill of the process: what was not saved is gone, and nothing else.
func TestRespawnAfterSaveGivesBackAnEqualTree(t *testing.T) {
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) { rapid.Check(t, func(t *rapid.T) { equalTree(t, store.open) }) })
	}
}

func equalTree(t *rapid.T, open opener) {
	p := programs(budget(12, 40)).Draw(t, "program")
	disk := fsim.NewWith(fsim.Linux, &fsim.Options{History: fsim.HistoryOff})
	m := newModel(p, func(any) {})
	s, err := running(disk, open, p, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.sys.RespawnAll(s.ctx, ""); err != nil {
		t.Fatal(err)
	}
	for _, key := range treeKeys {
		if pid, ok := s.sys.Lookup(key); ok {
			if err := s.sys.Save(s.ctx, pid); err != nil {
				t.Fatal(err)
			}
		}
	}
	saved := s.look()
	if err := s.sys.Close(s.ctx); err != nil {
		t.Fatal(err)
	}
	back, _, err := comeBack(disk, open, p)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(saved, back) {
		t.Fatalf("saved:\n%v\ncame back:\n%v", saved, back)
	}
}

// Promises 2 and 4: a power cut at every instant, in every state within so many
// deviations of an extreme: no acknowledged save is lost, nothing is mixed or
// invented, no tree save is halved. What it does not cover: other schedules
// of the same program, which are left to chance here.
func TestRespawnAfterAPowerCutAtEveryInstant(t *testing.T) {
	for _, store := range stores {
		for _, profile := range profiles() {
			t.Run(store.name+"/"+profile.String(), func(t *testing.T) {
				explorePrograms(t, store.open, budget(5, 12), fsim.ExploreOptions{Profile: profile, Deviations: budget(1, 2)})
			})
		}
	}
}

// Promise 3: the power goes again while the recovery runs. What it does not
// cover: the log, whose own goroutine makes whole recoveries differ from run to
// run; its package cuts the power inside its recovery.
func TestRespawnAfterASecondPowerCutInsideTheRecovery(t *testing.T) {
	explorePrograms(t, openFiles, budget(3, 6), fsim.ExploreOptions{Deviations: 1, Depth: 1})
}

// explorePrograms explores programs of at most n steps until the budget is spent.
func explorePrograms(t *testing.T, open opener, n int, o fsim.ExploreOptions) {
	covered := 0
	o.Budget = budget(1500, 50_000)
	rapid.Check(t, func(rt *rapid.T) {
		if covered > budget(4000, 300_000) {
			return
		}
		covered += explore(rt, open, programs(n).Draw(rt, "program"), &o)
	})
	t.Logf("%d recoveries", covered)
}

func explore(t *rapid.T, open opener, p program, o *fsim.ExploreOptions) int {
	work, recover := crashable(open, p)
	report, err := fsim.Explore(work, recover, o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if report.Failure != nil {
		t.Fatalf("%v\n%v", report, report.Failure)
	}
	return report.Classes
}

// Promise 5: an I/O error at any call is reported, the process lives, and
// nothing that was acknowledged is lost.
func TestAnIOErrorAtAnyCallLosesNothing(t *testing.T) {
	for _, store := range stores {
		for _, fault := range []string{"EIO", "ENOSPC", "EIO sync", "EIO rename", "short write"} {
			t.Run(store.name+"/"+fault, func(t *testing.T) {
				f, err := fsim.ParseFault(fault)
				if err != nil {
					t.Fatal(err)
				}
				sweepPrograms(t, store.open, f)
			})
		}
	}
}

// sweepPrograms lets a fault strike each call of programs in turn.
func sweepPrograms(t *testing.T, open opener, f fsim.Fault) {
	struck := 0
	rapid.Check(t, func(rt *rapid.T) {
		if struck > budget(400, 20_000) {
			return
		}
		p := programs(budget(4, 12)).Draw(rt, "program")
		for range fsim.Sweep(f, faulty(rt, open, p)) {
			struck++
		}
	})
	t.Logf("%d faults struck", struck)
}

// faulty runs a program under a fault, then without, and checks it.
func faulty(rt *rapid.T, open opener, p program) func(f fsim.Fault) (*fsim.Disk, error) {
	return func(f fsim.Fault) (*fsim.Disk, error) {
		disk := fsim.NewWith(fsim.Linux, &fsim.Options{History: fsim.HistoryOff})
		var notes []any
		m := newModel(p, func(n any) { notes = append(notes, n) })
		m.faults, m.whole = true, false
		disk.SetFaults(f)
		s, err := running(disk, open, p, m)
		if s != nil {
			err = errors.Join(err, s.sys.Close(context.Background()))
		}
		disk.SetFaults()
		back, steps, backErr := comeBack(disk, open, p)
		if backErr != nil {
			rt.Fatalf("after %v nothing comes back: %v", f, backErr)
		}
		if broken := m.check(notes, back, steps); broken != nil {
			rt.Fatalf("under %v: %v (the run said %v)", f, broken, err)
		}
		return disk, err
	}
}

// Promise 6: damage is detected, named, and never overwritten. Each file is
// damaged in turn; what comes back is either right, or an older state that is
// announced, or an error that names the damage.
func TestDamageIsDetectedNamedAndNeverOverwritten(t *testing.T) {
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) { rapid.Check(t, func(t *rapid.T) { damageOne(t, store.open) }) })
	}
}

func damageOne(t *rapid.T, open opener) {
	p := programs(6).Draw(t, "program")
	disk := fsim.NewWith(fsim.Linux, &fsim.Options{History: fsim.HistoryOff})
	var notes []any
	m := newModel(p, func(n any) { notes = append(notes, n) })
	s, err := running(disk, open, p, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.sys.Close(s.ctx); err != nil {
		t.Fatal(err)
	}
	files := regularFiles(t, disk, "/db")
	file := rapid.SampledFrom(files).Draw(t, "file")
	before, _ := afero.ReadFile(disk, file)
	bit := rapid.IntRange(0, max(0, 8*len(before)-1)).Draw(t, "bit")
	damaged := slices.Clone(before)
	if len(damaged) > 0 {
		damaged[bit/8] ^= 1 << (bit % 8)
	}
	if err := afero.WriteFile(disk, file, damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	back, steps, err := comeBack(disk, open, p)
	switch {
	case errors.Is(err, persist.ErrCorrupt), errors.Is(err, persist.ErrTooNew):
		if now, _ := afero.ReadFile(disk, file); !slices.Equal(now, damaged) && !kept(t, disk, damaged) {
			t.Fatalf("the evidence in %s was touched", file)
		}
	case err != nil:
		t.Fatalf("%s: an error that does not say damage: %v", file, err)
	default:
		for key, text := range back {
			if m.states[key][steps[key]] != text {
				t.Fatalf("%s: %q came back as %q", file, key, text)
			}
		}
		if broken := m.check(notes, back, steps); broken != nil && !kept(t, disk, damaged) {
			t.Fatalf("%s: an older state, and the evidence is gone: %v", file, broken)
		}
	}
}

func regularFiles(t *rapid.T, fs afero.Fs, dir string) (files []string) {
	infos, err := afero.ReadDir(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, fi := range infos {
		path := dir + "/" + fi.Name()
		switch {
		case fi.IsDir():
			files = append(files, regularFiles(t, fs, path)...)
		case fi.Mode().IsRegular():
			files = append(files, path)
		}
	}
	return files
}

// kept says whether some file still holds exactly these bytes.
func kept(t *rapid.T, fs afero.Fs, b []byte) bool {
	return slices.ContainsFunc(regularFiles(t, fs, "/db"), func(path string) bool {
		have, err := afero.ReadFile(fs, path)
		return err == nil && slices.Equal(have, b)
	})
}

// Promise 8: the checker is sharp. Each of these disks lies to the store in one
// way that the store's promise depends on; the exploration has to notice.
func TestBrokenStoresAreCaught(t *testing.T) {
	p := program{policyN: "OnStop", steps: []step{{"spawn", "a", nil}, {"spawn", "a/b", nil}, {"tree", "a", nil}, {"save", "a", nil}}}
	for name, lie := range map[string]liar{
		"files are not synced":       {file: true},
		"directories are not synced": {dir: true},
		"writes in place of renames": {inPlace: true},
		"nothing is synced":          {file: true, dir: true},
	} {
		t.Run(name, func(t *testing.T) {
			open := func(fs afero.Fs) (persist.Store, error) { return openFiles(lie.on(fs)) }
			work, recover := crashable(open, p)
			report, err := fsim.Explore(work, recover, &fsim.ExploreOptions{Profile: fsim.POSIX, Deviations: 1})
			if err != nil {
				t.Fatal(err)
			}
			if report.Failure == nil {
				t.Errorf("not caught: %v", report)
			} else {
				t.Log(strings.SplitN(fmt.Sprint(report.Failure), "\n", 2)[0])
			}
		})
	}
}

// liar is a disk on which some calls do not do what they say.
type liar struct{ file, dir, inPlace bool }

func (l liar) on(fs afero.Fs) afero.Fs { return lyingFs{fs, l} }

type lyingFs struct {
	afero.Fs
	liar
}

func (l lyingFs) OpenFile(name string, flag int, perm os.FileMode) (afero.File, error) {
	f, err := l.Fs.OpenFile(name, flag, perm)
	return lyingFile{f, l.liar}, err
}

func (l lyingFs) Open(name string) (afero.File, error) {
	f, err := l.Fs.Open(name)
	return lyingFile{f, l.liar}, err
}

func (l lyingFs) Create(name string) (afero.File, error) {
	f, err := l.Fs.Create(name)
	return lyingFile{f, l.liar}, err
}

func (l lyingFs) Rename(from, to string) error {
	if fi, err := l.Fs.Stat(from); !l.inPlace || err != nil || fi.IsDir() {
		return l.Fs.Rename(from, to)
	}
	b, err := afero.ReadFile(l.Fs, from)
	if err == nil {
		err = afero.WriteFile(l.Fs, to, b, 0o644)
	}
	return errors.Join(err, l.Fs.Remove(from))
}

type lyingFile struct {
	afero.File
	liar
}

func (f lyingFile) Sync() error {
	if fi, err := f.File.Stat(); err == nil && (fi.IsDir() && f.dir || !fi.IsDir() && f.file) {
		return nil
	}
	return f.File.Sync()
}
