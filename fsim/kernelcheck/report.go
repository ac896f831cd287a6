package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// results are those of every configuration, over runs.
type results []*result

// loadResults reads what save wrote; what cannot be read is as if there were nothing.
func loadResults(file string) *results {
	var all results
	if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &all) != nil {
		all = nil
	}
	return &all
}

func (a results) save(file string) error {
	if file == "" {
		return nil
	}
	b, err := json.MarshalIndent(a, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

func (a results) find(name string) *result {
	for _, r := range a {
		if r.Config == name {
			return r
		}
	}
	return nil
}

// merge adds a result to that of earlier runs, or puts it in its place if it began anew.
func (a *results) merge(r *result, add bool) {
	old := a.find(r.Config)
	if old == nil {
		*a = append(*a, r)
		return
	}
	if !add || old.Kernel != r.Kernel {
		*old = *r
		return
	}
	old.tally.add(&r.tally)
	old.Seconds += r.Seconds
	old.Litmus += r.Litmus
	old.Singles += r.Singles
	old.Pairs += r.Pairs
	old.Samples += r.Samples
	old.Seed, old.Next = r.Seed, r.Next
}

// table is the report in Markdown.
func (a results) table() string {
	order := func(r *result) int {
		return slices.IndexFunc(configs, func(c config) bool { return c.name == r.Config })
	}
	sorted := slices.Clone(a)
	slices.SortFunc(sorted, func(x, y *result) int { return order(x) - order(y) })
	var b strings.Builder
	b.WriteString(heading)
	for _, r := range sorted {
		tight := "-"
		if r.Allowed > 0 {
			tight = fmt.Sprintf("%.1f%%", 100*float64(r.Legal)/r.Allowed)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %d/%d | %d | %d | %d | %d | %d | %.0f | %s |\n", r.Config, r.Profile, r.Kernel,
			r.Litmus+r.Singles, r.Pairs, r.OfPairs, r.Samples, r.Images, r.States, len(r.Escapes), r.Undecided+r.Unmounted,
			float64(r.Images)/r.Seconds, tight)
	}
	for _, r := range sorted {
		i := order(r)
		if i < 0 || len(r.Escapes) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## Escapes on %s\n", r.Config)
		for _, e := range r.Escapes {
			fmt.Fprintf(&b, "\n```\n%s```\n", e.text(&configs[i]))
		}
	}
	return b.String()
}

const heading = `# The profiles against the kernel

Made by ` + "`go run . -fs all -report ../../docs/kernelcheck.md`" + ` in fsim/kernelcheck; do not edit.

Each row is a filesystem of the running kernel on a recorded device. Images are cut-off disks that the kernel
mounted; a state is what an image showed, counted once for each workload and number of calls that had returned.
An escape is a state that the profile does not allow. "Open" are states whose search was longer than its budget
and images that did not mount. "Seen" is how many of the profile's legal states at the same moments the kernel
showed: a lower bound, since one workload is cut in few ways, and states that differ only in which of two
equal inodes a name leads to count once here and twice there. Litmus files are run twice, as they are and
written back after each call.

| filesystem | profile | kernel | litmus and single calls | pairs | samples | images | states | escapes | open | images/s | seen |
|---|---|---|---|---|---|---|---|---|---|---|---|
`
