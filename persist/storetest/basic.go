package storetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/understudy-go/understudy/persist"
)

func checkBase(r *run) error {
	base := r.store.Base()
	parsed, err := persist.ParseKey(string(base))
	switch {
	case err != nil:
		return fmt.Errorf("Base: %w", err)
	case parsed != base || !base.IsAbsolute():
		return fmt.Errorf("Base is %q, not an absolute key in its normal form", base)
	}
	if err := r.reopen(); err != nil {
		return err
	}
	if again := r.store.Base(); again != base {
		return fmt.Errorf("Base was %q and is %q after a reopen", base, again)
	}
	return nil
}

func checkRoundTrip(r *run) error {
	var payloads []string
	for _, p := range []string{"one", "\x00\x00\x00", strings.Repeat("z", 4096), strings.Repeat("\xff\x00ab", 5000)} {
		payloads = append(payloads, p, p+"!")
	}
	for i, p := range payloads {
		key := persist.Key(fmt.Sprintf("round-trip/%d", i/2))
		if _, err := r.put(key, p, persist.Any); err != nil {
			return err
		}
		if err := r.expect(key, p); err != nil {
			return err
		}
	}
	if err := r.reopen(); err != nil {
		return err
	}
	for i := 1; i < len(payloads); i += 2 {
		if err := r.expect(persist.Key(fmt.Sprintf("round-trip/%d", i/2)), payloads[i]); err != nil {
			return fmt.Errorf("after a reopen: %w", err)
		}
	}
	return nil
}

func checkVersion(r *run) error {
	const key = "version/a"
	seen := map[persist.Version]bool{persist.Absent: true, persist.Any: true}
	cond := persist.Absent
	for i := range 5 {
		v, err := r.put(key, "same", cond)
		if err != nil {
			return err
		}
		if seen[v] {
			return fmt.Errorf("put %d of %q has the version %q, which is taken", i, key, v)
		}
		seen[v], cond = true, v
		if _, got, err := r.store.Load(context.Background(), key); err != nil || got != v {
			return fmt.Errorf("load %q: version %q (error %v), Commit said %q", key, got, err, v)
		}
		if i == 2 {
			if err := r.reopen(); err != nil {
				return err
			}
			if _, got, err := r.store.Load(context.Background(), key); err != nil || got != v {
				return fmt.Errorf("after a reopen, load %q: version %q (error %v), Commit said %q", key, got, err, v)
			}
		}
	}
	for e, err := range r.store.List(context.Background(), key) {
		if err == nil && e.Key == key && e.Version != cond {
			return fmt.Errorf("list %q: version %q, Commit said %q", key, e.Version, cond)
		}
	}
	return nil
}

func checkNotFound(r *run) error {
	if _, err := r.put("not-found/there/deep", "x", persist.Any); err != nil {
		return err
	}
	for _, key := range []persist.Key{"not-found", "not-found/there", "not-found/ther", "not-found/there/deep/er", "not-found/nowhere/at/all"} {
		if err := r.expectNone(key); err != nil {
			return err
		}
		if _, _, err := r.store.Load(context.Background(), key); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("load %q: the error does not match fs.ErrNotExist: %v", key, err)
		}
	}
	return nil
}

func checkConflict(r *run) error {
	const key = "conflict/a"
	v1, err := r.put(key, "1", persist.Absent)
	if err != nil {
		return err
	}
	v2, err := r.put(key, "2", v1)
	if err != nil {
		return err
	}
	tries := []persist.Change{
		{Key: key, Put: record(key, "3"), If: persist.Absent},
		{Key: key, Put: record(key, "3"), If: v1},
		{Key: key, If: v1},
		{Key: key, Put: record(key, "3"), If: "no store gives this"},
		{Key: "conflict/none", Put: record("conflict/none", "3"), If: v2},
		{Key: "conflict/none", If: v2},
	}
	for _, c := range tries {
		_, err := r.store.Commit(context.Background(), c)
		var conflict *persist.ConflictError
		switch {
		case err == nil:
			return fmt.Errorf("commit on %q if %q succeeded, the newest version is %q", c.Key, c.If, v2)
		case !errors.Is(err, persist.ErrConflict) || !errors.As(err, &conflict):
			return fmt.Errorf("commit on %q if %q: expected a *ConflictError, got %v", c.Key, c.If, err)
		case conflict.Key != c.Key || conflict.Want != c.If:
			return fmt.Errorf("commit on %q if %q: the conflict names %q and %q", c.Key, c.If, conflict.Key, conflict.Want)
		}
	}
	if err := first(r.expect(key, "2"), r.expectNone("conflict/none")); err != nil {
		return fmt.Errorf("after conflicts: %w", err)
	}
	if _, err = r.put(key, "4", v2); err == nil {
		_, err = r.put(key, "5", persist.Any)
	}
	return first(err, r.expect(key, "5"))
}

