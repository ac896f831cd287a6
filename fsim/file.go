package fsim

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"

	"github.com/spf13/afero"
)

// The errors that os.File gives before it asks the kernel.
var (
	errNegativeOffset  = errors.New("negative offset")
	errWriteAtInAppend = errors.New("os: invalid use of WriteAt on file opened with O_APPEND")
)

// A File is an open handle on a file or directory. It keeps what it was opened
// on, whatever becomes of the name. It implements [afero.File], [SyncDataer]
// and [fs.ReadDirFile], and may be used by several goroutines at once.
type File struct {
	v       *view
	i       *inode
	name    string
	flag    int
	number  int64
	off     int64
	closed  bool
	errSeen uint64 // failed syncs of the file that this handle was told of
	list    *listing
}

// A SyncDataer is a file that can make its data durable without its times, as
// fdatasync(2) does: the size too, where it is needed to read the data back.
type SyncDataer interface {
	SyncData() error
}

var (
	_ afero.File     = (*File)(nil)
	_ SyncDataer     = (*File)(nil)
	_ fs.ReadDirFile = (*File)(nil)
)

// begin starts a call on the handle.
func (f *File) begin(c *cmd, k CallKind, mutates bool) {
	c.Op, c.v, c.handle = k, f.v, f
	c.begin(mutates)
	if c.err == nil && f.closed {
		c.err = fs.ErrClosed
	}
}

// Name returns the path that the file was opened with.
func (f *File) Name() string { return f.name }

// Close closes the handle. A second Close is [fs.ErrClosed].
func (f *File) Close() error {
	var c cmd
	f.begin(&c, CallClose, false)
	if c.run() {
		f.release()
	}
	return c.end("close")
}

// release lets go of the inode.
func (f *File) release() {
	f.closed = true
	f.i.opens--
	if f.i.opens == 0 && f.i.nlink <= 0 {
		f.v.d.drop(f.i)
	}
}

// Stat describes the file as it is now.
func (f *File) Stat() (fs.FileInfo, error) {
	var c cmd
	f.begin(&c, CallFstat, false)
	var fi *info
	if c.run() {
		fi = f.v.d.info(f.i, baseName(f.name))
	}
	if err := c.end("stat"); err != nil {
		return nil, err
	}
	return fi, nil
}

// Read reads from the handle's offset on and advances it; at the end it gives
// io.EOF.
func (f *File) Read(b []byte) (int, error) {
	var c cmd
	c.Len = int64(len(b))
	f.begin(&c, CallRead, false)
	c.Off = f.off
	n := 0
	if c.run() && len(b) > 0 {
		n = f.readAt(&c, b, f.off)
		f.off += int64(n)
	}
	return c.endData("read", n)
}

// ReadAt reads at the given offset; fewer than len(b) bytes come with io.EOF
// or another error.
func (f *File) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, &fs.PathError{Op: "readat", Path: f.name, Err: errNegativeOffset}
	}
	if len(b) == 0 {
		return 0, nil
	}
	if f.readPlain(b, off) {
		return len(b), nil
	}
	var c cmd
	c.Off, c.Len = off, int64(len(b))
	f.begin(&c, CallReadAt, false)
	n := 0
	if c.run() {
		if n = f.readAt(&c, b, off); n < len(b) && !c.failed() {
			c.err = io.EOF
		}
	}
	return c.endData("read", n)
}

// readPlain is ReadAt where nobody watches and b lies within one known block. It
// reports whether it did it.
func (f *File) readPlain(b []byte, off int64) bool {
	d, i := f.v.d, f.i
	if d.gate != nil || d.trace != nil {
		return false
	}
	d.mu.Lock()
	k, o := off/BlockSize, int(off%BlockSize)
	ok := !d.off && d.faults == nil && !f.closed && f.flag&accessMode != os.O_WRONLY &&
		!i.lazySize && off+int64(len(b)) <= i.size && k < int64(len(i.slots))
	if ok {
		s := &i.slots[k]
		if ok = !s.lazy && o+len(b) <= int(s.n); ok {
			d.calls++
			copy(b, s.p[o:])
		}
	}
	d.mu.Unlock()
	return ok
}

// readAt reads for Read and ReadAt.
func (f *File) readAt(c *cmd, b []byte, off int64) int {
	switch {
	case f.i.isDir():
		c.err = errIsDir
	case f.flag&accessMode == os.O_WRONLY:
		c.err = errBadFile
	default:
		d := f.v.d
		b = b[:c.hit.through(len(b))]
		off = c.hit.shift(off)
		n := d.readData(f.i, f.i.beforeBad(b, off), off)
		if n < len(b) && f.i.isBad(off+int64(n)) && (n == 0 || c.Op == CallReadAt) {
			c.err = errIO
		}
		if n == 0 && c.Op == CallRead && !c.failed() {
			c.err = io.EOF
		}
		return n
	}
	return 0
}

