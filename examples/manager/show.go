package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// show prints two trees side by side, in 80 columns.
func show(out io.Writer, promised string, rows []row) {
	line := func(tree, promised, came, verdict string) {
		s := fmt.Sprintf("  %-13s %-26s %-26s %s", tree, promised, came, verdict)
		fmt.Fprintln(out, strings.TrimRight(s, " "))
	}
	line("", promised, "came back", "")
	slices.SortStableFunc(rows, func(a, b row) int { return a.key.Compare(b.key) })
	for i, r := range rows {
		verdict := "ok"
		if r.wrong != "" {
			verdict = strings.ToUpper(r.wrong)
		}
		line(branch(rows, i), r.promised, r.came, verdict)
	}
}

// branch draws the i-th key as a branch of the tree that rows are.
func branch(rows []row, i int) string {
	key, art := rows[i].key, ""
	for at := key; ; {
		parent, below := at.Parent()
		if !below {
			break
		}
		more := slices.ContainsFunc(rows[i+1:], func(r row) bool { // a sibling of at follows
			p, _ := r.key.Parent()
			return p == parent && r.key != at
		})
		switch {
		case at == key && more:
			art = "├─ " + art
		case at == key:
			art = "└─ " + art
		case more:
			art = "│  " + art
		default:
			art = "   " + art
		}
		at = parent
	}
	return art + key.Name()
}

// words tells a state in words.
func words(s State) string {
	if s == nil {
		return "-"
	}
	var parts []string
	for _, of := range []struct{ name, words string }{
		{"passed", "passed on"}, {"jobs", "jobs"}, {"minutes", "minutes"}, {"lines", "lines"},
	} {
		if n, ok := s[of.name]; ok {
			parts = append(parts, fmt.Sprintf("%d %s", n, of.words))
		}
	}
	return strings.Join(parts, ", ")
}
