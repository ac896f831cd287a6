package fsim

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// Check is [Explore] for tests. It fails t with the shortest story that it can find of a broken promise: what
// was done, where the power went, what of it the disk then held, what recovery made of that, which missing
// sync would have prevented it, a token, and a test to paste. Nil options are the zero value.
func Check(t testing.TB, workload Workload, recover Recover, o *ExploreOptions) *Report {
	t.Helper()
	r, err := Explore(workload, recover, o)
	if err != nil {
		t.Fatalf("explore crash states: %v", err)
		return nil
	}
	if r.Failure != nil {
		t.Fatalf("%s", r.Failure.Story())
	}
	t.Log(r.String())
	return r
}

// Replay runs the workload and then the recovery on the one state that a token of [Failure] names, nested cuts
// included, and returns what the recovery returned. A token that does not fit the workload any more is
// [ErrStaleToken]; one that never was one is [ErrBadToken].
func Replay(workload Workload, recover Recover, text string, o *ExploreOptions) error {
	t, err := parseToken(text)
	if err != nil {
		return err
	}
	var with ExploreOptions
	if o != nil {
		with = *o
	}
	if with.Profile == nil {
		with.Profile = t.profile
	}
	for _, p := range t.picks {
		with.Depth = max(with.Depth, p.key.level)
	}
	d, err := record(workload, &with)
	if err != nil {
		return err
	}
	e := newExplorer(d, recover, &with)
	at, err := e.h.trackerAt(t.instant)
	if errors.Is(err, ErrNoInstant) {
		return fmt.Errorf("use token: %w: instant %d of a history of %d", ErrStaleToken, t.instant, e.h.Len())
	}
	if err != nil {
		return fmt.Errorf("use token: %w", err)
	}
	if err := t.check(e.h.p, at); err != nil {
		return fmt.Errorf("use token: %w", err)
	}
	if t.index != nil {
		return e.replayIndex(at, t)
	}
	return e.replay(at, t.picks)
}

func (e *explorer) replayIndex(at *tracker, t *token) error {
	c := newCrash(at)
	s, err := c.State(t.index)
	if err != nil {
		return fmt.Errorf("use token: %w: %w", ErrStaleToken, err)
	}
	return e.guarded(newDisk(e.h.p, s.base(), nil, quiet), c.w.t.acks)
}

// replay runs the recovery on the state that differs from the kept one in picks.
func (e *explorer) replay(at *tracker, picks []pick) error {
	f := newFollower(picks)
	err := e.recoverOn(newWorld(at), f, at.acks, 0)
	if odd := f.done(); odd != nil {
		return fmt.Errorf("use token: %w", odd)
	}
	return err
}

// Story tells the failure, shrunk to the fewest operations and the fewest cells that differ from what was
// written. It runs the recovery many times.
func (f *Failure) Story() string {
	e := f.explorer
	e.shrinkPicks(f)
	short := e.shrinkCalls(f)
	n := newNarrator(short.history.ops(), f.disk)
	var b strings.Builder
	fmt.Fprintf(&b, "a promise is broken on %v: %v\n\nwhat was done:\n%s", e.h.p, short.Err, n.calls(short.Instant))
	b.WriteString("\nwhat the disk held, against what was written:\n")
	at, err := short.history.trackerAt(short.Instant)
	if err == nil {
		w := newWorld(at)
		for _, p := range short.picks {
			fmt.Fprintf(&b, "  %s\n", n.pick(w, p))
		}
	}
	if len(short.picks) == 0 {
		b.WriteString("  everything\n")
	}
	if len(short.Acked) > 0 {
		fmt.Fprintf(&b, "\nwhat had been acknowledged: %v\n", short.Acked)
	}
	fmt.Fprintf(&b, "\nwhat recovery said: %v\n", short.Err)
	fmt.Fprintf(&b, "\nwhat would have prevented it: %s\n", e.missingSync(short, n))
	fmt.Fprintf(&b, "\ntoken: %s\n", f.Token)
	fmt.Fprintf(&b, "\nas a test:\n%s", goTest(short, e.h.p, funcName(e.recover)))
	return b.String()
}

func funcName(f any) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		name = name[i+1:]
	}
	if i := strings.IndexByte(name, '.'); i >= 0 && !strings.Contains(name[i+1:], ".") {
		return name[i+1:]
	}
	return "recovery"
}
