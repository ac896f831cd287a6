package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/understudy-go/understudy/persist"
)

// Options say what [Run] may do beyond the contract; nil means nothing.
type Options struct {
	// Damage damages the newest stored state of key, in whatever way the medium
	// can be damaged. It is called while the store is closed, with at least one
	// later commit of another key on the medium. nil: damage is not tried.
	Damage func(key persist.Key) error
	// Large also tries a payload of persist.MaxPayload bytes, which needs about
	// 300 MB of memory and as much on the medium.
	Large bool
	// Rounds is how often the concurrent parts repeat; 0 means 20.
	Rounds int
}

// Run tries every rule on the store that open opens and returns all violations
// joined, each a [*Violation]; nil means that none was found. A rule that
// builds on one that was broken is not tried.
//
// open opens the same storage each time, empty at first; every store that it
// returned is closed before it is called again. A store that has no several
// keys in one commit, or is no [persist.TreeStore], is not tried on that.
func Run(open func() (persist.Store, error), o *Options) error {
	r := &run{open: open, broken: map[Rule]bool{}}
	if o != nil {
		r.opts = *o
	}
	if r.opts.Rounds <= 0 {
		r.opts.Rounds = 20
	}
	store, err := open()
	if err != nil {
		return &Violation{RuleOpen, fmt.Sprintf("open: %v", err)}
	}
	r.store = store
	for _, c := range checks {
		r.try(c)
	}
	if err := r.store.Close(); err != nil {
		r.violate(RuleClose, "the last Close: %v", err)
	}
	return errors.Join(r.violations...)
}

// check is how one rule is tried.
type check struct {
	rule  Rule
	needs []Rule // what it takes for granted
	do    func(*run) error
}

// checks is filled in order; see the constants.
var checks = []check{
	{RuleBase, nil, checkBase},
	{RuleRoundTrip, nil, checkRoundTrip},
	{RuleVersion, []Rule{RuleRoundTrip}, checkVersion},
	{RuleNotFound, []Rule{RuleRoundTrip}, checkNotFound},
	{RuleConflict, []Rule{RuleVersion, RuleNotFound}, checkConflict},
	{RuleDelete, []Rule{RuleNotFound, RuleVersion}, checkDelete},
	{RuleOnce, []Rule{RuleDelete}, checkOnce},
	{RuleBadChange, []Rule{RuleNotFound}, checkBadChange},
	{RuleBadKey, nil, checkBadKey},
	{RuleKeys, []Rule{RuleRoundTrip, RuleDelete}, checkKeys},
	{RuleSizes, []Rule{RuleRoundTrip}, checkSizes},
	{RuleOwnership, []Rule{RuleRoundTrip}, checkOwnership},
	{RuleAtomic, []Rule{RuleConflict, RuleNotFound}, checkAtomic},
	{RuleListOrder, []Rule{RuleKeys}, checkListOrder},
	{RuleListBounds, []Rule{RuleListOrder}, checkListBounds},
	{RuleTree, []Rule{RuleListBounds}, checkTree},
	{RuleView, []Rule{RuleTree, RuleAtomic}, checkView},
	{RuleConcurrent, []Rule{RuleConflict}, checkConcurrent},
	{RuleContext, []Rule{RuleNotFound}, checkContext},
	{RuleDamage, []Rule{RuleTree}, checkDamage},
	{RuleErrors, []Rule{RuleConflict}, checkErrors},
	{RuleClose, nil, checkClose},
}

// run is one Run.
type run struct {
	open       func() (persist.Store, error)
	opts       Options
	store      persist.Store // nil after an open failed
	broken     map[Rule]bool
	violations []error
}

func (r *run) try(c check) {
	for _, need := range append([]Rule{RuleOpen}, c.needs...) {
		if r.broken[need] {
			r.broken[c.rule] = true // so that what builds on this one is not tried either
			return
		}
	}
	if err := c.do(r); err != nil {
		r.violate(c.rule, "%v", err)
	}
}

