package fsim

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
)

// A judgeGen draws steps.
type judgeGen struct {
	r     *rand.Rand
	base  string
	users int
}

func (g *judgeGen) pick(s ...string) string { return s[g.r.IntN(len(s))] }

func (g *judgeGen) path() string {
	p := g.base
	for n := 1 + g.r.IntN(3); n > 0; n-- {
		p += "/" + g.pick("a", "b", "c")
		switch g.r.IntN(60) {
		case 0:
			p += "/.."
		case 1:
			p += "/."
		case 2:
			p += "/"
		case 3:
			p += "/" + strings.Repeat("n", 250+g.r.IntN(10))
		}
		if g.r.IntN(3) == 0 {
			break
		}
	}
	switch g.r.IntN(300) {
	case 0:
		p = ""
	case 1:
		p += "\x00"
	case 2:
		p += strings.Repeat("/.", 2048)
	case 3:
		p = g.base
	}
	return p
}

func (g *judgeGen) mode() fs.FileMode {
	m := fs.FileMode(g.r.IntN(0o1000))
	if g.r.IntN(3) > 0 {
		m |= 0o700
	}
	switch g.r.IntN(12) {
	case 0:
		m |= fs.ModeSticky
	case 1:
		m |= fs.ModeSetgid
	case 2:
		m |= fs.ModeSetuid
	case 3:
		m |= fs.ModeSetuid | fs.ModeSetgid
	}
	return m
}

func (g *judgeGen) offset() int64 {
	switch g.r.IntN(8) {
	case 0:
		return int64(g.r.IntN(4)) * BlockSize
	case 1:
		return int64(g.r.IntN(4*BlockSize) - 10)
	case 2:
		return 1<<20 + int64(g.r.IntN(100))
	case 3:
		return int64(g.r.IntN(3)) - 1
	}
	return int64(g.r.IntN(200))
}

func (g *judgeGen) bytes() string {
	c := string(rune('A' + g.r.IntN(26)))
	switch g.r.IntN(6) {
	case 0:
		return ""
	case 1:
		return strings.Repeat(c, BlockSize)
	case 2:
		return strings.Repeat(c, g.r.IntN(3*BlockSize))
	}
	return strings.Repeat(c, 1+g.r.IntN(40))
}

var judgeOps = []string{
	"open", "open", "open", "open", "create", "create", "mkdir", "mkdir", "mkdirall", "remove", "remove",
	"removeall", "rename", "rename", "rename", "link", "link", "symlink", "symlink", "readlink", "stat", "lstat", "chmod",
	"chmod", "chown", "chtimes", "f.read", "f.read", "f.readat", "f.write", "f.write", "f.write", "f.writeat", "f.writeat", "f.seek", "f.truncate",
	"f.truncate", "f.sync", "f.datasync", "f.stat", "f.close", "f.readdirnames", "f.readdir",
}

func (g *judgeGen) step() judgeStep {
	s := judgeStep{
		op: judgeOps[g.r.IntN(len(judgeOps))], path: g.path(), path2: g.path(),
		mode: g.mode(), handle: g.r.IntN(3), off: g.offset(),
	}
	if g.users > 1 && g.r.IntN(3) > 0 {
		s.user = g.r.IntN(g.users)
	}
	switch s.op {
	case "open":
		s.flag = []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR}[g.r.IntN(4)]
		for _, bit := range []int{os.O_CREATE, os.O_CREATE, os.O_APPEND, os.O_EXCL, os.O_TRUNC, os.O_SYNC} {
			if g.r.IntN(3) == 0 {
				s.flag |= bit
			}
		}
		if s.flag&os.O_CREATE == 0 {
			s.flag &^= os.O_EXCL // not specified without O_CREATE
		}
		switch g.r.IntN(30) {
		case 0:
			s.flag |= syscall.O_DIRECTORY
			s.flag &^= os.O_CREATE | os.O_EXCL
		case 1:
			s.flag |= syscall.O_NOFOLLOW
		}
	case "symlink":
		s.data = g.pick("a", "b", "c", "../a", "a/b", "..", ".", g.path(), g.base+"/a", g.path())
		if strings.ContainsRune(s.data, 0) && g.r.IntN(2) == 0 {
			s.data = "a"
		}
	case "chown":
		ids := []int{-1, 0, 31001, 31002}
		s.n, s.off = ids[g.r.IntN(4)], int64([]int{-1, 0, 32000, 32001}[g.r.IntN(4)])
	case "chtimes":
		s.n, s.off = g.r.IntN(4), int64(g.r.IntN(600000000))
	case "f.seek":
		s.n = g.r.IntN(4)
		if s.n == 3 {
			s.n = 9 // a whence that there is not
		}
		if g.r.IntN(20) == 0 {
			s.off = 1 << 50
		}
	case "f.truncate":
		if g.r.IntN(20) == 0 {
			s.off = 1 << 60
		}
	case "f.writeat":
		s.data = g.bytes()
		if g.r.IntN(20) == 0 {
			s.off = maxFileSize - int64(g.r.IntN(3))*10
			s.data = "x"
		}
	case "f.read", "f.readat":
		s.n = []int{0, 1, 10, 100, BlockSize, 3 * BlockSize}[g.r.IntN(6)]
	case "f.readdirnames", "f.readdir":
		s.n = g.r.IntN(4) - 1
	default:
		s.data = g.bytes()
	}
	return s
}
