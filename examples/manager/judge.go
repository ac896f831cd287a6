package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/understudy-go/understudy/persist"
)

// row is one actor of a tree: what was promised of it, what came back, and what
// is wrong with that ("" where the promise was kept).
type row struct {
	key            persist.Key
	promised, came string
	wrong          string
}

// judgeKill compares a tree that came back after a kill in the middle of
// traffic with what the client knows, and with what was durable earlier.
func (c *client) judgeKill(earlier, tree []Node) []row {
	floor, came := byKey(earlier), byKey(tree)
	crew := came["crew"]
	low, high, passed := 0, 0, 0
	rows := []row{{}}
	for _, name := range slices.Sorted(slices.Values(c.asked)) {
		low, high, passed = low+c.acked[name], high+c.sent[name], passed+crew["to "+name]
		key := persist.Key("crew").Child(name)
		worker, found := came[key]
		if !found && !c.hired[name] {
			continue // asked for, not acknowledged: it may be there or not
		}
		rows = append(rows, row{
			key: key, promised: fmt.Sprintf("%d..%d jobs", c.acked[name], c.sent[name]), came: words(worker),
			wrong: first(
				claim{worker == nil, "lost"},
				claim{worker["jobs"] < c.acked[name], "older than acknowledged"},
				claim{worker["jobs"] > c.sent[name], "invented"},
				claim{worker["minutes"] != sumOfMinutes(name, worker["jobs"]), "mixed"},
				claim{worker["jobs"] > crew["to "+name], "ahead of its manager"},
				claim{crew["to "+name] > c.sent[name], "manager's book invented"},
			),
		})
		key = key.Child("diary")
		diary, least := came[key], floor[key]["last"]
		rows = append(rows, row{
			key: key, promised: fmt.Sprintf("%d..%d lines", floor[key]["lines"], c.sent[name]), came: words(diary),
			wrong: first(
				claim{diary == nil, "lost"},
				claim{diary["last"] < least, "older than once seen"},
				claim{diary["last"] > worker["jobs"], "ahead of its worker"},
				claim{diary["lines"] > diary["last"], "mixed"},
			),
		})
	}
	rows[0] = row{
		key: "crew", promised: fmt.Sprintf("%d..%d passed on", low, high), came: words(crew),
		wrong: first(
			claim{crew == nil, "lost"},
			claim{crew["passed"] < low, "older than acknowledged"},
			claim{crew["passed"] > high, "invented"},
			claim{crew["passed"] != passed, "mixed"},
		),
	}
	return append(rows, strangers(rows, tree)...)
}

// judgeSaved compares a tree that came back with the tree that was saved.
func judgeSaved(saved, tree []Node) []row {
	var rows []row
	came := byKey(tree)
	for _, n := range saved {
		rows = append(rows, row{
			key: n.Key, promised: words(n.State), came: words(came[n.Key]),
			wrong: first(
				claim{came[n.Key] == nil, "lost"},
				claim{!maps.Equal(n.State, came[n.Key]), "not equal"},
			),
		})
	}
	return append(rows, strangers(rows, tree)...)
}

// strangers are actors that came back though nobody asked for them.
func strangers(rows []row, tree []Node) []row {
	var more []row
	for _, n := range tree {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.key == n.Key }) {
			more = append(more, row{key: n.Key, promised: "nothing", came: words(n.State), wrong: "invented"})
		}
	}
	return more
}

// claim is one thing that must not be so, and the word for it.
type claim struct {
	broken bool
	word   string
}

// first returns the word of the first claim that is broken, "" for none.
func first(claims ...claim) string {
	for _, c := range claims {
		if c.broken {
			return c.word
		}
	}
	return ""
}

func byKey(tree []Node) map[persist.Key]State {
	m := map[persist.Key]State{}
	for _, n := range tree {
		m[n.Key] = n.State
	}
	return m
}

func sumOfMinutes(worker string, jobs int) (sum int) {
	for no := 1; no <= jobs; no++ {
		sum += minutes(worker, no)
	}
	return sum
}
