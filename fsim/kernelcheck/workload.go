package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// A generator numbers workloads: fsim's litmus files, then every single call of the alphabet, then by turns a
// pair of calls, until there are no more, and a longer sample. The same seed gives the same workloads.
type generator struct {
	seed    uint64
	first   []workload // litmus files and single calls
	pairs   []workload // every valid pair, shuffled
	litmus  int
	singles int
}

// lived is the setup of everything but the litmus files: a file of one block, and in a directory a file that
// ends within a block.
var lived = mustParse("create a", "write a 0 o*4096", "mkdir d", "create d/x", "write d/x 0 p*2500")

// alphabet is every call of singles, pairs and samples. The byte N stands for another letter in each place.
var alphabet = mustParse(
	"create b", "create d/y", "mkdir e",
	"write a 0 N*4096", "write a 1000 N*700", "write a 4096 N*4096", "write a 4096 N*2500", "write a 0 N*9000",
	"write d/x 2500 N*1000", "write d/x 2500 N*2500", "write d/x 0 N*2500", "write b 0 N*5000", "write b 0 N*100",
	"write a 8192 N*100",
	"truncate a 0", "truncate a 1024", "truncate a 6000", "truncate d/x 0", "rewrite a N*3000", "rewrite d/x N*4096",
	"rename a b", "rename b a", "rename a d/x", "rename d/x a", "rename d/x d/y", "rename d/y d/x", "rename b d/y",
	"rename a d/y", "rename d e", "rename d/x b",
	"link a b", "link d/x b", "link a d/y", "unlink a", "unlink b", "unlink d/x", "rmdir e", "chmod a 600",
	"fsync a", "fsync b", "fsync .", "fsync d", "fsync d/x", "fsync d/y", "fdatasync a", "fdatasync d/x",
	"osync a 0 N*4096", "osync b 0 N*1000", "sync",
)

func mustParse(lines ...string) []op {
	var out []op
	for _, l := range lines {
		o, err := parseOp(l)
		if err != nil {
			panic(err)
		}
		out = append(out, o)
	}
	return out
}

// letters gives each write of a workload its own byte.
func letters(calls []op) []op {
	out := make([]op, len(calls))
	for i, o := range calls {
		o.Bytes = strings.ReplaceAll(o.Bytes, "N", string(rune('A'+i%26)))
		out[i] = o
	}
	return out
}

// newGenerator reads the litmus files of a directory.
func newGenerator(seed uint64, litmusDir string) (*generator, error) {
	g := &generator{seed: seed}
	files, err := filepath.Glob(filepath.Join(litmusDir, "*.txt"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("read litmus: %w", err)
		}
		w, ok := parseLitmus(strings.TrimSuffix(filepath.Base(f), ".txt"), string(b))
		if !ok || !w.isValid() {
			continue // faults that no healthy kernel shows
		}
		g.first = append(g.first, w)
		each := w
		each.name += ", written back after each call"
		each.nudges = make([]op, len(w.calls))
		for i := range each.nudges {
			each.nudges[i] = op{Verb: "commit"}
		}
		g.first = append(g.first, each)
	}
	g.litmus = len(g.first)
	for _, o := range alphabet {
		if w := (workload{name: "single", setup: lived, calls: letters([]op{o})}); w.isValid() {
			g.first = append(g.first, w)
		}
	}
	g.singles = len(g.first) - g.litmus
	for _, o := range alphabet {
		for _, p := range alphabet {
			if w := (workload{name: "pair", setup: lived, calls: letters([]op{o, p})}); w.isValid() {
				g.pairs = append(g.pairs, w)
			}
		}
	}
	r := rand.New(rand.NewPCG(seed, 1))
	r.Shuffle(len(g.pairs), func(i, j int) { g.pairs[i], g.pairs[j] = g.pairs[j], g.pairs[i] })
	for i := range g.pairs {
		g.pairs[i].nudges = nudges(g.pairs[i].calls, r)
	}
	return g, nil
}

// parseLitmus takes the first half of a litmus file: up to the first sync the setup, then the calls.
func parseLitmus(name, text string) (workload, bool) {
	text, _, _ = strings.Cut(text, "\n---")
	var all []op
	synced := -1
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		o, err := parseOp(line)
		if err != nil {
			return workload{}, false
		}
		if o.Verb == "sync" && synced < 0 {
			synced = len(all)
			continue
		}
		all = append(all, o)
	}
	return workload{name: name, setup: all[:max(synced, 0)], calls: all[max(synced, 0):]}, true
}

// nudges draws what the kernel writes back after each call; mostly nothing.
func nudges(calls []op, r *rand.Rand) []op {
	out := make([]op, len(calls))
	quiet := r.IntN(3) == 0
	for i := range out {
		if quiet {
			continue
		}
		switch r.IntN(8) {
		case 0, 1:
			out[i] = op{Verb: "commit"}
		case 2:
			out[i] = op{Verb: "other"}
		case 3:
			c := calls[r.IntN(i+1)]
			out[i] = op{Verb: "range", Path: c.Path}
		}
	}
	return out
}

// at gives workload i, from 0.
func (g *generator) at(i int) workload {
	if i < len(g.first) {
		return g.first[i]
	}
	i -= len(g.first)
	if i%2 == 0 && i/2 < len(g.pairs) {
		return g.pairs[i/2]
	}
	return sample(rand.New(rand.NewPCG(g.seed, uint64(i)+2)))
}

// sample draws three to nine calls that succeed.
func sample(r *rand.Rand) workload {
	w := workload{name: "sample", setup: lived}
	for n := 3 + r.IntN(7); len(w.calls) < n; {
		try := w
		try.calls = letters(append(append([]op(nil), w.calls...), alphabet[r.IntN(len(alphabet))]))
		if try.isValid() {
			w = try
		}
	}
	w.nudges = nudges(w.calls, r)
	return w
}