func (r *run) violate(rule Rule, format string, args ...any) {
	r.broken[rule] = true
	r.violations = append(r.violations, &Violation{rule, fmt.Sprintf(format, args...)})
}

// reopen closes the store and opens it again.
func (r *run) reopen() error {
	if err := r.store.Close(); err != nil {
		return fmt.Errorf("Close: %w", err)
	}
	store, err := r.open()
	if err != nil {
		r.violate(RuleOpen, "open again: %v", err)
		return fmt.Errorf("open again: %w", err)
	}
	r.store = store
	return nil
}

// record makes a record of key whose every field says something.
func record(key persist.Key, payload string) *persist.Record {
	return &persist.Record{
		Key: key, Kind: "storetest", KindVersion: 7, Codec: "plain",
		Writer: persist.WriterID{1, 2, 3, 15: 255}, Seq: 1<<40 + 5, Payload: []byte(payload),
	}
}

// put commits one record.
func (r *run) put(key persist.Key, payload string, cond persist.Version) (persist.Version, error) {
	vs, err := r.store.Commit(context.Background(), persist.Change{Key: key, Put: record(key, payload), If: cond})
	if err != nil {
		return persist.Absent, fmt.Errorf("put %q if %q: %w", clip(key), cond, err)
	}
	if len(vs) != 1 {
		return persist.Absent, fmt.Errorf("put %q: %d versions came back for one change", clip(key), len(vs))
	}
	return vs[0], nil
}

// remove deletes one key.
func (r *run) remove(key persist.Key, cond persist.Version) error {
	vs, err := r.store.Commit(context.Background(), persist.Change{Key: key, If: cond})
	if err != nil {
		return fmt.Errorf("delete %q if %q: %w", clip(key), cond, err)
	}
	if len(vs) != 1 || vs[0] != persist.Absent {
		return fmt.Errorf("delete %q: versions %q came back, one Absent was expected", clip(key), vs)
	}
	return nil
}

// expect checks that key holds payload.
func (r *run) expect(key persist.Key, payload string) error {
	got, _, err := r.store.Load(context.Background(), key)
	if err != nil {
		return fmt.Errorf("load %q: %w", clip(key), err)
	}
	return same(got, record(key, payload))
}

// expectNone checks that nothing is stored under key.
func (r *run) expectNone(key persist.Key) error {
	got, _, err := r.store.Load(context.Background(), key)
	if err == nil {
		return fmt.Errorf("load %q: expected ErrNotFound, a record came: %s", clip(key), show(got))
	}
	if !errors.Is(err, persist.ErrNotFound) {
		return fmt.Errorf("load %q: expected ErrNotFound, got %w", clip(key), err)
	}
	return nil
}

func same(got persist.Record, want *persist.Record) error {
	w := *want
	if got.Key == w.Key && got.Kind == w.Kind && got.KindVersion == w.KindVersion && got.Codec == w.Codec &&
		got.Writer == w.Writer && got.Seq == w.Seq && bytes.Equal(got.Payload, w.Payload) && got.Fallback == nil {
		return nil
	}
	return fmt.Errorf("load %q: expected %s, got %s", clip(w.Key), show(w), show(got))
}

func show(r persist.Record) string {
	payload := r.Payload
	if len(payload) > 40 {
		payload = payload[:40]
	}
	s := fmt.Sprintf("{%q kind %s/%d codec %s writer %v seq %d payload of %d bytes %q", clip(r.Key), r.Kind, r.KindVersion,
		r.Codec, r.Writer, r.Seq, len(r.Payload), payload)
	if r.Fallback != nil {
		s += fmt.Sprintf(" fallback: %v", r.Fallback)
	}
	return s + "}"
}

func clip(k persist.Key) string {
	if len(k) > 60 {
		return string(k[:60]) + "…"
	}
	return string(k)
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
