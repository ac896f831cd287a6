package fsim

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// A CallKind is a method of the disk or of one of its handles.
type CallKind uint8

// The kinds of call. Create and Open are recorded as CallOpen, WriteString as
// CallWrite, and all ways of reading a directory as CallReaddir.
const (
	CallOpen CallKind = iota + 1
	CallMkdir
	CallMkdirAll
	CallRemove
	CallRemoveAll
	CallRename
	CallLink
	CallSymlink
	CallReadlink
	CallStat
	CallLstat
	CallChmod
	CallChown
	CallChtimes
	CallSyncAll
	CallClose
	CallRead
	CallReadAt
	CallWrite
	CallWriteAt
	CallSeek
	CallTruncate
	CallSync
	CallSyncData
	CallReaddir
	CallFstat
)

var callNames = [...]string{
	CallOpen: "open", CallMkdir: "mkdir", CallMkdirAll: "mkdirall", CallRemove: "remove",
	CallRemoveAll: "removeall", CallRename: "rename", CallLink: "link", CallSymlink: "symlink",
	CallReadlink: "readlink", CallStat: "stat", CallLstat: "lstat", CallChmod: "chmod",
	CallChown: "chown", CallChtimes: "chtimes", CallSyncAll: "syncall", CallClose: "close",
	CallRead: "read", CallReadAt: "readat", CallWrite: "write", CallWriteAt: "writeat",
	CallSeek: "seek", CallTruncate: "truncate", CallSync: "sync", CallSyncData: "syncdata",
	CallReaddir: "readdir", CallFstat: "fstat",
}

// String returns the name of the call in lower case, as faults spell it.
func (k CallKind) String() string {
	if int(k) < len(callNames) && callNames[k] != "" {
		return callNames[k]
	}
	return "call" + strconv.Itoa(int(k))
}

// A Call is one call on a disk and what came of it.
type Call struct {
	// Seq numbers the calls of a disk from 1.
	Seq int64
	// Who made it, see [Disk.As]; "" for a call on the disk itself.
	Who string
	// Op is the method.
	Op CallKind
	// Path is the path as the caller gave it; of a handle, as it was opened
	// with.
	Path string
	// To is the new name of Rename and Link, and the place of a symlink whose
	// target is Path.
	To string
	// Handle numbers the open handles of a disk from 1; 0 where there is none.
	Handle int64
	// Off is the offset of a read or write, the size of a Truncate, the offset
	// of a Seek or the user of a Chown; Len is the number of bytes or names
	// asked for, the whence of a Seek or the group of a Chown.
	Off, Len int64
	// Flag and Mode are those of OpenFile, Mkdir and Chmod.
	Flag int
	Mode fs.FileMode
	// N is the number of bytes or names that came of it, or the new offset of
	// a Seek.
	N int64
	// Err is the symbolic name of the error (see [ErrnoName]), "" for none.
	Err string
	// Fault is the fault that struck, as it prints, "" for none.
	Fault string
}

// String returns the call in one line, the same on every operating system:
// number, who, method, path, arguments, and after "=" the result.
func (c Call) String() string {
	var b strings.Builder
	who := c.Who
	if who == "" {
		who = "-"
	}
	fmt.Fprintf(&b, "%d %s %s", c.Seq, quote(who), c.Op)
	if c.Op != CallSyncAll {
		b.WriteString(" " + quote(c.Path))
	}
	if c.To != "" {
		b.WriteString(" -> " + quote(c.To))
	}
	if c.Handle != 0 {
		fmt.Fprintf(&b, " #%d", c.Handle)
	}
	b.WriteString(c.arguments())
	b.WriteString(" = " + c.result())
	if c.Fault != "" {
		b.WriteString(" [" + c.Fault + "]")
	}
	return b.String()
}

