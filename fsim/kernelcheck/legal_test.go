package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/understudy-go/understudy/fsim"
)

func file(path string, ino, links uint64, content string) entry {
	e := entry{Path: path, Ino: ino, Links: links, Mode: 0o644}
	if content != "" {
		e.Data, _ = runs(content)
	}
	return e
}

func dir(path string, ino uint64) entry {
	return entry{Path: path, Ino: ino, Links: 2, Dir: true, Mode: 0o755}
}

func TestJudgeKnowsLegalStatesFromOthers(t *testing.T) {
	overwrite := workload{setup: mustParse("create a", "write a 0 o*4096"), calls: mustParse("write a 0 n*4096", "fsync a", "unlink a")}
	linked := workload{setup: mustParse("create a"), calls: mustParse("link a b", "fsync a")}
	moved := workload{setup: mustParse("mkdir A"), calls: mustParse("rename A B", "create B/g")}
	synced := workload{setup: mustParse("create a"), calls: mustParse("write a 0 D*9000", "osync a 0 E*4096")}
	for _, c := range []struct {
		w     *workload
		p     *fsim.Profile
		acked int
		s     state
		want  verdict
	}{
		{&overwrite, fsim.Ext4, 0, state{file("a", 12, 1, "o*4096")}, legal},
		{&overwrite, fsim.Ext4, 0, state{file("a", 12, 1, "n*512+o*3584")}, legal},
		{&overwrite, fsim.Btrfs, 0, state{file("a", 12, 1, "n*512+o*3584")}, escaped},
		{&overwrite, fsim.Ext4, 0, state{file("a", 12, 1, "n*100+o*3996")}, escaped},
		{&overwrite, fsim.Ext4, 0, state{}, escaped},
		{&overwrite, fsim.Ext4, 1, state{file("a", 12, 1, "o*4096")}, legal}, // the fsync has not returned
		{&overwrite, fsim.Ext4, 2, state{file("a", 12, 1, "o*4096")}, escaped},
		{&overwrite, fsim.Ext4, 2, state{file("a", 12, 1, "n*4096")}, legal},
		{&overwrite, fsim.Ext4, 2, state{}, legal}, // the unlink is under way
		{&overwrite, fsim.Ext4, 3, state{file("a", 12, 1, "n*4096")}, legal},
		{&overwrite, fsim.Ext4, 0, state{file("a", 12, 1, "o*4096"), file("z", 13, 1, "")}, escaped},
		{&overwrite, fsim.Ext4, 0, state{{Path: "a", Ino: 12, Links: 1, Mode: 0o600}}, escaped},
		{&linked, fsim.Ext4, 0, state{file("a", 12, 2, ""), file("b", 12, 2, "")}, legal},
		{&linked, fsim.Ext4, 0, state{file("a", 12, 1, ""), file("b", 13, 1, "")}, escaped},
		{&linked, fsim.Ext4, 0, state{file("a", 12, 2, "")}, escaped}, // a link count too high
		{&linked, fsim.Ext4, 2, state{file("a", 12, 1, "")}, escaped},
		{&moved, fsim.Btrfs, 2, state{dir("A", 12), file("A/g", 13, 1, "")}, legal},
		{&moved, fsim.Ext4, 2, state{dir("A", 12), file("A/g", 13, 1, "")}, escaped},
		{&moved, fsim.Btrfs, 2, state{dir("A", 12), dir("B", 12)}, escaped},
		{&synced, fsim.Ext4, 2, state{file("a", 12, 1, "E*4096+D*4096")}, legal}, // as seen on a kernel: O_SYNC is of its own bytes
		{&synced, fsim.XFS, 2, state{file("a", 12, 1, "E*4096+D*4096")}, legal},
		{&synced, fsim.XFS, 2, state{file("a", 12, 1, "D*4096")}, escaped},
	} {
		got, err := c.w.judge(c.p, c.acked, c.s)
		if err != nil || got != c.want {
			t.Errorf("%v after %d of\n%sgives %s: verdict %d, want %d (%v)", c.p, c.acked, c.w.text(len(c.w.calls)), c.s, got, c.want, err)
		}
	}
}

func TestPathsFollowRenamedDirectoriesBothWays(t *testing.T) {
	w := workload{setup: mustParse("mkdir d", "create d/x"), calls: mustParse("rename d e", "create e/y")}
	if got, want := fmt.Sprint(w.paths()), "[d d/x d/y e e/x e/y]"; got != want {
		t.Errorf("paths are %s, want %s", got, want)
	}
	ring := workload{setup: mustParse("mkdir a", "mkdir a/b"), calls: mustParse("rename a/b b", "rename a b/a")}
	if got := len(ring.paths()); got > 40 {
		t.Errorf("%d paths", got)
	}
}

func TestCallsPrintAndParseBack(t *testing.T) {
	for _, o := range alphabet {
		back, err := parseOp(o.String())
		if err != nil || back != o {
			t.Errorf("%q came back as %q (%v)", o, back, err)
		}
	}
	for _, bad := range []string{"", "fly a", "create", "create a b", "write a x n*1", "write a 0 nn", "truncate a -x", "chmod a 9", "write a 0 n*99999999999"} {
		if o, err := parseOp(bad); err == nil {
			t.Errorf("%q parsed as %v", bad, o)
		}
	}
}

func TestGeneratorGivesTheSameWorkloadsAndOnlyValidOnes(t *testing.T) {
	a, err := newGenerator(5, "../testdata/litmus")
	if err != nil {
		t.Fatal(err)
	}
	b, err := newGenerator(5, "../testdata/litmus")
	if err != nil {
		t.Fatal(err)
	}
	if a.litmus < 40 || a.singles < 20 || len(a.pairs) < 400 {
		t.Fatalf("%d litmus, %d singles, %d pairs", a.litmus, a.singles, len(a.pairs))
	}
	for i := range len(a.first) + 100 {
		x, y := a.at(i), b.at(i)
		if x.text(len(x.calls)) != y.text(len(y.calls)) || x.name != y.name {
			t.Fatalf("workload %d differs", i)
		}
		if !x.isValid() {
			t.Errorf("workload %d has a call that fails:\n%s", i, x.text(len(x.calls)))
		}
	}
}

func TestTableShowsEveryResultAndEscape(t *testing.T) {
	all := results{
		{Config: "xfs", Profile: "xfs", Kernel: "6.1", tally: tally{Images: 10, States: 4, Legal: 4, Allowed: 8}, Seconds: 2},
		{Config: "ext4", Profile: "ext4", Kernel: "6.1", tally: tally{Escapes: []escape{{Workload: "create a\n", State: "a=empty"}}}, Seconds: 1},
	}
	got := all.table()
	if !strings.Contains(got, "| 50.0% |") || !strings.Contains(got, "legal ext4: a=empty") {
		t.Error(got)
	}
	if strings.Index(got, "| ext4 |") > strings.Index(got, "| xfs |") {
		t.Error("rows are not in the order of the configurations")
	}
}
