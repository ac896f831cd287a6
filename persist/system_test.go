package persist_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

func TestNewRefusesAnEngineOfAnotherLayout(t *testing.T) {
	restore := persist.PretendOtherEngine(fmt.Errorf("%w: no field", persist.ErrEngineVersion))
	defer restore()
	e, _ := actor.NewEngine(actor.NewEngineConfig())
	_, err := persist.New(e, memoryAt(""), nil)
	if !errors.Is(err, persist.ErrEngineVersion) {
		t.Errorf("got %v", err)
	}
}

func TestNewRefusesWhatIsMissing(t *testing.T) {
	e, _ := actor.NewEngine(actor.NewEngineConfig())
	if _, err := persist.New(nil, memoryAt(""), nil); err == nil {
		t.Error("no engine, and no error")
	}
	if _, err := persist.New(e, nil, nil); err == nil {
		t.Error("no store, and no error")
	}
	if _, err := persist.New(e, memoryAt(""), &persist.Options{Kinds: persist.Kinds{nil}}); !errors.Is(err, persist.ErrBadKind) {
		t.Errorf("a nil kind: %v", err)
	}
	if _, err := persist.New(e, memoryAt(""), &persist.Options{Codecs: []persist.Codec{impostor{persist.JSON}}}); !errors.Is(err, persist.ErrBadKind) {
		t.Errorf("two codecs of one name: %v", err)
	}
}

// impostor is a codec under another's name.
type impostor struct{ persist.Codec }

func (impostor) Name() string { return "cbor" }

func TestLoadingIsParallelWithABound(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("m", 0)
		w.run(pid, func(_ *cell, c *actor.Context) {
			for i := range 200 {
				if _, err := w.cells.SpawnChild(c, fmt.Sprint(i), nil); err != nil {
					w.Fatal(err)
				}
			}
		})
		w.reboot()
		var now, most atomic.Int32
		w.store.fail(func(op string, _ []persist.Key) error {
			if op == "load" {
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Millisecond) // in the bubble: all that can run do
				now.Add(-1)
			}
			return nil
		})
		if _, err := w.sys.Respawn(w.ctx, "m"); err != nil {
			w.Fatal(err)
		}
		if most.Load() != 5 {
			w.Errorf("%d loads at a time", most.Load())
		}
	}, singleCommits, func(_ *world, _ *persist.KindOptions, o *persist.Options) { o.LoadParallel = 5 })
}

func TestEveryGoroutineAndWakeIsTheSchedulers(t *testing.T) {
	var mu sync.Mutex
	var started, woken []string
	callers := map[string]bool{}
	inWorld(t, func(w *world) {
		pid := w.tree("m", "a")
		w.e.Send(pid, 1)
		if err := w.sys.Save(w.ctx, pid); err != nil {
			w.Error(err)
		}
		w.run(pid, func(_ *cell, c *actor.Context) { _ = persist.Stop(c) })
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(started)
		if got := strings.Join(slices.Compact(started), ", "); got != "save m, stop m" {
			w.Errorf("goroutines: %s", got)
		}
		if !slices.Contains(woken, "wake m") {
			w.Errorf("points: %v", woken)
		}
		for _, who := range []string{"spawn m", "spawn m/a", "save m"} {
			if !callers[who] {
				w.Errorf("the store was not told of the caller %q: %v", who, callers)
			}
		}
	}, func(w *world, _ *persist.KindOptions, o *persist.Options) {
		w.store.caller = func(who string) {
			mu.Lock()
			defer mu.Unlock()
			callers[who] = true
		}
		o.Go = func(name string, f func()) {
			mu.Lock()
			defer mu.Unlock()
			started = append(started, name)
			go f()
		}
		o.Yield = func(point string) {
			mu.Lock()
			defer mu.Unlock()
			woken = append(woken, point)
		}
	})
}

func TestEventsAreLoggable(t *testing.T) {
	damage := &persist.CorruptError{Key: "k", Place: "here", Reason: "bits"}
	err := errors.New("why")
	for _, e := range []struct {
		event actor.EventLogger
		level slog.Level
	}{
		{persist.SnapshotSaved{Key: "k"}, slog.LevelDebug},
		{persist.SnapshotFailed{Key: "k", Err: err}, slog.LevelError},
		{persist.Respawned{Key: "k"}, slog.LevelDebug},
		{persist.Respawned{Key: "k", Fallback: damage}, slog.LevelError},
		{persist.RespawnFailed{Key: "k", Err: err}, slog.LevelError},
		{persist.ActorRestarted{Key: "k", Reason: err}, slog.LevelWarn},
		{persist.ActorFailed{Key: "k", Reason: err}, slog.LevelError},
		{persist.StoreFailed{Base: "file:///k", Err: err}, slog.LevelError},
	} {
		level, text, attrs := e.event.Log()
		if level != e.level || text == "" || len(attrs)%2 != 0 || len(attrs) < 2 {
			t.Errorf("%T: %v %q %v", e.event, level, text, attrs)
		}
	}
}

func TestErrorsNameTheKeyThePlaceAndTheReason(t *testing.T) {
	for _, c := range []struct {
		err  error
		want []string
		is   error
	}{
		{&persist.CorruptError{Key: "a/b", Place: "f.snap", Reason: "its checksum does not match"}, []string{"a/b", "f.snap", "checksum"}, persist.ErrCorrupt},
		{&persist.ConflictError{Key: "a/b", Want: "1", Have: persist.Absent}, []string{"a/b", "1", "nothing"}, persist.ErrConflict},
		{&persist.RespawnError{Key: "a/b", Err: persist.ErrTooNew}, []string{"a/b", "newer"}, persist.ErrTooNew},
		{&persist.PanicError{Key: "a/b", In: "Receive", Value: "boom"}, []string{"a/b", "Receive", "boom"}, nil},
		{&persist.PanicError{Key: "a/b", In: "Receive"}, []string{"a/b", "Receive", "Goexit"}, nil},
	} {
		for _, s := range c.want {
			if !strings.Contains(c.err.Error(), s) {
				t.Errorf("%q lacks %q", c.err, s)
			}
		}
		if c.is != nil && !errors.Is(c.err, c.is) {
			t.Errorf("%q is not %v", c.err, c.is)
		}
	}
}

func TestTheFallbackOfAStoreIsAnnounced(t *testing.T) {
	inWorld(t, func(w *world) {
		w.spawn("k", 1)
		w.reboot()
		damage := &persist.CorruptError{Key: "k", Place: "generation 7", Reason: "bits"}
		w.store.fallback = damage
		if _, err := w.sys.Respawn(w.ctx, "k"); err != nil {
			w.Fatal(err)
		}
		if got := eventsOf[persist.Respawned](w); len(got) != 1 || got[0].Fallback != damage {
			w.Errorf("Respawned: %+v", got)
		}
	})
}
