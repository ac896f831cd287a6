package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/understudy-go/understudy/persist"
)

// broken is a Memory with some methods replaced.
type broken struct {
	*Memory
	base   func() persist.Key
	load   func(context.Context, persist.Key) (persist.Record, persist.Version, error)
	commit func(context.Context, []persist.Change) ([]persist.Version, error)
	list   func(context.Context, persist.Key) iter.Seq2[persist.Entry, error]
	tree   func(context.Context, persist.Key) iter.Seq2[persist.Loaded, error]
	close  func() error
}

func (b *broken) Base() persist.Key {
	if b.base != nil {
		return b.base()
	}
	return b.Memory.Base()
}

func (b *broken) Load(ctx context.Context, k persist.Key) (persist.Record, persist.Version, error) {
	if b.load != nil {
		return b.load(ctx, k)
	}
	return b.Memory.Load(ctx, k)
}

func (b *broken) Commit(ctx context.Context, cs ...persist.Change) ([]persist.Version, error) {
	if b.commit != nil {
		return b.commit(ctx, cs)
	}
	return b.Memory.Commit(ctx, cs...)
}

func (b *broken) List(ctx context.Context, p persist.Key) iter.Seq2[persist.Entry, error] {
	if b.list != nil {
		return b.list(ctx, p)
	}
	return b.Memory.List(ctx, p)
}

func (b *broken) LoadTree(ctx context.Context, p persist.Key) iter.Seq2[persist.Loaded, error] {
	if b.tree != nil {
		return b.tree(ctx, p)
	}
	return b.Memory.LoadTree(ctx, p)
}

func (b *broken) Close() error {
	if b.close != nil {
		return b.close()
	}
	return b.Memory.Close()
}

// remembered is what a broken store remembers over a reopen.
type remembered struct {
	opens  int
	cached map[persist.Key]persist.Record
}

