package persist_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/storetest"
)

func init() { slog.SetDefault(slog.New(slog.DiscardHandler)) } // events are asserted, not read

var deep = os.Getenv("UNDERSTUDY_DEEP") == "1" // the same tests, with larger budgets

// cell is an actor that does what the test sends it: a function runs on its
// goroutine, an int is added to N.
type cell struct {
	N    int
	Tags map[string]int

	w   *world
	key persist.Key
}

type do func(a *cell, c *actor.Context)

func (a *cell) Receive(c *actor.Context) {
	key, _ := persist.KeyOf(c)
	a.key = key
	switch m := c.Message().(type) {
	case do:
		m(a, c)
	case int:
		a.N += m
	case actor.Initialized, actor.Started, actor.Stopped:
		a.w.note("%T %s", m, key)
		if hook := a.w.hook(fmt.Sprintf("%T", m), key); hook != nil {
			hook(a, c)
		}
	}
}

// world is an engine, a store with switches, and a system, in a bubble of fake
// time.
type world struct {
	*testing.T
	e     *actor.Engine
	store *switchStore
	sys   *persist.System
	cells *persist.Kind[cell]
	opts  *persist.Options
	ctx   context.Context

	mu     sync.Mutex
	hooks  map[string]do
	notes  []string
	events []any
	made   int // cells constructed
	after  []func()
	panics map[string]any
}

// setting changes the options of a world.
type setting func(w *world, k *persist.KindOptions, o *persist.Options)

func saving(p persist.Policy) setting {
	return func(_ *world, k *persist.KindOptions, _ *persist.Options) { k.Save = p }
}

func supervised(s persist.Supervision) setting {
	return func(_ *world, k *persist.KindOptions, _ *persist.Options) { k.Supervision = s }
}

func partial(_ *world, _ *persist.KindOptions, o *persist.Options) { o.RespawnPartial = true }

func singleCommits(w *world, _ *persist.KindOptions, _ *persist.Options) { w.store.single = true }

// inWorld runs f in a bubble and checks afterwards that nothing is left behind.
func inWorld(t *testing.T, f func(w *world), settings ...setting) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, ctx: t.Context(), hooks: map[string]do{}, panics: map[string]any{}}
		w.store = &switchStore{w: w, mem: storetest.NewMemory("memory://test")}
		ko := &persist.KindOptions{Supervision: persist.Supervision{BackOff: time.Millisecond}}
		w.opts = &persist.Options{}
		for _, s := range settings {
			s(w, ko, w.opts)
		}
		w.cells = persist.Define("cell", func() *cell {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.made++
			if p, armed := w.panics["constructor"]; armed {
				panic(p)
			}
			return &cell{w: w, Tags: map[string]int{"made": 1}}
		}, ko)
		w.opts.Kinds = append(w.opts.Kinds, w.cells)
		w.boot()
		f(w)
		w.store.setGate(nil)
		w.store.fail(nil)
		if err := w.sys.Close(context.Background()); err != nil && !w.Failed() {
			w.note("close: %v", err)
		}
		for _, f := range w.after {
			f()
		}
		synctest.Wait()
		if n := w.registered(); n > 2 { // the event stream and its listener stay
			w.Errorf("%d actors are left in the registry after Close", n-2)
		}
		w.sys.CheckNothingLeft(w)
	})
}

// boot starts an engine and a system on the present store.
func (w *world) boot() {
	w.Helper()
	e, err := actor.NewEngine(actor.NewEngineConfig())
	if err != nil {
		w.Fatal(err)
	}
	w.e = e
	e.Subscribe(e.SpawnFunc(w.listen, "listener", actor.WithID("1")))
	w.sys, err = persist.New(e, w.store.opened(), w.opts)
	if err != nil {
		w.Fatal(err)
	}
}

// listen collects the events of the persist package and what went astray.
func (w *world) listen(c *actor.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch c.Message().(type) {
	case actor.Initialized, actor.Started, actor.Stopped:
	default:
		w.events = append(w.events, c.Message())
	}
}

// eventsOf returns the events of one type that were sent so far.
func eventsOf[E any](w *world) (found []E) {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e, ok := e.(E); ok {
			found = append(found, e)
		}
	}
	return found
}

// reboot kills the process: what lives is forgotten, the store is reopened.
func (w *world) reboot() {
	w.Helper()
	w.store.setGate(nil)
	synctest.Wait()
	w.store.mem = w.store.mem.Reopen()
	w.boot()
}

