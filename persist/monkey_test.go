package persist_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/storetest"
)

// troop is a number of goroutines that do what comes to their mind to a few
// counts, in real time. Nothing is deleted, so what is acknowledged only grows.
type troop struct {
	t    *testing.T
	e    *actor.Engine
	sys  *persist.System
	kind *persist.Kind[count]

	mu    sync.Mutex
	acked map[persist.Key]int
	lives map[persist.Key]int // objects alive
}

// count counts. Each step is acknowledged by a message that it holds back.
type count struct {
	N     int
	key   persist.Key
	gone  bool
	troop *troop
}

type step struct{}

// acked says that the count has reached n durably.
type acked int

func (a *count) Receive(c *actor.Context) {
	switch m := c.Message().(type) {
	case actor.Initialized:
		a.key, _ = persist.KeyOf(c)
		a.troop.enter(a)
	case actor.Stopped:
		a.troop.leave(a)
	case step:
		a.N++
		_ = persist.Send(c, c.PID(), acked(a.N))
	case acked:
		a.troop.acknowledge(a.key, int(m))
	case func(a *count, c *actor.Context):
		m(a, c)
	}
}

func (r *troop) enter(a *count) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lives[a.key]++; r.lives[a.key] != 1 {
		r.t.Errorf("%d objects of %q are alive", r.lives[a.key], a.key)
	}
	if a.N < r.acked[a.key] {
		r.t.Errorf("%q came back with %d, acknowledged was %d", a.key, a.N, r.acked[a.key])
	}
}

func (r *troop) leave(a *count) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.gone {
		r.t.Errorf("an object of %q was shown Stopped twice", a.key)
	}
	a.gone = true
	r.lives[a.key]--
}

func (r *troop) acknowledge(key persist.Key, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked[key] = max(r.acked[key], n)
}

// act does one thing to one of the keys.
func (r *troop) act(rng *rand.Rand) {
	keys := []persist.Key{"a", "a/b", "a/b/c", "a/d", "e", "e/f"}
	key := keys[rng.IntN(len(keys))]
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	pid, ok := r.sys.Lookup(key)
	what := rng.IntN(14)
	if !ok {
		what = 0
	}
	name := []string{"b", "c", "d", "f"}[rng.IntN(4)]
	tell := func(f func(a *count, c *actor.Context)) error { r.e.Send(pid, f); return nil }
	var err error
	switch what {
	case 0, 1, 2:
		_, err = r.kind.TryRespawn(ctx, r.sys, key, nil)
	case 3, 4, 5:
		r.e.Send(pid, step{})
	case 6:
		err = r.sys.Stop(ctx, pid)
	case 7:
		err = r.sys.SaveTree(ctx, pid)
	case 8:
		err = r.sys.Save(ctx, pid)
	case 9:
		err = tell(func(a *count, _ *actor.Context) { a.N = -5; panic("boom") })
	case 10:
		err = tell(func(_ *count, c *actor.Context) { _ = persist.Stop(c) })
	case 11:
		err = tell(func(_ *count, c *actor.Context) {
			_, err := r.kind.TryRespawnChild(c, name, nil)
			r.notHanging("TryRespawnChild", err)
		})
	case 12:
		err = r.sys.RespawnAll(ctx, "")
	case 13:
		err = tell(func(_ *count, c *actor.Context) {
			for _, kid := range c.Children() {
				r.notHanging("StopChild", persist.StopChild(c, kid))
				return
			}
		})
	}
	r.notHanging(fmt.Sprintf("deed %d on %q", what, key), err)
}

func (r *troop) notHanging(what string, err error) {
	if errors.Is(err, context.DeadlineExceeded) {
		r.t.Errorf("%s: %v", what, err)
	}
}

func TestNoMixOfOperationsLosesWhatIsAcknowledged(t *testing.T) {
	budget := time.Second
	if deep {
		budget = time.Minute
	}
	e, err := actor.NewEngine(actor.NewEngineConfig())
	if err != nil {
		t.Fatal(err)
	}
	r := &troop{t: t, e: e, acked: map[persist.Key]int{}, lives: map[persist.Key]int{}}
	r.kind = persist.Define("count", func() *count { return &count{troop: r} }, &persist.KindOptions{
		Save:        persist.Always(),
		Supervision: persist.Supervision{MaxRestarts: 3, BackOff: time.Microsecond, Window: time.Millisecond},
	})
	r.sys, err = persist.New(e, storetest.NewMemory("memory://test"), &persist.Options{Kinds: persist.Kinds{r.kind}, SaveTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), budget)
	defer cancel()
	var all sync.WaitGroup
	var deeds atomic.Int64
	for seed := range uint64(6) {
		all.Go(func() {
			for rng := rand.New(rand.NewPCG(seed, 5)); ctx.Err() == nil; deeds.Add(1) {
				r.act(rng)
			}
		})
	}
	all.Wait()
	last, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r.notHanging("Close", r.sys.Close(last))
	r.sys.CheckNothingLeft(t)
	t.Logf("%d deeds", deeds.Load())
}