func (c Call) arguments() string {
	switch c.Op {
	case CallOpen:
		s := " " + flagNames(c.Flag)
		if c.Flag&os.O_CREATE != 0 {
			s += fmt.Sprintf(" %#o", uint32(c.Mode.Perm()))
		}
		return s
	case CallMkdir, CallMkdirAll:
		return fmt.Sprintf(" %#o", uint32(c.Mode.Perm()))
	case CallChmod:
		return " " + c.Mode.String()
	case CallRead, CallReadAt, CallWrite, CallWriteAt:
		return fmt.Sprintf(" @%d+%d", c.Off, c.Len)
	case CallTruncate:
		return fmt.Sprintf(" %d", c.Off)
	case CallSeek, CallChown:
		return fmt.Sprintf(" %d %d", c.Off, c.Len)
	case CallReaddir:
		return fmt.Sprintf(" %d", c.Len)
	}
	return ""
}

func (c Call) result() string {
	switch c.Op {
	case CallRead, CallReadAt, CallWrite, CallWriteAt, CallReaddir, CallSeek:
		n := strconv.FormatInt(c.N, 10)
		if c.Err == "" {
			return n
		}
		if c.N == 0 {
			return c.Err
		}
		return n + " " + c.Err
	}
	if c.Err == "" {
		return "ok"
	}
	return c.Err
}

// flagNames prints open flags by name.
func flagNames(flag int) string {
	s := "RDONLY"
	switch flag & (os.O_WRONLY | os.O_RDWR) {
	case os.O_WRONLY:
		s = "WRONLY"
	case os.O_RDWR:
		s = "RDWR"
	}
	for _, f := range []struct {
		bit  int
		name string
	}{
		{os.O_APPEND, "APPEND"}, {os.O_CREATE, "CREATE"}, {os.O_EXCL, "EXCL"},
		{os.O_SYNC, "SYNC"}, {os.O_TRUNC, "TRUNC"},
	} {
		if flag&f.bit == f.bit {
			s += "|" + f.name
		}
	}
	return s
}

// quote returns s, in quotes where it would not stand out as one word.
func quote(s string) string {
	if s == "" || strings.ContainsAny(s, " \t\n\"\\[]=#") || strconv.Quote(s) != `"`+s+`"` {
		return strconv.Quote(s)
	}
	return s
}

// A cmd is a call under way: from begin to end it holds the disk's lock.
type cmd struct {
	Call
	v   *view
	err error
	hit *hit // the fault that strikes this call, or nil

	handle *File // of a call on a handle
}

// named fills in what a call on a handle takes from it.
func (c *cmd) named() {
	if c.handle != nil {
		c.Path, c.Handle = c.handle.name, c.handle.number
	}
}

// begin asks the gate, takes the lock and draws the faults.
func (c *cmd) begin(mutates bool) {
	d := c.v.d
	if d.gate != nil {
		c.err = d.gate(mutates)
	}
	d.mu.Lock()
	d.calls++
	if d.off {
		c.err = ErrPoweredOff
	}
	if d.faults != nil && c.err == nil {
		c.Who, c.Seq = c.v.who, d.calls
		c.named()
		d.faults.strike(d, c)
	}
	if d.readOnly && c.err == nil && (mutates || c.Flag&(os.O_WRONLY|os.O_RDWR) != 0) {
		c.err = errReadOnly
	}
}

// run reports whether the call is to be carried out.
func (c *cmd) run() bool { return c.err == nil }

// failed reports whether the call ends with an error, carried out or not.
func (c *cmd) failed() bool {
	if c.err == nil && c.hit != nil {
		c.err = c.hit.late()
	}
	return c.err != nil
}

// finish records the call and releases the lock.
func (c *cmd) finish() {
	d := c.v.d
	if c.failed() || d.trace != nil {
		c.named()
	}
	if d.trace != nil {
		c.Seq, c.Who = d.calls, c.v.who
		if c.err != nil {
			c.Err = ErrnoName(c.err)
		}
		d.trace.add(&c.Call)
	}
	d.mu.Unlock()
	if c.hit != nil {
		c.hit.linger()
	}
}

// end finishes the call and wraps its error as the os package would.
func (c *cmd) end(name string) error {
	c.finish()
	if c.err == nil {
		return nil
	}
	return &fs.PathError{Op: name, Path: c.Path, Err: c.err}
}

// endLink is end for a call with two names.
func (c *cmd) endLink(name string) error {
	c.finish()
	if c.err == nil {
		return nil
	}
	return &os.LinkError{Op: name, Old: c.Path, New: c.To, Err: c.err}
}
