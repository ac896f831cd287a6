package logstore

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/afero"
)

// disk is a small filesystem that remembers every operation, so that a test can
// put together what a crash after any of them may leave behind. All files lie
// in one directory. It knows three things to be durable: what a file held at
// its last sync, the names at the last sync of the directory, and nothing else.
type disk struct {
	mu    sync.Mutex
	files map[string]int // name to inode
	data  map[int][]byte // by inode
	next  int
	log   []diskOp
	calls int
	fault func(call int, op, name string) fault // asked before each call that writes
	plain bool                                  // files offer no SyncData
}

type diskOp struct {
	kind  string // write, truncate, sync, name, unname, rename, dirsync, note
	inode int
	off   int64
	data  []byte
	name  string
	to    string
	note  any
}

type fault struct {
	err  error
	done bool // the effect happens nevertheless
}

func newDisk(files map[string][]byte) *disk {
	d := &disk{files: map[string]int{}, data: map[int][]byte{}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		d.files[name], d.data[d.next] = d.next, slices.Clone(files[name])
		d.next++
	}
	return d
}

// record logs an operation. The caller holds mu.
func (d *disk) record(op diskOp) { d.log = append(d.log, op) }

func (d *disk) note(v any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.record(diskOp{kind: "note", note: v})
}

// faulty asks for a fault. The caller holds mu.
func (d *disk) faulty(op, name string) fault {
	d.calls++
	if d.fault == nil {
		return fault{}
	}
	return d.fault(d.calls, op, name)
}

func clean(name string) string { return filepath.Base(name) }

func isRoot(name string) bool { return clean(name) == "log" || clean(name) == "/" }

// crashState is one way in which a crash may leave the disk.
type crashState struct {
	name  string
	files map[string][]byte
}

// inodeHistory is an inode during a replay of the operations.
type inodeHistory struct {
	synced, now []byte
	dirty       []diskOp
}

// crashes calls f with the states after every operation of base and log, n-th
// operation included. stride thins them out.
func crashes(base map[string][]byte, log []diskOp, stride int, rnd *rand.Rand, f func(at int, s crashState)) {
	inodes := map[int]*inodeHistory{}
	names, durable := map[string]int{}, map[string]int{}
	for i, name := range slices.Sorted(maps.Keys(base)) {
		inodes[i] = &inodeHistory{synced: base[name], now: base[name]}
		names[name], durable[name] = i, i
	}
	for i, op := range log {
		h := inodes[op.inode]
		switch op.kind {
		case "name":
			if inodes[op.inode] == nil {
				inodes[op.inode] = &inodeHistory{}
			}
			names[op.name] = op.inode
		case "unname":
			delete(names, op.name)
		case "rename":
			names[op.to] = names[op.name]
			delete(names, op.name)
		case "dirsync":
			durable = maps.Clone(names)
		case "write":
			h.now = overwrite(slices.Clone(h.now), op.off, op.data)
			h.dirty = append(h.dirty, op)
		case "truncate":
			h.now = resize(slices.Clone(h.now), op.off)
			h.dirty = append(h.dirty, op)
		case "sync":
			h.synced, h.dirty = h.now, nil
		}
		if i%stride != 0 {
			continue
		}
		for _, kind := range []string{"killed", "synced only", "names without data", "data without names", "torn", "zeroed"} {
			from := names
			if kind == "synced only" || kind == "data without names" {
				from = durable
			}
			files := map[string][]byte{}
			for _, name := range slices.Sorted(maps.Keys(from)) {
				h := inodes[from[name]]
				switch kind {
				case "killed", "data without names":
					files[name] = h.now
				case "synced only", "names without data":
					files[name] = h.synced
				default:
					files[name] = tear(h, kind == "zeroed", rnd)
				}
			}
			f(i, crashState{kind, files})
		}
	}
}

