package fsim

import (
	"io/fs"
	"strings"
)

// Bounds of the Linux path walk: PATH_MAX with its terminating NUL, NAME_MAX
// and MAXSYMLINKS (include/uapi/linux/limits.h, include/linux/namei.h).
const (
	maxPath     = 4096
	maxName     = 255
	maxSymlinks = 40
)

// How a walk treats a symlink in last place.
type walkMode uint8

const (
	walkParent walkMode = iota // never follow: the name itself is meant
	walkSelf                   // follow only where a slash comes after it
	walkFollow                 // follow
	walkCreate                 // follow, and let no slash come after it
)

// What kind of last component a walk ended on.
type lastKind uint8

const (
	lastNormal lastKind = iota
	lastDot
	lastDotDot
	lastRoot
)

// A spot is where a walk ended.
type spot struct {
	dir   *inode // the directory that holds, or would hold, name
	name  string
	node  *inode // nil where there is nothing of that name
	last  lastKind
	slash bool  // slashes came after the last component
	err   error // of walkParent: why name cannot be looked up
}

// A lastDir remembers the directory part of the path that was walked last: for
// root, without symlinks on the way. It is forgotten when a directory moves or
// goes.
type lastDir struct {
	path string // without the slash before the name
	dir  *inode // nil: nothing remembered
}

// recall resolves a path through the remembered directory, unless that takes
// following a symlink or asking the base.
func (l *lastDir) recall(path string) (s spot, ok bool) {
	n := len(l.path)
	if l.dir == nil || len(path) <= n || len(path) >= maxPath || path[n] != '/' || path[:n] != l.path {
		return spot{}, false
	}
	name := path[n+1:]
	i := l.dir.dir.entries[name]
	switch {
	case i != nil && i.isSymlink():
		return spot{}, false
	case i == nil && (l.dir.dir.lazy || !isPlain(name)):
		return spot{}, false
	}
	return spot{dir: l.dir, name: name, node: i}, true
}

// walk resolves path as the given user, as path_resolution(7) describes it.
func (d *Disk) walk(v *view, path string, mode walkMode) (spot, error) {
	if v.uid == 0 {
		if s, ok := d.last.recall(path); ok {
			return s, nil
		}
	}
	if path == "" {
		return spot{}, errNoEntry
	}
	if hasNUL(path, "") {
		return spot{}, errInvalid
	}
	if len(path) >= maxPath {
		return spot{}, errNameTooLong
	}
	cur, rest, links := d.root, path, 0
	for {
		rest = trimSlashes(rest)
		if rest == "" {
			return spot{dir: cur, node: cur, last: lastRoot}, nil
		}
		comp, tail := rest, ""
		if end := strings.IndexByte(rest, '/'); end >= 0 {
			comp, tail = rest[:end], rest[end:]
		}
		if v.uid != 0 {
			if err := d.may(v, cur, mayExec); err != nil {
				return spot{}, err
			}
		}
		isLast := tail == "" || trimSlashes(tail) == ""
		if isLast && mode == walkCreate && tail != "" && kindOf(comp) == lastNormal {
			return spot{}, errIsDir
		}
		node, err := d.step(cur, comp)
		if err != nil {
			if isLast && mode == walkParent {
				return spot{dir: cur, name: comp, err: err}, nil
			}
			return spot{}, err
		}
		follow := !isLast || mode >= walkFollow || (mode == walkSelf && tail != "")
		if node != nil && node.isSymlink() && follow {
			if links++; links > maxSymlinks {
				return spot{}, errLoop
			}
			d.needMeta(node)
			rest = node.target + tail
			if rest[0] == '/' {
				cur = d.root
			}
			continue
		}
		if isLast {
			if at := len(path) - len(rest); links == 0 && v.uid == 0 && at > 0 {
				d.last = lastDir{path: path[:at-1], dir: cur}
			}
			return spot{dir: cur, name: comp, node: node, last: kindOf(comp), slash: tail != ""}, nil
		}
		if node == nil {
			return spot{}, errNoEntry
		}
		if !node.isDir() {
			return spot{}, errNotDir
		}
		cur, rest = node, tail
	}
}

