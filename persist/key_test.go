package persist_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/understudy-go/understudy/persist"
)

func TestKeysThatCouldMeanAnythingElseAreRefused(t *testing.T) {
	long := strings.Repeat("s", persist.MaxSegmentLen+1)
	for _, s := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "./a",
		"a\x00b", "\x00", "a\nb", "a\rb", "a\tb", "a\x7f", "a\u0085b", "\u009f", "\xff", "a/\xc3\x28", "\xed\xa0\x80", "a\xc0\xafb",
		"a?b", "?", "a#b", "file:///a?b", "s3://b/a#c", long, "a/" + long, "s3://bucket/" + long,
		strings.Repeat("k/", persist.MaxKeyLen/2) + "k",
		"://a", "1s://a", "-x://a", "a b://c", "é://a", "x://", "file:///", "file://h/", "file:///a/", "file:///a//b", "file:///../a", "file:///a/.",
		"https://user@host/a", "https://user:secret@host/a", "https://@host",
	} {
		if k, err := persist.ParseKey(s); !errors.Is(err, persist.ErrBadKey) {
			t.Errorf("%.60q: expected ErrBadKey, got %q, %v", s, k, err)
		}
	}
}

func TestEverythingElsePrintableIsAKey(t *testing.T) {
	for s, want := range map[string]string{
		"a": "", "players/james": "", "%2e%2e": "", "%00": "", "a%2fb": "", `C:\x`: "", "c:/x": "", "...": "", " ": "", "a b/ c ": "", "é/日本/😀": "",
		"con/nul": "", "a@b": "", "a:b": "", "~": "", "@": "", "a\u202eb": "",
		"FILE:///Var/Lib": "file:///Var/Lib", "S3://Bucket/Key": "s3://bucket/Key", "HTTPS://Example.COM:8080/A": "https://example.com:8080/A",
		"mem://Test": "mem://test", "x+y-z.1://h": "", "file:///a/b://c": "!",
		strings.Repeat("s", persist.MaxSegmentLen):                       "",
		strings.Repeat("k/", persist.MaxKeyLen/2-1) + "kk":               "",
		"a/" + strings.Repeat("é", (persist.MaxSegmentLen-1)/2):          "",
		"log:///" + strings.Repeat("d/", 400) + strings.Repeat("x", 200): "",
	} {
		k, err := persist.ParseKey(s)
		if want == "!" { // an empty segment after the second colon
			if !errors.Is(err, persist.ErrBadKey) {
				t.Errorf("%q: expected ErrBadKey, got %q, %v", s, k, err)
			}
			continue
		}
		if want == "" {
			want = s
		}
		if err != nil || string(k) != want {
			t.Errorf("%.60q: expected %.60q, got %.60q, %v", s, want, k, err)
		}
	}
}

func TestStoresTakeOnlyRelativeKeys(t *testing.T) {
	for _, k := range []persist.Key{"file:///a", "s3://bucket", "", "../a"} {
		if err := persist.CheckStoreKey(k); !errors.Is(err, persist.ErrBadKey) {
			t.Errorf("%q: expected ErrBadKey, got %v", k, err)
		}
	}
	if err := errors.Join(persist.CheckStoreKey("a/b"), persist.CheckStorePrefix("a/b"), persist.CheckStorePrefix("")); err != nil {
		t.Error(err)
	}
	if err := persist.CheckStorePrefix("file:///a"); !errors.Is(err, persist.ErrBadKey) {
		t.Errorf("expected ErrBadKey, got %v", err)
	}
}

func TestABadKeyIsQuotedAndClipped(t *testing.T) {
	_, err := persist.ParseKey("a\nb" + strings.Repeat("x", 5000))
	if err == nil || strings.Contains(err.Error(), "\n") || len(err.Error()) > 300 {
		t.Errorf("%v", err)
	}
}

