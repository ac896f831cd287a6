package fsim

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
)

// liveSim is a tiny live file system that cracks calls into micro-operations by hand, so that the crash states
// are tested without the disk that usually does it. A call that a kernel would refuse does nothing and says so.
type liveSim struct {
	ops  []op
	ents map[Ino]map[string]Ino
	kind map[Ino]fs.FileMode
	data map[Ino][]byte
	meta map[Ino]meta
	link map[Ino]int
	next Ino
}

func newLiveSim() *liveSim {
	return &liveSim{ents: map[Ino]map[string]Ino{rootIno: {}}, kind: map[Ino]fs.FileMode{rootIno: fs.ModeDir | 0o755},
		data: map[Ino][]byte{}, meta: map[Ino]meta{}, link: map[Ino]int{rootIno: 1}, next: 2}
}

func (s *liveSim) emit(o op) { s.ops = append(s.ops, o) }

// find gives the directory and last name of a path, and the inode, 0 if there is none.
func (s *liveSim) find(path string) (dir Ino, name string, ino Ino) {
	dir = rootIno
	if path == "." {
		return rootIno, "", rootIno
	}
	parts := strings.Split(path, "/")
	for _, p := range parts[:len(parts)-1] {
		dir = s.ents[dir][p]
		if s.ents[dir] == nil {
			return 0, "", 0
		}
	}
	name = parts[len(parts)-1]
	return dir, name, s.ents[dir][name]
}

func (s *liveSim) create(path string, mode fs.FileMode) bool {
	dir, name, ino := s.find(path)
	if dir == 0 || ino != 0 {
		return false
	}
	i := s.next
	s.next++
	m := meta{mode: mode}
	s.emit(op{kind: opInode, ino: i, meta: m})
	s.emit(op{kind: opLink, dir: dir, name: name, ino: i})
	s.ents[dir][name], s.kind[i], s.meta[i], s.link[i] = i, mode, m, 1
	if mode.IsDir() {
		s.ents[i] = map[string]Ino{}
	}
	return true
}

func (s *liveSim) write(path string, off int, b []byte) bool {
	_, _, i := s.find(path)
	if i == 0 || s.kind[i].IsDir() {
		return false
	}
	for len(b) > 0 {
		blk, at := off/BlockSize, off%BlockSize
		n := min(BlockSize-at, len(b))
		d := s.data[i]
		for len(d) < off+n {
			d = append(d, 0)
		}
		d = slices.Clone(d)
		copy(d[off:], b[:n])
		s.data[i] = d
		whole := d[blk*BlockSize : min(len(d), (blk+1)*BlockSize)]
		s.emit(op{kind: opWrite, ino: i, block: int64(blk), off: int32(at), n: int32(n), page: newPage(whole), size: int64(len(d))})
		off, b = off+n, b[n:]
	}
	return true
}

// syncWrite is what a write with O_SYNC does besides writing.
func (s *liveSim) syncWrite(path string, off, n int) {
	_, _, i := s.find(path)
	s.emit(op{kind: opFsync, ino: i, block: int64(off / BlockSize), off: int32(off % BlockSize), n: int32(n)})
}

func (s *liveSim) truncate(path string, n int) bool {
	_, _, i := s.find(path)
	if i == 0 || s.kind[i].IsDir() {
		return false
	}
	d := slices.Clone(s.data[i])
	for len(d) < n {
		d = append(d, 0)
	}
	s.data[i] = d[:n]
	s.emit(op{kind: opTruncate, ino: i, size: int64(n)})
	return true
}

func (s *liveSim) hardlink(from, to string) bool {
	_, _, i := s.find(from)
	dir, name, there := s.find(to)
	if i == 0 || s.kind[i].IsDir() || dir == 0 || there != 0 {
		return false
	}
	s.emit(op{kind: opLink, dir: dir, name: name, ino: i})
	s.ents[dir][name] = i
	s.link[i]++
	return true
}

func (s *liveSim) unlink(path string) bool {
	dir, name, i := s.find(path)
	if i == 0 || i == rootIno || s.kind[i].IsDir() && len(s.ents[i]) > 0 {
		return false
	}
	s.emit(op{kind: opUnlink, dir: dir, name: name, ino: i})
	delete(s.ents[dir], name)
	s.link[i]--
	return true
}

func (s *liveSim) inside(dir, of Ino) bool {
	if dir == of {
		return true
	}
	for _, c := range s.ents[of] {
		if s.kind[c].IsDir() && s.inside(dir, c) {
			return true
		}
	}
	return false
}

