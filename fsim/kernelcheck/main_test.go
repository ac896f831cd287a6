package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be the tool: its processes start themselves again.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := mainByRole(); err != nil {
			fmt.Fprintln(os.Stderr, "kernelcheck:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// needKernel skips a test, in words, where the machine cannot run it.
func needKernel(t *testing.T, names ...string) []string {
	t.Helper()
	if why := missing(); why != "" {
		t.Skipf("left out, no kernel was checked: %s", why)
	}
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, n := range names {
		cs, err := findConfigs(n)
		if err != nil {
			t.Fatal(err)
		}
		if why := cs[0].missing(string(known)); why != "" {
			t.Logf("left out %s: %s", n, why)
			continue
		}
		out = append(out, n)
	}
	if len(out) == 0 {
		t.Skipf("left out, no kernel was checked: none of %v is there", names)
	}
	return out
}

func toolCommand(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleVariable+"=tool", "TMPDIR="+dir)
	return cmd
}

// runTool runs the tool to its end and reads its results.
func runTool(t *testing.T, args ...string) []*result {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "results.json")
	out, err := toolCommand(dir, append(args, "-results", file)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var all []*result
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, prefix+"*"))
	if loops := loopsBelow(dir); len(left)+len(loops) > 0 {
		t.Errorf("left behind: %v %v", left, loops)
	}
	return all
}

// The short form of the check: a few workloads on each filesystem of the three that differ most.
func TestKernelShowsNothingThatAProfileForbids(t *testing.T) {
	for _, name := range needKernel(t, "ext4", "xfs", "btrfs") {
		t.Run(name, func(t *testing.T) {
			all := runTool(t, "-fs", name, "-budget", "8s", "-seed", "7")
			if len(all) != 1 || all[0].Images == 0 || all[0].Legal == 0 {
				t.Fatalf("checked nothing: %+v", all)
			}
			r := all[0]
			c, _ := findConfigs(name)
			for _, e := range r.Escapes {
				t.Errorf("escape:\n%s", e.text(&c[0]))
			}
			for _, odd := range r.Odd {
				t.Error(odd)
			}
			t.Log(r.line(time.Duration(r.Seconds * float64(time.Second))))
		})
	}
}

// A check that finds nothing must be able to find something: ext4 as it is mounted by default is not ext4 with
// data=journal, and its states show it.
func TestTooStrictAProfileIsEscaped(t *testing.T) {
	needKernel(t, "ext4")
	all := runTool(t, "-fs", "ext4", "-profile", "ext4-journal", "-budget", "20s", "-workloads", "24", "-shrinks", "1")
	if len(all) != 1 || len(all[0].Escapes) == 0 {
		t.Fatalf("ext4 with ordered data was taken for ext4 with journalled data: %+v", all)
	}
}

// A tool that is killed cannot clean up. The kernel does, except for a directory, which the next run removes.
func TestKilledToolLeavesNothing(t *testing.T) {
	needKernel(t, "ext4")
	dir := t.TempDir()
	cmd := toolCommand(dir, "-fs", "ext4", "-budget", "100s", "-results", "", "-workers", "1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n') // the first progress: images are being mounted
	if err != nil || !strings.Contains(line, "images") {
		t.Errorf("no progress: %q %v", line, err)
	}
	if len(loopsBelow(dir)) == 0 {
		t.Error("no loop device was in use")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	deadline := time.After(20 * time.Second)
	for tick := time.Tick(20 * time.Millisecond); len(loopsBelow(dir)) > 0; <-tick {
		select {
		case <-deadline:
			t.Fatalf("loop devices are still there: %v", loopsBelow(dir))
		default:
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(mounts, []byte(dir)) {
		t.Errorf("still mounted:\n%s", mounts)
	}
	t.Setenv("TMPDIR", dir)
	if err := sweepAll(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, prefix+"*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