// tear decides for every sector of every write since the last sync whether it
// arrived, and for the length as well. With zeroed, what did not arrive beyond
// the old length reads as zeros.
func tear(h *inodeHistory, zeroed bool, rnd *rand.Rand) []byte {
	const sector = 512
	b := slices.Clone(h.synced)
	for _, op := range h.dirty {
		if op.kind == "truncate" {
			if rnd.Intn(2) == 0 {
				b = resize(b, op.off)
			}
			continue
		}
		whole := rnd.Intn(4)
		for at := 0; at < len(op.data); {
			n := min(sector-int(op.off+int64(at))%sector, len(op.data)-at)
			if whole == 0 || whole > 1 && rnd.Intn(2) == 0 {
				b = overwrite(b, op.off+int64(at), op.data[at:at+n])
			} else if zeroed {
				b = resize(b, max(int64(len(b)), op.off+int64(at+n)))
			}
			at += n
		}
	}
	return b
}

func overwrite(b []byte, off int64, data []byte) []byte {
	b = resize(b, max(int64(len(b)), off+int64(len(data))))
	copy(b[off:], data)
	return b
}

func resize(b []byte, n int64) []byte {
	if n <= int64(len(b)) {
		return b[:n]
	}
	return append(b, make([]byte, n-int64(len(b)))...)
}

// current is what the disk holds now, as after a kill of the process.
func (d *disk) current() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	files := map[string][]byte{}
	for name, ino := range d.files {
		files[name] = slices.Clone(d.data[ino])
	}
	return files
}

func (d *disk) Name() string                               { return "disk" }
func (d *disk) Mkdir(name string, _ os.FileMode) error     { return fs.ErrExist }
func (d *disk) MkdirAll(string, os.FileMode) error         { return nil }
func (d *disk) RemoveAll(string) error                     { return fs.ErrInvalid }
func (d *disk) Chmod(string, os.FileMode) error            { return nil }
func (d *disk) Chown(string, int, int) error               { return nil }
func (d *disk) Chtimes(string, time.Time, time.Time) error { return nil }
func (d *disk) Create(name string) (afero.File, error) {
	return d.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}
func (d *disk) Open(name string) (afero.File, error) { return d.OpenFile(name, os.O_RDONLY, 0) }

func (d *disk) OpenFile(name string, flag int, _ os.FileMode) (afero.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if isRoot(name) {
		return d.handle(&diskFile{d: d, name: name, inode: -1}), nil
	}
	name = clean(name)
	ino, ok := d.files[name]
	switch {
	case ok && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case !ok && flag&os.O_CREATE == 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case !ok || flag&os.O_TRUNC != 0 && len(d.data[ino]) > 0:
		ft := d.faulty("create", name)
		if ft.err != nil && !ft.done {
			return nil, &fs.PathError{Op: "open", Path: name, Err: ft.err}
		}
		if !ok {
			ino = d.next
			d.next++
			d.files[name], d.data[ino] = ino, nil
			d.record(diskOp{kind: "name", inode: ino, name: name})
		} else {
			d.data[ino] = nil
			d.record(diskOp{kind: "truncate", inode: ino})
		}
		if ft.err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: ft.err}
		}
	}
	return d.handle(&diskFile{d: d, name: name, inode: ino}), nil
}

func (d *disk) handle(f *diskFile) afero.File {
	if d.plain {
		return f
	}
	return &dataSyncFile{f}
}

func (d *disk) change(op, name string, f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	ft := d.faulty(op, clean(name))
	if ft.err != nil && !ft.done {
		return &fs.PathError{Op: op, Path: name, Err: ft.err}
	}
	if err := f(); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return ft.err
}

func (d *disk) Remove(name string) error {
	return d.change("remove", name, func() error {
		if _, ok := d.files[clean(name)]; !ok {
			return fs.ErrNotExist
		}
		delete(d.files, clean(name))
		d.record(diskOp{kind: "unname", name: clean(name)})
		return nil
	})
}

