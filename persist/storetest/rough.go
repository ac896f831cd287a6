package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/understudy-go/understudy/persist"
)

// checkView lets commits of all keys, which keep them equal, land while trees
// are loaded: each tree must show one value. A second writer counts up one key,
// then another: no tree may show the second ahead of the first.
func checkView(r *run) error {
	tree, ok := r.store.(persist.TreeStore)
	if !ok {
		return nil
	}
	const width = 6
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	key := func(i int) persist.Key { return persist.Key(fmt.Sprintf("view/%d", i)) }
	pair := [2]persist.Key{"view/0/first", "view/second"}
	var writers sync.WaitGroup
	var writeErr [2]error
	var stopped atomic.Int64
	var landed [2]atomic.Int64
	write := func(who int, next func(n int) error) {
		writers.Add(1)
		go func() {
			defer writers.Done()
			defer stopped.Add(1)
			for n := 1; ctx.Err() == nil && writeErr[who] == nil; n++ {
				writeErr[who] = next(n)
				landed[who].Add(1)
			}
		}()
	}
	write(0, func(n int) error {
		var cs []persist.Change
		for i := range width {
			c := persist.Change{Key: key(i), Put: record(key(i), strconv.Itoa(n)), If: persist.Any}
			if n%4 == 0 {
				c.Put = nil // all are deleted together, too
			}
			cs = append(cs, c)
		}
		_, err := r.store.Commit(context.Background(), cs...)
		return err
	})
	write(1, func(n int) error {
		for _, k := range pair {
			if _, err := r.put(k, strconv.Itoa(n), persist.Any); err != nil {
				return err
			}
		}
		return nil
	})
	patience := 10
	err := func() error {
		for met, idle := 0, 0; met <= r.opts.Rounds/20 && idle < 100_000; { // one would do; each waits for commits
			commits, err := oneView(tree, width, pair, &landed, &patience)
			if err != nil {
				return err
			}
			if stopped.Load() > 0 { // by an error
				break
			}
			if commits || patience == 0 {
				met++
				continue
			}
			idle++ // nothing was there yet, or all was deleted just then
			runtime.Gosched()
		}
		return nil
	}()
	stop()
	writers.Wait()
	return first(err, writeErr[0], writeErr[1])
}

// oneView loads the tree once. After each record it waits for commits to land,
// until its patience is used up. It says whether any did.
func oneView(tree persist.TreeStore, width int, pair [2]persist.Key, landed *[2]atomic.Int64, patience *int) (commits bool, err error) {
	seen := map[persist.Key]string{}
	values := map[string]int{}
	for l, err := range tree.LoadTree(context.Background(), "view") {
		if err != nil {
			return commits, fmt.Errorf("load the tree while commits land: %w", err)
		}
		seen[l.Key] = string(l.Payload)
		if l.Key != pair[0] && l.Key != pair[1] {
			values[string(l.Payload)]++
		}
		// The wall clock bounds the wait for a store that lets nothing land meanwhile.
		batches, pairs, waited := landed[0].Load(), landed[1].Load(), time.Now()
		for *patience > 0 && (landed[0].Load() <= batches+1 || landed[1].Load() <= pairs+1) { // let something land, if the store lets it
			if time.Since(waited) > 100*time.Millisecond { // by the wall clock
				*patience--
				break
			}
			runtime.Gosched()
		}
		commits = commits || landed[0].Load() > batches+1
	}
	if len(values) > 1 {
		return commits, fmt.Errorf("a tree shows %d states of keys that are only committed together: %v", len(values), values)
	}
	for v, n := range values {
		if n != width {
			return commits, fmt.Errorf("a tree shows %d of %d keys that are only committed together, with value %s", n, width, v)
		}
	}
	a, _ := strconv.Atoi(seen[pair[0]])
	b, _ := strconv.Atoi(seen[pair[1]])
	if b > a || a > b+1 {
		return commits, fmt.Errorf("a tree shows %q at %d and %q at %d; they are only counted up in this order", pair[0], a, pair[1], b)
	}
	return commits, nil
}

