package filestore

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/understudy-go/understudy/persist"
)

// generation is one state of one key: the epoch of the owner that wrote it and
// a counter of that owner over all its keys. A pair is used once in the life of
// a store, so a version never comes again, deletes included, and of two
// generations of a key the greater one is the newer.
type generation struct{ epoch, count uint64 }

func (g generation) compare(h generation) int {
	switch {
	case g.epoch < h.epoch || g.epoch == h.epoch && g.count < h.count:
		return -1
	case g == h:
		return 0
	}
	return +1
}

// version returns what the store calls g outside.
func (g generation) version() persist.Version {
	return persist.Version(strconv.FormatUint(g.epoch, 16) + "." + strconv.FormatUint(g.count, 16))
}

// The files of a key, in its folder. Their first character keeps them apart
// from the folders of its children.
const (
	mark       = '@'
	goneSuffix = ".gone" // the key was deleted by this generation
	badSuffix  = ".bad"  // the generation was found damaged and moved aside
)

// name is the file of g: "@" epoch "." count, in hex, padded so that ls sorts
// them.
func (g generation) name() string { return fmt.Sprintf("@%08x.%012x", g.epoch, g.count) }

// parseGeneration reads a file name and says what follows the generation in
// it; false for a name that the store does not make.
func parseGeneration(name string) (g generation, suffix string, ok bool) {
	if name == "" || name[0] != mark {
		return generation{}, "", false
	}
	epoch, rest, _ := strings.Cut(name[1:], ".")
	count, _, hasSuffix := strings.Cut(rest, ".")
	if hasSuffix {
		suffix = rest[len(count):]
	}
	var err1, err2 error
	g.epoch, err1 = strconv.ParseUint(epoch, 16, 64)
	g.count, err2 = strconv.ParseUint(count, 16, 64)
	ok = err1 == nil && err2 == nil && canonical(epoch, 8) && canonical(count, 12)
	return g, suffix, ok && (suffix == "" || suffix == goneSuffix || suffix == badSuffix)
}

// canonical says whether a number is written as name writes it.
func canonical(digits string, width int) bool {
	for i := range len(digits) {
		if 'A' <= digits[i] && digits[i] <= 'F' {
			return false
		}
	}
	return len(digits) == width || len(digits) > width && digits[0] != '0'
}

// history is what a folder's names tell about its key, newest first.
type history struct {
	states []state      // the intact generations, as far as names tell
	bad    []generation // those moved aside
}

// state is one generation: a record, or the key's absence.
type state struct {
	generation
	gone bool
}

func (s state) file() string {
	if s.gone {
		return s.name() + goneSuffix
	}
	return s.name()
}

// readHistory picks the generations out of the names of a folder.
func readHistory(names []string) history {
	var h history
	for _, name := range names {
		g, suffix, ok := parseGeneration(name)
		switch {
		case !ok:
		case suffix == badSuffix:
			h.bad = append(h.bad, g)
		default:
			h.states = append(h.states, state{g, suffix == goneSuffix})
		}
	}
	if len(h.states) > 1 {
		slices.SortFunc(h.states, func(a, b state) int { return b.compare(a.generation) })
	}
	if len(h.bad) > 1 {
		slices.SortFunc(h.bad, func(a, b generation) int { return b.compare(a) })
	}
	return h
}

// current returns the version of the key, Absent where there is nothing.
func (h history) current() persist.Version {
	if len(h.states) == 0 || h.states[0].gone {
		return persist.Absent
	}
	return h.states[0].version()
}

// upTo drops what is newer than g.
func (h history) upTo(g generation) history {
	for len(h.states) > 0 && h.states[0].compare(g) > 0 {
		h.states = h.states[1:]
	}
	for len(h.bad) > 0 && h.bad[0].compare(g) > 0 {
		h.bad = h.bad[1:]
	}
	return h
}
