package understudy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/spf13/afero"
	"pgregory.net/rapid"

	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/filestore"
	"github.com/understudy-go/understudy/persist/logstore"
)

// deep asks for the large budgets of the same tests.
var deep = os.Getenv("UNDERSTUDY_DEEP") != ""

func init() { slog.SetDefault(slog.New(slog.DiscardHandler)) } // damage is expected here, not news

// part is the actor of all promises: exported fields of several shapes.
type part struct {
	Step int            // the step of the program that left this state
	Bag  map[string]int // grows and shrinks
	Data []byte
	Next *part
	bare bool // part of a plain, which keeps Step and Data only
}

func (p *part) Receive(c *actor.Context) {
	if f, ok := c.Message().(func(*part, *actor.Context)); ok {
		f(p, c)
	}
}

// plain is a second kind, with a snapshot type of its own.
type plain struct{ part }

type plainState struct {
	N int
	B []byte
}

func (p *plain) Receive(c *actor.Context)   { p.part.Receive(c) }
func (p *plain) Snapshot() plainState       { return plainState{p.Step, p.Data} }
func (p *plain) Restore(s plainState) error { p.Step, p.Data = s.N, s.B; return nil }

func newPart() *part { return &part{Bag: map[string]int{"constructor": 1}} }

func kindsWith(p persist.Policy) (k theKinds) {
	o := &persist.KindOptions{Save: p}
	k.parts = persist.Define("part", newPart, o)
	k.plains = persist.DefineSnapshot("plain", func() *plain { return &plain{part{bare: true}} }, o)
	return k
}

type theKinds struct {
	parts  *persist.Kind[part]
	plains *persist.Kind[plain]
}

// step is one line of a program. Its number is what it writes.
type step struct {
	verb string // spawn, work, save, tree, reply, stop, back, delete
	key  persist.Key
	data []byte
}

func (s step) String() string { return fmt.Sprintf("%s %s", s.verb, s.key) }

// program is what the clients of a system do, one after the other.
type program struct {
	policy  persist.Policy
	policyN string
	steps   []step
}

func (p program) String() string {
	return fmt.Sprintf("policy %s; %v", p.policyN, p.steps)
}

var treeKeys = []persist.Key{"a", "a/b", "a/b/c", "a/d", "e"}

// programs draws programs of at most n steps.
func programs(n int) *rapid.Generator[program] {
	return rapid.Custom(func(t *rapid.T) program {
		p := program{policyN: rapid.SampledFrom([]string{"OnStop", "EveryMessages(2)", "Always"}).Draw(t, "policy")}
		p.policy = map[string]persist.Policy{"OnStop": persist.OnStop(), "EveryMessages(2)": persist.EveryMessages(2), "Always": persist.Always()}[p.policyN]
		p.steps = []step{{verb: "spawn", key: "a"}}
		for range rapid.IntRange(1, n).Draw(t, "steps") {
			p.steps = append(p.steps, step{
				verb: rapid.SampledFrom([]string{"spawn", "work", "save", "tree", "reply", "stop", "back", "delete"}).Draw(t, "verb"),
				key:  rapid.SampledFrom(treeKeys).Draw(t, "key"),
				data: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "data"),
			})
		}
		return p
	})
}

// stage is a running system.
type stage struct {
	theKinds
	engine *actor.Engine
	sys    *persist.System
	ctx    context.Context
}

// opener opens the store under test on a filesystem.
type opener func(fs afero.Fs) (persist.Store, error)

// stores are the embedded ones; every promise is held against each.
var stores = []struct {
	name string
	open opener
}{{"filestore", openFiles}, {"logstore", openLog}}

func openLog(fs afero.Fs) (persist.Store, error) {
	return logstore.Open(fs, "/db", &logstore.Options{SegmentSize: 64 << 10, NoCompaction: true}) // its goroutine would make recoveries differ
}

func openFiles(fs afero.Fs) (persist.Store, error) {
	return filestore.Open(fs, "/db", &filestore.Options{Readers: 1})
}

func raise(store persist.Store, p persist.Policy) (*stage, error) {
	e, err := actor.NewEngine(actor.NewEngineConfig())
	if err != nil {
		return nil, err
	}
	s := &stage{theKinds: kindsWith(p), engine: e, ctx: context.Background()}
	s.sys, err = persist.New(e, store, &persist.Options{
		Kinds: persist.Kinds{s.parts, s.plains}, LoadParallel: 1,
		Rand: rand.NewChaCha8([32]byte{1}),
	})
	return s, err
}

// on runs f on the goroutine of a live actor and returns once it is through.
func (s *stage) on(key persist.Key, f func(*part, *actor.Context)) bool {
	pid, ok := s.sys.Lookup(key)
	if !ok {
		return false
	}
	done := make(chan struct{})
	s.engine.Send(pid, func(p *part, c *actor.Context) {
		defer close(done)
		f(p, c)
	})
	return s.await(key, done)
}

// await returns when ch is closed, or false when the actor is gone before.
func (s *stage) await(key persist.Key, ch <-chan struct{}) bool {
	for {
		_, live := s.sys.Lookup(key)
		select {
		case <-ch:
			return true
		case <-time.After(200 * time.Microsecond):
			if !live {
				return false
			}
		}
	}
}

