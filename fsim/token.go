package fsim

import (
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ErrBadToken says that a text is not a token; ErrStaleToken that it is one, but of another version of this
// package, another profile or another history. The error says what differs.
var (
	ErrBadToken   = errors.New("bad token")
	ErrStaleToken = errors.New("stale token")
)

const tokenVersion = "fsim1"

// A token is one line, fields separated by colons: the version, the profile, i and the instant, h and a hash of
// the history up to there, and the state. The state is # and its index in base 36, or the decisions in which it
// differs from [Kept], separated by semicolons. Each is a cell and its value in base 36: of an entry the inode, or
// 0, of a size the bytes, of a block and of metadata a hash:
//
//	e<directory>/<name>=2   s<inode>=34g   b<inode>.<block>=1f2z…   m<inode>=9k…
//
// S, B and i stand for the origin of a size and a block, and for a second instant; a leading 1~ says that the
// decision was taken after one more crash.
type token struct {
	profile *Profile
	instant int
	hash    uint64
	index   *big.Int
	picks   []pick
}

// pick is a decision that is not the kept one: a cell, and the id of its value.
type pick struct {
	key cellKey
	id  uint64
}

const cellLetters = " esbmSBi"

func (k cellKey) token() string {
	s := ""
	if k.level > 0 {
		s = strconv.Itoa(k.level) + "~"
	}
	s += string(cellLetters[k.kind])
	switch k.kind {
	case cellEntry:
		return s + strconv.FormatUint(uint64(k.ino), 10) + "/" + url.QueryEscape(k.name)
	case cellBlock, cellBlockOrigin:
		return s + strconv.FormatUint(uint64(k.ino), 10) + "." + strconv.FormatInt(k.index, 10)
	case cellInstant:
		return s
	default:
		return s + strconv.FormatUint(uint64(k.ino), 10)
	}
}

func parseCell(s string) (k cellKey, err error) {
	if level, rest, ok := strings.Cut(s, "~"); ok {
		if k.level, err = parseCount(level); err != nil {
			return k, err
		}
		s = rest
	}
	if s == "" {
		return k, errors.New("no cell")
	}
	at := strings.IndexByte(cellLetters, s[0])
	if at < 1 {
		return k, fmt.Errorf("no cell begins with %q", s[0])
	}
	k.kind, s = cellKind(at), s[1:]
	switch k.kind {
	case cellEntry:
		dir, name, ok := strings.Cut(s, "/")
		if k.name, err = url.QueryUnescape(name); err != nil || !ok {
			return k, fmt.Errorf("no name in %q", s)
		}
		s = dir
	case cellBlock, cellBlockOrigin:
		ino, index, _ := strings.Cut(s, ".")
		n, err := strconv.ParseUint(index, 10, 62)
		if err != nil {
			return k, fmt.Errorf("no block in %q", s)
		}
		k.index, s = int64(n), ino
	case cellInstant:
		if s != "" {
			return k, fmt.Errorf("%q after an instant", s)
		}
		return k, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return k, fmt.Errorf("no inode in %q", s)
	}
	k.ino = Ino(n)
	return k, nil
}

func parseCount(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return int(n), nil
}

func (t *token) String() string {
	state := ""
	if t.index != nil {
		state = "#" + t.index.Text(36)
	}
	for i, p := range t.picks {
		if i > 0 {
			state += ";"
		}
		state += p.key.token() + "=" + strconv.FormatUint(p.id, 36)
	}
	return fmt.Sprintf("%s:%s:i%d:h%016x:%s", tokenVersion, t.profile, t.instant, t.hash, state)
}

func parseToken(s string) (*token, error) {
	bad := func(field, why string) (*token, error) {
		return nil, fmt.Errorf("parse token: %w: %s %q", ErrBadToken, why, field)
	}
	f := strings.Split(s, ":")
	if !strings.HasPrefix(f[0], "fsim") {
		return bad(f[0], "does not begin with a version:")
	}
	if f[0] != tokenVersion {
		return nil, fmt.Errorf("parse token: %w: version %s, this is %s", ErrStaleToken, f[0], tokenVersion)
	}
	if len(f) != 5 {
		return bad(s, "does not have five fields:")
	}
	t := &token{}
	var err error
	if t.profile, err = ParseProfile(f[1]); err != nil {
		return nil, fmt.Errorf("parse token: %w: %w", ErrBadToken, err)
	}
	if t.instant, err = parseCount(strings.TrimPrefix(f[2], "i")); err != nil || !strings.HasPrefix(f[2], "i") {
		return bad(f[2], "no instant:")
	}
	if t.hash, err = strconv.ParseUint(strings.TrimPrefix(f[3], "h"), 16, 64); err != nil || len(f[3]) != 17 {
		return bad(f[3], "no hash:")
	}
	if k, ok := strings.CutPrefix(f[4], "#"); ok {
		if t.index, ok = new(big.Int).SetString(k, 36); !ok || t.index.Sign() < 0 || k[0] == '+' {
			return bad(f[4], "no index:")
		}
		return t, nil
	}
	for _, p := range strings.Split(f[4], ";") {
		if f[4] == "" {
			break
		}
		cell, val, _ := strings.Cut(p, "=")
		k, err := parseCell(cell)
		if err != nil {
			return bad(p, err.Error()+" in")
		}
		v, err := strconv.ParseUint(val, 36, 64)
		if err != nil {
			return bad(p, "no value in")
		}
		t.picks = append(t.picks, pick{k, v})
	}
	return t, nil
}

// check says whether t belongs to a history with profile p whose tracker at the instant is at.
func (t *token) check(p *Profile, at *tracker) error {
	switch {
	case t.profile.String() != p.String():
		return fmt.Errorf("%w: made on profile %s, this is %s", ErrStaleToken, t.profile, p)
	case t.hash != at.hash:
		return fmt.Errorf("%w: the operations before instant %d are not those that it was made from", ErrStaleToken, t.instant)
	}
	return nil
}

// Token gives the state as one line of text, from which [History.State] makes it again on every run and
// machine, as long as the same is done to the disk.
func (s *State) Token() string {
	t := token{profile: s.crash.w.t.p, instant: s.crash.w.t.n, hash: s.crash.w.t.hash, index: s.index, picks: s.picks}
	return t.String()
}

// State makes a state again from its token. A text that is not a token is [ErrBadToken]; one that was made by
// another version of this package, on another profile or from another history is [ErrStaleToken].
func (h *History) State(text string) (*State, error) {
	t, err := parseToken(text)
	if err != nil {
		return nil, err
	}
	at, err := h.trackerAt(t.instant)
	if errors.Is(err, ErrNoInstant) {
		return nil, fmt.Errorf("use token: %w: instant %d of a history of %d", ErrStaleToken, t.instant, h.Len())
	}
	if err != nil {
		return nil, fmt.Errorf("use token: %w", err)
	}
	if err := t.check(h.p, at); err != nil {
		return nil, fmt.Errorf("use token: %w", err)
	}
	c := newCrash(at)
	if t.index != nil {
		s, err := c.State(t.index)
		if err != nil {
			return nil, fmt.Errorf("use token: %w: %w", ErrStaleToken, err)
		}
		return s, nil
	}
	f := newFollower(t.picks)
	s := c.settle(f)
	if err := f.done(); err != nil {
		return nil, fmt.Errorf("use token: %w", err)
	}
	return s, nil
}

// follower takes given decisions, and everything else as [Kept] does.
type follower struct {
	keys []cellKey
	want map[cellKey]uint64
	used map[cellKey]bool
	odd  error
}

func newFollower(picks []pick) *follower {
	f := &follower{want: map[cellKey]uint64{}, used: map[cellKey]bool{}}
	for _, p := range picks {
		f.want[p.key] = p.id
		f.keys = append(f.keys, p.key)
	}
	return f
}

func (f *follower) decide(k cellKey, v values) int {
	id, ok := f.want[k]
	if !ok {
		return 0
	}
	f.used[k] = true
	for i := 0; i < v.n; i++ {
		if v.id(i) == id {
			return i
		}
	}
	if f.odd == nil {
		f.odd = fmt.Errorf("%w: %v cannot hold what the token says", ErrStaleToken, k)
	}
	return 0
}

// done says whether every decision was asked for.
func (f *follower) done() error {
	if f.odd != nil {
		return f.odd
	}
	var unused []string
	for k := range f.want {
		if !f.used[k] {
			unused = append(unused, k.String())
		}
	}
	if len(unused) > 0 {
		slices.Sort(unused)
		return fmt.Errorf("%w: %s is not open to choice", ErrStaleToken, strings.Join(unused, ", "))
	}
	return nil
}

// noting notes the decisions of d that are not the kept ones.
type noting struct {
	decider
	picks []pick
}

func (n *noting) decide(k cellKey, v values) int {
	i := n.decider.decide(k, v)
	if i != 0 {
		n.picks = append(n.picks, pick{k, v.id(i)})
	}
	return i
}