// Write writes at the handle's offset, or at the end of the file where it was
// opened with O_APPEND, and advances the offset. Fewer than len(b) bytes come
// with an error.
func (f *File) Write(b []byte) (int, error) {
	var c cmd
	c.Len = int64(len(b))
	f.begin(&c, CallWrite, true)
	n := 0
	if c.run() {
		c.Off = f.off
		if f.flag&os.O_APPEND != 0 && !f.i.isDir() && f.flag&accessMode != os.O_RDONLY && len(b) > 0 {
			c.Off = f.v.d.needSize(f.i)
		}
		n = f.writeAt(&c, b, c.Off)
		if n > 0 {
			f.off = c.Off + int64(n)
		}
	}
	return c.endData("write", n)
}

// WriteString is Write of the bytes of s.
func (f *File) WriteString(s string) (int, error) { return f.Write([]byte(s)) }

// WriteAt writes at the given offset, which may lie beyond the end of the
// file. On a file opened with O_APPEND it is an error, as in os.
func (f *File) WriteAt(b []byte, off int64) (int, error) {
	if f.flag&os.O_APPEND != 0 {
		return 0, errWriteAtInAppend
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "writeat", Path: f.name, Err: errNegativeOffset}
	}
	if len(b) == 0 {
		return 0, nil
	}
	var c cmd
	c.Off, c.Len = off, int64(len(b))
	f.begin(&c, CallWriteAt, true)
	n := 0
	if c.run() {
		n = f.writeAt(&c, b, off)
	}
	return c.endData("write", n)
}

// writeAt writes for Write and WriteAt.
func (f *File) writeAt(c *cmd, b []byte, off int64) int {
	d := f.v.d
	if f.i.isDir() || f.flag&accessMode == os.O_RDONLY {
		c.err = errBadFile
		return 0
	}
	asked := len(b)
	b = b[:c.hit.through(asked)]
	if asked > 0 && off < maxFileSize {
		d.stripSetID(f.v, f.i)
	}
	n, err := d.writeFor(f, c, b, off)
	if n > 0 {
		d.changed(f.i)
	}
	if err == nil && n < asked {
		err = c.hit.shortWrite()
	}
	if err == nil && n > 0 {
		f.syncFlags(off, n)
	}
	c.err = err
	return n
}

// syncFlags makes the n bytes that were just written at off durable where the
// handle was opened with O_SYNC or O_DSYNC; other bytes of the file it leaves
// (generic_write_sync in include/linux/fs.h of Linux syncs a range).
func (f *File) syncFlags(off int64, n int) {
	o := op{ino: f.i.ino, block: off / BlockSize, off: int32(off % BlockSize), n: int32(min(n, math.MaxInt32))}
	switch {
	case f.flag&os.O_SYNC == os.O_SYNC:
		o.kind = opFsync
	case flagDataSync != 0 && f.flag&flagDataSync != 0:
		o.kind = opFdatasync
	default:
		return
	}
	f.v.d.emit(&o)
}

// Seek sets the offset of the next Read or Write. It may lie beyond the end of
// the file, but not before its start.
func (f *File) Seek(offset int64, whence int) (int64, error) {
	var c cmd
	c.Off, c.Len = offset, int64(whence)
	f.begin(&c, CallSeek, false)
	if c.run() {
		to := offset
		switch whence {
		case io.SeekStart:
		case io.SeekCurrent:
			to += f.off
		case io.SeekEnd:
			if f.i.isDir() {
				to += BlockSize
			} else {
				to += f.v.d.needSize(f.i)
			}
		default:
			to = -1
		}
		if to < 0 || (to > maxFileSize && !f.i.isDir()) {
			c.err = errInvalid
		} else {
			f.off, f.list, c.N = to, nil, to
		}
	}
	if err := c.end("seek"); err != nil {
		return 0, err
	}
	return c.N, nil
}

// Truncate sets the size of the file; what is added reads as zeros. The handle
// must be open for writing.
func (f *File) Truncate(size int64) error {
	var c cmd
	c.Off = size
	f.begin(&c, CallTruncate, true)
	if c.run() {
		switch {
		case size < 0 || f.i.isDir() || f.flag&accessMode == os.O_RDONLY:
			c.err = errInvalid
		case size > maxFileSize:
			c.err = errTooBig
		default:
			f.v.d.stripSetID(f.v, f.i)
			f.v.d.truncate(f.i, size)
		}
	}
	return c.end("truncate")
}

// endData finishes a call that moved n bytes.
func (c *cmd) endData(name string, n int) (int, error) {
	c.N = int64(n)
	c.finish()
	switch c.err {
	case nil:
		return n, nil
	case io.EOF, io.ErrShortWrite:
		return n, c.err
	}
	return n, &fs.PathError{Op: name, Path: c.Path, Err: c.err}
}
