package fsim

import (
	"fmt"
	"io/fs"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// litmus is a narrated scenario: what is done, and what may then be found.
type litmus struct {
	name   string
	ops    []op
	claims []claim
}

// claim is one line of the second half of a litmus file.
type claim struct {
	line     string
	kind     string // legal, illegal, states
	profiles []string
	pattern  []string
	count    int
}

func (c *claim) about(p *Profile) bool {
	for _, n := range c.profiles {
		if n == "all" || n == p.String() {
			return true
		}
	}
	return false
}

// content makes bytes of runs such as a*10+0*20; g is the garbage that stands for an unwritten block.
func runBytes(s string) ([]byte, error) {
	var out []byte
	for _, r := range strings.Split(s, "+") {
		c, n, ok := strings.Cut(r, "*")
		k, err := strconv.Atoi(n)
		if !ok || err != nil || len(c) != 1 {
			return nil, fmt.Errorf("no run: %q", r)
		}
		for i := 0; i < k; i++ {
			switch c {
			case "0":
				out = append(out, 0)
			case "g":
				out = append(out, garbagePage.p[i%BlockSize])
			default:
				out = append(out, c[0])
			}
		}
	}
	return out, nil
}

func parseLitmus(name, text string) (*litmus, error) {
	l := &litmus{name: name}
	s := newLiveSim()
	claims := false
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		var err error
		switch {
		case line == "" || line[0] == '#':
		case line == "---":
			claims = true
		case claims:
			var c *claim
			if c, err = parseClaim(line); err == nil {
				l.claims = append(l.claims, *c)
			}
		default:
			err = s.command(strings.Fields(line))
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %v", name, i+1, err)
		}
	}
	l.ops = s.ops
	return l, nil
}

func parseClaim(line string) (*claim, error) {
	head, rest, ok := strings.Cut(line, ":")
	f := strings.Fields(head)
	if !ok || len(f) < 2 {
		return nil, fmt.Errorf("no claim: %q", line)
	}
	c := &claim{line: line, kind: f[0], profiles: f[1:], pattern: strings.Fields(rest)}
	if c.kind == "states" {
		n, err := strconv.Atoi(strings.TrimSpace(rest))
		c.count = n
		return c, err
	}
	if c.kind != "legal" && c.kind != "illegal" {
		return nil, fmt.Errorf("no claim begins with %q", c.kind)
	}
	return c, nil
}

// command does one line of the first half.
func (s *liveSim) command(f []string) error {
	num := func(i int) int { n, _ := strconv.Atoi(f[i]); return n }
	ok := false
	switch {
	case f[0] == "sync":
		s.emit(op{kind: opSyncAll})
		ok = true
	case f[0] == "create":
		ok = s.create(f[1], 0o644)
	case f[0] == "mkdir":
		ok = s.create(f[1], fs.ModeDir|0o755)
	case f[0] == "write":
		b, err := runBytes(f[3])
		if err != nil {
			return err
		}
		ok = s.write(f[1], num(2), b)
	case f[0] == "osync":
		b, err := runBytes(f[3])
		if err != nil {
			return err
		}
		if ok = s.write(f[1], num(2), b); ok {
			s.syncWrite(f[1], num(2), len(b))
		}
	case f[0] == "truncate":
		ok = s.truncate(f[1], num(2))
	case f[0] == "rename":
		ok = s.rename(f[1], f[2])
	case f[0] == "link":
		ok = s.hardlink(f[1], f[2])
	case f[0] == "unlink":
		ok = s.unlink(f[1])
	case f[0] == "chmod":
		m, _ := strconv.ParseUint(f[2], 8, 32)
		ok = s.chmod(f[1], fs.FileMode(m))
	case f[0] == "fsync":
		ok = s.sync(f[1], opFsync)
	case f[0] == "fdatasync":
		ok = s.sync(f[1], opFdatasync)
	case f[0] == "syncfail":
		ok = s.sync(f[1], opSyncFail)
	}
	if !ok {
		return fmt.Errorf("cannot do %v", f)
	}
	return nil
}