func (d *disk) Rename(from, to string) error {
	return d.change("rename", from, func() error {
		ino, ok := d.files[clean(from)]
		if !ok {
			return fs.ErrNotExist
		}
		delete(d.files, clean(from))
		d.files[clean(to)] = ino
		d.record(diskOp{kind: "rename", name: clean(from), to: clean(to)})
		return nil
	})
}

func (d *disk) Stat(name string) (os.FileInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if isRoot(name) {
		return diskInfo{name: name, dir: true}, nil
	}
	if ft := d.faulty("stat", clean(name)); ft.err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: ft.err}
	}
	ino, ok := d.files[clean(name)]
	if !ok {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return diskInfo{name: name, size: int64(len(d.data[ino]))}, nil
}

type diskInfo struct {
	name string
	size int64
	dir  bool
}

func (i diskInfo) Name() string       { return clean(i.name) }
func (i diskInfo) Size() int64        { return i.size }
func (i diskInfo) Mode() os.FileMode  { return 0o644 }
func (i diskInfo) ModTime() time.Time { return time.Time{} }
func (i diskInfo) IsDir() bool        { return i.dir }
func (i diskInfo) Sys() any           { return nil }

type diskFile struct {
	d     *disk
	name  string
	inode int
	pos   int64
}

type dataSyncFile struct{ *diskFile }

func (f *dataSyncFile) SyncData() error { return f.Sync() }

func (f *diskFile) Name() string { return f.name }
func (f *diskFile) Close() error { return nil }

func (f *diskFile) Stat() (os.FileInfo, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.inode < 0 {
		return diskInfo{name: f.name, dir: true}, nil
	}
	return diskInfo{name: f.name, size: int64(len(f.d.data[f.inode]))}, nil
}

func (f *diskFile) ReadAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if ft := f.d.faulty("read", f.name); ft.err != nil {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: ft.err}
	}
	data := f.d.data[f.inode]
	if off >= int64(len(data)) {
		return 0, io.EOF
	}
	n := copy(b, data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *diskFile) Read(b []byte) (int, error) {
	n, err := f.ReadAt(b, f.pos)
	f.pos += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

func (f *diskFile) WriteAt(b []byte, off int64) (int, error) {
	n := len(b)
	err := f.d.change("write", f.name, func() error {
		d := f.d
		d.data[f.inode] = overwrite(slices.Clone(d.data[f.inode]), off, b)
		d.record(diskOp{kind: "write", inode: f.inode, off: off, data: slices.Clone(b)})
		return nil
	})
	if err != nil {
		n = 0
	}
	return n, err
}

func (f *diskFile) Truncate(size int64) error {
	return f.d.change("truncate", f.name, func() error {
		f.d.data[f.inode] = resize(slices.Clone(f.d.data[f.inode]), size)
		f.d.record(diskOp{kind: "truncate", inode: f.inode, off: size})
		return nil
	})
}

func (f *diskFile) Sync() error {
	return f.d.change("sync", f.name, func() error {
		if f.inode < 0 {
			f.d.record(diskOp{kind: "dirsync"})
		} else {
			f.d.record(diskOp{kind: "sync", inode: f.inode})
		}
		return nil
	})
}

func (f *diskFile) Readdirnames(int) ([]string, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return slices.Sorted(maps.Keys(f.d.files)), nil
}

func (f *diskFile) Readdir(int) ([]os.FileInfo, error) { return nil, syscall.ENOTSUP }
func (f *diskFile) Seek(int64, int) (int64, error)     { return 0, syscall.ENOTSUP }
func (f *diskFile) Write([]byte) (int, error)          { return 0, syscall.ENOTSUP }
func (f *diskFile) WriteString(s string) (int, error)  { return 0, syscall.ENOTSUP }
func (f *diskFile) String() string                     { return fmt.Sprintf("inode %d", f.inode) }
