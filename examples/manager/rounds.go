package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
)

type options struct {
	rounds  int
	seed    uint64
	dir     string
	command func(dir string) (*exec.Cmd, error) // starts a child on dir
}

var errBroken = errors.New("a promise was broken")

const intro = `A crew of actors works in a child process, for a client in this one, until
SIGKILL. Then a new child brings the crew back from the disk. No actor may hold
less than was acknowledged to the client, nor more than the client asked for.
Diaries are saved now and then: what was seen of them once must be there.
seed %d, directory %s
`

// run plays all rounds and tells of them on out. Its error is errBroken where a
// promise was.
func run(out io.Writer, o options) (err error) {
	temporary := o.dir == ""
	if temporary {
		if o.dir, err = os.MkdirTemp("", "manager-"); err != nil {
			return err
		}
	}
	p := &play{options: o, out: out, client: newClient(o.seed)}
	if err = p.all(); err != nil {
		fmt.Fprintf(out, "\nVerdict: FAILED, %v. The disk is left in %s\n", err, o.dir)
		return err
	}
	fmt.Fprintf(out, "\nVerdict: %d kills, %d acknowledgements, no promise broken.\n", p.kills, p.client.acks)
	if temporary {
		return os.RemoveAll(o.dir)
	}
	return nil
}

// play is one run of the program.
type play struct {
	options
	out    io.Writer
	client *client
	life   *life
	tree   []Node // as it last came back, or was last saved
	kills  int
}

func (p *play) all() error {
	fmt.Fprintf(p.out, intro, p.seed, p.dir)
	var err error
	if p.tree, err = p.restart(); err != nil {
		return err
	}
	p.client.adopt(p.tree)
	for n := 1; n <= p.rounds; n++ {
		if err := p.killInTraffic(n); err != nil {
			return err
		}
		if err := p.killAfterTreeSave(n); err != nil {
			return err
		}
	}
	return p.life.dismiss()
}

// killInTraffic is the first half of a round: the child dies at work.
func (p *play) killInTraffic(round int) error {
	when, err := p.client.trafficUntilKilled(p.life)
	if err != nil {
		return err
	}
	p.kills++
	p.life.bury()
	tree, err := p.restart()
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "\nround %d: SIGKILL in the middle of traffic, %s\n", round, when)
	return p.verdict("acknowledged..asked for", p.client.judgeKill(p.tree, tree))
}

// killAfterTreeSave is the second half: what was left undone is repeated, the
// tree is saved as one, and the child dies at once.
func (p *play) killAfterTreeSave(round int) error {
	if err := p.client.repeat(p.life); err != nil {
		return err
	}
	saved, err := p.life.answer("tree")
	if err != nil {
		return err
	}
	if _, err := p.life.answer("save tree"); err != nil {
		return err
	}
	p.life.kill()
	p.kills++
	p.life.bury()
	tree, err := p.restart()
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "\nround %d: the rest is repeated, the tree saved as one, then SIGKILL\n", round)
	p.tree = tree
	return p.verdict("saved as one", judgeSaved(saved.Tree, tree))
}

// restart begins a new life and returns the tree that it came back with.
func (p *play) restart() ([]Node, error) {
	cmd, err := p.command(p.dir)
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if p.life, err = begin(cmd); err != nil {
		return nil, err
	}
	a, err := p.life.answer("tree")
	return a.Tree, err
}

// verdict prints what came back. A broken promise ends the play.
func (p *play) verdict(promised string, rows []row) error {
	show(p.out, promised, rows)
	if slices.ContainsFunc(rows, func(r row) bool { return r.wrong != "" }) {
		return errBroken
	}
	return nil
}
