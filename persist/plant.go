package persist

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/anthdm/hollywood/actor"
)

// revive makes an actor from a record.
func (s *System) revive(p *plan, key Key, rec *Record) (actor.Receiver, error) {
	codec := s.codecs[rec.Codec]
	if codec == nil {
		return nil, fmt.Errorf("read %q: %w %q", string(key), ErrUnknownCodec, rec.Codec)
	}
	return p.decode(key, rec, codec)
}

// grove is what was read of a part of the key space, constructed and claimed.
type grove struct {
	roots  []*shell // in key order; their descendants hang below them
	failed []*RespawnError
	passed []*shell // live already
}

// gather reads the tree of a place and plants it. Whatever was ending in it has
// ended before, and where something ended meanwhile, after it was read and
// before its key was claimed, all is read again: what was read may be older than
// a final save.
func (s *System) gather(ctx context.Context, at place, wait waiter) (*grove, error) {
	for {
		if err := s.awaitEndings(at.key, wait); err != nil {
			return nil, err
		}
		watch := s.census.watch(at.key)
		found, errs, err := s.loadTree(ctx, at)
		if err != nil {
			s.census.unwatch(watch)
			return nil, err
		}
		g := s.plant(at.mount, found, errs)
		ended := s.census.unwatch(watch)
		if !ended && !slices.ContainsFunc(g.passed, func(sh *shell) bool { return !sh.stays() }) {
			return g, nil
		}
		g.abandon()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// plant constructs the actors of records in key order, side by side, claims
// their keys and hangs each below its nearest ancestor. What is live already is
// passed over. Each failure takes its descendants along.
func (s *System) plant(m *mount, found []Loaded, errs []*RespawnError) *grove {
	shells := make([]*shell, len(found))
	taken := make([]bool, len(found))
	reasons := make([]error, len(found))
	s.sideBySide(len(found), func(i int) {
		reasons[i] = &PanicError{Key: m.canonical(found[i].Key), In: "its constructor or Restore"} // stands if Goexit takes us away
		shells[i], taken[i], reasons[i] = s.sow(m, &found[i])
	})
	g := &grove{failed: errs}
	for i, err := range reasons {
		if err != nil {
			g.failed = append(g.failed, &RespawnError{Key: m.canonical(found[i].Key), Err: err})
		}
	}
	direct := map[Key]bool{}
	for _, f := range g.failed {
		direct[f.Key] = true
	}
	var path []*shell // the shells above the present one
	for i, sh := range shells {
		if sh == nil {
			continue
		}
		if taken[i] {
			g.passed = append(g.passed, sh)
			continue
		}
		if above, hurt := ancestorIn(direct, sh.key); hurt {
			g.failed = append(g.failed, &RespawnError{Key: sh.key, Err: fmt.Errorf("its ancestor %q did not come back", string(above))})
			continue
		}
		if other := s.census.claim(sh); other != nil {
			g.passed = append(g.passed, other)
			continue
		}
		for len(path) > 0 && !sh.key.In(path[len(path)-1].key) {
			path = path[:len(path)-1]
		}
		if len(path) == 0 {
			g.roots = append(g.roots, sh)
		} else {
			top := path[len(path)-1]
			top.kids = append(top.kids, sh)
		}
		path = append(path, sh)
	}
	slices.SortFunc(g.failed, func(a, b *RespawnError) int { return a.Key.Compare(b.Key) })
	return g
}

// ancestorIn returns the nearest ancestor of key that is in the set.
func ancestorIn(set map[Key]bool, key Key) (Key, bool) {
	for k, ok := key.Parent(); ok && len(set) > 0; k, ok = k.Parent() {
		if set[k] {
			return k, true
		}
	}
	return "", false
}

// abandon gives up all keys that were claimed.
func (g *grove) abandon() {
	for _, sh := range g.roots {
		sh.abandon()
	}
}

// announce tells of what failed, and returns it.
func (g *grove) announce(s *System) (errs []error) {
	for _, f := range g.failed {
		s.engine.BroadcastEvent(RespawnFailed{Key: f.Key, Err: f.Err})
		errs = append(errs, f)
	}
	return errs
}

// root returns the shell of key, where it was planted.
func (g *grove) root(key Key) *shell {
	if len(g.roots) > 0 && g.roots[0].key == key {
		return g.roots[0]
	}
	return nil
}

// hurtRoots returns the roots in whose trees something failed. Both lists are in
// key order, and the failures of a tree follow its root.
func (g *grove) hurtRoots() map[*shell]bool {
	hurt := map[*shell]bool{}
	i := 0
	for _, f := range g.failed {
		for i < len(g.roots) && !f.Key.In(g.roots[i].key) && g.roots[i].key.Compare(f.Key) < 0 {
			i++
		}
		if i < len(g.roots) && f.Key.In(g.roots[i].key) {
			hurt[g.roots[i]] = true
		}
	}
	return hurt
}

func (g *grove) hasFailed(key Key) bool {
	return slices.ContainsFunc(g.failed, func(f *RespawnError) bool { return f.Key == key })
}

func (g *grove) hasPassed(key Key) bool {
	return slices.ContainsFunc(g.passed, func(sh *shell) bool { return sh.key == key })
}

// sow makes one shell with its actor, or returns the one that has the key.
func (s *System) sow(m *mount, rec *Loaded) (sh *shell, taken bool, err error) {
	key := m.canonical(rec.Key)
	if other := s.census.at(key); other != nil {
		return other, true, nil
	}
	p := s.plans[rec.Kind]
	if p == nil {
		return nil, false, fmt.Errorf("%w %q: it is not among Options.Kinds", ErrUnknownKind, rec.Kind)
	}
	r, err := s.revive(p, key, &rec.Record)
	if err != nil {
		return nil, false, err
	}
	sh = s.newShell(place{m, key, rec.Key}, p)
	if err := sh.adopt(r); err != nil {
		return nil, false, err
	}
	sh.version, sh.seq, sh.fallback = rec.Version, rec.Seq, rec.Fallback
	if rec.Kind == p.name && rec.KindVersion == p.version && rec.Codec == p.codec.Name() {
		sh.sum = sha256.Sum256(rec.Payload)
	} // else the next save writes the new form
	return sh, false, nil
}
