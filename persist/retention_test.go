package persist_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/storetest"
)

func TestAStoppedActorAndAnObjectGivenUpAreCollected(t *testing.T) {
	e, err := actor.NewEngine(actor.NewEngineConfig())
	if err != nil {
		t.Fatal(err)
	}
	collected := make(chan persist.Key, 100)
	w := &world{T: t, e: e, ctx: t.Context()} // in real time: the collector is asked
	w.cells = persist.Define("cell", func() *cell {
		c := &cell{w: w}
		runtime.SetFinalizer(c, func(c *cell) { collected <- c.key })
		return c
	}, &persist.KindOptions{Save: persist.Every(time.Hour)})
	w.sys, err = persist.New(e, storetest.NewMemory("memory://test"), &persist.Options{Kinds: persist.Kinds{w.cells}})
	if err != nil {
		t.Fatal(err)
	}
	p := w.tree("p", "a", "b")
	a, b := w.live("p/a"), w.live("p/b")
	e.Send(a, 1) // its timer runs
	if err := w.sys.SaveTree(w.ctx, p); err != nil {
		t.Fatal(err)
	}
	w.stop(a)
	w.tell(b, func(*cell, *actor.Context) { panic("boom") })
	if err := w.sys.Save(w.ctx, b); err != nil { // behind the rollback
		t.Fatal(err)
	}
	deadline := time.After(10 * time.Second)
	for got := map[persist.Key]bool{}; !got["p/a"] || !got["p/b"]; {
		runtime.GC()
		select {
		case key := <-collected:
			got[key] = true
		case <-time.After(time.Millisecond):
		case <-deadline:
			t.Fatalf("collected are only %v", got)
		}
	}
	if err := w.sys.Close(w.ctx); err != nil {
		t.Fatal(err)
	}
}
