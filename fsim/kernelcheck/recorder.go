package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// An event is one line of the log of a device.
type event struct {
	off  int64
	data []byte // a write; nil: see flush
	// flush says that everything before it is on the medium before anything acknowledged after it. Neither a
	// write nor a flush is a mark: one more call of the workload has returned.
	flush bool
}

func (e *event) isWrite() bool { return e.data != nil }

// A device is an image that is served as a file through FUSE, for a loop device to sit on. It is safe for
// concurrent use.
//
// The loop driver reports a volatile write cache and no FUA for it, so that every flush of the filesystem above
// arrives here as an fsync and what lies between two of them may be lost in any combination.
type device struct {
	fs.Inode
	mu        sync.Mutex
	img       *image
	recording bool
	log       []event
}

var (
	_ fs.NodeGetattrer = (*device)(nil)
	_ fs.NodeSetattrer = (*device)(nil)
	_ fs.NodeOpener    = (*device)(nil)
	_ fs.NodeReader    = (*device)(nil)
	_ fs.NodeWriter    = (*device)(nil)
	_ fs.NodeFsyncer   = (*device)(nil)
	_ fs.NodeAllocater = (*device)(nil)
)

// load replaces the content and ends a recording. Nothing must be mounted on the device.
func (d *device) load(m *image) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.img, d.recording, d.log = m, false, nil
}

// content gives a copy of what the device holds.
func (d *device) content() *image {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.img.clone()
}

// record starts a log and returns the content at that moment.
func (d *device) record() *image {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.recording, d.log = true, nil
	return d.img.clone()
}

// mark notes that one more call has returned.
func (d *device) mark() { d.note(event{}) }

// stop ends the log and gives it away.
func (d *device) stop() []event {
	d.mu.Lock()
	defer d.mu.Unlock()
	log := d.log
	d.recording, d.log = false, nil
	return log
}

func (d *device) note(e event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.isWrite() {
		d.img.writeAt(e.data, e.off)
	}
	if d.recording {
		d.log = append(d.log, e)
	}
}

// Getattr is called by the kernel.
func (d *device) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	out.Mode, out.Size, out.Nlink = syscall.S_IFREG|0o600, uint64(d.img.size()), 1
	return 0
}

// Setattr is called by the kernel. The size of a device is fixed.
func (d *device) Setattr(ctx context.Context, f fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return d.Getattr(ctx, f, out)
}

// Open is called by the kernel. The file bypasses the page cache, so that every request arrives.
func (d *device) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

// Read is called by the kernel.
func (d *device) Read(_ context.Context, _ fs.FileHandle, b []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if left := d.img.size() - off; int64(len(b)) > left {
		b = b[:max(left, 0)]
	}
	d.img.readAt(b, off)
	return fuse.ReadResultData(b), 0
}

// Write is called by the kernel.
func (d *device) Write(_ context.Context, _ fs.FileHandle, b []byte, off int64) (uint32, syscall.Errno) {
	d.note(event{off: off, data: append([]byte{}, b...)})
	return uint32(len(b)), 0
}

// Fsync is called by the kernel for every flush of the loop device.
func (d *device) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d.note(event{flush: true})
	return 0
}

// Allocate is called by the kernel for discards and for writes of zeros. Both leave zeros.
func (d *device) Allocate(_ context.Context, _ fs.FileHandle, off, size uint64, mode uint32) syscall.Errno {
	if mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) == 0 {
		return syscall.EOPNOTSUPP
	}
	const most = 1 << 20
	for size > 0 {
		n := min(size, most)
		d.note(event{off: int64(off), data: make([]byte, n)})
		off, size = off+n, size-n
	}
	return 0
}

// A deviceTree is the directory that holds the devices.
type deviceTree struct {
	fs.Inode
	devices []*device
}

var _ fs.NodeOnAdder = (*deviceTree)(nil)

// OnAdd makes the files, named by number.
func (t *deviceTree) OnAdd(ctx context.Context) {
	for i, d := range t.devices {
		t.AddChild(fmt.Sprint(i), t.NewPersistentInode(ctx, d, fs.StableAttr{Mode: syscall.S_IFREG}), true)
	}
}

// serve mounts n devices of size bytes at dir, as files named 0, 1, …. The caller unmounts.
func serve(dir string, n int, size int64) ([]*device, *fuse.Server, error) {
	t := &deviceTree{}
	for range n {
		t.devices = append(t.devices, &device{img: newImage(size)})
	}
	o := &fs.Options{MountOptions: fuse.MountOptions{
		DirectMountStrict: true, FsName: prefix, Name: "kernelcheck", MaxWrite: 1 << 20, DisableXAttrs: true,
	}}
	server, err := fs.Mount(dir, t, o)
	if err != nil {
		return nil, nil, fmt.Errorf("serve images through fuse: %w", err)
	}
	if err := keepToSelf("/dev/fuse"); err != nil {
		return nil, nil, errors.Join(err, server.Unmount())
	}
	return t.devices, server, nil
}

// keepToSelf sees to it that no child gets a descriptor of the device. An agent that had one would keep the
// images alive after the process that serves them was killed, and wait for them for ever.
func keepToSelf(device string) error {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list descriptors: %w", err)
	}
	for _, e := range fds {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && to == device {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}
