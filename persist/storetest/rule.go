package storetest

import "fmt"

// Rule is one sentence of the contract of [persist.Store] or
// [persist.TreeStore], by a short name.
type Rule string

// The rules that [Run] tries, in the order in which it does.
const (
	RuleBase       Rule = "base"        // Base is an absolute key in its normal form, and stays
	RuleRoundTrip  Rule = "round-trip"  // what was committed is what is loaded, after a reopen too
	RuleVersion    Rule = "version"     // Commit, Load and List agree on the version; each put has a new one
	RuleNotFound   Rule = "not-found"   // what was never there, or is deleted, is ErrNotFound and fs.ErrNotExist
	RuleConflict   Rule = "conflict"    // a condition that does not hold is a *ConflictError and changes nothing
	RuleDelete     Rule = "delete"      // a delete removes its key, now and for ever, and no other
	RuleOnce       Rule = "once"        // no version comes again for a key, after deletes and reopens too
	RuleBadChange  Rule = "bad-change"  // a commit that could not be meant is ErrBadChange and changes nothing
	RuleBadKey     Rule = "bad-key"     // what CheckStoreKey refuses is ErrBadKey, everywhere
	RuleKeys       Rule = "keys"        // two keys never meet, however alike they are
	RuleSizes      Rule = "sizes"       // from the empty payload to MaxPayload; more is ErrTooLarge
	RuleOwnership  Rule = "ownership"   // the store keeps no record it was given, and gives away none it keeps
	RuleAtomic     Rule = "atomic"      // all changes of a commit or none, or errors.ErrUnsupported
	RuleListOrder  Rule = "list-order"  // List follows Key.Compare, each key once
	RuleListBounds Rule = "list-bounds" // List yields all keys at and below its prefix, and no other
	RuleTree       Rule = "tree"        // LoadTree yields what Load does, in the order of List
	RuleView       Rule = "view"        // LoadTree shows one state of the store while commits land
	RuleConcurrent Rule = "concurrent"  // of rival commits on one version exactly one wins
	RuleContext    Rule = "context"     // an ended context is returned, and leaves nothing behind
	RuleDamage     Rule = "damage"      // damage is reported, never taken for absence or for a record
	RuleErrors     Rule = "errors"      // errors name their key
	RuleClose      Rule = "close"       // after Close everything is ErrClosed, and a second Close is nil
	RuleOpen       Rule = "open"        // the store opens again after Close
)

// Violation is one rule that a store broke.
type Violation struct {
	Rule Rule
	What string // what was done, what was expected, what came
}

func (v *Violation) Error() string { return fmt.Sprintf("rule %s: %s", v.Rule, v.What) }
