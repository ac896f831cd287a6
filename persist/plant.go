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

// plant constructs the actors of records in key order, side by side, claims
// their keys and hangs each below its nearest ancestor. Roots are returned.
// What is live already is passed over. Each failure takes its descendants along.
func (s *System) plant(ctx context.Context, m *mount, found []Loaded, errs []*RespawnError) (roots []*shell, failed []*RespawnError) {
	shells := make([]*shell, len(found))
	reasons := make([]error, len(found))
	s.sideBySide(len(found), func(i int) {
		shells[i], reasons[i] = s.sow(m, &found[i])
	})
	failed = errs
	for i, err := range reasons {
		if err != nil {
			failed = append(failed, &RespawnError{Key: m.canonical(found[i].Key), Err: err})
		}
	}
	slices.SortFunc(failed, func(a, b *RespawnError) int { return a.Key.Compare(b.Key) })
	direct := slices.Clone(failed)
	var path []*shell // the shells above the present one
	for _, sh := range shells {
		if sh == nil {
			continue
		}
		if j := slices.IndexFunc(direct, func(f *RespawnError) bool { return sh.key.In(f.Key) }); j >= 0 {
			failed = append(failed, &RespawnError{Key: sh.key, Err: fmt.Errorf("its ancestor %q did not come back", string(direct[j].Key))})
			continue
		}
		if other := s.census.claim(sh); other != nil {
			continue
		}
		for len(path) > 0 && !sh.key.In(path[len(path)-1].key) {
			path = path[:len(path)-1]
		}
		if len(path) == 0 {
			roots = append(roots, sh)
		} else {
			top := path[len(path)-1]
			top.kids = append(top.kids, sh)
		}
		path = append(path, sh)
	}
	for _, f := range failed {
		s.engine.BroadcastEvent(RespawnFailed{Key: f.Key, Err: f.Err})
	}
	return roots, failed
}

// sow makes one shell with its actor, or nil where the actor is live.
func (s *System) sow(m *mount, rec *Loaded) (*shell, error) {
	key := m.canonical(rec.Key)
	if s.census.at(key) != nil {
		return nil, nil
	}
	p := s.plans[rec.Kind]
	if p == nil {
		return nil, fmt.Errorf("%w %q: it is not among Options.Kinds", ErrUnknownKind, rec.Kind)
	}
	r, err := s.revive(p, key, &rec.Record)
	if err != nil {
		return nil, err
	}
	sh := s.newShell(place{m, key, rec.Key}, p)
	sh.adopt(r)
	sh.version, sh.seq, sh.fallback = rec.Version, rec.Seq, rec.Fallback
	if rec.Kind == p.name && rec.KindVersion == p.version && rec.Codec == p.codec.Name() {
		sh.sum = sha256.Sum256(rec.Payload)
	} // else the next save writes the new form
	return sh, nil
}
