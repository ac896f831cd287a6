package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"sync/atomic"
	"time"
)

// life is one child process, from its start to its end.
type life struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers chan Answer // closed when the child is gone and all that it said was heard
	killed  atomic.Bool
	watch   *time.Timer
}

// begin starts a child. One that does not end within a minute is killed.
func begin(cmd *exec.Cmd) (*life, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	l := &life{cmd: cmd, stdin: stdin, answers: make(chan Answer)}
	l.watch = time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	go func() {
		defer close(l.answers)
		for lines := json.NewDecoder(stdout); ; {
			var a Answer
			if lines.Decode(&a) != nil {
				return // the end, or a line that the end cut short: not an acknowledgement
			}
			l.answers <- a
		}
	}()
	return l, nil
}

// ask sends one line to the child. That it is gone is seen at the answers.
func (l *life) ask(a Ask) { _ = json.NewEncoder(l.stdin).Encode(a) }

// answer asks and waits for the answer, where nothing else is under way.
func (l *life) answer(op string) (Answer, error) {
	l.ask(Ask{Op: op})
	a, alive := <-l.answers
	if !alive {
		return a, fmt.Errorf("the child ended before it answered %q: %v", op, l.cmd.Wait())
	}
	return a, nil
}

// kill sends SIGKILL, which no process can see coming (on Windows it is
// TerminateProcess).
func (l *life) kill() {
	l.killed.Store(true)
	_ = l.cmd.Process.Kill() // a child that ended by itself shows otherwise
}

// bury hears out what a killed child still said, and waits until it is gone.
func (l *life) bury() {
	for range l.answers {
	}
	l.watch.Stop()
	_ = l.cmd.Wait() // "signal: killed"
}

// dismiss lets the child end in good order.
func (l *life) dismiss() error {
	_ = l.stdin.Close()
	for range l.answers {
	}
	l.watch.Stop()
	return l.cmd.Wait()
}