// checkConcurrent lets rivals increment one counter, each on the version that
// it has read: no increment may be lost.
func checkConcurrent(r *run) error {
	const rivals, key = 8, "concurrent/counter"
	if _, err := r.put(key, "0", persist.Any); err != nil {
		return err
	}
	errs := make([]error, rivals)
	var all sync.WaitGroup
	for i := range rivals {
		all.Add(1)
		go func() {
			defer all.Done()
			own := persist.Key(fmt.Sprintf("concurrent/own/%d", i))
			for n := 0; n < r.opts.Rounds && errs[i] == nil; n++ {
				if errs[i] = r.increment(key); errs[i] == nil {
					_, errs[i] = r.put(own, strconv.Itoa(n), persist.Any)
				}
				if errs[i] == nil {
					errs[i] = r.expect(own, strconv.Itoa(n))
				}
				_, _ = r.list("concurrent") // may or may not see what lands
			}
		}()
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := r.expect(key, strconv.Itoa(rivals*r.opts.Rounds)); err != nil {
		return fmt.Errorf("after %d increments, each on the version it had read: %w", rivals*r.opts.Rounds, err)
	}
	return nil
}

func (r *run) increment(key persist.Key) error {
	for {
		got, v, err := r.store.Load(context.Background(), key)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(got.Payload))
		if err != nil {
			return err
		}
		_, err = r.put(key, strconv.Itoa(n+1), v)
		if !errors.Is(err, persist.ErrConflict) {
			return err
		}
	}
}

func checkContext(r *run) error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	const key = "context/a"
	if _, err := r.store.Commit(ended, persist.Change{Key: key, Put: record(key, "1"), If: persist.Any}); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("a commit with an ended context: expected context.Canceled, got %v", err)
	}
	if err := r.expectNone(key); err != nil {
		return fmt.Errorf("after a commit with an ended context: %w", err)
	}
	if _, err := r.put(key, "2", persist.Any); err != nil {
		return err
	}
	if _, err := r.put(key+"/b", "2", persist.Any); err != nil {
		return err
	}
	if _, _, err := r.store.Load(ended, key); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("a load with an ended context: expected context.Canceled, got %v", err)
	}
	if err := listUntilCancelled(r.store); err != nil {
		return err
	}
	// Ended at some moment of the call: it happened in full or not at all.
	for n := range r.opts.Rounds {
		ctx, cancel := context.WithCancel(context.Background())
		go cancel()
		before, after := strconv.Itoa(n+1), strconv.Itoa(n+2)
		if n == 0 {
			before = "2"
		}
		_, err := r.store.Commit(ctx, persist.Change{Key: key, Put: record(key, after), If: persist.Any})
		cancel()
		want := after
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				return fmt.Errorf("a commit whose context ends during it: %w", err)
			}
			want = before
		}
		if err := r.expect(key, want); err != nil {
			return fmt.Errorf("a commit whose context ended during it returned %v: %w", errors.Unwrap(err), err)
		}
		if _, err := r.put(key, after, persist.Any); err != nil {
			return err
		}
	}
	return nil
}

func listUntilCancelled(store persist.Store) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last error
	for _, err := range store.List(ctx, "context") {
		last = err
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		return fmt.Errorf("a list whose context ends after the first key: expected context.Canceled at the end, got %v", last)
	}
	tree, ok := store.(persist.TreeStore)
	if !ok {
		return nil
	}
	last = nil
	for l, err := range tree.LoadTree(ctx, "context") {
		if last = err; l.Key != "" {
			return fmt.Errorf("a tree with an ended context yields %q", l.Key)
		}
	}
	if !errors.Is(last, context.Canceled) {
		return fmt.Errorf("a tree with an ended context: expected context.Canceled, got %v", last)
	}
	return nil
}

