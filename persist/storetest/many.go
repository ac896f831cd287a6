package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/understudy-go/understudy/persist"
)

// supports says whether a commit of several keys is supported, from what one
// returned.
func supports(err error) bool { return !errors.Is(err, errors.ErrUnsupported) }

func checkAtomic(r *run) error {
	ctx := context.Background()
	key := func(i int) persist.Key { return persist.Key(fmt.Sprintf("atomic/%d/x", i)) }
	var births []persist.Change
	for i := range 5 {
		births = append(births, persist.Change{Key: key(i), Put: record(key(i), "1"), If: persist.Absent})
	}
	vs, err := r.store.Commit(ctx, births...)
	if !supports(err) {
		if _, isTree := r.store.(persist.TreeStore); isTree {
			return fmt.Errorf("a TreeStore refuses several keys: %w", err)
		}
		return r.expectNone(key(0))
	}
	if err != nil || len(vs) != len(births) {
		return fmt.Errorf("a commit of %d births: %d versions, error %v", len(births), len(vs), err)
	}
	for i, v := range vs {
		if _, got, err := r.store.Load(ctx, key(i)); err != nil || got != v {
			return fmt.Errorf("load %q: version %q (error %v), the commit said %q in place %d", key(i), got, err, v, i)
		}
	}
	// Put, delete, birth; the condition in the middle, then at the end, fails.
	for _, bad := range []int{1, 3} {
		cs := []persist.Change{
			{Key: key(0), Put: record(key(0), "2"), If: vs[0]},
			{Key: key(1), Put: record(key(1), "2"), If: vs[1]},
			{Key: key(2), If: vs[2]},
			{Key: key(3), Put: record(key(3), "2"), If: vs[3]},
		}
		cs[bad].If = "no store gives this"
		_, err := r.store.Commit(ctx, cs...)
		var conflict *persist.ConflictError
		if !errors.As(err, &conflict) || conflict.Key != key(bad) {
			return fmt.Errorf("a commit whose change %d conflicts: expected a *ConflictError of %q, got %v", bad, key(bad), err)
		}
		for i := range 5 {
			if err := r.expect(key(i), "1"); err != nil {
				return fmt.Errorf("after a commit that failed: %w", err)
			}
		}
	}
	vs, err = r.store.Commit(ctx,
		persist.Change{Key: key(0), Put: record(key(0), "2"), If: vs[0]},
		persist.Change{Key: key(1), If: vs[1]},
		persist.Change{Key: key(9), Put: record(key(9), "2"), If: persist.Absent})
	if err != nil || len(vs) != 3 || vs[1] != persist.Absent {
		return fmt.Errorf("a put, a delete and a birth: versions %q, error %v", vs, err)
	}
	for range 2 {
		if err := first(r.expect(key(0), "2"), r.expectNone(key(1)), r.expect(key(2), "1"), r.expect(key(9), "2")); err != nil {
			return fmt.Errorf("after a put, a delete and a birth: %w", err)
		}
		if err := r.reopen(); err != nil {
			return err
		}
	}
	return nil
}

// orderly is a set of keys whose order a bytewise sort gets wrong.
var orderly = []persist.Key{
	"p", "p/a", "p/a/b", "p/a/b/c", "p/a/é", "p/a!", "p/a-b", "p/a.b", "p/ab", "p/b", "p/z/z/z", "p!", "p-", "p-/a", "p.q", "p0", "pa", "q/deep/only",
}

func (r *run) plant(under persist.Key) ([]persist.Key, error) {
	var keys []persist.Key
	for _, k := range orderly {
		k = under + "/" + k
		if _, err := r.put(k, string(k), persist.Any); err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b persist.Key) int { return a.Compare(b) })
	return keys, nil
}

func (r *run) list(prefix persist.Key) ([]persist.Key, error) {
	var got []persist.Key
	for e, err := range r.store.List(context.Background(), prefix) {
		if err != nil {
			return nil, fmt.Errorf("list %q: %w", prefix, err)
		}
		got = append(got, e.Key)
	}
	return got, nil
}

func checkListOrder(r *run) error {
	if _, err := r.plant("list-order"); err != nil {
		return err
	}
	for _, prefix := range []persist.Key{"list-order", ""} {
		got, err := r.list(prefix)
		if err != nil {
			return err
		}
		for i := 1; i < len(got); i++ {
			if got[i-1].Compare(got[i]) >= 0 {
				return fmt.Errorf("list %q: %q comes before %q", prefix, clip(got[i-1]), clip(got[i]))
			}
		}
	}
	n := 0
	for range r.store.List(context.Background(), "list-order") {
		if n++; n == 3 {
			break // must end the sequence, not panic
		}
	}
	return nil
}

func checkListBounds(r *run) error {
	all, err := r.plant("list-bounds")
	if err != nil {
		return err
	}
	gone := persist.Key("list-bounds/p/a-b")
	if err := r.remove(gone, persist.Any); err != nil {
		return err
	}
	for range 2 {
		for _, rel := range []persist.Key{"", "/p", "/p/a", "/p/a/b", "/p/a/b/c", "/q", "/q/deep/only", "/nothing", "/p/a-b"} {
			prefix := "list-bounds" + rel
			var want []persist.Key
			for _, k := range all {
				if k.In(prefix) && k != gone {
					want = append(want, k)
				}
			}
			got, err := r.list(prefix)
			if err != nil {
				return err
			}
			if !slices.Equal(got, want) {
				return fmt.Errorf("list %q: expected %q, got %q", prefix, want, got)
			}
		}
		if err := r.reopen(); err != nil {
			return err
		}
	}
	return nil
}

func checkTree(r *run) error {
	tree, ok := r.store.(persist.TreeStore)
	if !ok {
		return nil
	}
	ctx := context.Background()
	all, err := r.plant("tree")
	if err != nil {
		return err
	}
	for _, prefix := range []persist.Key{"tree", "tree/p", "tree/p/a", "tree/q/deep/only", "tree/nothing"} {
		var want, got []persist.Key
		for _, k := range all {
			if k.In(prefix) {
				want = append(want, k)
			}
		}
		for l, err := range tree.LoadTree(ctx, prefix) {
			if err != nil {
				return fmt.Errorf("load the tree of %q: %w", prefix, err)
			}
			_, v, err := r.store.Load(ctx, l.Key)
			if err != nil || v != l.Version {
				return fmt.Errorf("load %q: version %q (error %v), its tree said %q", l.Key, v, err, l.Version)
			}
			if err := same(l.Record, record(l.Key, string(l.Key))); err != nil {
				return fmt.Errorf("load the tree of %q: %w", prefix, err)
			}
			got = append(got, l.Key)
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("load the tree of %q: expected %q, got %q", prefix, want, got)
		}
	}
	for range tree.LoadTree(ctx, "tree") {
		break // must end the sequence, not panic
	}
	return nil
}
