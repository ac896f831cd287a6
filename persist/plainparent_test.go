package persist_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

func TestADeletionWaitsForABirthUnderAPlainActor(t *testing.T) {
	inWorld(t, func(w *world) {
		reached, let := w.hold("commit", "x/y")
		plain, up := w.plainParent("x/y")
		<-reached
		deleted := make(chan error, 1)
		go func() { deleted <- w.sys.Delete(timeout(w, 600), "x") }()
		synctest.Wait()
		close(let)
		if err := <-up; err != nil {
			w.Error(err)
		}
		if err := <-deleted; err != nil {
			w.Error(err)
		}
		_, err := w.stored("x/y")
		w.mustBe(err, persist.ErrNotFound)
		if live := w.liveKeys(); len(live) > 0 {
			w.Errorf("live are %v", live)
		}
		<-w.e.Poison(plain).Done()
	})
}

func TestATreeSaveWaitsForABirthUnderAPlainActor(t *testing.T) {
	inWorld(t, func(w *world) {
		root := w.spawn("x", 1)
		reached, let := w.hold("commit", "x/y")
		plain, up := w.plainParent("x/y")
		<-reached
		saved := make(chan error, 1)
		go func() { saved <- w.sys.SaveTree(timeout(w, 600), root) }()
		synctest.Wait()
		close(let)
		if err := <-up; err != nil {
			w.Error(err)
		}
		if err := <-saved; err != nil {
			w.Error(err)
		}
		<-w.e.Poison(plain).Done()
	})
}

func TestAPlainParentsEndLeavesALaterLifeElsewhereAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		plain, up := w.plainParent("k")
		if err := <-up; err != nil {
			w.Fatal(err)
		}
		w.stop(w.live("k"))
		if _, err := w.sys.Respawn(w.ctx, "k"); err != nil {
			w.Fatal(err)
		}
		<-w.e.Poison(plain).Done()
		synctest.Wait()
		w.live("k")
	})
}

func TestAPlainParentEndsThoughItsFormerChildEndsElsewhere(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.spawn("p", 1)
		plain, up := w.plainParent("p/u")
		if err := <-up; err != nil {
			w.Fatal(err)
		}
		w.stop(w.live("p/u"))
		w.run(p, func(_ *cell, c *actor.Context) {
			if _, err := w.cells.TryRespawnChild(c, "u", nil); err != nil {
				w.Error(err)
			}
		})
		in, let := make(chan struct{}), make(chan struct{})
		w.tell(w.live("p/u"), func(*cell, *actor.Context) { close(in); <-let })
		<-in
		ofParent := w.e.Poison(p)
		synctest.Wait() // a pill waits in the child's queue
		ofPlain := w.e.Poison(plain)
		synctest.Wait()
		close(let)
		<-ofParent.Done()
		select {
		case <-ofPlain.Done():
		case <-time.After(time.Hour):
			w.Error("the plain parent hangs")
		}
	})
}
