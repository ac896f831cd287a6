package persist_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/storetest"
)

// counter adds up what it is sent, and says when it got the last.
type counter struct {
	Sum  int
	last chan struct{}
}

type add int // nothing that the runtime would have to allocate for

const last = add(255)

func (a *counter) Receive(c *actor.Context) {
	if m, ok := c.Message().(add); ok {
		a.Sum += int(m)
		if m == last {
			a.last <- struct{}{}
		}
	}
}

func counters(p persist.Policy, inbox int, ready chan struct{}) *persist.Kind[counter] {
	return persist.Define("counter", func() *counter { return &counter{last: ready} }, &persist.KindOptions{
		Save: p, Hollywood: []actor.OptFunc{actor.WithInboxSize(inbox)},
	})
}

func spawnCounter(b *testing.B, p persist.Policy, store persist.Store, ready chan struct{}) (*persist.System, *actor.PID) {
	b.Helper()
	k := counters(p, 1024, ready)
	sys := systemOn(b, store, &persist.Options{Kinds: persist.Kinds{k}})
	pid, err := k.Spawn(context.Background(), sys, "c", nil)
	if err != nil {
		b.Fatal(err)
	}
	return sys, pid
}

// BenchmarkMessage is the way of one message that saves nothing, with bare
// Hollywood and through the shell; the difference is the shell's cost.
func BenchmarkMessage(b *testing.B) {
	flow := func(b *testing.B, e *actor.Engine, pid *actor.PID, ready chan struct{}) {
		const batch = 512
		var msg, end any = add(1), last
		b.ReportAllocs()
		for b.Loop() {
			for range batch - 1 {
				e.Send(pid, msg)
			}
			e.Send(pid, end)
			<-ready
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/message")
	}
	b.Run("actor=bare", func(b *testing.B) {
		e, err := actor.NewEngine(actor.NewEngineConfig())
		if err != nil {
			b.Fatal(err)
		}
		ready := make(chan struct{}, 1)
		pid := e.Spawn(func() actor.Receiver { return &counter{last: ready} }, "counter", actor.WithInboxSize(1024))
		flow(b, e, pid, ready)
	})
	b.Run("actor=persistent", func(b *testing.B) {
		ready := make(chan struct{}, 1)
		sys, pid := spawnCounter(b, persist.EveryMessages(1<<30), storetest.NewMemory(""), ready)
		flow(b, sys.Engine(), pid, ready)
	})
}

// BenchmarkReceive is the part of that way which differs: the call that the
// engine makes, on one goroutine, with no inbox in between.
func BenchmarkReceive(b *testing.B) {
	b.Run("actor=bare", func(b *testing.B) {
		ready := make(chan *actor.Context)
		e, _ := actor.NewEngine(actor.NewEngineConfig())
		a := &counter{}
		e.Send(e.SpawnFunc(func(c *actor.Context) {
			if _, ok := c.Message().(add); ok {
				ready <- c
			}
		}, "bare"), add(1))
		receive(b, a.Receive, <-ready)
	})
	b.Run("actor=persistent", func(b *testing.B) {
		ready := make(chan *actor.Context)
		k := persist.Define("lender", func() *lender { return &lender{lent: ready} }, nil)
		sys := systemOn(b, storetest.NewMemory(""), &persist.Options{Kinds: persist.Kinds{k}})
		pid, err := k.Spawn(context.Background(), sys, "l", nil)
		if err != nil {
			b.Fatal(err)
		}
		sys.Engine().Send(pid, "lend")
		c := <-ready
		receive(b, c.Receiver().Receive, c)
		sys.Engine().Send(pid, "done")
	})
}

// lender lends its context out, so that a benchmark can stand for the engine.
type lender struct {
	Sum  int
	lent chan *actor.Context
}

func (l *lender) Receive(c *actor.Context) {
	switch m := c.Message().(type) {
	case add:
		l.Sum += int(m)
	case string:
		if m == "lend" {
			l.lent <- c
		}
	}
}

func receive(b *testing.B, recv actor.ReceiveFunc, c *actor.Context) {
	time.Sleep(10 * time.Millisecond) // lets the lender return to its inbox
	persist.SetMessage(c, add(1), nil)
	b.ReportAllocs()
	for b.Loop() {
		recv(c)
	}
}

// BenchmarkIdle is what an actor that does nothing takes of memory, stacks and
// the engine's share included.
func BenchmarkIdle(b *testing.B) {
	const n = 10_000
	measure := func(b *testing.B, spawn func(i int)) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range n {
			spawn(i)
		}
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse)/n, "B/actor")
	}
	for _, inbox := range []int{16, 1024} {
		b.Run(fmt.Sprintf("inbox=%d/actor=bare", inbox), func(b *testing.B) {
			for b.Loop() {
				e, err := actor.NewEngine(actor.NewEngineConfig())
				if err != nil {
					b.Fatal(err)
				}
				measure(b, func(i int) {
					e.Spawn(func() actor.Receiver { return &counter{} }, "counter", actor.WithInboxSize(inbox), actor.WithID(fmt.Sprintf("players/%d", i)))
				})
				runtime.KeepAlive(e)
			}
		})
		b.Run(fmt.Sprintf("inbox=%d/actor=persistent", inbox), func(b *testing.B) {
			for b.Loop() {
				k := counters(persist.OnStop(), inbox, nil)
				sys := systemOn(b, forgetful{storetest.NewMemory("")}, &persist.Options{Kinds: persist.Kinds{k}})
				ctx := context.Background()
				measure(b, func(i int) {
					if _, err := k.Spawn(ctx, sys, persist.Key(fmt.Sprintf("players/%d", i)), nil); err != nil {
						b.Fatal(err)
					}
				})
			}
		})
	}
}

