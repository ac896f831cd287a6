package fsim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// historyOf makes a history out of micro-operations.
func historyOf(p *Profile, ops []op) *History {
	h := newRecorder(p, HistoryFull, nil)
	for i := range ops {
		h.record(&ops[i])
	}
	return h
}

// step of a random recovery program.
type step struct {
	do   int
	a, b string
	n    int
}

func randomProgram(r *rand.Rand) []step {
	names := []string{"a", "b", "d", "d/x", "d/e", "e", "d/y", "e/x"}
	var prog []step
	for i := 0; i < 1+r.IntN(5); i++ {
		prog = append(prog, step{r.IntN(16), names[r.IntN(len(names))], names[r.IntN(len(names))], r.IntN(5)})
	}
	return prog
}

func class(err error) string {
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &pe):
		return pe.Err.Error()
	case errors.As(err, &le):
		return le.Err.Error()
	}
	return err.Error()
}

// runProgram runs a program and prints everything that it saw.
func runProgram(d *Disk, prog []step) string {
	var out strings.Builder
	skip := 0
	for _, s := range prog {
		if skip > 0 {
			skip--
			continue
		}
		seen := runStep(d, s)
		fmt.Fprintf(&out, "%d:%s ", s.do, seen)
		if s.do%3 == 0 && len(seen)%2 == 0 {
			skip = s.n % 2 // what is read next depends on what was read
		}
	}
	return out.String()
}

func runStep(d *Disk, s step) string {
	block := strings.Repeat("Q", BlockSize)
	switch s.do {
	case 0:
		_, err := d.Stat(s.a)
		return class(err)
	case 1:
		fi, err := d.Stat(s.a)
		if err != nil || fi.IsDir() {
			return class(err)
		}
		return fmt.Sprint(fi.Size())
	case 2, 3:
		return readAll(d, s.a)
	case 4:
		f, err := d.Open(s.a)
		if err != nil {
			return class(err)
		}
		defer f.Close()
		names, err := f.Readdirnames(-1)
		slices.Sort(names)
		return fmt.Sprint(names, err != nil)
	case 5: // a whole block over whatever is there
		return withFile(d, s.a, os.O_RDWR, func(f fileLike) error { _, err := f.WriteAt([]byte(block), int64(s.n%2)*BlockSize); return err })
	case 6: // part of a block
		return withFile(d, s.a, os.O_RDWR, func(f fileLike) error { _, err := f.WriteAt([]byte("ZZ"), int64(s.n)*300); return err })
	case 7:
		return withFile(d, s.a, os.O_RDWR|os.O_TRUNC|os.O_CREATE, func(f fileLike) error { return nil })
	case 8:
		return withFile(d, s.a, os.O_RDWR, func(f fileLike) error { return f.Truncate(int64(s.n) * 1000) })
	case 9:
		return withFile(d, s.a, os.O_RDWR|os.O_APPEND, func(f fileLike) error { _, err := f.Write([]byte("++")); return err })
	case 10:
		return class(d.Rename(s.a, s.b))
	case 11:
		return class(d.Remove(s.a))
	case 12:
		return withFile(d, s.a, os.O_RDONLY, func(f fileLike) error { return f.Sync() })
	case 13: // two goroutines that read in any order
		var wg sync.WaitGroup
		var x, y string
		wg.Add(2)
		go func() { defer wg.Done(); x = readAll(d, s.a) }()
		go func() { defer wg.Done(); y = readAll(d, s.b) }()
		wg.Wait()
		return x + "&" + y
	case 14:
		f, err := d.Open(s.a)
		if err != nil {
			return class(err)
		}
		defer f.Close()
		b := make([]byte, 700)
		n, err := f.ReadAt(b, int64(s.n)*900)
		return runs(b[:n]) + class(err)
	default:
		return class(d.Link(s.a, s.b))
	}
}

type fileLike interface {
	io.Writer
	WriteAt(b []byte, off int64) (int, error)
	Truncate(n int64) error
	Sync() error
}

func withFile(d *Disk, name string, flag int, do func(f fileLike) error) string {
	f, err := d.OpenFile(name, flag, 0o644)
	if err != nil {
		return class(err)
	}
	defer f.Close()
	return class(do(f))
}

func readAll(d *Disk, name string) string {
	f, err := d.Open(name)
	if err != nil {
		return class(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	return runs(b) + class(err)
}

// bruteOutcomes runs a program on every state of every instant of h, and again on every state of every instant
// of that run, depth times. It adds what each chain of runs saw to out. It is false when that is too much.
func bruteOutcomes(h *History, prog []step, depth int, chain string, out map[string]bool, left *int) bool {
	for i := 0; i <= h.Len(); i++ {
		c, err := h.At(i).Crash()
		if err != nil {
			panic(err)
		}
		for s := range c.All() {
			if *left--; *left < 0 {
				return false
			}
			d := s.Mount(&Options{History: HistoryFull, NoTrace: true})
			saw := chain + runProgram(d, prog)
			out[saw] = true
			if depth > 0 && !bruteOutcomes(d.History(), prog, depth-1, saw+"| ", out, left) {
				return false
			}
		}
	}
	return true
}

// lazyOutcomes does the same by exploring.
func lazyOutcomes(p *Profile, h *History, prog []step, depth int) (map[string]bool, *Report) {
	out := map[string]bool{}
	chain := ""
	e := &explorer{h: h, o: ExploreOptions{Depth: depth, Budget: 1 << 20, Steps: 1000}}
	e.report = Report{Profile: p, Model: p.Model()}
	e.recover = func(d *Disk, _ []any) error {
		saw := runProgram(d, prog)
		if d.base.(*lazyBase).level == 0 {
			chain = ""
		}
		chain += saw
		out[chain] = true
		chain += "| "
		return nil
	}
	left := 1 << 20
	e.eachInstant(h, func(t *tracker) bool { return e.instant(newWorld(t), -1, Kept, &left) && e.report.Failure == nil })
	return out, &e.report
}

func TestLazyExplorationSeesExactlyWhatBruteForceSees(t *testing.T) {
	for _, p := range Profiles() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(5, 6))
			done, nested := 0, 0
			for done < budget(30, 1500) {
				ops := randomOps(r, 2+r.IntN(8))
				prog := randomProgram(r)
				depth := r.IntN(2)
				h := historyOf(p, ops)
				left := 3000
				want := map[string]bool{}
				if !bruteOutcomes(h, prog, depth, "", want, &left) {
					continue
				}
				got, rep := lazyOutcomes(p, h, prog, depth)
				err := compareSets(got, want)
				if rep.Failure != nil {
					err = rep.Failure
				}
				if err != nil {
					t.Fatalf("program %d, depth %d: %v\n%s%+v", done, depth, err, printOps(ops), prog)
				}
				done++
				nested += depth
			}
			t.Logf("%d programs, %d of them with a second cut", done, nested)
		})
	}
}