func TestParentAndNameAreTheInverseOfChild(t *testing.T) {
	for _, tc := range []struct {
		key, parent persist.Key
		name        string
		ok          bool
	}{
		{"a", "", "a", false}, {"a/b", "a", "b", true}, {"a/b/c", "a/b", "c", true},
		{"s3://bucket", "", "bucket", false}, {"s3://bucket/a", "s3://bucket", "a", true}, {"file:///a/b", "file:///a", "b", true},
		{"file:///a", "", "a", false},
	} {
		parent, ok := tc.key.Parent()
		if parent != tc.parent || ok != tc.ok || tc.key.Name() != tc.name {
			t.Errorf("%q: parent %q %v, name %q", tc.key, parent, ok, tc.key.Name())
		}
		if ok && parent.Child(tc.key.Name()) != tc.key {
			t.Errorf("%q: the child of its parent is %q", tc.key, parent.Child(tc.key.Name()))
		}
	}
	if k := persist.Key("").Child("a"); k != "a" {
		t.Errorf("the child of nothing is %q", k)
	}
}

// key draws a relative key whose bytes lie around those that order and bound
// trees.
func key(t *rapid.T, label string) persist.Key {
	seg := rapid.StringOfN(rapid.RuneFrom([]rune("ab!-./0é~")), 1, 4, -1)
	segs := rapid.SliceOfN(seg, 1, 4).Draw(t, label)
	for i, s := range segs {
		if s = strings.ReplaceAll(s, "/", "x"); s == "." || s == ".." {
			s += "x"
		}
		segs[i] = s
	}
	return persist.Key(strings.Join(segs, "/"))
}

func TestKeysAreOrderedSegmentBySegment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := key(t, "a"), key(t, "b")
		want := slices.Compare(strings.Split(string(a), "/"), strings.Split(string(b), "/"))
		if got := a.Compare(b); got != want {
			t.Fatalf("%q and %q compare %d, segment by segment %d", a, b, got, want)
		}
	})
}

func TestATreeIsOnePieceOfTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix, a, b, c := key(t, "prefix"), key(t, "a"), key(t, "b"), key(t, "c")
		keys := []persist.Key{a, b, c, prefix, prefix + "/" + a, prefix + "/" + b, prefix + "-"}
		slices.SortFunc(keys, persist.Key.Compare)
		state := 0 // before, in, after
		for _, k := range keys {
			in := k.In(prefix)
			if in != (k == prefix || strings.HasPrefix(string(k), string(prefix)+"/")) {
				t.Fatalf("%q in %q: %v", k, prefix, in)
			}
			switch {
			case in && state == 0:
				if state = 1; k != prefix {
					t.Fatalf("%q comes before the root of its tree %q", k, prefix)
				}
			case !in && state == 1:
				state = 2
			case in && state == 2:
				t.Fatalf("the tree of %q is torn at %q in %q", prefix, k, keys)
			}
		}
	})
	if !persist.Key("a/b").In("") || persist.Key("ab").In("a") {
		t.Error("every key is in the empty prefix, and none in a mere beginning")
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"a", "a/b", "file:///a/b", "S3://Bucket/x", "https://u@h", "%2e%2e", "a//b", "..", "\x00", "x://h/", "a?b", `C:\x`, "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := persist.ParseKey(s)
		if err != nil {
			if !errors.Is(err, persist.ErrBadKey) || k != "" {
				t.Fatalf("%q: %q, %v", s, k, err)
			}
			return
		}
		if again, err := persist.ParseKey(string(k)); err != nil || again != k {
			t.Fatalf("%q is %q, which is %q, %v", s, k, again, err)
		}
		if len(k) != len(s) || !strings.EqualFold(string(k), s) {
			t.Fatalf("%q became %q", s, k)
		}
		if parent, ok := k.Parent(); ok && (parent.Child(k.Name()) != k || !k.In(parent) || parent.Compare(k) >= 0) {
			t.Fatalf("%q is not the child of %q", k, parent)
		}
	})
}

func ExampleParseKey_refused() {
	for _, s := range []string{"players/james", "S3://Bucket/players/James", "players/../admin", "players/", "a%2fb"} {
		key, err := persist.ParseKey(s)
		fmt.Printf("%q %v\n", string(key), err)
	}
	// Output:
	// "players/james" <nil>
	// "s3://bucket/players/James" <nil>
	// "" bad key "players/../admin": the segment ".." would leave its place
	// "" bad key "players/": it has an empty segment
	// "a%2fb" <nil>
}