func checkDelete(r *run) error {
	keys := []persist.Key{"delete", "delete/a", "delete/a/b", "delete/ab"}
	versions := map[persist.Key]persist.Version{}
	for _, k := range keys {
		v, err := r.put(k, "x", persist.Any)
		if err != nil {
			return err
		}
		versions[k] = v
	}
	if err := r.remove("delete/a", versions["delete/a"]); err != nil {
		return err
	}
	check := func(when string) error {
		err := first(r.expectNone("delete/a"), r.expect("delete", "x"), r.expect("delete/a/b", "x"), r.expect("delete/ab", "x"))
		if err != nil {
			return fmt.Errorf("%s: %w", when, err)
		}
		return nil
	}
	if err := check("after the delete of delete/a"); err != nil {
		return err
	}
	if err := r.reopen(); err != nil {
		return err
	}
	if err := check("after the delete of delete/a and a reopen"); err != nil {
		return err
	}
	if err := r.remove("delete/a", persist.Any); err != nil {
		return fmt.Errorf("on Any, of what is not there: %w", err)
	}
	if _, err := r.put("delete/a", "again", persist.Absent); err != nil {
		return fmt.Errorf("a birth after the delete: %w", err)
	}
	return r.expect("delete/a", "again")
}

func checkOnce(r *run) error {
	const key = "once/a"
	seen := map[persist.Version]int{}
	for i := range 12 {
		v, err := r.put(key, "same", persist.Absent)
		if err != nil {
			return err
		}
		if before, ok := seen[v]; ok {
			return fmt.Errorf("birth %d of %q has the version %q, as birth %d had", i, key, v, before)
		}
		seen[v] = i
		if err := r.remove(key, v); err != nil {
			return err
		}
		if i%3 == 2 {
			if err := r.reopen(); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkBadChange(r *run) error {
	a, b := persist.Key("bad-change/a"), persist.Key("bad-change/b")
	noKind := record(a, "x")
	noKind.Kind = ""
	longCodec := record(a, "x")
	longCodec.Codec = strings.Repeat("c", 256)
	tries := map[string][]persist.Change{
		"a key twice":          {{Key: a, Put: record(a, "1"), If: persist.Any}, {Key: a, Put: record(a, "2"), If: persist.Any}},
		"a delete of Absent":   {{Key: a, If: persist.Absent}},
		"a record elsewhere":   {{Key: b, Put: record(a, "1"), If: persist.Any}},
		"a record of no kind":  {{Key: a, Put: noKind, If: persist.Any}},
		"a codec of 256 bytes": {{Key: a, Put: longCodec, If: persist.Any}},
	}
	for _, name := range sortedNames(tries) {
		if _, err := r.store.Commit(context.Background(), tries[name]...); !errors.Is(err, persist.ErrBadChange) {
			return fmt.Errorf("%s: expected ErrBadChange, got %v", name, err)
		}
		if err := first(r.expectNone(a), r.expectNone(b)); err != nil {
			return fmt.Errorf("after %s: %w", name, err)
		}
	}
	if vs, err := r.store.Commit(context.Background()); err != nil || len(vs) != 0 {
		return fmt.Errorf("a commit of no change: versions %q, error %v", vs, err)
	}
	return nil
}

func checkOwnership(r *run) error {
	const key = "ownership/a"
	given := record(key, "as it was")
	if _, err := r.store.Commit(context.Background(), persist.Change{Key: key, Put: given, If: persist.Any}); err != nil {
		return err
	}
	copy(given.Payload, "scribbled")
	if err := r.expect(key, "as it was"); err != nil {
		return fmt.Errorf("after the caller changed the record it had committed: %w", err)
	}
	got, _, err := r.store.Load(context.Background(), key)
	if err != nil {
		return err
	}
	copy(got.Payload, "scribbled")
	if err := r.expect(key, "as it was"); err != nil {
		return fmt.Errorf("after the caller changed the record it had loaded: %w", err)
	}
	return nil
}

func checkErrors(r *run) error {
	const key = "errors/a-key-to-be-named"
	_, _, err := r.store.Load(context.Background(), key)
	if err == nil || !strings.Contains(err.Error(), key) {
		return fmt.Errorf("load %q: the error does not name it: %v", key, err)
	}
	_, err = r.store.Commit(context.Background(), persist.Change{Key: key, Put: record(key, "x"), If: "not this"})
	if err == nil || !strings.Contains(err.Error(), key) {
		return fmt.Errorf("commit on %q: the error does not name it: %v", key, err)
	}
	return nil
}
