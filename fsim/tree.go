package fsim

import (
	"io/fs"
	"strings"
)

// MkdirAll creates a directory and those above it that are missing; where the
// directory exists it does nothing. Errors are those of os.MkdirAll.
func (v *view) MkdirAll(name string, perm fs.FileMode) error {
	c := cmd{v: v, Call: Call{Op: CallMkdirAll, Path: name, Mode: perm}}
	c.begin(true)
	at := name
	if c.run() {
		if c.hit.half() {
			name = parentOf(name)
		}
		at, c.err = v.d.mkdirAll(v, name, perm)
	}
	err := c.end("mkdir")
	if pe, ok := err.(*fs.PathError); ok {
		pe.Path = at
	}
	return err
}

// mkdirAll returns the path that an error is about.
func (d *Disk) mkdirAll(v *view, path string, perm fs.FileMode) (string, error) {
	i, err := d.find(v, path, walkFollow)
	if err == nil {
		if i.isDir() {
			return path, nil
		}
		return path, errNotDir
	}
	if parent := parentOf(path); parent != "" {
		if at, err := d.mkdirAll(v, parent, perm); err != nil {
			return at, err
		}
	}
	err = d.mkdir(v, path, perm)
	if err != nil {
		if i, err := d.find(v, path, walkSelf); err == nil && i.isDir() {
			return path, nil
		}
	}
	return path, err
}

// parentOf cuts the last component off, with the slashes after it and the one
// before it.
func parentOf(path string) string {
	path = strings.TrimRight(path, "/")
	return path[:max(strings.LastIndexByte(path, '/'), 0)]
}

// RemoveAll removes a name and everything below it. It goes on past errors and
// returns the first one, as os.RemoveAll does; a missing name is no error.
func (v *view) RemoveAll(name string) error {
	c := cmd{v: v, Call: Call{Op: CallRemoveAll, Path: name}}
	c.begin(true)
	var first *fs.PathError
	if c.run() {
		if c.hit.half() {
			first = v.d.removeHalf(v, name)
		} else {
			first = v.d.removeAll(v, name)
		}
		if first != nil {
			c.err = first.Err
		}
	}
	err := c.end("RemoveAll")
	if first != nil && err != nil {
		return first
	}
	return err
}

func (d *Disk) removeAll(v *view, path string) *fs.PathError {
	if path == "" {
		return nil
	}
	if path == "." || strings.HasSuffix(path, "/.") {
		return &fs.PathError{Op: "RemoveAll", Path: path, Err: errInvalid}
	}
	if err := d.remove(v, path); err == nil || err == errNoEntry {
		return nil
	}
	parent, base := splitPath(path)
	dir, err := d.find(v, parent, walkFollow)
	if err == errNoEntry {
		return nil
	}
	if err == nil {
		err = d.may(v, dir, mayRead)
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: parent, Err: err}
	}
	pe := d.removeAllFrom(v, dir, base)
	if pe != nil {
		pe.Path = parent + "/" + pe.Path
	}
	return pe
}

// removeHalf removes half of what is in a directory.
func (d *Disk) removeHalf(v *view, path string) *fs.PathError {
	i, err := d.find(v, path, walkSelf)
	if err != nil || !i.isDir() || d.may(v, i, mayRead) != nil {
		return nil
	}
	names := d.names(i)
	for _, name := range names[:len(names)/2] {
		if pe := d.removeAllFrom(v, i, name); pe != nil {
			return pe
		}
	}
	return nil
}

// splitPath is splitPath of package os: the directory, "." where there is
// none, and the last component without slashes around it.
func splitPath(path string) (dir, base string) {
	dir = "."
	for len(path) > 1 && path[0] == '/' && path[1] == '/' {
		path = path[1:]
	}
	end := len(path)
	for end > 0 && path[end-1] == '/' {
		end--
	}
	path = path[:end]
	base = path
	if at := strings.LastIndexByte(path, '/'); at >= 0 {
		base = path[at+1:]
		dir = path[:at]
		if at == 0 {
			dir = "/"
		}
	}
	return dir, base
}

// removeAllFrom removes one entry of dir with everything below it.
func (d *Disk) removeAllFrom(v *view, dir *inode, base string) *fs.PathError {
	err := d.removeAt(v, dir, base, false)
	if err == nil || err == errNoEntry {
		return nil
	}
	if err != errIsDir && err != errNotPermitted && err != errAccess {
		return &fs.PathError{Op: "unlinkat", Path: base, Err: err}
	}
	var first *fs.PathError
	i, openErr := d.openAt(v, dir, base)
	switch {
	case openErr == errNoEntry:
		return nil
	case openErr == errNotDir:
		return &fs.PathError{Op: "unlinkat", Path: base, Err: err}
	case openErr == errLoop:
		first = &fs.PathError{Op: "openfdat", Path: base, Err: err}
	case openErr != nil:
		first = &fs.PathError{Op: "openfdat", Path: base, Err: openErr}
	default:
		for _, name := range d.names(i) {
			if pe := d.removeAllFrom(v, i, name); pe != nil {
				pe.Path = base + "/" + pe.Path
				if first == nil {
					first = pe
				}
			}
		}
	}
	err = d.removeAt(v, dir, base, true)
	if err == nil || err == errNoEntry {
		return nil
	}
	if first != nil {
		return first
	}
	return &fs.PathError{Op: "unlinkat", Path: base, Err: err}
}

// removeAt is unlinkat(2), of a directory or of anything else.
func (d *Disk) removeAt(v *view, dir *inode, name string, wantDir bool) error {
	i, err := d.stepAt(v, dir, name)
	if err != nil {
		return err
	}
	if i == nil {
		return errNoEntry
	}
	if last := kindOf(name); last != lastNormal {
		return removeDots(last, wantDir)
	}
	if wantDir {
		return d.rmdirAt(v, dir, name, i)
	}
	return d.unlinkAt(v, dir, name, i)
}

// removeDots is the error of removing "." or "..".
func removeDots(last lastKind, wantDir bool) error {
	switch {
	case !wantDir:
		return errIsDir
	case last == lastDot:
		return errInvalid
	}
	return errNotEmpty
}

// openAt opens a directory, and nothing else, by its name in another one.
func (d *Disk) openAt(v *view, dir *inode, name string) (*inode, error) {
	i, err := d.stepAt(v, dir, name)
	switch {
	case err != nil:
		return nil, err
	case i == nil:
		return nil, errNoEntry
	case i.isSymlink():
		return nil, errLoop
	case !i.isDir():
		return nil, errNotDir
	}
	return i, d.may(v, i, mayRead)
}

func (d *Disk) stepAt(v *view, dir *inode, name string) (*inode, error) {
	switch {
	case hasNUL(name, ""):
		return nil, errInvalid
	case !dir.isDir():
		return nil, errNotDir
	}
	if err := d.may(v, dir, mayExec); err != nil {
		return nil, err
	}
	return d.step(dir, name)
}
