// Command kernelcheck holds fsim's profiles against the running kernel: it does the same calls on a real
// filesystem and on a simulated disk, cuts the power of the real one in many ways, and reports every state
// that the kernel then shows and the profile does not allow.
//
//	go run . -fs ext4 -budget 60s -seed 1
//	go run . -fs all -budget 10m -report ../../docs/kernelcheck.md
//
// It needs root, /dev/fuse and loop devices, and mkfs of what is checked; it says what is missing and leaves
// that out. Its mounts are in a namespace of its own and its devices in memory: nothing is left behind, not
// even when it is killed, but an empty directory that the next run removes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/understudy-go/understudy/fsim"
)

func main() {
	if err := mainByRole(); err != nil {
		fmt.Fprintln(os.Stderr, "kernelcheck:", err)
		os.Exit(1)
	}
}

func mainByRole() error {
	switch os.Getenv(roleVariable) {
	case "agent":
		return agentMain()
	case "checker":
		return checkerMain()
	}
	if why := missing(); why != "" {
		fmt.Printf("left out: %s\n", why)
		return nil
	}
	if err := sweepAll(); err != nil {
		return fmt.Errorf("clean up after earlier runs: %w", err)
	}
	return enterOwnMounts()
}

// request is what the command line asks for.
type request struct {
	settings
	chosen  []config
	litmus  string
	results string
	report  string
	resume  bool
}

func parseRequest(args []string) (*request, error) {
	q := &request{settings: settings{out: os.Stdout}}
	f := flag.NewFlagSet("kernelcheck", flag.ContinueOnError)
	names := f.String("fs", "ext4", "configurations, separated by commas, or all")
	judge := f.String("profile", "", "judge by this profile instead of each configuration's own")
	f.DurationVar(&q.budget, "budget", time.Minute, "time for each configuration")
	f.Uint64Var(&q.seed, "seed", 1, "of pairs, samples and cuts")
	f.IntVar(&q.images, "images", 60, "images of one workload at most")
	f.IntVar(&q.workers, "workers", 2, "devices at once")
	f.IntVar(&q.from, "from", 0, "number of the first workload")
	f.IntVar(&q.most, "workloads", 0, "how many workloads at most; 0 is no limit")
	f.IntVar(&q.shrinks, "shrinks", 12, "how many escapes at most are made shorter")
	f.StringVar(&q.litmus, "litmus", "../testdata/litmus", "directory of litmus files")
	f.StringVar(&q.results, "results", "results.json", "file that adds up results over runs; empty: none")
	f.StringVar(&q.report, "report", "", "write the table of all results to this file")
	f.BoolVar(&q.resume, "resume", false, "begin at the workload that the results say is next")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if q.workers < 1 || q.images < 1 || q.from < 0 {
		return nil, fmt.Errorf("at least one worker and image, and no workload before the first")
	}
	var err error
	if q.chosen, err = findConfigs(*names); err != nil || *judge == "" {
		return q, err
	}
	p, err := fsim.ParseProfile(*judge)
	for i := range q.chosen {
		q.chosen[i].profile = p
	}
	return q, err
}

func checkerMain() error {
	q, err := parseRequest(os.Args[1:])
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(8) // calls that wait for a device that this process serves must not take its processors
	g, err := newGenerator(q.seed, q.litmus)
	if err != nil {
		return err
	}
	home, release, err := tempHome()
	if err != nil {
		return err
	}
	defer release()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return err
	}
	all := loadResults(q.results)
	for i := range q.chosen {
		if why := q.chosen[i].missing(string(known)); why != "" {
			fmt.Printf("%s: left out: %s\n", q.chosen[i].name, why)
			continue
		}
		if err := q.check(ctx, home, &q.chosen[i], g, all); err != nil {
			return err
		}
	}
	if q.report == "" {
		return nil
	}
	return os.WriteFile(q.report, []byte(all.table()), 0o644)
}

// check does one configuration and adds what it came to to all results.
func (q *request) check(ctx context.Context, home string, c *config, g *generator, all *results) error {
	if ctx.Err() != nil {
		return nil // interrupted: the table is still made
	}
	s := q.settings
	if old := all.find(c.name); q.resume && old != nil && old.Seed == s.seed && old.Kernel == kernelRelease() {
		s.from = old.Next
	}
	r, err := runConfig(ctx, home, c, g, &s)
	if r == nil {
		return err
	}
	fmt.Println(r.line(time.Duration(r.Seconds * float64(time.Second))))
	all.merge(r, s.from > 0)
	return errors.Join(err, all.save(q.results))
}