// brokenStores are stores that keep all rules but one.
var brokenStores = []struct {
	name   string
	rule   Rule
	breakf func(b *broken, m *Memory, r *remembered)
}{
	{"says another base after a reopen", RuleBase, func(b *broken, m *Memory, r *remembered) {
		b.base = func() persist.Key { return persist.Key(fmt.Sprintf("memory://test/%d", r.opens)) }
	}},
	{"loses the sequence number", RuleRoundTrip, func(b *broken, m *Memory, _ *remembered) {
		b.load = func(ctx context.Context, k persist.Key) (persist.Record, persist.Version, error) {
			rec, v, err := m.Load(ctx, k)
			rec.Seq = 0
			return rec, v, err
		}
	}},
	{"trims zeros from the end", RuleRoundTrip, func(b *broken, m *Memory, _ *remembered) {
		b.load = func(ctx context.Context, k persist.Key) (persist.Record, persist.Version, error) {
			rec, v, err := m.Load(ctx, k)
			rec.Payload = []byte(strings.TrimRight(string(rec.Payload), "\x00"))
			return rec, v, err
		}
	}},
	{"gives equal snapshots one version", RuleVersion, func(b *broken, m *Memory, _ *remembered) {
		b.commit = func(ctx context.Context, cs []persist.Change) ([]persist.Version, error) {
			for i, c := range cs {
				if c.Put == nil || c.If == persist.Absent {
					continue
				}
				if rec, v, err := m.Load(ctx, c.Key); err == nil && v == c.If && string(rec.Payload) == string(c.Put.Payload) && len(cs) == i+1 && i == 0 {
					return []persist.Version{v}, nil
				}
			}
			return m.Commit(ctx, cs...)
		}
	}},
	{"lists with another version", RuleVersion, func(b *broken, m *Memory, _ *remembered) {
		b.list = func(ctx context.Context, p persist.Key) iter.Seq2[persist.Entry, error] {
			return func(yield func(persist.Entry, error) bool) {
				for e, err := range m.List(ctx, p) {
					e.Version += "x"
					if !yield(e, err) {
						return
					}
				}
			}
		}
	}},
	{"invents an empty record for what is not there", RuleNotFound, func(b *broken, m *Memory, _ *remembered) {
		b.load = func(ctx context.Context, k persist.Key) (persist.Record, persist.Version, error) {
			rec, v, err := m.Load(ctx, k)
			if errors.Is(err, persist.ErrNotFound) {
				return persist.Record{Key: k}, "0", nil
			}
			return rec, v, err
		}
	}},
	{"ignores conditions on versions", RuleConflict, func(b *broken, m *Memory, _ *remembered) {
		b.commit = func(ctx context.Context, cs []persist.Change) ([]persist.Version, error) {
			cs = slices.Clone(cs)
			for i := range cs {
				if cs[i].If != persist.Absent {
					cs[i].If = persist.Any
				}
			}
			return m.Commit(ctx, cs...)
		}
	}},
	{"calls a conflict something else", RuleConflict, func(b *broken, m *Memory, _ *remembered) {
		b.commit = func(ctx context.Context, cs []persist.Change) ([]persist.Version, error) {
			vs, err := m.Commit(ctx, cs...)
			if errors.Is(err, persist.ErrConflict) {
				return nil, errors.New("precondition failed")
			}
			return vs, err
		}
	}},
	{"deletes what is below as well", RuleDelete, func(b *broken, m *Memory, _ *remembered) {
		b.commit = func(ctx context.Context, cs []persist.Change) ([]persist.Version, error) {
			vs, err := m.Commit(ctx, cs...)
			if err != nil || len(cs) != 1 || cs[0].Put != nil {
				return vs, err
			}
			var below []persist.Change
			for e := range m.List(ctx, cs[0].Key) {
				below = append(below, persist.Change{Key: e.Key, If: persist.Any})
			}
			_, err = m.Commit(ctx, below...)
			return vs, err
		}
	}},
	{"refuses to delete on Any what is not there", RuleDelete, func(b *broken, m *Memory, _ *remembered) {
		b.commit = func(ctx context.Context, cs []persist.Change) ([]persist.Version, error) {
			if len(cs) == 1 && cs[0].Put == nil && cs[0].If == persist.Any {
				if _, _, err := m.Load(ctx, cs[0].Key); err != nil {
					return nil, err
				}
			}
			return m.Commit(ctx, cs...)
		}
	}},
	{"starts its versions anew with each birth", RuleOnce, func(b *broken, m *Memory, _ *remembered) {
		renumber(b, m)
	}},
	{"takes a record under another key", RuleBadChange, func(b *broken, m *Memory, _ *remembered) {
		b.commit = func(ctx context.Context, cs []persist.Change) ([]persist.Version, error) {
			cs = slices.Clone(cs)
			for i, c := range cs {
				if c.Put != nil && c.Put.Key != c.Key {
					moved := *c.Put
					moved.Key = c.Key
					cs[i].Put = &moved
				}
			}
			return m.Commit(ctx, cs...)
		}
	}},
	{"cleans keys", RuleBadKey, func(b *broken, m *Memory, _ *remembered) {
		b.load = func(ctx context.Context, k persist.Key) (persist.Record, persist.Version, error) {
			return m.Load(ctx, persist.Key(strings.TrimSuffix(string(k), "/")))
		}
	}},
	{"folds case", RuleKeys, func(b *broken, m *Memory, r *remembered) {
		b.commit = func(ctx context.Context, cs []persist.Change) ([]persist.Version, error) {
			vs, err := m.Commit(ctx, cs...)
			for _, c := range cs {
				lower := persist.Key(strings.ToLower(string(c.Key)))
				if err == nil && lower != c.Key && c.Put != nil {
					if _, _, loadErr := m.Load(ctx, lower); loadErr == nil {
						_, _ = m.Commit(ctx, persist.Change{Key: lower, If: persist.Any})
					}
				}
			}
			return vs, err
		}
	}},
	{"cuts long payloads off", RuleSizes, func(b *broken, m *Memory, _ *remembered) {
		b.load = func(ctx context.Context, k persist.Key) (persist.Record, persist.Version, error) {
			rec, v, err := m.Load(ctx, k)
			rec.Payload = rec.Payload[:min(len(rec.Payload), 65535)]
			return rec, v, err
		}
	}},
	{"keeps the payload it was given", RuleOwnership, func(b *broken, m *Memory, r *remembered) {
		b.commit = func(ctx context.Context, cs []persist.Change) ([]persist.Version, error) {
			vs, err := m.Commit(ctx, cs...)
			if err == nil && len(cs) == 1 && cs[0].Put != nil && cs[0].Key.In("ownership") {
				r.cached[cs[0].Key] = *cs[0].Put
			}
			return vs, err
		}
		b.load = func(ctx context.Context, k persist.Key) (persist.Record, persist.Version, error) {
			rec, v, err := m.Load(ctx, k)
			if c, ok := r.cached[k]; ok && err == nil {
				return c, v, nil
			}
			return rec, v, err
		}
	}},
	{"commits what comes before a conflict", RuleAtomic, func(b *broken, m *Memory, _ *remembered) {
		b.commit = func(ctx context.Context, cs []persist.Change) ([]persist.Version, error) {
			if len(cs) < 2 {
				return m.Commit(ctx, cs...)
			}
			vs, err := m.Commit(ctx, cs...)
			if errors.Is(err, persist.ErrConflict) {
				_, _ = m.Commit(ctx, cs[0])
			}
			return vs, err
		}
	}},
	{"sorts bytes", RuleListOrder, func(b *broken, m *Memory, _ *remembered) {
		b.list = func(ctx context.Context, p persist.Key) iter.Seq2[persist.Entry, error] {
			return relist(ctx, m, p, func(es []persist.Entry) []persist.Entry {
				slices.SortFunc(es, func(a, b persist.Entry) int { return strings.Compare(string(a.Key), string(b.Key)) })
				return es
			})
		}
	}},
	{"lists siblings that begin alike", RuleListBounds, func(b *broken, m *Memory, _ *remembered) {
		b.list = func(ctx context.Context, p persist.Key) iter.Seq2[persist.Entry, error] {
			if persist.CheckStorePrefix(p) != nil || len(p) < len("list-bounds/p") {
				return m.List(ctx, p)
			}
			return func(yield func(persist.Entry, error) bool) {
				for e, err := range m.List(ctx, "") {
					if (err != nil || strings.HasPrefix(string(e.Key), string(p))) && !yield(e, err) {
						return
					}
				}
			}
		}
	}},
	{"leaves the prefix itself out", RuleListBounds, func(b *broken, m *Memory, _ *remembered) {
		b.list = func(ctx context.Context, p persist.Key) iter.Seq2[persist.Entry, error] {
			return relist(ctx, m, p, func(es []persist.Entry) []persist.Entry {
				return slices.DeleteFunc(es, func(e persist.Entry) bool { return e.Key == p && p.In("list-bounds") })
			})
		}
	}},
	{"leaves leaves out of trees", RuleTree, func(b *broken, m *Memory, _ *remembered) {
		b.tree = func(ctx context.Context, p persist.Key) iter.Seq2[persist.Loaded, error] {
			return func(yield func(persist.Loaded, error) bool) {
				for l, err := range m.LoadTree(ctx, p) {
					if l.Key.Name() != "c" && !yield(l, err) {
						return
					}
				}
			}
		}
	}},
	{"reads a tree key by key", RuleView, func(b *broken, m *Memory, _ *remembered) {
		b.tree = func(ctx context.Context, p persist.Key) iter.Seq2[persist.Loaded, error] {
			return func(yield func(persist.Loaded, error) bool) {
				for e, err := range m.List(ctx, p) {
					var l persist.Loaded
					if err == nil {
						l.Record, l.Version, err = m.Load(ctx, e.Key)
						l.Key = e.Key
						if errors.Is(err, persist.ErrNotFound) {
							continue
						}
					}
					if !yield(l, err) {
						return
					}
				}
			}
		}
	}},
	{"checks conditions before it locks", RuleConcurrent, func(b *broken, m *Memory, _ *remembered) {
		b.commit = func(ctx context.Context, cs []persist.Change) ([]persist.Version, error) {
			if len(cs) != 1 || cs[0].Key != "concurrent/counter" || cs[0].If == persist.Any {
				return m.Commit(ctx, cs...)
			}
			if _, v, err := m.Load(ctx, cs[0].Key); err != nil || v != cs[0].If {
				return nil, &persist.ConflictError{Key: cs[0].Key, Want: cs[0].If, Have: v}
			}
			for range 50 { // long enough for a rival
				runtime.Gosched()
			}
			cs[0].If = persist.Any
			return m.Commit(ctx, cs...)
		}
	}},
	{"ignores the context of a commit", RuleContext, func(b *broken, m *Memory, _ *remembered) {
		b.commit = func(ctx context.Context, cs []persist.Change) ([]persist.Version, error) {
			return m.Commit(context.WithoutCancel(ctx), cs...)
		}
	}},
	{"commits and then looks at the context", RuleContext, func(b *broken, m *Memory, _ *remembered) {
		b.commit = func(ctx context.Context, cs []persist.Change) ([]persist.Version, error) {
			vs, err := m.Commit(context.WithoutCancel(ctx), cs...)
			return vs, errors.Join(err, ctx.Err())
		}
	}},
	{"takes damage for absence", RuleDamage, func(b *broken, m *Memory, _ *remembered) {
		b.load = func(ctx context.Context, k persist.Key) (persist.Record, persist.Version, error) {
			rec, v, err := m.Load(ctx, k)
			if errors.Is(err, persist.ErrCorrupt) {
				return rec, v, fmt.Errorf("load %q: %w", string(k), persist.ErrNotFound)
			}
			return rec, v, err
		}
	}},
	{"falls back and does not say so", RuleDamage, func(b *broken, m *Memory, _ *remembered) {
		b.load = func(ctx context.Context, k persist.Key) (persist.Record, persist.Version, error) {
			rec, v, err := m.Load(ctx, k)
			if errors.Is(err, persist.ErrCorrupt) {
				return *record(k, "old"), "1", nil
			}
			return rec, v, err
		}
	}},
	{"does not name the key", RuleErrors, func(b *broken, m *Memory, _ *remembered) {
		b.load = func(ctx context.Context, k persist.Key) (persist.Record, persist.Version, error) {
			rec, v, err := m.Load(ctx, k)
			if errors.Is(err, persist.ErrNotFound) {
				err = persist.ErrNotFound
			}
			return rec, v, err
		}
	}},
	{"goes on after Close", RuleClose, func(b *broken, m *Memory, _ *remembered) {
		b.close = func() error { return nil }
	}},
	{"minds a second Close", RuleClose, func(b *broken, m *Memory, _ *remembered) {
		closed := false
		b.close = func() error {
			if closed {
				return persist.ErrClosed
			}
			closed = true
			return m.Close()
		}
	}},
}

