package persist

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Key is a URL that names one actor for ever.
//
// A key is absolute, "file:///var/lib/game/players/james", or relative to the
// base store of a [System], "players/james", which is the canonical form there.
// Keys form a tree: a child's key is its parent's key plus one segment, and
// everything that is stored below a key is the tree of that key.
//
// Nothing in a key is ever percent-decoded: "a%2fb" is one segment of five
// characters, and each store escapes segments as its medium needs. The rules
// that every key obeys are those of [ParseKey].
type Key string

// Bounds of a key, in bytes. A segment bound of 255 is the common NAME_MAX of
// file systems; the whole is bounded by the object names of S3 (1024).
const (
	MaxKeyLen     = 1024
	MaxSegmentLen = 255
)

// ParseKey checks s and returns it as a key in its normal form: the scheme and
// the host of an absolute key in lower case, everything else untouched.
//
// Refused, with [ErrBadKey] and the reason: the empty string; more than
// [MaxKeyLen] bytes; a segment of more than [MaxSegmentLen] bytes, an empty one
// (so also a leading, doubled or trailing slash), "." and ".."; text that is
// not UTF-8; control characters, NUL among them; "?" and "#" anywhere, which
// would start a query or a fragment; user information before a host.
func ParseKey(s string) (Key, error) {
	if reason := badText(s); reason != "" {
		return "", badKey(s, reason)
	}
	path, prefix := s, ""
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		if !isScheme(scheme) {
			return "", badKey(s, "its scheme is not a letter followed by letters, digits, '+', '-' or '.'")
		}
		host, p, hasPath := strings.Cut(rest, "/")
		if strings.Contains(host, "@") {
			return "", badKey(s, "it carries user information")
		}
		if host == "" && !hasPath {
			return "", badKey(s, "it has neither host nor path")
		}
		prefix = strings.ToLower(scheme) + "://" + strings.ToLower(host)
		if !hasPath {
			return Key(prefix), nil
		}
		prefix, path = prefix+"/", p
	}
	for seg := range strings.SplitSeq(path, "/") {
		if reason := badSegment(seg); reason != "" {
			return "", badKey(s, reason)
		}
	}
	return Key(prefix + path), nil
}

func badText(s string) string {
	switch {
	case s == "":
		return "it is empty"
	case len(s) > MaxKeyLen:
		return fmt.Sprintf("it has %d bytes, %d is the most", len(s), MaxKeyLen)
	case !utf8.ValidString(s):
		return "it is not UTF-8"
	}
	for i, r := range s {
		switch {
		case unicode.IsControl(r):
			return fmt.Sprintf("byte %d is a control character (%U)", i, r)
		case r == '?' || r == '#':
			return fmt.Sprintf("byte %d is %q, which starts a query or a fragment", i, r)
		}
	}
	return ""
}

func badSegment(seg string) string {
	switch {
	case seg == "":
		return "it has an empty segment"
	case seg == "." || seg == "..":
		return fmt.Sprintf("the segment %q would leave its place", seg)
	case len(seg) > MaxSegmentLen:
		return fmt.Sprintf("a segment has %d bytes, %d is the most", len(seg), MaxSegmentLen)
	}
	return ""
}

func isScheme(s string) bool {
	for i, r := range s {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || !('0' <= r && r <= '9' || r == '+' || r == '-' || r == '.')) {
			return false
		}
	}
	return s != ""
}

func badKey(s, reason string) error {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return fmt.Errorf("%w %q: %s", ErrBadKey, s, reason)
}

// Child returns the key of the child called name. It does not check name: the
// key that comes out is checked where it is used.
func (k Key) Child(name string) Key {
	if k == "" {
		return Key(name)
	}
	return k + "/" + Key(name)
}

// Parent returns the key one segment shorter, and false at the top: for a
// relative key of one segment, and for an absolute key without a path.
func (k Key) Parent() (Key, bool) {
	root := 0
	if i := strings.Index(string(k), "://"); i >= 0 {
		root = i + len("://")
	}
	i := strings.LastIndexByte(string(k[root:]), '/')
	if i <= 0 {
		return "", false
	}
	return k[:root+i], true
}

// Name returns the last segment.
func (k Key) Name() string {
	return string(k[strings.LastIndexByte(string(k), '/')+1:])
}

// IsAbsolute says whether k names its store itself.
func (k Key) IsAbsolute() bool { return strings.Contains(string(k), "://") }

// In says whether k is prefix itself or lies below it. Every key is in "".
func (k Key) In(prefix Key) bool {
	if !strings.HasPrefix(string(k), string(prefix)) {
		return false
	}
	return len(k) == len(prefix) || prefix == "" || k[len(prefix)] == '/'
}

// Compare orders keys segment by segment, bytes within a segment: a parent
// before its children, and a whole tree before the next sibling, so that "a/b"
// comes before "a-b". It is the order of every listing. It returns -1, 0 or +1.
func (k Key) Compare(other Key) int {
	n := min(len(k), len(other))
	for i := range n {
		a, b := k[i], other[i]
		switch {
		case a == b:
			continue
		case a == '/':
			return -1
		case b == '/':
			return +1
		case a < b:
			return -1
		default:
			return +1
		}
	}
	switch {
	case len(k) < len(other):
		return -1
	case len(k) > len(other):
		return +1
	}
	return 0
}

// checkRelative refuses what a store may not be asked for.
func checkRelative(k Key) error {
	parsed, err := ParseKey(string(k))
	if err != nil {
		return err
	}
	if parsed.IsAbsolute() {
		return badKey(string(k), "a store takes keys relative to its base")
	}
	return nil
}

// CheckStoreKey refuses a key that a [Store] may not be asked for: one that
// [ParseKey] refuses, or an absolute one. Stores call it on what comes in.
func CheckStoreKey(k Key) error { return checkRelative(k) }

// CheckStorePrefix is [CheckStoreKey] for the prefix of a listing, where ""
// stands for the whole store.
func CheckStorePrefix(prefix Key) error {
	if prefix == "" {
		return nil
	}
	return checkRelative(prefix)
}
