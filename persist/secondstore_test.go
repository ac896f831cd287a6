package persist_test

import (
	"testing"

	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/storetest"
)

func TestATreeWithAGapLivesInASecondStoreAsInTheFirst(t *testing.T) {
	second := storetest.NewMemory("memory://second/deep")
	inWorld(t, func(w *world) {
		const root persist.Key = "memory://second/deep/p"
		p := w.tree(root, "a")
		w.e.Send(w.spawn(root+"/gap/x/y", 5), 1)
		if err := w.sys.SaveTree(w.ctx, p); err != nil {
			w.Error(err)
		}
		w.stop(p)
		if _, ok := w.sys.Lookup(root + "/gap/x/y"); ok {
			w.Error("what is below the gap outlived its ancestor")
		}
		if _, err := w.sys.Respawn(w.ctx, root); err != nil {
			w.Error(err)
		}
		if n := w.value(w.live(root + "/gap/x/y")); n != 6 {
			w.Errorf("below the gap is %d", n)
		}
		if err := w.sys.RespawnAll(w.ctx, "memory://second/deep"); err != nil {
			w.Error(err)
		}
		if w.sys.RespawnAll(w.ctx, "memory://second") == nil {
			w.Error("a prefix above the store's base was accepted")
		}
		if err := w.sys.Delete(w.ctx, root); err != nil {
			w.Error(err)
		}
		for key, err := range w.sys.Keys(w.ctx, "memory://second/deep") {
			w.Errorf("left is %q, %v", key, err)
		}
		if n := len(w.store.committed()); n > 0 {
			w.Errorf("the first store saw %d commits", n)
		}
	}, func(_ *world, _ *persist.KindOptions, o *persist.Options) { o.Stores = append(o.Stores, second) })
}
