// Command manager shows actors coming back after SIGKILL. It starts itself as a
// child process, in which a manager and its workers do what a client asks, and
// kills that child at random moments:
//
//	go run ./examples/manager [-rounds 3] [-seed n] [-dir d]
//
// After each kill a new child brings the tree back from the disk. What comes
// back is printed beside what was promised. The exit status is 1 where a
// promise was broken, or where something else went wrong.
//
// Read crew.go first: it is what a program that uses package persist looks
// like. child.go holds the system around it, client.go the side that survives,
// judge.go what must hold. To see a promise broken, let a Worker answer with
// c.Send in place of persist.Send, so that the answer no longer waits for the disk.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist/filestore"
)

func main() {
	var o options
	serving := flag.Bool("serve", false, "be the child process (the program starts itself so)")
	flag.IntVar(&o.rounds, "rounds", 3, "how many rounds of two kills each")
	flag.Uint64Var(&o.seed, "seed", 0, "draws orders and moments; 0 draws a seed")
	flag.StringVar(&o.dir, "dir", "", "where the crew is kept; empty means a temporary folder")
	flag.Parse()
	if *serving {
		os.Exit(status(os.Stderr, child(o.dir)))
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano()) % 1e6
	}
	o.command = func(dir string) (*exec.Cmd, error) {
		self, err := os.Executable()
		return exec.Command(self, "-serve", "-dir", dir), err
	}
	os.Exit(status(os.Stderr, run(os.Stdout, o)))
}

// child is the whole child process.
func child(dir string) error {
	store, err := filestore.Open(afero.NewOsFs(), dir, nil)
	if err != nil {
		return err
	}
	return serve(store, os.Stdin, os.Stdout)
}

func status(w io.Writer, err error) int {
	if err != nil {
		fmt.Fprintln(w, "manager:", err)
		return 1
	}
	return 0
}