// resolve finds a path in a state; 0 if it is not there.
func resolve(b base, path string) Ino {
	i := rootIno
	for _, p := range strings.Split(path, "/") {
		if !b.mode(i).IsDir() {
			return 0
		}
		if i = b.lookup(i, p); i == 0 {
			return 0
		}
	}
	return i
}

func matches(b base, pattern []string) bool {
	for _, p := range pattern {
		if x, y, ok := strings.Cut(p, "=="); ok {
			if i := resolve(b, x); i == 0 || i != resolve(b, y) {
				return false
			}
			continue
		}
		if path, mode, ok := strings.Cut(p, "@"); ok {
			i := resolve(b, path)
			if i == 0 || fmt.Sprintf("%o", b.meta(i).mode.Perm()) != mode {
				return false
			}
			continue
		}
		path, want, _ := strings.Cut(p, "=")
		if !holds(b, resolve(b, path), want) {
			return false
		}
	}
	return true
}

func holds(b base, i Ino, want string) bool {
	if want == "absent" || i == 0 {
		return want == "absent" && i == 0
	}
	switch {
	case want == "any":
		return true
	case b.mode(i).IsDir():
		return want == "dir"
	case want == "empty":
		return b.size(i) == 0
	}
	data, err := runBytes(want)
	if err != nil || b.size(i) != int64(len(data)) {
		return false
	}
	for x := 0; x < len(data); x += BlockSize {
		want := data[x:min(len(data), x+BlockSize)]
		got := make([]byte, len(want))
		p := b.block(i, int64(x/BlockSize))
		if p.readAt(got, 0); string(got) != string(want) {
			return false
		}
	}
	return true
}

// check gives the claims that do not hold on a profile.
func (l *litmus) check(p *Profile, name *Profile) []string {
	var bad []string
	w := newWorld(trackerOf(p, l.ops))
	for i := range l.claims {
		cl := &l.claims[i]
		if !cl.about(name) {
			continue
		}
		if cl.kind == "states" {
			if n, exact := newCrash(trackerOf(p, l.ops)).Count(); !exact || n.Int64() != int64(cl.count) {
				bad = append(bad, fmt.Sprintf("%s: %v: %s: has %v", l.name, name, cl.line, n))
			}
			continue
		}
		found := false
		st := newStack()
		for more := true; more && !found; more = st.advance(-1) {
			l := newLazy(w, st, 0)
			st.force(l)
			found = matches(l, cl.pattern)
		}
		if found != (cl.kind == "legal") {
			bad = append(bad, fmt.Sprintf("%s: %v: %s", l.name, name, cl.line))
		}
	}
	return bad
}

func readLitmus(t *testing.T) []*litmus {
	files, err := filepath.Glob("testdata/litmus/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no litmus files", err)
	}
	var out []*litmus
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		l, err := parseLitmus(strings.TrimSuffix(filepath.Base(f), ".txt"), string(b))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, l)
	}
	return out
}

func TestEveryLitmusHoldsOnEveryProfile(t *testing.T) {
	for _, l := range readLitmus(t) {
		t.Run(l.name, func(t *testing.T) {
			if len(l.claims) == 0 {
				t.Fatal("claims nothing")
			}
			for _, p := range Profiles() {
				for _, b := range l.check(p, p) {
					t.Error(b)
				}
				want := slowStates(p, l.ops, 1<<13)
				if want == nil {
					continue // too many to judge one by one
				}
				got, err := lazyStates(p, l.ops)
				if err == nil {
					err = compareSets(got, want)
				}
				if err != nil {
					t.Errorf("%v: %v", p, err)
				}
			}
		})
	}
}

