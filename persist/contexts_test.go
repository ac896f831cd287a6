package persist_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// withContext lists the operations that take a context, on "p" and its tree.
var withContext = map[string]func(w *world, ctx context.Context, p *actor.PID) error{
	"Spawn": func(w *world, ctx context.Context, _ *actor.PID) error {
		_, err := w.cells.Spawn(ctx, w.sys, "p/n", nil)
		return err
	},
	"Respawn":    func(w *world, ctx context.Context, _ *actor.PID) error { _, err := w.sys.Respawn(ctx, "p"); return err },
	"RespawnAll": func(w *world, ctx context.Context, _ *actor.PID) error { return w.sys.RespawnAll(ctx, "") },
	"TryRespawn": func(w *world, ctx context.Context, _ *actor.PID) error {
		_, err := w.cells.TryRespawn(ctx, w.sys, "p", nil)
		return err
	},
	"Save":     func(w *world, ctx context.Context, p *actor.PID) error { return w.sys.Save(ctx, p) },
	"SaveTree": func(w *world, ctx context.Context, p *actor.PID) error { return w.sys.SaveTree(ctx, p) },
	"Stop":     func(w *world, ctx context.Context, p *actor.PID) error { return w.sys.Stop(ctx, p) },
	"Delete":   func(w *world, ctx context.Context, _ *actor.PID) error { return w.sys.Delete(ctx, "p") },
	"Keys": func(w *world, ctx context.Context, _ *actor.PID) (err error) {
		for _, e := range w.sys.Keys(ctx, "") {
			err = errors.Join(err, e)
		}
		return err
	},
}

func TestAContextThatEndsInTheMidstLosesNothingAndLeavesNothing(t *testing.T) {
	for op, f := range withContext {
		for _, where := range []string{"load", "commit", "list", "Started"} {
			t.Run(op+" in "+where, func(t *testing.T) {
				inWorld(t, func(w *world) {
					p := w.tree("p", "a")
					w.e.Send(p, 6)
					synctest.Wait()
					if op == "Respawn" || op == "RespawnAll" || op == "TryRespawn" {
						w.stop(p)
					}
					let := make(chan struct{})
					if where == "Started" {
						w.on(actor.Started{}, "p/a", func(*cell, *actor.Context) { <-let })
					}
					w.store.fail(func(o string, _ []persist.Key) error {
						if o == where || where == "load" && o == "loadtree" {
							<-let
						}
						return nil
					})
					ctx, cancel := context.WithCancel(w.ctx)
					done := make(chan struct{})
					go func() { defer close(done); _ = f(w, ctx, p) }()
					synctest.Wait()
					cancel()
					synctest.Wait()
					close(let)
					<-done
					w.store.fail(nil)
					if op == "Delete" || op == "Stop" { // the ending goes on: there is nobody to ask
						return
					}
					p, err := w.cells.TryRespawn(timeout(w, 100), w.sys, "p", nil)
					if err != nil {
						w.Fatal(err)
					}
					if n := w.value(p); n != 6 {
						w.Errorf("it goes on with %d", n)
					}
				})
			})
		}
	}
}

func TestManyMayCloseAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.tree("p", "a", "b")
		w.e.Send(p, 6)
		synctest.Wait()
		reached, let := w.hold("commit", "p")
		brief, cancel := context.WithCancel(w.ctx)
		cut, whole := make(chan error, 5), make(chan error, 5)
		for range 5 {
			go func() { cut <- w.sys.Close(brief) }()
			go func() { whole <- w.sys.Close(w.ctx) }()
		}
		<-reached
		cancel()
		for range 5 {
			w.mustBe(<-cut, context.Canceled)
		}
		close(let)
		for range 5 {
			if err := <-whole; err != nil {
				w.Error(err)
			}
		}
		if n := w.saved("p"); n != 6 {
			w.Errorf("saved %d", n)
		}
	})
}

func TestANilContextLeavesTheKeyUsable(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.spawn("p", 1)
		w.e.Send(p, 3)
		reached, let := w.hold("commit", "p")
		stopped := make(chan error, 1)
		go func() { stopped <- w.sys.Stop(w.ctx, p) }()
		<-reached // the lock is taken
		refused := make(chan error, 1)
		go func() {
			defer func() { _ = recover() }()
			_, err := w.sys.Respawn(nil, "p") //lint:ignore SA1012 what a careless caller does
			refused <- err
		}()
		synctest.Wait()
		close(let)
		if err := <-stopped; err != nil {
			w.Error(err)
		}
		back, err := w.sys.Respawn(timeout(w, 100), "p")
		if err != nil || w.value(back) != 4 {
			w.Errorf("the next caller got %v", err)
		}
	})
}
