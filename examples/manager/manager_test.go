package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/filestore"
)

// TestMain makes the test binary the child process too.
func TestMain(m *testing.M) {
	store, dir := os.Getenv("MANAGER_STORE"), os.Getenv("MANAGER_DIR")
	switch store {
	case "honest":
		os.Exit(status(os.Stderr, child(dir)))
	case "forgetful":
		os.Exit(status(os.Stderr, forgetfulChild(dir)))
	}
	os.Exit(m.Run())
}

func childWith(store string) func(dir string) (*exec.Cmd, error) {
	return func(dir string) (*exec.Cmd, error) {
		self, err := os.Executable()
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "MANAGER_STORE="+store, "MANAGER_DIR="+dir)
		return cmd, err
	}
}

func TestNoPromiseBreaksUnderSIGKILL(t *testing.T) {
	var out bytes.Buffer
	o := options{rounds: 2, seed: 1, dir: t.TempDir(), command: childWith("honest")}
	if os.Getenv("UNDERSTUDY_DEEP") == "1" {
		o.rounds = 50
	}
	if err := run(&out, o); err != nil {
		t.Fatalf("run: %v\n%s", err, &out)
	}
	if !strings.Contains(out.String(), fmt.Sprintf("Verdict: %d kills,", 2*o.rounds)) {
		t.Errorf("the verdict is missing:\n%s", &out)
	}
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 && !strings.HasPrefix(line, "seed") {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	t.Run("a second run finds the crew of the first", func(t *testing.T) {
		o.rounds, o.seed = 1, 2
		var again bytes.Buffer
		if err := run(&again, o); err != nil {
			t.Fatalf("run: %v\n%s", err, &again)
		}
		if !strings.Contains(again.String(), "dot") { // one hire a round
			t.Errorf("the hires of both runs are not there:\n%s", &again)
		}
	})
}

func TestAStoreThatForgetsIsFoundOut(t *testing.T) {
	var out bytes.Buffer
	err := run(&out, options{rounds: 1, seed: 1, dir: t.TempDir(), command: childWith("forgetful")})
	if !errors.Is(err, errBroken) || status(&out, err) != 1 {
		t.Errorf("run: %v, want %v", err, errBroken)
	}
	for _, want := range []string{"Verdict: FAILED, a promise was broken", "The disk is left in"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing:\n%s", want, &out)
		}
	}
}

func forgetfulChild(dir string) error {
	store, err := filestore.Open(afero.NewOsFs(), dir, nil)
	if err != nil {
		return err
	}
	return serve(&forgetful{TreeStore: store}, os.Stdin, os.Stdout)
}

// forgetful acknowledges commits at once and keeps the last eight in memory
// alone. Whoever asks it sees nothing wrong.
type forgetful struct {
	persist.TreeStore
	mu   sync.Mutex
	kept [][]persist.Change
}

func (f *forgetful) Commit(ctx context.Context, changes ...persist.Change) ([]persist.Version, error) {
	versions := make([]persist.Version, len(changes))
	for i := range changes {
		record := *changes[i].Put
		changes[i].Put, changes[i].If = &record, persist.Any
		versions[i] = "forgotten"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = append(f.kept, changes)
	return versions, f.flush(8)
}

func (f *forgetful) flush(keep int) error {
	for ; len(f.kept) > keep; f.kept = f.kept[1:] {
		if _, err := f.TreeStore.Commit(context.Background(), f.kept[0]...); err != nil {
			return err
		}
	}
	return nil
}

func (f *forgetful) List(ctx context.Context, prefix persist.Key) iter.Seq2[persist.Entry, error] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.flush(0); err != nil {
		return func(yield func(persist.Entry, error) bool) { yield(persist.Entry{}, err) }
	}
	return f.TreeStore.List(ctx, prefix)
}

func TestJudgeSeesEveryWayToBreakAPromise(t *testing.T) {
	good := func() (*client, map[persist.Key]State) {
		c := newClient(1)
		c.asked, c.hired["bob"] = append(c.asked, "bob", "cyd"), true
		c.acked["ann"], c.sent["ann"] = 10, 20
		return c, map[persist.Key]State{
			"crew":           {"passed": 16, "to ann": 16},
			"crew/ann":       {"jobs": 15, "minutes": sumOfMinutes("ann", 15)},
			"crew/ann/diary": {"lines": 7, "last": 8},
			"crew/bob":       {"jobs": 0, "minutes": 0},
			"crew/bob/diary": {"lines": 0, "last": 0},
		}
	}
	earlier := []Node{{Key: "crew/ann/diary", State: State{"lines": 2, "last": 2}}}
	for _, tc := range []struct {
		name, want string
		key        persist.Key
		damage     func(s map[persist.Key]State)
	}{
		{"nothing", "", "", func(s map[persist.Key]State) {}},
		{"an unacknowledged hire came back", "", "", func(s map[persist.Key]State) {
			s["crew/cyd"], s["crew/cyd/diary"] = State{}, State{}
		}},
		{"no manager", "lost", "crew", func(s map[persist.Key]State) { delete(s, "crew") }},
		{"no worker", "lost", "crew/bob", func(s map[persist.Key]State) { delete(s, "crew/bob") }},
		{"a worker that is not live", "lost", "crew/bob", func(s map[persist.Key]State) { s["crew/bob"] = nil }},
		{"no diary", "lost", "crew/ann/diary", func(s map[persist.Key]State) { delete(s, "crew/ann/diary") }},
		{"manager older", "older than acknowledged", "crew", func(s map[persist.Key]State) { s["crew"]["passed"] = 9 }},
		{"manager ahead of the client", "invented", "crew", func(s map[persist.Key]State) { s["crew"]["passed"] = 21 }},
		{"manager's total of another state", "mixed", "crew", func(s map[persist.Key]State) { s["crew"]["passed"] = 17 }},
		{"worker older", "older than acknowledged", "crew/ann", func(s map[persist.Key]State) { s["crew/ann"]["jobs"] = 9 }},
		{"worker ahead of the client", "invented", "crew/ann", func(s map[persist.Key]State) { s["crew/ann"]["jobs"] = 21 }},
		{"count and sum of two states", "mixed", "crew/ann", func(s map[persist.Key]State) { s["crew/ann"]["jobs"] = 14 }},
		{"manager older than its worker", "ahead of its manager", "crew/ann", func(s map[persist.Key]State) { s["crew"]["to ann"] = 14 }},
		{"manager's book ahead of the client", "manager's book invented", "crew/ann", func(s map[persist.Key]State) { s["crew"]["to ann"] = 21 }},
		{"diary older", "older than once seen", "crew/ann/diary", func(s map[persist.Key]State) { s["crew/ann/diary"]["last"] = 1 }},
		{"diary ahead", "ahead of its worker", "crew/ann/diary", func(s map[persist.Key]State) { s["crew/ann/diary"]["last"] = 16 }},
		{"more lines than jobs", "mixed", "crew/ann/diary", func(s map[persist.Key]State) { s["crew/ann/diary"]["lines"] = 9 }},
		{"an actor nobody asked for", "invented", "crew/zoe", func(s map[persist.Key]State) { s["crew/zoe"] = State{} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, states := good()
			tc.damage(states)
			var tree []Node
			for key, s := range states {
				tree = append(tree, Node{key, s})
			}
			found := ""
			for _, r := range c.judgeKill(earlier, tree) {
				if r.wrong != "" && (tc.key == "" || r.key == tc.key) {
					found = r.wrong
				}
			}
			if found != tc.want {
				t.Errorf("found %q, want %q", found, tc.want)
			}
		})
	}
}