// mutants gives the profile with each of its rules changed.
func mutants(p *Profile) map[string]*Profile {
	out := map[string]*Profile{}
	add := func(name string, change func(r *rules)) {
		q := *p
		change(&q.rules)
		if q.rules != p.rules {
			out[name] = &q
		}
	}
	add("names in one order", func(r *rules) { r.order = namesPrefix })
	add("names linked", func(r *rules) { r.order = namesLinked })
	add("names free", func(r *rules) { r.order = namesFree })
	add("data in order", func(r *rules) { r.dataInOrder = !r.dataInOrder })
	add("no tears", func(r *rules) { r.tear = TearNone })
	add("tears at the ends", func(r *rules) { r.tear = TearEnds })
	add("tears anywhere", func(r *rules) { r.tear = TearAny })
	add("size before data", func(r *rules) { r.sizeBeforeData = !r.sizeBeforeData })
	add("cut bytes return", func(r *rules) { r.cutReturns = !r.cutReturns })
	add("replace waits", func(r *rules) { r.replaceWaits = !r.replaceWaits })
	add("file sync names", func(r *rules) { r.fileSyncNames = !r.fileSyncNames })
	add("garbage", func(r *rules) { r.garbage = !r.garbage })
	add("lost size stays", func(r *rules) { r.lostSizeStays = !r.lostSizeStays })
	add("partial truncate", func(r *rules) { r.partialTruncate = !r.partialTruncate })
	return out
}

// idle says that a rule changes nothing on a profile: where data is in the one order, journals decide alone.
func idle(p *Profile, rule string) bool {
	if rule == "lost size stays" && p.sizeBeforeData {
		return true // any size may
	}
	if p.dataInOrder {
		switch rule {
		case "lost size stays", "no tears", "tears at the ends", "tears anywhere", "size before data", "cut bytes return", "replace waits", "garbage":
			return true
		}
	}
	if p.order == namesPrefix {
		// The one order makes names durable by itself.
		return rule == "file sync names" || rule == "partial truncate" && p.dataInOrder
	}
	if p.partialTruncate && rule == "cut bytes return" {
		return true // nothing ties blocks to truncates any more
	}
	return rule == "replace waits" || rule == "data in order"
}

func TestEveryChangedRuleIsCaughtByALitmus(t *testing.T) {
	all := readLitmus(t)
	caught := 0
	for _, p := range Profiles() {
		for rule, m := range mutants(p) {
			if idle(p, rule) {
				continue
			}
			var bad []string
			for _, l := range all {
				if len(bad) > 0 {
					break
				}
				func() {
					defer func() {
						if r := recover(); r != nil {
							bad = append(bad, fmt.Sprint(r))
						}
					}()
					bad = append(bad, l.check(m, p)...)
				}()
			}
			if len(bad) == 0 {
				t.Errorf("%v with %s passes every litmus", p, rule)
			}
			caught++
		}
	}
	t.Logf("%d mutants", caught)
}

func TestProfilesAreContainedInEachOther(t *testing.T) {
	for _, l := range readLitmus(t) {
		contained(t, l.ops)
	}
	r := rand.New(rand.NewPCG(7, 8))
	done := 0
	for done < budget(250, 100000) {
		ops := randomOps(r, 3+r.IntN(12))
		c := newCrash(trackerOf(POSIX, ops))
		if n, exact := c.Count(); !exact || n.Cmp(big.NewInt(1500)) > 0 {
			continue
		}
		contained(t, ops)
		done++
	}
	t.Logf("%d random traces", done)
}

// contained checks states(P) ⊆ states(Linux) ⊆ states(POSIX), and that no directory is named twice.
func contained(t *testing.T, ops []op) {
	t.Helper()
	sets := map[*Profile]map[string]*State{}
	for _, p := range Profiles() {
		sets[p] = map[string]*State{}
		for s := range newCrash(trackerOf(p, ops)).All() {
			sets[p][s.Digest()] = s
			dirs := map[Ino]bool{}
			var walk func(d Ino)
			walk = func(d Ino) {
				if dirs[d] {
					t.Fatalf("%v: directory %d is named twice\n%s", p, d, printOps(ops))
				}
				dirs[d] = true
				for _, e := range s.base().names(d) {
					if s.base().mode(e.ino).IsDir() {
						walk(e.ino)
					}
				}
			}
			walk(rootIno)
		}
	}
	for _, p := range Profiles() {
		for d, s := range sets[p] {
			if p != POSIX && sets[Linux][d] == nil {
				t.Fatalf("%v allows what Linux does not: %s\n%s", p, dump(s.base()), printOps(ops))
			}
			if sets[POSIX][d] == nil {
				t.Fatalf("%v allows what POSIX does not: %s\n%s", p, dump(s.base()), printOps(ops))
			}
		}
	}
}