// checkDamage damages one key among others: it may be an error that says so, or
// an older state that says so, and nothing else; its neighbours are well.
func checkDamage(r *run) error {
	if r.opts.Damage == nil {
		return nil
	}
	const key, other, later = "damage/a", "damage/a/b", "damage/c"
	for _, p := range []string{"old", "new"} {
		if _, err := r.put(key, p, persist.Any); err != nil {
			return err
		}
	}
	for _, k := range []persist.Key{other, later} {
		if _, err := r.put(k, "well", persist.Any); err != nil {
			return err
		}
	}
	if err := r.store.Close(); err != nil {
		return err
	}
	damageErr := r.opts.Damage(key)
	store, err := r.open()
	if err != nil {
		if errors.Is(err, persist.ErrCorrupt) {
			r.broken[RuleOpen] = true // as it may; nothing more can be tried
			return nil
		}
		r.violate(RuleOpen, "open after damage: %v", err)
		return nil
	}
	r.store = store
	if damageErr != nil {
		return fmt.Errorf("the damage could not be done: %w", damageErr)
	}
	listed, err := r.list("damage")
	if err != nil || len(listed) != 3 {
		return fmt.Errorf("list after damage: expected three keys, got %q, error %v", listed, err)
	}
	if tree, ok := r.store.(persist.TreeStore); ok {
		n := 0
		for l, err := range tree.LoadTree(context.Background(), "damage") {
			if n++; l.Key == key {
				if judged := judgeDamage(l.Record, err); judged != nil {
					return fmt.Errorf("in its tree: %w", judged)
				}
			} else if err != nil {
				return fmt.Errorf("the neighbour %q of a damaged key: %w", l.Key, err)
			}
		}
		if n != 3 {
			return fmt.Errorf("a tree of three with a damaged key yields %d", n)
		}
	}
	for range 2 {
		got, _, err := r.store.Load(context.Background(), key)
		if judged := judgeDamage(got, err); judged != nil {
			return judged
		}
		if err := first(r.expect(other, "well"), r.expect(later, "well")); err != nil {
			return fmt.Errorf("a neighbour of a damaged key: %w", err)
		}
		if err := r.reopen(); err != nil {
			return err
		}
	}
	return nil
}

func judgeDamage(got persist.Record, err error) error {
	var corrupt *persist.CorruptError
	switch {
	case errors.As(err, &corrupt) && corrupt.Key == "damage/a" && corrupt.Reason != "":
		return nil
	case err != nil:
		return fmt.Errorf("load a damaged key: expected a *CorruptError that names it, got %w", err)
	case got.Fallback == nil || string(got.Payload) != "old":
		return fmt.Errorf("load a damaged key: expected the older record with Fallback set, or an error; got %s", show(got))
	}
	return nil
}

// checkClose comes last: it closes the store and opens it once more.
func checkClose(r *run) error {
	const key = "close/a"
	if _, err := r.put(key, "1", persist.Any); err != nil {
		return err
	}
	store := r.store
	if err := store.Close(); err != nil {
		return fmt.Errorf("Close: %w", err)
	}
	err := afterClose(store)
	if opened, openErr := r.open(); openErr == nil {
		r.store = opened
	} else {
		r.violate(RuleOpen, "open again: %v", openErr)
	}
	return err
}

func afterClose(store persist.Store) error {
	ctx := context.Background()
	const key = "close/a"
	if err := store.Close(); err != nil {
		return fmt.Errorf("a second Close: %w", err)
	}
	if _, _, err := store.Load(ctx, key); !errors.Is(err, persist.ErrClosed) {
		return fmt.Errorf("load after Close: expected ErrClosed, got %v", err)
	}
	if _, err := store.Commit(ctx, persist.Change{Key: key, Put: record(key, "2"), If: persist.Any}); !errors.Is(err, persist.ErrClosed) {
		return fmt.Errorf("commit after Close: expected ErrClosed, got %v", err)
	}
	var last error
	for _, err := range store.List(ctx, "") {
		last = err
	}
	if !errors.Is(last, persist.ErrClosed) {
		return fmt.Errorf("list after Close: expected ErrClosed, got %v", last)
	}
	if tree, ok := store.(persist.TreeStore); ok {
		last = nil
		for _, err := range tree.LoadTree(ctx, "") {
			last = err
		}
		if !errors.Is(last, persist.ErrClosed) {
			return fmt.Errorf("load a tree after Close: expected ErrClosed, got %v", last)
		}
	}
	return nil
}
