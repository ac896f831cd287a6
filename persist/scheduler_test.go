package persist_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// lateGoroutines starts the system's goroutines once a second, the newest first.
type lateGoroutines struct {
	mu    sync.Mutex
	queue []func()
	stop  chan struct{}
}

func (l *lateGoroutines) start(_ string, f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, f)
}

func (l *lateGoroutines) run() {
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(time.Second):
		}
		l.mu.Lock()
		queue := l.queue
		l.queue = nil
		l.mu.Unlock()
		for _, f := range slices.Backward(queue) {
			go f()
		}
	}
}

func TestGoroutinesMayStartLateAndInAnyOrder(t *testing.T) {
	late := &lateGoroutines{}
	inWorld(t, func(w *world) {
		late.stop = make(chan struct{})
		go late.run()
		defer func() { close(late.stop) }()
		p := w.tree("p", "a", "b")
		for i := range 20 {
			w.e.Send(p, i)
		}
		w.run(p, func(_ *cell, c *actor.Context) { _ = persist.Stop(c) })
		time.Sleep(10 * time.Second)
		if _, ok := w.sys.Lookup("p"); ok || w.saved("p") != 190 {
			w.Errorf("it lives, or was saved with %d", w.saved("p"))
		}
		p, err := w.sys.Respawn(w.ctx, "p")
		if err != nil {
			w.Fatal(err)
		}
		w.run(p, func(_ *cell, c *actor.Context) { _, _ = persist.Stop(c), persist.Delete(c) })
		if err := w.sys.Close(timeout(w, 100)); err != nil {
			w.Error(err)
		}
	}, saving(persist.Always()), func(_ *world, _ *persist.KindOptions, o *persist.Options) { o.Go = late.start })
}

func TestWakesMayComeLate(t *testing.T) {
	for seed := range uint64(20) {
		var mu sync.Mutex
		rng := rand.New(rand.NewPCG(seed, 1))
		inWorld(t, func(w *world) {
			p := w.tree("p", "a", "b")
			asker, answers := w.asker()
			for range 10 {
				w.ask(asker, p, w.addAndReply)
				w.ask(asker, w.live("p/a"), w.addAndReply)
			}
			if err := w.sys.SaveTree(w.ctx, p); err != nil {
				w.Error(err)
			}
			w.tell(p, func(*cell, *actor.Context) { panic("boom") })
			w.stopChild(p, w.live("p/b"))
			w.stop(p)
			if got := len(answers()); got != 20 || w.saved("p") != 10 || w.saved("p/a") != 11 {
				w.Errorf("%d answers; saved %d and %d", got, w.saved("p"), w.saved("p/a"))
			}
			if _, err := w.sys.Respawn(w.ctx, "p"); err != nil {
				w.Error(err)
			}
			synctest.Wait()
		}, saving(persist.Always()), func(_ *world, _ *persist.KindOptions, o *persist.Options) {
			o.Yield = func(string) { // in the bubble
				mu.Lock()
				d := time.Duration(rng.IntN(3)) * time.Millisecond
				mu.Unlock()
				time.Sleep(d)
			}
		})
	}
}
