package logstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/fsim"
	"github.com/understudy-go/understudy/persist"
)

// openQuiet opens a log whose keeper does nothing by itself, so that a run makes
// the same calls in the same order each time; tend makes it work.
func openQuiet(fsys afero.Fs) (*Store, error) {
	o := &Options{SegmentSize: minSegmentSize, Go: func(string, func()) {}}
	s, err := Open(fsys, "/log", o)
	if err == nil {
		close(s.keeper.done)
	}
	return s, err
}

func tend(s *Store) {
	for s.work() {
	}
}

// change is one commit: what each key holds afterwards, "" for nothing.
type change map[persist.Key]string

// story is births, changes, batches and deletes that fill several segments, so
// that the log rolls over, compacts, drops and recycles.
func story(n int) []change {
	var all []change
	for i := range n {
		big := func(k string) string { return fmt.Sprintf("%s%d %s", k, i, strings.Repeat("v", 700)) }
		switch i % 5 {
		case 0:
			all = append(all, change{"a": big("a")})
		case 1:
			all = append(all, change{"a/b": big("b"), "c": fmt.Sprint(i)})
		case 2:
			all = append(all, change{"c": big("c")})
		case 3:
			all = append(all, change{"a/b": "", "a": big("a")})
		default:
			all = append(all, change{"c": "", persist.Key(fmt.Sprintf("kept/%d", i)): "kept"})
		}
	}
	return all
}

func (c change) commit(s *Store) error {
	var changes []persist.Change
	for _, key := range slices.Sorted(maps.Keys(c)) {
		ch := persist.Change{Key: key, If: persist.Any}
		if c[key] != "" {
			ch.Put = record(key, 1, []byte(c[key]))
		}
		changes = append(changes, ch)
	}
	_, err := s.Commit(context.Background(), changes...)
	return err
}

// after is what a log holds after the first n changes.
func after(story []change, n int) map[persist.Key]string {
	now := map[persist.Key]string{}
	for _, c := range story[:n] {
		for k, v := range c {
			if now[k] = v; v == "" {
				delete(now, k)
			}
		}
	}
	return now
}

// tell plays the story in lives of so many changes each.
func tell(story []change, life int, ack func(int)) func(fsys afero.Fs) error {
	return func(fsys afero.Fs) error {
		s, err := openQuiet(fsys)
		if err != nil {
			return err
		}
		for i, c := range story {
			if i > 0 && i%life == 0 {
				if err := s.Close(); err != nil {
					return err
				}
				if s, err = openQuiet(fsys); err != nil {
					return err
				}
			}
			if err := c.commit(s); err != nil {
				return errors.Join(err, s.Close())
			}
			ack(i + 1)
			tend(s)
		}
		return s.Close()
	}
}

// lookAt opens what is left twice and checks that it holds the state after done
// or done+1 changes, both times the same, and that it can go on.
func lookAt(fsys afero.Fs, story []change, done int) error {
	var before map[persist.Key]string
	for range 2 {
		s, err := openQuiet(fsys)
		if err != nil {
			return err
		}
		got := map[persist.Key]string{}
		for l, err := range s.LoadTree(context.Background(), "") {
			if err != nil {
				return err
			}
			if l.Key != "later" {
				got[l.Key] = string(l.Payload)
			}
		}
		if !maps.Equal(got, after(story, done)) && (done == len(story) || !maps.Equal(got, after(story, done+1))) {
			return fmt.Errorf("%d changes were acknowledged, and %.60q came back", done, fmt.Sprint(got))
		}
		if before != nil && !maps.Equal(before, got) {
			return errors.New("the second open shows something else than the first")
		}
		before = got
		if err := s.Close(); err != nil {
			return err
		}
	}
	s, err := openQuiet(fsys)
	if err != nil {
		return err
	}
	if err := (change{"later": "1"}).commit(s); err != nil {
		return err
	}
	tend(s)
	return s.Close()
}

func exploreStory(t *testing.T, story []change, life int, o *fsim.ExploreOptions) {
	t.Helper()
	report, err := fsim.Explore(func(d *fsim.Disk) error {
		d.Ack(0)
		return tell(story, life, func(done int) { d.Ack(done) })(d)
	}, func(d *fsim.Disk, acked []any) error {
		done := 0
		if len(acked) > 0 {
			done = acked[len(acked)-1].(int)
		}
		return lookAt(d, story, done)
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(report)
	if report.Failure != nil {
		t.Errorf("%v\n%v", report.Failure, report.Failure.Err)
	}
}

func TestNoPowerCutLosesOrInventsAnything(t *testing.T) {
	for _, p := range fsim.Profiles() {
		t.Run(p.String(), func(t *testing.T) {
			o := &fsim.ExploreOptions{Profile: p, Budget: deep(700, 100_000)}
			exploreStory(t, story(deep(14, 30)), 9, o)  // with reopening
			exploreStory(t, story(deep(24, 40)), 99, o) // with recycling
		})
	}
}

func TestNoPowerCutDuringRecoveryDoesEither(t *testing.T) {
	exploreStory(t, story(deep(6, 14)), 4, &fsim.ExploreOptions{
		Depth: 1, Budget: deep(300, 200_000), Deviations: deep(0, 1),
	})
}

// What the stories are about must happen in them.
func TestTheStoriesRollOverCompactAndRecycle(t *testing.T) {
	d := fsim.New(nil)
	s, err := openQuiet(d)
	if err != nil {
		t.Fatal(err)
	}
	recycled := false
	for _, c := range story(30) {
		if err := c.commit(s); err != nil {
			t.Fatal(err)
		}
		recycled = recycled || slices.ContainsFunc(s.retired, s.recyclable)
		for s.work() {
			recycled = recycled || slices.ContainsFunc(s.retired, s.recyclable)
		}
	}
	if s.stats.dropped < 2 || s.stats.moved == 0 || !recycled {
		t.Errorf("%d segments dropped, %d bytes moved, recycled: %v", s.stats.dropped, s.stats.moved, recycled)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