func (w *world) registered() int {
	return reflect.ValueOf(w.e.Registry).Elem().FieldByName("lookup").Len()
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

func (w *world) noted() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.notes)
}

func (w *world) clearNotes() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = nil
}

// on makes the cell of key do something at a message of its life.
func (w *world) on(life any, key persist.Key, f do) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hooks[fmt.Sprintf("%T %s", life, key)] = f
}

func (w *world) hook(life string, key persist.Key) do {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hooks[life+" "+string(key)]
}

// disarm makes constructors work again.
func (w *world) disarm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.panics, "constructor")
}

func (w *world) spawn(key persist.Key, n int) *actor.PID {
	w.Helper()
	pid, err := w.cells.Spawn(w.ctx, w.sys, key, func(a *cell) { a.N = n })
	if err != nil {
		w.Fatal(err)
	}
	return pid
}

// tree spawns a parent and children below it.
func (w *world) tree(key persist.Key, names ...string) *actor.PID {
	w.Helper()
	pid := w.spawn(key, 0)
	w.run(pid, func(a *cell, c *actor.Context) {
		for i, name := range names {
			if _, err := w.cells.SpawnChild(c, name, func(a *cell) { a.N = i + 1 }); err != nil {
				w.Error(err)
			}
		}
	})
	return pid
}

// run runs f on the actor's goroutine and returns when it is through.
func (w *world) run(pid *actor.PID, f do) {
	w.Helper()
	done := make(chan struct{})
	w.e.Send(pid, do(func(a *cell, c *actor.Context) {
		defer close(done)
		f(a, c)
	}))
	select {
	case <-done:
	case <-time.After(time.Hour):
		w.Fatalf("%v did not run", pid)
	}
}

// tell sends f without waiting.
func (w *world) tell(pid *actor.PID, f do) { w.e.Send(pid, f) }

func (w *world) value(pid *actor.PID) (n int) {
	w.Helper()
	w.run(pid, func(a *cell, _ *actor.Context) { n = a.N })
	return n
}

// saved returns what the store has under key, or fails.
func (w *world) saved(key persist.Key) int {
	w.Helper()
	n, err := w.stored(key)
	if err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *world) stored(key persist.Key) (int, error) {
	var raw []byte
	err := w.store.mem.Edit(key, func(b []byte) []byte { raw = slices.Clone(b); return b })
	if err != nil {
		return 0, err
	}
	rec, err := persist.DecodeRecord(raw, key, "memory")
	if err != nil {
		return 0, err
	}
	var a cell
	if err := persist.CBOR.Unmarshal(rec.Payload, &a); err != nil {
		return 0, err
	}
	return a.N, nil
}

// live returns the live actor of key.
func (w *world) live(key persist.Key) *actor.PID {
	w.Helper()
	pid, ok := w.sys.Lookup(key)
	if !ok {
		w.Fatalf("%q is not live", key)
	}
	return pid
}

func (w *world) stop(pid *actor.PID) {
	w.Helper()
	if err := w.sys.Stop(w.ctx, pid); err != nil {
		w.Fatal(err)
	}
}

func (w *world) stopChild(parent, child *actor.PID) {
	w.Helper()
	w.run(parent, func(_ *cell, c *actor.Context) {
		if err := persist.StopChild(c, child); err != nil {
			w.Error(err)
		}
	})
}

// plainParent is a plain actor that brings key up below itself.
func (w *world) plainParent(key persist.Key) (pid *actor.PID, up chan error) {
	up = make(chan error, 1)
	pid = w.e.SpawnFunc(func(c *actor.Context) {
		if c.Message() == "bring it up" {
			_, err := w.cells.TryRespawnUnder(c, w.sys, key, nil)
			up <- err
		}
	}, "plain", actor.WithID("1"))
	w.e.Send(pid, "bring it up")
	return pid, up
}

// hold makes the store's first op on key wait: reached is closed when it has
// come, and it goes on when let is closed.
func (w *world) hold(op string, key persist.Key) (reached, let chan struct{}) {
	return w.holdThen(op, key, nil)
}

// holdThen is hold with the outcome of what was held.
func (w *world) holdThen(op string, key persist.Key, err error) (reached, let chan struct{}) {
	reached, let = make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.store.fail(func(o string, keys []persist.Key) (out error) {
		if o == op && len(keys) > 0 && keys[0] == key {
			once.Do(func() { close(reached); <-let; out = err })
		}
		return out
	})
	return reached, let
}

// calmHooks takes back every on.
func (w *world) calmHooks() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.hooks)
}