// isPlain reports whether a name is one component that may be looked up as it is.
func isPlain(name string) bool {
	return name != "" && len(name) <= maxName && kindOf(name) == lastNormal &&
		strings.IndexByte(name, '/') < 0 && strings.IndexByte(name, 0) < 0
}

// hasNUL reports whether a or b cannot be handed to the kernel at all.
func hasNUL(a, b string) bool {
	return strings.IndexByte(a, 0) >= 0 || strings.IndexByte(b, 0) >= 0
}

// step goes from a directory to what comp names in it.
func (d *Disk) step(dir *inode, comp string) (*inode, error) {
	switch {
	case comp == ".":
		return dir, nil
	case comp == "..":
		return dir.dir.parent, nil
	case len(comp) > maxName:
		return nil, errNameTooLong
	}
	return d.entry(dir, comp), nil
}

func kindOf(comp string) lastKind {
	switch comp {
	case ".":
		return lastDot
	case "..":
		return lastDotDot
	}
	return lastNormal
}

func trimSlashes(s string) string {
	for len(s) > 0 && s[0] == '/' {
		s = s[1:]
	}
	return s
}

// find resolves path to an existing inode.
func (d *Disk) find(v *view, path string, mode walkMode) (*inode, error) {
	s, err := d.walk(v, path, mode)
	if err != nil {
		return nil, err
	}
	if s.node == nil {
		return nil, errNoEntry
	}
	if s.slash && !s.node.isDir() {
		return nil, errNotDir
	}
	return s.node, nil
}

// isBelow reports whether dir is i or lies somewhere below it.
func (i *inode) isBelow(top *inode) bool {
	for dir := i; ; dir = dir.dir.parent {
		if dir == top {
			return true
		}
		if dir.dir.parent == dir {
			return false
		}
	}
}

// Access that a user may ask for, as in the mode bits of one class.
const (
	mayExec  fs.FileMode = 1
	mayWrite fs.FileMode = 2
	mayRead  fs.FileMode = 4
)

// may checks the permission bits of i for the user. Root may do everything,
// except execute a file that nobody may execute.
func (d *Disk) may(v *view, i *inode, want fs.FileMode) error {
	if v.uid == 0 && (i.isDir() || want&mayExec == 0) {
		return nil
	}
	d.needMeta(i)
	bits := i.perm & fs.ModePerm
	switch {
	case v.uid == 0:
		if bits&0o111 != 0 {
			return nil
		}
		return errAccess
	case v.uid == int(i.uid):
		bits >>= 6
	case v.inGroup(int(i.gid)):
		bits >>= 3
	}
	if bits&want == want {
		return nil
	}
	return errAccess
}

// mayChange checks that the user may add names to the directory or take them
// away.
func (d *Disk) mayChange(v *view, dir *inode) error {
	return d.may(v, dir, mayWrite|mayExec)
}

// mayDelete checks that the user may take the name of victim out of dir, and
// that victim is a directory or is not, as the caller wants it. It follows
// may_delete in fs/namei.c of Linux, order of errors included.
func (d *Disk) mayDelete(v *view, dir, victim *inode, wantDir bool) error {
	if err := d.mayChange(v, dir); err != nil {
		return err
	}
	if v.uid != 0 {
		d.needMeta(dir)
		d.needMeta(victim)
		sticky := dir.perm&fs.ModeSticky != 0
		if sticky && int(victim.uid) != v.uid && int(dir.uid) != v.uid {
			return errNotPermitted
		}
	}
	switch {
	case wantDir && !victim.isDir():
		return errNotDir
	case wantDir && victim == d.root:
		return errBusy
	case !wantDir && victim.isDir():
		return errIsDir
	}
	return nil
}
