package fsim

import (
	"io"
	"io/fs"
)

// A listing is a directory as it was when the handle began to read it.
type listing struct {
	names []string
	next  int
}

// nextNames returns up to n of the names that were not handed out yet, all of
// them where n is 0 or less.
func (f *File) nextNames(c *cmd, n int) []string {
	if f.list == nil {
		f.list = &listing{names: f.v.d.names(f.i)}
	}
	rest := f.list.names[f.list.next:]
	if n > 0 && n < len(rest) {
		rest = rest[:n]
	}
	rest = rest[:c.hit.through(len(rest))]
	f.list.next += len(rest)
	return rest
}

// readdir hands names out in sorted order and gives each to visit, which says
// whether it counts. To describe entries takes the right to search.
func (f *File) readdir(n int, describe bool, visit func(name string) bool) error {
	var c cmd
	c.Len = int64(n)
	f.begin(&c, CallReaddir, false)
	if c.run() {
		if !f.i.isDir() {
			c.err = errNotDir
		} else {
			names := f.nextNames(&c, n)
			if describe && len(names) > 0 {
				if c.err = f.v.d.may(f.v, f.i, mayExec); c.err != nil {
					return c.end("fstatat")
				}
			}
			for _, name := range names {
				if visit(name) {
					c.N++
				}
			}
			switch short := n <= 0 || c.N < int64(n); {
			case c.failed():
			case f.i.dir.gone && short: // there is nothing to read on from
				c.err = errNoEntry
			case n > 0 && c.N == 0:
				c.err = io.EOF
			}
		}
	}
	if c.err == io.EOF {
		c.finish()
		return io.EOF
	}
	return c.end("readdirent")
}

// Readdirnames returns the next n names in the directory, in sorted order, and
// io.EOF when there are no more; all the rest, without io.EOF, where n is 0 or
// less. The slice is never nil. A handle lists what was there when it began to.
func (f *File) Readdirnames(n int) ([]string, error) {
	names := []string{}
	err := f.readdir(n, false, func(name string) bool {
		names = append(names, name)
		return true
	})
	return names, err
}

// Readdir is Readdirnames with a description of each entry. An entry that is
// gone by now is left out.
func (f *File) Readdir(n int) ([]fs.FileInfo, error) {
	infos := []fs.FileInfo{}
	err := f.readdir(n, true, func(name string) bool {
		fi := f.entryInfo(name)
		if fi != nil {
			infos = append(infos, fi)
		}
		return fi != nil
	})
	return infos, err
}

// ReadDir is Readdir for [fs.ReadDirFile].
func (f *File) ReadDir(n int) ([]fs.DirEntry, error) {
	entries := []fs.DirEntry{}
	err := f.readdir(n, false, func(name string) bool {
		fi := f.entryInfo(name)
		if fi != nil {
			entries = append(entries, fi)
		}
		return fi != nil
	})
	return entries, err
}

// entryInfo describes one entry of the directory, or returns nil.
func (f *File) entryInfo(name string) *info {
	d := f.v.d
	i := d.entry(f.i, name)
	if i == nil {
		return nil
	}
	return d.info(i, name)
}
