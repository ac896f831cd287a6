package main

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// A bench is one device with the process that mounts it. It is used by one goroutine.
type bench struct {
	c      *config
	dev    *device
	dir    string // mount point
	fresh  *image // just formatted
	cmd    *exec.Cmd
	stdin  io.Closer
	to     *gob.Encoder
	from   *gob.Decoder
	broken bool
}

// A rig is everything that one configuration needs while it is checked.
type rig struct {
	home    string
	server  *fuse.Server
	benches []*bench
}

// newRig formats n devices. The caller closes the rig.
func newRig(ctx context.Context, home string, c *config, n int) (*rig, error) {
	r := &rig{home: filepath.Join(home, c.name)}
	dir := filepath.Join(r.home, "images")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	devices, server, err := serve(dir, n, c.size)
	if err != nil {
		return nil, err
	}
	r.server = server
	for i, d := range devices {
		b, err := newBench(ctx, c, d, filepath.Join(dir, fmt.Sprint(i)), filepath.Join(r.home, fmt.Sprint("mnt", i)))
		if err != nil {
			r.close()
			return nil, err
		}
		r.benches = append(r.benches, b)
	}
	return r, nil
}

// close ends the agents, which takes mounts and loop devices away, and then the images.
func (r *rig) close() {
	for _, b := range r.benches {
		b.close()
	}
	for range 250 {
		if len(loopsBelow(r.home)) == 0 && r.server.Unmount() == nil {
			break
		}
		time.Sleep(20 * time.Millisecond) // the kernel takes loop devices apart some time after their last user
	}
	_ = os.RemoveAll(r.home)
}

func newBench(ctx context.Context, c *config, d *device, file, dir string) (*bench, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	b := &bench{c: c, dev: d, dir: dir, cmd: exec.Command(self)}
	b.cmd.Env = append(os.Environ(), roleVariable+"=agent")
	b.cmd.Stderr = os.Stderr
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := b.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	b.stdin, b.to, b.from = in, gob.NewEncoder(in), gob.NewDecoder(out)
	_, err = b.ask(order{Verb: "attach", File: file})
	if err == nil {
		_, err = b.ask(order{Verb: "format", Argv: c.format})
	}
	if err != nil {
		b.close()
		return nil, err
	}
	b.fresh = d.content()
	return b, nil
}

func (b *bench) close() {
	_ = b.stdin.Close() // the agent ends at the end of its orders
	timer := time.AfterFunc(20*time.Second, func() { _ = b.cmd.Process.Kill() })
	_ = b.cmd.Wait()
	timer.Stop()
}

// errAgent says that an agent is gone or does not answer; the bench is then of no use any more.
var errAgent = errors.New("agent failed")

// patience is how long one order may take.
const patience = 60 * time.Second

func (b *bench) ask(o order) (reply, error) {
	if b.broken {
		return reply{}, errAgent
	}
	timer := time.AfterFunc(patience, func() { _ = b.cmd.Process.Kill() })
	defer timer.Stop()
	var r reply
	err := b.to.Encode(&o)
	if err == nil {
		err = b.from.Decode(&r)
	}
	if err != nil {
		b.broken = true
		return r, fmt.Errorf("%w: %s: %w", errAgent, o.Verb, err)
	}
	if r.Err != "" {
		return r, errors.New(r.Err)
	}
	return r, nil
}

func (b *bench) mountOrder(verb string) order {
	return order{Verb: verb, FS: b.c.fs, Opts: b.c.mount, Dir: b.dir}
}

// A recording is what one workload did to a device.
type recording struct {
	start *image
	log   []event
}

// record runs the workload on the real filesystem. The recording starts after a second mount, so that the
// journal is marked as in use, and ends after everything was written back.
func (b *bench) record(w *workload) (*recording, error) {
	b.dev.load(b.fresh.clone())
	do := func(orders ...order) error {
		for _, o := range orders {
			if _, err := b.ask(o); err != nil {
				return fmt.Errorf("%s %s: %w", o.Verb, o.Op, err)
			}
		}
		return nil
	}
	if err := do(b.mountOrder("mount")); err != nil {
		return nil, err
	}
	err := func() error {
		for _, o := range w.setup {
			if err := do(order{Verb: "do", Op: o}); err != nil {
				return err
			}
		}
		touch := order{Verb: "nudge", Op: op{Verb: "other"}}
		if err := do(touch, order{Verb: "do", Op: op{Verb: "sync"}}, order{Verb: "unmount"}, b.mountOrder("mount")); err != nil {
			return err
		}
		return nil
	}()
	if err != nil {
		_, _ = b.ask(order{Verb: "unmount"})
		return nil, err
	}
	rec := &recording{start: b.dev.record()}
	for i, o := range w.calls {
		if err = do(order{Verb: "do", Op: o}); err != nil {
			break
		}
		b.dev.mark()
		if i < len(w.nudges) && w.nudges[i].Verb != "" {
			if err = do(order{Verb: "nudge", Op: w.nudges[i]}); err != nil {
				break
			}
		}
	}
	if err == nil {
		err = do(order{Verb: "nudge", Op: op{Verb: "commit"}})
	}
	rec.log = b.dev.stop()
	return rec, errors.Join(err, do(order{Verb: "unmount"}))
}

// look mounts an image and dumps what it shows. The image is used up.
func (b *bench) look(m *image) (state, error) {
	b.dev.load(m)
	r, err := b.ask(b.mountOrder("look"))
	return r.Files, err
}