// view is what a test compares: every live actor, by key.
type view map[persist.Key]string

func (s *stage) look() view {
	v := view{}
	for key, err := range s.sys.Keys(s.ctx, "") {
		if err == nil {
			s.on(key, func(p *part, _ *actor.Context) { v[key] = p.describe() })
		}
	}
	return v
}

func (p *part) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "step %d, %x, bag", p.Step, p.Data)
	for _, k := range slices.Sorted(maps.Keys(p.Bag)) {
		fmt.Fprintf(&b, " %s=%d", k, p.Bag[k])
	}
	if p.Next != nil {
		fmt.Fprintf(&b, " -> %s", p.Next.describe())
	}
	return b.String()
}

// write makes p the state that step n leaves.
func (p *part) write(n int, data []byte) {
	p.Step, p.Data = n, bytes.Clone(data)
	if p.bare {
		return
	}
	delete(p.Bag, "constructor")
	p.Bag[fmt.Sprint(n%3)] = n
	p.Next = &part{Step: n}
}

// play runs the program on a disk and acknowledges on it what the callers were
// told. Errors that follow from the program itself (a key that exists already,
// an actor that is not live) are part of the game; others are returned.
func (s *stage) play(p program, m *model) error {
	for i, st := range p.steps {
		err := s.step(i+1, st, m)
		for _, expected := range []error{persist.ErrExists, persist.ErrNotFound, persist.ErrNotPersistent} {
			if errors.Is(err, expected) {
				err = nil
			}
		}
		if err != nil {
			return fmt.Errorf("step %d (%v): %w", i+1, st, err)
		}
	}
	return nil
}

func (s *stage) step(n int, st step, m *model) error {
	pid, live := s.sys.Lookup(st.key)
	switch st.verb {
	case "spawn":
		return s.spawn(n, st, m)
	case "work": // saved by the policy, or not at all
		s.on(st.key, func(p *part, _ *actor.Context) { p.write(n, st.data); m.may(st.key, p) })
		return nil
	case "save":
		var err error
		s.on(st.key, func(p *part, c *actor.Context) {
			p.write(n, st.data)
			m.may(st.key, p)
			if err = persist.Save(c); err == nil {
				m.acked(st.key, n)
			}
		})
		return err
	case "reply":
		return s.reply(n, st, m)
	case "tree":
		return s.saveTree(n, st.key, m)
	case "stop":
		if !live {
			return nil
		}
		states := s.statesIn(st.key)
		err := s.sys.Stop(s.ctx, pid)
		if err == nil && !m.faults { // under faults one may have failed before Stop came
			m.ackedAll(states)
		}
		return err
	case "back":
		_, err := s.sys.Respawn(s.ctx, st.key)
		return err
	}
	m.mayVanish(st.key, n)
	err := s.sys.Delete(s.ctx, st.key)
	if err == nil {
		m.vanished(st.key, n)
	}
	return err
}

func (s *stage) spawn(n int, st step, m *model) error {
	birth := func(p *part) { p.write(n, st.data); m.may(st.key, p) }
	var err error
	if st.key.Name() == "d" {
		_, err = s.plains.Spawn(s.ctx, s.sys, st.key, func(p *plain) { birth(&p.part) })
	} else {
		_, err = s.parts.Spawn(s.ctx, s.sys, st.key, birth)
	}
	if err == nil {
		m.acked(st.key, n)
	}
	return err
}

func (s *stage) reply(n int, st step, m *model) error {
	pid, live := s.sys.Lookup(st.key)
	if !live {
		return nil
	}
	answer := make(chan struct{})
	asker := s.engine.SpawnFunc(func(c *actor.Context) {
		if c.Message() == n {
			m.acked(st.key, n)
			close(answer)
		}
	}, "asker")
	s.engine.SendWithSender(pid, func(p *part, c *actor.Context) {
		p.write(n, st.data)
		m.may(st.key, p)
		_ = persist.Reply(c, n)
	}, asker)
	s.await(st.key, answer)
	<-s.engine.Poison(asker).Done()
	return nil
}

func (s *stage) saveTree(n int, key persist.Key, m *model) error {
	pid, live := s.sys.Lookup(key)
	if !live {
		return nil
	}
	for _, k := range treeKeys {
		if k.In(key) {
			s.on(k, func(p *part, _ *actor.Context) { p.write(n, nil); m.may(k, p) })
		}
	}
	states := s.statesIn(key)
	m.together = append(m.together, maps.Clone(states))
	err := s.sys.SaveTree(s.ctx, pid)
	maps.DeleteFunc(states, func(k persist.Key, _ int) bool { // under faults one may have failed before
		_, live := s.sys.Lookup(k)
		return !live
	})
	if err == nil {
		m.ackedAll(states)
	}
	return err
}

// statesIn returns the steps that the live actors at and below key are at.
func (s *stage) statesIn(key persist.Key) map[persist.Key]int {
	states := map[persist.Key]int{}
	for _, k := range treeKeys {
		if k.In(key) {
			s.on(k, func(p *part, _ *actor.Context) { states[k] = p.Step })
		}
	}
	return states
}
