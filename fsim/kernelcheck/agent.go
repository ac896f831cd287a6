package main

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The agent is a process of its own that makes every call which may wait for a device. The images are served
// by its parent: a process that waits without end for a device that it serves itself cannot even be killed.
// The agent owns one loop device and at most one mount; both end with it.

// An order tells the agent what to do.
type order struct {
	Verb string // attach, format, mount, unmount, do, nudge, look
	File string // attach: the file below the loop device
	Argv []string
	FS   string
	Opts string
	Dir  string // where to mount
	Op   op
}

// A reply says what came of it.
type reply struct {
	Err   string
	Dev   string
	Files []entry
}

// agentMain is the life of an agent.
func agentMain() error {
	unix.Umask(0)
	a := &agent{}
	defer a.close()
	in, out := gob.NewDecoder(os.Stdin), gob.NewEncoder(os.Stdout)
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read an order: %w", err)
		}
		r, err := a.obey(&o)
		if err != nil {
			r.Err = err.Error()
		}
		if err := out.Encode(&r); err != nil {
			return fmt.Errorf("write a reply: %w", err)
		}
	}
}

type agent struct {
	loop    *os.File
	mounted string
}

func (a *agent) close() {
	if a.mounted != "" {
		_ = unix.Unmount(a.mounted, unix.MNT_DETACH)
	}
	if a.loop != nil {
		_ = a.loop.Close() // the last close takes the loop device apart
	}
}

func (a *agent) obey(o *order) (reply, error) {
	switch o.Verb {
	case "attach":
		return reply{}, a.attach(o.File)
	case "format":
		return reply{}, a.format(o.Argv)
	case "mount":
		return reply{}, a.mount(o)
	case "unmount":
		return reply{}, a.unmount()
	case "do":
		return reply{}, perform(a.mounted, o.Op)
	case "nudge":
		return reply{}, nudge(a.mounted, o.Op)
	case "look":
		if err := a.mount(o); err != nil {
			return reply{}, err
		}
		files, err := readTree(a.mounted)
		if e := a.unmount(); err == nil {
			err = e
		}
		return reply{Files: files}, err
	}
	return reply{}, fmt.Errorf("no order %q", o.Verb)
}

// attach puts a free loop device on a file. The kernel takes it apart when its last user is gone.
func (a *agent) attach(file string) error {
	back, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open image: %w", err)
	}
	defer back.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open loop control: %w", err)
	}
	defer control.Close()
	for range 64 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return fmt.Errorf("find a free loop device: %w", err)
		}
		dev, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("open loop device: %w", err)
		}
		c := unix.LoopConfig{Fd: uint32(back.Fd()), Size: sectorSize}
		c.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		copy(c.Info.File_name[:], file)
		err = unix.IoctlLoopConfigure(int(dev.Fd()), &c)
		if err == nil {
			a.loop = dev
			return nil
		}
		_ = dev.Close()
		if !errors.Is(err, unix.EBUSY) { // else somebody else was faster
			return fmt.Errorf("configure loop device: %w", err)
		}
	}
	return errors.New("find a free loop device: all were taken")
}

func (a *agent) format(argv []string) error {
	if err := a.forget(); err != nil {
		return err
	}
	argv = append(append([]string{}, argv...), a.loop.Name())
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("run %s: %w: %s", argv[0], err, strings.TrimSpace(string(out)))
	}
	if err := unix.Fsync(int(a.loop.Fd())); err != nil {
		return fmt.Errorf("flush the new filesystem: %w", err)
	}
	return nil
}

// forget drops what the kernel has cached of the device, whose content changes below it.
func (a *agent) forget() error {
	if err := unix.IoctlSetInt(int(a.loop.Fd()), unix.BLKFLSBUF, 0); err != nil {
		return fmt.Errorf("drop the device's cache: %w", err)
	}
	return nil
}

func (a *agent) mount(o *order) error {
	if err := a.forget(); err != nil {
		return err
	}
	if err := unix.Mount(a.loop.Name(), o.Dir, o.FS, unix.MS_NOATIME, o.Opts); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	a.mounted = o.Dir
	return nil
}

func (a *agent) unmount() error {
	if err := unix.Unmount(a.mounted, 0); err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	a.mounted = ""
	return nil
}

// perform makes one call of a workload.
func perform(root string, o op) error {
	p, q := filepath.Join(root, o.Path), filepath.Join(root, o.Path2)
	switch o.Verb {
	case "create":
		return withFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, nil)
	case "mkdir":
		return os.Mkdir(p, 0o755)
	case "write":
		return writeRuns(p, os.O_WRONLY, o)
	case "osync":
		return writeRuns(p, os.O_WRONLY|os.O_SYNC, o)
	case "rewrite":
		return writeRuns(p, os.O_WRONLY|os.O_TRUNC, o)
	case "truncate":
		return os.Truncate(p, o.N)
	case "rename":
		return syscall.Rename(p, q)
	case "link":
		return os.Link(p, q)
	case "unlink":
		return syscall.Unlink(p)
	case "rmdir":
		return syscall.Rmdir(p)
	case "chmod":
		return syscall.Chmod(p, uint32(o.N))
	case "fsync":
		return withFile(p, os.O_RDONLY, (*os.File).Sync)
	case "fdatasync":
		return withFile(p, os.O_RDONLY, func(f *os.File) error { return unix.Fdatasync(int(f.Fd())) })
	case "sync":
		return withFile(root, os.O_RDONLY, func(f *os.File) error { return unix.Syncfs(int(f.Fd())) })
	}
	return fmt.Errorf("no call %q", o.Verb)
}

func withFile(path string, flag int, do func(*os.File) error) error {
	f, err := os.OpenFile(path, flag, 0o644)
	if err != nil {
		return err
	}
	if do != nil {
		err = do(f)
	}
	return errors.Join(err, f.Close())
}

func writeRuns(path string, flag int, o op) error {
	b, err := runs(o.Bytes)
	if err != nil {
		return err
	}
	return withFile(path, flag, func(f *os.File) error {
		_, err := f.WriteAt(b, o.N)
		return err
	})
}

// nudgeFile is synced to make the filesystem write more than it was asked to. It is in no dump.
const nudgeFile = ".nudge"

// nudge makes the kernel write back what it might have written back at this moment anyway.
func nudge(root string, o op) error {
	switch o.Verb {
	case "commit": // the periodic commit, early
		return perform(root, op{Verb: "sync"})
	case "other": // somebody syncs a file that is none of the workload's
		return withFile(filepath.Join(root, nudgeFile), os.O_WRONLY|os.O_CREATE, func(f *os.File) error {
			if _, err := f.WriteAt([]byte("nudge"), 0); err != nil {
				return err
			}
			return f.Sync()
		})
	case "range": // the flusher writes one file's pages
		err := withFile(filepath.Join(root, o.Path), os.O_RDONLY, func(f *os.File) error {
			const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
			return unix.SyncFileRange(int(f.Fd()), 0, 0, all)
		})
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESPIPE) {
			return nil
		}
		return err
	}
	return nil
}
