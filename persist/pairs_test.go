package persist_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// deed is something that is done to the tree p, p/a, p/a/g, p/b while
// something else is done to it.
type deed func(w *world, ctx context.Context)

// toldTo is a deed of the actor itself.
func toldTo(key persist.Key, f do) deed {
	return func(w *world, _ context.Context) { w.tell(pidOf(key), f) }
}

func pidOf(key persist.Key) *actor.PID {
	return actor.NewPID("local", "persist/"+string(key))
}

var deeds = map[string]deed{
	"save":        func(w *world, ctx context.Context) { _ = w.sys.Save(ctx, pidOf("p/a")) },
	"savetree":    func(w *world, ctx context.Context) { _ = w.sys.SaveTree(ctx, pidOf("p")) },
	"savetree a":  func(w *world, ctx context.Context) { _ = w.sys.SaveTree(ctx, pidOf("p/a")) },
	"stop":        func(w *world, ctx context.Context) { _ = w.sys.Stop(ctx, pidOf("p")) },
	"stop a":      func(w *world, ctx context.Context) { _ = w.sys.Stop(ctx, pidOf("p/a")) },
	"delete":      func(w *world, ctx context.Context) { _ = w.sys.Delete(ctx, "p") },
	"delete a":    func(w *world, ctx context.Context) { _ = w.sys.Delete(ctx, "p/a") },
	"respawn":     func(w *world, ctx context.Context) { _, _ = w.sys.Respawn(ctx, "p") },
	"respawn a":   func(w *world, ctx context.Context) { _, _ = w.sys.Respawn(ctx, "p/a") },
	"respawn all": func(w *world, ctx context.Context) { _ = w.sys.RespawnAll(ctx, "") },
	"close":       func(w *world, ctx context.Context) { _ = w.sys.Close(ctx) },
	"poison":      func(w *world, _ context.Context) { w.e.Poison(pidOf("p")) },
	"poison g":    func(w *world, _ context.Context) { w.e.Poison(pidOf("p/a/g")) },
	"a stops":     toldTo("p/a", func(_ *cell, c *actor.Context) { _ = persist.Stop(c) }),
	"a deletes":   toldTo("p/a", func(_ *cell, c *actor.Context) { _ = persist.Delete(c) }),
	"a panics":    toldTo("p/a", func(a *cell, _ *actor.Context) { a.N = -1; panic("boom") }),
	"a exits":     toldTo("p/a", func(a *cell, _ *actor.Context) { a.N = -1; runtime.Goexit() }),
	"p brings a": func(w *world, _ context.Context) {
		w.tell(pidOf("p"), func(_ *cell, c *actor.Context) { _, _ = w.cells.TryRespawnChild(c, "a", nil) })
	},
	"p stops a": func(w *world, _ context.Context) {
		w.tell(pidOf("p"), func(_ *cell, c *actor.Context) { _ = persist.StopChild(c, pidOf("p/a")) })
	},
	"plain": func(w *world, _ context.Context) {
		plain := w.e.SpawnFunc(func(c *actor.Context) {
			if _, ok := c.Message().(actor.Started); ok {
				_, _ = w.cells.TryRespawnUnder(c, w.sys, "p/u", nil)
			}
		}, "plain")
		w.mu.Lock()
		defer w.mu.Unlock()
		w.after = append(w.after, func() { <-w.e.Poison(plain).Done() })
	},
}

// hopeless names what bare Hollywood hangs on by itself: two pills for one
// actor, or a pill for one whose goroutine has vanished.
func hopeless(names string) bool {
	pills := strings.Count(names, "poison")
	return pills > 0 && strings.Contains(names, "exits") || pills > 1 && strings.Contains(names, "poison g")
}

// scene is two or three deeds, together with what the store does meanwhile.
type scene struct {
	deeds []string
	gate  string
}

func scenes() (all []scene) {
	names := slices.Sorted(maps.Keys(deeds))
	for _, first := range names {
		for _, second := range names {
			for _, third := range []string{"", "stop", "respawn"} {
				for _, gate := range []string{"open", "held from the first", "held for all"} {
					s := scene{[]string{first, second}, gate}
					if third != "" {
						s.deeds = append(s.deeds, third)
					}
					if !hopeless(fmt.Sprint(s.deeds)) {
						all = append(all, s)
					}
				}
			}
		}
	}
	return all
}

func TestNoTwoOperationsHangEachOther(t *testing.T) {
	all := scenes()
	if !deep { // a sample, the same each time
		rng := rand.New(rand.NewPCG(7, 7))
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		all = all[:1000]
	} else { // some of them race
		all = slices.Repeat(all, 10)
	}
	var now scene
	defer func() {
		if hang := recover(); hang != nil || t.Failed() { // a bubble in which all are stuck panics
			t.Fatalf("in the scene %q, gate %s: %v", now.deeds, now.gate, hang)
		}
	}()
	for _, now = range all {
		inWorld(t, now.play, saving(persist.Always()))
		if t.Failed() {
			return
		}
	}
}

// play runs a scene in the bubble.
func (s scene) play(w *world) {
	w.tree("p", "a", "b")
	w.run(w.live("p/a"), func(_ *cell, c *actor.Context) { _, _ = w.cells.SpawnChild(c, "g", nil) })
	for i, key := range []persist.Key{"p", "p/a", "p/a/g"} {
		w.e.Send(w.live(key), 10+i)
	}
	synctest.Wait()
	if s.gate != "open" {
		w.store.setGate(make(chan struct{}))
	}
	done := make(chan struct{}, len(s.deeds))
	for i, name := range s.deeds {
		go func() { deeds[name](w, timeout(w, 3600)); done <- struct{}{} }()
		if i > 0 || s.gate == "held from the first" {
			synctest.Wait() // else the first two race
		}
	}
	if s.gate != "open" {
		w.store.setGate(nil)
	}
	from := time.Now()
	for range s.deeds {
		<-done
	}
	synctest.Wait()
	if d := time.Since(from); d > 29*time.Second { // SaveTimeout is 30 s
		w.Errorf("somebody waited %v", d)
	}
	if err := w.sys.Close(timeout(w, 7200)); errors.Is(err, context.DeadlineExceeded) {
		w.Errorf("Close hangs: %v", err)
	}
	if seen := eventsOf[actor.ActorRestartedEvent](w); len(seen) > 0 {
		w.Errorf("a panic reached the engine: %v", seen)
	}
	for _, event := range eventsOf[persist.ActorRestarted](w) {
		var pe *persist.PanicError
		if errors.As(event.Reason, &pe) && pe.Value != "boom" {
			w.Errorf("somebody else panicked: %v", event.Reason)
		}
	}
}