// relist lists m, changed as a whole.
func relist(ctx context.Context, m *Memory, p persist.Key, change func([]persist.Entry) []persist.Entry) iter.Seq2[persist.Entry, error] {
	return func(yield func(persist.Entry, error) bool) {
		var all []persist.Entry
		for e, err := range m.List(context.WithoutCancel(ctx), p) {
			if err != nil {
				yield(e, err)
				return
			}
			all = append(all, e)
		}
		for _, e := range change(all) {
			if err := ctx.Err(); err != nil {
				yield(persist.Entry{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// renumber shows the sequence number of a key's put since its birth as version.
func renumber(b *broken, m *Memory) {
	b.commit = func(ctx context.Context, cs []persist.Change) ([]persist.Version, error) {
		if len(cs) != 1 || !cs[0].Key.In("once") || cs[0].If == persist.Any {
			return m.Commit(ctx, cs...)
		}
		c := cs[0]
		if c.If == "1" {
			c.If = persist.Any
		}
		vs, err := m.Commit(ctx, c)
		if err == nil && c.Put != nil {
			vs[0] = "1"
		}
		return vs, err
	}
}

func TestEveryBrokenStoreIsCaughtOnItsOwnRule(t *testing.T) {
	for _, tc := range brokenStores {
		t.Run(tc.name, func(t *testing.T) {
			m, r := NewMemory(""), &remembered{cached: map[persist.Key]persist.Record{}}
			open := func() (persist.Store, error) {
				r.opens++
				b := &broken{Memory: m.Reopen()}
				tc.breakf(b, b.Memory, r)
				return b, nil
			}
			got := rules(Run(open, &Options{Damage: flip(m), Rounds: 60}))
			if !slices.Equal(got, []Rule{tc.rule}) {
				t.Fatalf("expected a violation of %q alone, got %v", tc.rule, got)
			}
		})
	}
}

// A store that cannot do several keys at once may say so, before it writes.
func TestAStoreWithoutBatchesIsNotTriedOnThem(t *testing.T) {
	m := NewMemory("")
	open := func() (persist.Store, error) { return single{m.Reopen()}, nil }
	if err := Run(open, nil); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreThatDoesNotOpenAgainIsCaught(t *testing.T) {
	m, opens := NewMemory(""), 0
	open := func() (persist.Store, error) {
		if opens++; opens > 1 {
			return nil, errors.New("not again")
		}
		return m.Reopen(), nil
	}
	if got := rules(Run(open, nil)); !slices.Contains(got, RuleOpen) {
		t.Fatalf("expected a violation of %q, got %v", RuleOpen, got)
	}
}

// single is a Memory without batches and trees.
type single struct{ m *Memory }

func (s single) Base() persist.Key { return s.m.Base() }
func (s single) Close() error      { return s.m.Close() }
func (s single) Load(ctx context.Context, k persist.Key) (persist.Record, persist.Version, error) {
	return s.m.Load(ctx, k)
}
func (s single) List(ctx context.Context, p persist.Key) iter.Seq2[persist.Entry, error] {
	return s.m.List(ctx, p)
}
func (s single) Commit(ctx context.Context, cs ...persist.Change) ([]persist.Version, error) {
	if len(cs) > 1 {
		if err := persist.CheckChanges(cs); err != nil {
			return nil, err
		}
		return nil, errors.ErrUnsupported
	}
	return s.m.Commit(ctx, cs...)
}

// rules returns the rules that err says were broken.
func rules(err error) []Rule {
	var all []Rule
	var walk func(error)
	walk = func(err error) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range joined.Unwrap() {
				walk(e)
			}
			return
		}
		var v *Violation
		if errors.As(err, &v) {
			all = append(all, v.Rule)
		}
	}
	walk(err)
	return all
}