func (s *liveSim) rename(from, to string) bool {
	d1, n1, i := s.find(from)
	d2, n2, over := s.find(to)
	if i == 0 || i == rootIno || d2 == 0 || over == i || over == rootIno {
		return false
	}
	if s.kind[i].IsDir() && s.inside(d2, i) {
		return false
	}
	if over != 0 && (s.kind[i].IsDir() != s.kind[over].IsDir() || len(s.ents[over]) > 0) {
		return false
	}
	s.emit(op{kind: opRename, ino: i, dir: d1, name: n1, dir2: d2, name2: n2, over: over})
	delete(s.ents[d1], n1)
	s.ents[d2][n2] = i
	if over != 0 {
		s.link[over]--
	}
	return true
}

func (s *liveSim) chmod(path string, perm fs.FileMode) bool {
	_, _, i := s.find(path)
	if i == 0 || i == rootIno {
		return false
	}
	m := s.meta[i]
	m.mode = m.mode.Type() | perm
	s.meta[i] = m
	s.emit(op{kind: opMeta, ino: i, meta: m})
	return true
}

func (s *liveSim) sync(path string, kind opKind) bool {
	_, _, i := s.find(path)
	if i == 0 {
		return false
	}
	s.emit(op{kind: kind, ino: i})
	return true
}

// step does one random call on a few names.
func (s *liveSim) step(r *rand.Rand) bool {
	names := []string{"a", "b", "d", "d/x", "d/e", "e", "d/y", "e/x"}
	n, m := names[r.IntN(len(names))], names[r.IntN(len(names))]
	switch r.IntN(16) {
	case 0, 1:
		return s.create(n, 0o644)
	case 2:
		return s.create(n, fs.ModeDir|0o755)
	case 3, 4, 5:
		off := []int{0, 0, 100, 600, 4096, 4090}[r.IntN(6)]
		size := []int{1, 10, 1000, 4096}[r.IntN(4)]
		b := make([]byte, size)
		for i := range b {
			b[i] = 'a' + byte(len(s.ops)%26)
		}
		if r.IntN(2) == 0 {
			_, _, i := s.find(n)
			off = len(s.data[i]) // append
		}
		ok := off+size < 3*BlockSize && s.write(n, off, b)
		if ok && r.IntN(8) == 0 {
			s.syncWrite(n, off, size)
		}
		return ok
	case 6:
		return s.truncate(n, []int{0, 0, 50, 700, 4096, 5000}[r.IntN(6)])
	case 7, 8:
		return s.rename(n, m)
	case 9:
		return s.hardlink(n, m)
	case 10:
		return s.unlink(n)
	case 11:
		return s.chmod(n, 0o600)
	case 12, 13:
		return s.sync([]string{n, m, ".", "d"}[r.IntN(4)], opFsync)
	case 14:
		return s.sync(n, opFdatasync)
	default:
		if r.IntN(3) == 0 {
			s.emit(op{kind: opSyncAll})
			return true
		}
		return r.IntN(6) == 0 && s.sync(n, opSyncFail)
	}
}

// randomOps gives the micro-operations of n successful random calls.
func randomOps(r *rand.Rand, n int) []op {
	s := newLiveSim()
	for i := 0; i < n; {
		if s.step(r) {
			i++
		}
	}
	return s.ops
}

// runs prints bytes as runs: a*4096 0*10.
func runs(b []byte) string {
	var out []string
	for i := 0; i < len(b); {
		j := i
		for j < len(b) && b[j] == b[i] {
			j++
		}
		c := string(rune(b[i]))
		if b[i] == 0 {
			c = "0"
		}
		out = append(out, fmt.Sprintf("%s*%d", c, j-i))
		i = j
	}
	return strings.Join(out, " ")
}

// dump prints everything that a base shows, deciding all of it: names in order, inode, size, content, metadata.
func dump(b base) string {
	var out strings.Builder
	seen := map[Ino]bool{}
	var walk func(dir Ino, path string)
	walk = func(dir Ino, path string) {
		for _, e := range b.names(dir) {
			full := path + e.name
			fmt.Fprintf(&out, "%s=%d", full, e.ino)
			if !seen[e.ino] {
				seen[e.ino] = true
				fmt.Fprintf(&out, " %v", b.meta(e.ino).mode)
				if !b.mode(e.ino).IsDir() {
					fmt.Fprintf(&out, " %s", content(b, e.ino))
				}
			}
			out.WriteString("; ")
			if b.mode(e.ino).IsDir() {
				walk(e.ino, full+"/")
			}
		}
	}
	walk(rootIno, "")
	return out.String()
}

func content(b base, ino Ino) string {
	size := b.size(ino)
	data := make([]byte, size)
	for i := int64(0); i*BlockSize < size; i++ {
		p := b.block(ino, i)
		p.readAt(data[i*BlockSize:min(size, (i+1)*BlockSize)], 0)
	}
	return fmt.Sprintf("%d[%s]", size, runs(data))
}
