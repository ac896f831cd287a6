// Package docs_test runs what the documents of this folder claim.
package docs_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var reproduction = regexp.MustCompile("(?ms)^### (.*?)$.*?^```go\n(.*?)^```\n\n```text\n(.*?)^```$")

// TestUpstreamFailuresAreAsDescribed builds each program of upstream.md and
// looks for the lines that the document says it prints, in that order. A
// failure that is gone upstream fails here, so that its guard can be thought
// over. Unless UNDERSTUDY_DEEP=1, only the form of the document is checked:
// linking the programs takes 20 seconds.
func TestUpstreamFailuresAreAsDescribed(t *testing.T) {
	doc, err := os.ReadFile("upstream.md")
	if err != nil {
		t.Fatal(err)
	}
	found := reproduction.FindAllStringSubmatch(string(doc), -1)
	if programs := strings.Count(string(doc), "```go\n"); len(found) != programs || programs == 0 {
		t.Fatalf("%d of %d programs have a heading and an output", len(found), programs)
	}
	for _, r := range found {
		title, program, want := r[1], r[2], r[3]
		t.Run(title, func(t *testing.T) {
			if os.Getenv("UNDERSTUDY_DEEP") != "1" {
				return
			}
			got := runProgram(t, program)
			rest := got
			for line := range strings.Lines(want) {
				_, after, ok := strings.Cut(rest, strings.TrimSpace(line))
				if !ok {
					t.Fatalf("line %q is not in the output, or not there:\n%s", line, got)
				}
				rest = after
			}
		})
	}
}

// runProgram returns what the program prints, with its exit status last.
func runProgram(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "program.exe")
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	// Built here, so that the versions are those of this module.
	if out, err := exec.Command("go", "build", "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary)
	out, _ := cmd.CombinedOutput() // how it ended is part of the output
	return fmt.Sprintf("%s\nexit status %d\n", out, cmd.ProcessState.ExitCode())
}