// forgetful acknowledges without keeping: what is measured is the actor, not
// what a store in memory holds of it.
type forgetful struct{ *storetest.Memory }

func (forgetful) Commit(_ context.Context, changes ...persist.Change) ([]persist.Version, error) {
	versions := make([]persist.Version, len(changes))
	for i := range versions {
		versions[i] = "v"
	}
	return versions, nil
}

// slow is a store on a disk that takes a millisecond for each commit.
type slow struct{ *storetest.Memory }

func (s slow) Commit(ctx context.Context, changes ...persist.Change) ([]persist.Version, error) {
	time.Sleep(time.Millisecond)
	return s.Memory.Commit(ctx, changes...)
}

// saver saves in each message itself, and waits for it.
type saver struct {
	Sum  int
	last chan struct{}
}

func (a *saver) Receive(c *actor.Context) {
	if m, ok := c.Message().(add); ok {
		a.Sum += int(m)
		if err := persist.Save(c); err != nil {
			panic(err)
		}
		if m == last {
			a.last <- struct{}{}
		}
	}
}

// BenchmarkDurable is 100 messages, all durable at the end, on a store with
// commits of 1 ms: pipelined and coalesced by Always, or saved one by one.
func BenchmarkDurable(b *testing.B) {
	const batch = 100
	b.Run("save=Always", func(b *testing.B) {
		ready := make(chan struct{}, 1)
		sys, pid := spawnCounter(b, persist.Always(), slow{storetest.NewMemory("")}, ready)
		for b.Loop() {
			for range batch - 1 {
				sys.Engine().Send(pid, add(1))
			}
			sys.Engine().Send(pid, last)
			<-ready
			if err := sys.Save(context.Background(), pid); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "messages/s")
	})
	b.Run("save=EachMessage", func(b *testing.B) {
		ready := make(chan struct{}, 1)
		k := persist.Define("saver", func() *saver { return &saver{last: ready} }, nil)
		sys := systemOn(b, slow{storetest.NewMemory("")}, &persist.Options{Kinds: persist.Kinds{k}})
		pid, err := k.Spawn(context.Background(), sys, "c", nil)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			for range batch - 1 {
				sys.Engine().Send(pid, add(1))
			}
			sys.Engine().Send(pid, last)
			<-ready
		}
		b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}
