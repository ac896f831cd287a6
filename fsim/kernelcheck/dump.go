package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// An entry is one name that a mounted filesystem shows, and the inode behind it.
type entry struct {
	Path  string // slash-separated, below the root
	Ino   uint64
	Links uint64
	Dir   bool
	Mode  uint32 // permissions
	Data  []byte // of a file
}

// readTree gives every name below root, sorted, without what the filesystem or the checker put there.
func readTree(root string) ([]entry, error) {
	var out []entry
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(path, root+"/"))
		if rel == "lost+found" {
			return fs.SkipDir
		}
		if rel == nudgeFile {
			return nil
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		e := entry{Path: rel, Ino: st.Ino, Links: uint64(st.Nlink), Dir: d.IsDir(), Mode: st.Mode & 0o7777}
		if !e.Dir {
			if e.Data, err = os.ReadFile(path); err != nil {
				return err
			}
			if int64(len(e.Data)) != st.Size {
				return fmt.Errorf("read %s: size is %d, read %d bytes", rel, st.Size, len(e.Data))
			}
		}
		out = append(out, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("dump: %w", err)
	}
	slices.SortFunc(out, func(a, b entry) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

// A state is what one crash image showed.
type state []entry

// String prints the state in the words of a litmus file, and is the same for states that differ in nothing but
// the numbers of their inodes.
func (s state) String() string {
	first := map[uint64]string{}
	var out []string
	for _, e := range s {
		mode := ""
		if plain := uint32(0o644); !e.Dir && e.Mode != plain || e.Dir && e.Mode != 0o755 {
			mode = fmt.Sprintf(" %s@%o", e.Path, e.Mode)
		}
		switch same := first[e.Ino]; {
		case e.Dir && same != "":
			out = append(out, e.Path+"=="+same+" (one directory, two names)")
		case e.Dir:
			out = append(out, e.Path+"=dir"+mode)
		case same != "":
			out = append(out, e.Path+"=="+same)
		default:
			out = append(out, e.Path+"="+asRuns(e.Data)+mode)
			if n := s.names(e.Ino); uint64(n) != e.Links {
				out = append(out, fmt.Sprintf("(%d links, %d names)", e.Links, n))
			}
		}
		if first[e.Ino] == "" {
			first[e.Ino] = e.Path
		}
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, " ")
}

func (s state) names(ino uint64) int {
	n := 0
	for _, e := range s {
		if e.Ino == ino {
			n++
		}
	}
	return n
}

// key tells states apart exactly.
func (s state) key() string {
	var b bytes.Buffer
	first := map[uint64]int{}
	for i, e := range s {
		if _, ok := first[e.Ino]; !ok {
			first[e.Ino] = i
		}
		links := e.Links
		if e.Dir {
			links = 0 // says nothing that names do not
		}
		fmt.Fprintf(&b, "%q %d %d %o %v %q\n", e.Path, first[e.Ino], links, e.Mode, e.Dir, e.Data)
	}
	return b.String()
}
