package persist_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/storetest"
)

// friend links to heroes in every way that a field can.
type friend struct {
	One  persist.Ref[hero]
	May  *persist.Ref[hero]
	Many []persist.Ref[hero]
	By   map[persist.Ref[hero]]string
}

func (f *friend) Receive(c *actor.Context) {
	if do, ok := c.Message().(func(*friend, *actor.Context)); ok {
		do(f, c)
	}
}

func friends(codec persist.Codec) *persist.Kind[friend] {
	return persist.Define("friend", func() *friend { return &friend{} }, &persist.KindOptions{Codec: codec})
}

func TestARefIsSavedAsTheKeyAndFindsTheLiveActorButNeverRespawns(t *testing.T) {
	ctx := context.Background()
	for _, codec := range []persist.Codec{persist.CBOR, persist.JSON} {
		mem := storetest.NewMemory("")
		heroes, linked := persist.Define("hero", newHero, nil), friends(codec)
		kinds := persist.Kinds{heroes, linked}
		sys := systemOn(t, mem, &persist.Options{Kinds: kinds})
		if _, err := heroes.Spawn(ctx, sys, "h", nil); err != nil {
			t.Fatal(err)
		}
		to := persist.RefTo[hero]("h")
		_, err := linked.Spawn(ctx, sys, "f", func(f *friend) {
			f.One, f.May, f.Many = to, &to, []persist.Ref[hero]{to, {}, persist.RefTo[hero]("gone")}
			f.By = map[persist.Ref[hero]]string{to: "best", {}: "nobody"}
		})
		if err != nil {
			t.Fatal(err)
		}
		sys, pid, err := secondLife(t, sys, mem, "f", kinds...)
		if err != nil {
			t.Fatal(err)
		}
		look := func(live bool) {
			done := make(chan struct{})
			sys.Engine().Send(pid, func(f *friend, c *actor.Context) {
				defer close(done)
				for _, r := range []persist.Ref[hero]{f.One, *f.May, f.Many[0]} {
					if got, ok := r.PID(c); ok != live || r.Key() != "h" || live && got.ID != "persist/h" {
						t.Errorf("%s: the link to %q gives %v, %v; want live %v", codec.Name(), r.Key(), got, ok, live)
					}
				}
				if _, ok := f.Many[2].PID(c); ok || !f.Many[1].IsZero() || f.By[to] != "best" || f.By[persist.Ref[hero]{}] != "nobody" {
					t.Errorf("%s: %+v", codec.Name(), f)
				}
			})
			<-done
		}
		look(false)
		if _, live := sys.Lookup("h"); live {
			t.Error("a link respawned its actor")
		}
		if _, err := heroes.Respawn(ctx, sys, "h"); err != nil {
			t.Fatal(err)
		}
		look(true)
	}
}

func TestARefFindsOnlyLiveActorsOfItsType(t *testing.T) {
	ctx := context.Background()
	heroes, linked := persist.Define("hero", newHero, nil), friends(nil)
	sys := systemOn(t, storetest.NewMemory(""), &persist.Options{Kinds: persist.Kinds{heroes, linked}})
	pid, err := heroes.Spawn(ctx, sys, "h", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := persist.RefTo[hero]("MEMORY://Test/h").Lookup(sys); !ok || got.ID != pid.ID {
		t.Errorf("the absolute key does not lead to the actor: %v, %v", got, ok)
	}
	if _, ok := persist.RefTo[friend]("h").Lookup(sys); ok {
		t.Error("a link to a friend found a hero")
	}
	for _, key := range []persist.Key{"", "other", "a//b", "elsewhere://x/h"} {
		if _, ok := persist.RefTo[hero](key).Lookup(sys); ok {
			t.Errorf("a link to %q found something", key)
		}
	}
	if err := sys.Stop(ctx, pid); err != nil {
		t.Fatal(err)
	}
	if _, ok := persist.RefTo[hero]("h").Lookup(sys); ok {
		t.Error("a link found an actor that has ended")
	}
	plain := make(chan bool)
	sys.Engine().SpawnFunc(func(c *actor.Context) {
		if _, ok := c.Message().(actor.Started); ok {
			go func() { plain <- false }()
			if _, ok := persist.RefTo[hero]("h").PID(c); ok {
				t.Error("a plain actor has no system to look in")
			}
		}
	}, "plain")
	<-plain
}

func TestRefsToOneActorAreEqualHoweverItsKeyWasWritten(t *testing.T) {
	a, b := persist.RefTo[hero]("MEMORY://Test/H"), persist.RefTo[hero]("memory://test/H")
	if a != b || a.Key() != "memory://test/H" {
		t.Errorf("%q and %q", a.Key(), b.Key())
	}
}

func TestARefToWhatIsNoKeyIsRefusedWhenItIsSavedOrRead(t *testing.T) {
	linked := friends(nil)
	sys := systemOn(t, storetest.NewMemory(""), &persist.Options{Kinds: persist.Kinds{linked}})
	_, err := linked.Spawn(context.Background(), sys, "f", func(f *friend) { f.One = persist.RefTo[hero]("../up") })
	if !errors.Is(err, persist.ErrBadKey) {
		t.Errorf("got %v, want ErrBadKey", err)
	}
	var r persist.Ref[hero]
	if err := json.Unmarshal([]byte(`"a/../b"`), &r); !errors.Is(err, persist.ErrBadKey) || !r.IsZero() {
		t.Errorf("got %v and %q, want ErrBadKey and a zero link", err, r.Key())
	}
}