// aside runs f on a goroutine of its own, which runtime.Goexit may end.
func aside(f func()) (done chan struct{}) {
	done = make(chan struct{})
	go func() { defer close(done); f() }()
	return done
}

func (w *world) mustBe(got, want error) {
	w.Helper()
	if !errors.Is(got, want) {
		w.Errorf("got error %v, want %v", got, want)
	}
}

// switchStore is a memory store with switches: commits can be held at a gate,
// and any operation be made to fail.
type switchStore struct {
	w      *world
	mem    *storetest.Memory
	single bool // hide LoadTree, and refuse commits of several keys

	mu      sync.Mutex
	gate    chan struct{}
	failing func(op string, keys []persist.Key) error
	after   func(op string, keys []persist.Key) error
	commits [][]persist.Change

	caller   func(who string)      // told of who commits
	fallback *persist.CorruptError // set on every record that is loaded
}

func (s *switchStore) opened() persist.Store {
	if s.single {
		return s
	}
	return treeSwitch{s}
}

// setGate makes every commit wait for a token; nil opens the gate.
func (s *switchStore) setGate(g chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gate != nil && g == nil {
		close(s.gate)
	}
	s.gate = g
}

func (s *switchStore) fail(f func(op string, keys []persist.Key) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = f
}

// failAfter makes an operation fail after it took effect.
func (s *switchStore) failAfter(f func(op string, keys []persist.Key) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = f
}

func (s *switchStore) committed() [][]persist.Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commits)
}

func (s *switchStore) check(op string, keys ...persist.Key) error {
	s.mu.Lock()
	f := s.failing
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(op, keys)
}

func (s *switchStore) Base() persist.Key { return s.mem.Base() }

func (s *switchStore) Load(ctx context.Context, key persist.Key) (persist.Record, persist.Version, error) {
	if err := s.check("load", key); err != nil {
		return persist.Record{}, "", err
	}
	return s.mem.Load(ctx, key)
}

func (s *switchStore) Commit(ctx context.Context, changes ...persist.Change) ([]persist.Version, error) {
	if s.single && len(changes) > 1 {
		return nil, errors.ErrUnsupported
	}
	if s.caller != nil {
		s.caller(persist.Caller(ctx))
	}
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	var keys []persist.Key
	for _, c := range changes {
		keys = append(keys, c.Key)
	}
	if err := s.check("commit", keys...); err != nil {
		return nil, err
	}
	versions, err := s.mem.Commit(ctx, changes...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.commits = append(s.commits, changes)
		if s.after != nil {
			if err := s.after("commit", keys); err != nil {
				return nil, err
			}
		}
	}
	return versions, err
}

func (s *switchStore) List(ctx context.Context, prefix persist.Key) iter.Seq2[persist.Entry, error] {
	if err := s.check("list", prefix); err != nil {
		return func(yield func(persist.Entry, error) bool) { yield(persist.Entry{}, err) }
	}
	return s.mem.List(ctx, prefix)
}

func (s *switchStore) Close() error { return s.mem.Close() }

type treeSwitch struct{ *switchStore }

func (s treeSwitch) LoadTree(ctx context.Context, prefix persist.Key) iter.Seq2[persist.Loaded, error] {
	return func(yield func(persist.Loaded, error) bool) {
		if err := s.check("loadtree", prefix); err != nil {
			yield(persist.Loaded{}, err)
			return
		}
		for rec, err := range s.mem.LoadTree(ctx, prefix) {
			if err == nil {
				if err = s.check("load", rec.Key); err != nil {
					rec = persist.Loaded{Record: persist.Record{Key: rec.Key}}
				}
			}
			rec.Fallback = s.fallback
			if !yield(rec, err) {
				return
			}
		}
	}
}

func memoryAt(base persist.Key) *storetest.Memory { return storetest.NewMemory(base) }

// timeout returns a context that ends after n seconds of fake time.
func timeout(w *world, n int) context.Context {
	ctx, cancel := context.WithTimeout(w.ctx, time.Duration(n)*time.Second)
	w.Cleanup(cancel)
	return ctx
}

// withBadTags makes a kind whose snapshots fail for cells without tags.
func withBadTags(_ *world, k *persist.KindOptions, _ *persist.Options) {
	k.Codec = tagCodec{persist.CBOR}
}

type tagCodec struct{ persist.Codec }

func (c tagCodec) Name() string { return "tags" }

func (c tagCodec) Marshal(v any) ([]byte, error) {
	if a, ok := v.(*cell); ok && a.Tags == nil {
		panic("a cell without tags")
	}
	return c.Codec.Marshal(v)
}
