// Command benchmarks measures how many snapshots a second become durable, in
// the stores of this module and in what one would pick instead.
//
// Every cell is a number of savers and a size. In each round all variants run
// one after another in that cell, so that what the machine does at the time
// hits all of them; ratios are taken within a round, and the median is shown.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// engine is one way of saving.
type engine interface {
	open(dir string) error
	// saver returns what saves one actor. The payload may be used again when it
	// returns; nil means that it survives a power cut.
	saver(i int) (func(payload []byte) error, error)
	close() error
}

type variant struct {
	name string
	kind string // limit, ours, peer, or undurable
	make func() engine
}

var variants = []variant{
	{"raw: preallocated, writer goroutine, yield", "limit", func() engine { return &raw{prealloc: true, yield: true} }},
	{"raw: preallocated, leading saver, yield", "limit", func() engine { return &raw{prealloc: true, yield: true, leader: true} }},
	{"raw: plain append, leading saver, yield", "limit", func() engine { return &raw{yield: true, leader: true} }},
	{"logstore", "ours", func() engine { return &ours{openStore: openLog} }},
	{"filestore", "ours", func() engine { return &ours{openStore: openFiles} }},
}

// sample is one run of one variant in one cell.
type sample struct {
	Cell    string
	Savers  int
	Size    int
	Round   int
	Variant string
	Kind    string
	PerSec  float64
	P99     time.Duration
}

func main() {
	dir := flag.String("dir", os.TempDir(), "a directory on the disk to measure")
	savers := flag.String("savers", "1,16,256,1024", "numbers of savers")
	sizes := flag.String("sizes", "256,1024,16384", "payload sizes in bytes")
	rounds := flag.Int("rounds", 5, "rounds for each cell")
	length := flag.Duration("d", 400*time.Millisecond, "length of one run, after as long a warm-up")
	only := flag.String("only", "", "run only the variants whose name contains one of these, separated by commas")
	results := flag.String("results", "results.json", "the file that samples are added to")
	render := flag.Bool("render", false, "write results.md and results.svg from the samples and run nothing")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	flag.Parse()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		defer pprof.StopCPUProfile()
	}
	if err := run(*dir, *savers, *sizes, *rounds, *length, *only, *results, *render); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir, savers, sizes string, rounds int, length time.Duration, only, results string, render bool) error {
	var all []sample
	if b, err := os.ReadFile(results); err == nil {
		if err := json.Unmarshal(b, &all); err != nil {
			return err
		}
	}
	if render {
		return writeReport(all)
	}
	first := 0
	for _, s := range all {
		first = max(first, s.Round+1)
	}
	for _, size := range numbers(sizes) {
		for _, n := range numbers(savers) {
			var cell []sample
			for round := range rounds {
				for _, v := range variants {
					if !selected(v.name, only) {
						continue
					}
					s, err := measure(v, dir, n, size, length)
					if err != nil {
						return fmt.Errorf("%s with %d savers of %d bytes: %w", v.name, n, size, err)
					}
					s.Round = first + round
					cell = append(cell, s)
				}
			}
			all = append(all, cell...)
			printCell(cell)
		}
	}
	b, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(results, b, 0o644)
}

func selected(name, only string) bool {
	for _, part := range strings.Split(only, ",") {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

func numbers(list string) (out []int) {
	for _, f := range strings.Split(list, ",") {
		if n, err := strconv.Atoi(strings.TrimSpace(f)); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// measure runs one variant in a fresh directory: a warm-up, then the run.
func measure(v variant, dir string, n, size int, length time.Duration) (sample, error) {
	place, err := os.MkdirTemp(dir, "bench-")
	if err != nil {
		return sample{}, err
	}
	defer os.RemoveAll(place)
	e := v.make()
	if err := e.open(filepath.Join(place)); err != nil {
		return sample{}, err
	}
	s := sample{Cell: cellName(n, size), Savers: n, Size: size, Variant: v.name, Kind: v.kind}
	var phase atomic.Int32 // 0 warm-up, 1 counted, 2 over
	var count atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	slow := make([][]time.Duration, n)
	for i := range n {
		save, err := e.saver(i)
		if err != nil {
			return sample{}, err
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			payload := make([]byte, size)
			for k := range payload {
				payload[k] = byte(i*31 + k*7 + k>>8)
			}
			mine := int64(0)
			for round := byte(0); phase.Load() < 2; round++ {
				payload[0] = round
				begin := time.Now()
				if err := save(payload); err != nil {
					failed.Store(err)
					return
				}
				if phase.Load() == 1 {
					mine++
					slow[i] = append(slow[i], time.Since(begin))
				}
			}
			count.Add(mine)
		}()
	}
	time.Sleep(length)
	phase.Store(1)
	begin := time.Now()
	time.Sleep(length)
	phase.Store(2)
	took := time.Since(begin)
	wg.Wait()
	if err, ok := failed.Load().(error); ok {
		return s, err
	}
	s.PerSec = float64(count.Load()) / took.Seconds()
	if all := slices.Concat(slow...); len(all) > 0 {
		slices.Sort(all)
		s.P99 = all[len(all)*99/100]
	}
	return s, e.close()
}

func cellName(n, size int) string {
	if size < 1024 {
		return fmt.Sprintf("%d B × %d", size, n)
	}
	return fmt.Sprintf("%d KB × %d", size/1024, n)
}
