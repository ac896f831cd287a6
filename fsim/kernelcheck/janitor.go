package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// prefix begins the name of every directory of this tool, and nothing else is ever cleaned up.
const prefix = "understudy-kernelcheck-"

// roleVariable says in the environment what a process of this tool is.
const roleVariable = "UNDERSTUDY_KERNELCHECK_ROLE"

// missing says what the machine lacks, or "".
func missing() string {
	if runtime.GOOS != "linux" {
		return "the kernel is not Linux"
	}
	if os.Geteuid() != 0 {
		return "not root"
	}
	for _, f := range []string{"/dev/fuse", "/dev/loop-control"} {
		h, err := os.OpenFile(f, os.O_RDWR, 0)
		if err != nil {
			return f + " cannot be opened"
		}
		_ = h.Close()
	}
	return ""
}

// sweepAll takes away what earlier runs left behind that were killed: directories, and whatever is still mounted
// in them. A directory whose owner lives is left alone.
func sweepAll() error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range dirs {
		lock, err := takeLock(d)
		if err != nil {
			continue // it is in use
		}
		errs = append(errs, sweep(d))
		_ = lock.Close()
	}
	return errors.Join(errs...)
}

// takeLock holds a directory until the file is closed or the process ends.
func takeLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sweep unmounts everything below dir, innermost first, and removes dir.
func sweep(dir string) error {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var mounts []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			mounts = append(mounts, f[4])
		}
	}
	slices.Reverse(mounts)
	for _, m := range mounts {
		if err := unix.Unmount(m, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", m, err)
		}
	}
	return os.RemoveAll(dir)
}

// loopsBelow lists the loop devices that are set up on files below dir, by these files.
func loopsBelow(dir string) []string {
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	var out []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && strings.HasPrefix(string(b), dir) {
			out = append(out, strings.TrimSpace(string(b)))
		}
	}
	return out
}

// enterOwnMounts starts this program again, with the same process number, where its mounts are seen by nobody
// else and end with its last process.
func enterOwnMounts() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("get a mount namespace: %w", err)
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, roleVariable+"=") })
	return syscall.Exec(self, os.Args, append(env, roleVariable+"=checker"))
}
