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
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
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

func checkerMain() error {
	s := settings{out: os.Stdout}
	names := flag.String("fs", "ext4", "configurations, separated by commas, or all")
	flag.DurationVar(&s.budget, "budget", time.Minute, "time for each configuration")
	flag.Uint64Var(&s.seed, "seed", 1, "of pairs, samples and cuts")
	flag.IntVar(&s.images, "images", 60, "images of one workload at most")
	flag.IntVar(&s.workers, "workers", 2, "devices at once")
	flag.IntVar(&s.from, "from", 0, "number of the first workload")
	flag.IntVar(&s.most, "workloads", 0, "how many workloads at most; 0 is no limit")
	flag.IntVar(&s.shrinks, "shrinks", 12, "how many escapes at most are made shorter")
	litmus := flag.String("litmus", "../testdata/litmus", "directory of litmus files")
	results := flag.String("results", "results.json", "file that adds up results over runs; empty: none")
	table := flag.String("report", "", "write the table of all results to this file")
	resume := flag.Bool("resume", false, "begin at the workload that the results say is next")
	flag.Parse()
	runtime.GOMAXPROCS(8) // calls that wait for a device that this process serves must not take its processors
	chosen, err := findConfigs(*names)
	if err != nil {
		return err
	}
	g, err := newGenerator(s.seed, *litmus)
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
	all := loadResults(*results)
	for i := range chosen {
		c := &chosen[i]
		if why := c.missing(string(known)); why != "" {
			fmt.Printf("%s: left out: %s\n", c.name, why)
			continue
		}
		mine := s
		if old := all.find(c.name); *resume && old != nil && old.Seed == s.seed && old.Kernel == kernelRelease() {
			mine.from = old.Next
		}
		r, err := runConfig(ctx, home, c, g, &mine)
		if r != nil {
			fmt.Println(r.line(time.Duration(r.Seconds * float64(time.Second))))
			all.merge(r, mine.from > 0)
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			break
		}
	}
	if err := all.save(*results); err != nil {
		return err
	}
	if *table == "" {
		return nil
	}
	return os.WriteFile(*table, []byte(all.table()), 0o644)
}
