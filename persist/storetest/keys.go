package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/understudy-go/understudy/persist"
)

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// BadKeys returns keys that every store refuses.
func BadKeys() []persist.Key {
	return []persist.Key{
		"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "a/./b", "../a", "a\x00b", "a\nb", "a\x7fb", "a\u0085b", "\xff", "a/\xc3\x28",
		"a?b", "a#b", "file:///a", "s3://bucket/a", "https://u@h/a", "x://",
		persist.Key(strings.Repeat("s", persist.MaxSegmentLen+1)),
		persist.Key(strings.Repeat("s/", persist.MaxKeyLen/2) + "s"),
	}
}

// HostileKeys returns valid keys that a careless store mixes up, refuses, or
// writes somewhere else: alike but for case or Unicode form, percent-escapes,
// device names, dots and blanks at the ends, the longest segments and keys.
func HostileKeys() []persist.Key {
	long := strings.Repeat("L", persist.MaxSegmentLen)
	wide := strings.Repeat("é", persist.MaxSegmentLen/2)
	keys := []persist.Key{
		"a", "A", "+a", "%41", "%2e%2e", "%2f", "a%2fb", "a%00", "..a", "a..", "...", ".a", "a.", " a", "a ", " ",
		"con", "CON", "nul.txt", "aux.", "com1", "lpt9.x", "prn", "~", "A~1", "PROGRA~1", "@", "@store", "@00000001.000000000001", "-", "_", "_a",
		`C:\x`, `a\b`, "a:b", "*", `"`, "<a>", "a|b", "$HOME", "`x`", "'", ";", "&", "é", "e\u0301", "日本", "\U0001F600", "\u202ea", "ß", "ss", "İ", "i",
		"a/B", "a/b", "A/b", "a-b", "a.b", "a+", "+", "++", "index.bin", "LOCK", "owner.lock", ".lock", "tmp", "new-1",
		persist.Key(long), persist.Key(long[1:]), persist.Key(long[1:] + "l"), persist.Key(long + "/" + long + "/" + long),
		persist.Key(wide), persist.Key(wide[2:] + "e\u0301"[:1]),
		persist.Key(strings.Repeat("d/", 511) + "d"),
	}
	whole := strings.Repeat("k", 204) + "/"
	return append(keys, persist.Key(strings.Repeat(whole, 4)+strings.Repeat("K", 204)))
}

func checkBadKey(r *run) error {
	ctx := context.Background()
	for _, key := range BadKeys() {
		if _, _, err := r.store.Load(ctx, key); !errors.Is(err, persist.ErrBadKey) {
			return fmt.Errorf("load %q: expected ErrBadKey, got %v", clip(key), err)
		}
		c := persist.Change{Key: key, Put: record(key, "x"), If: persist.Any}
		if _, err := r.store.Commit(ctx, c); !errors.Is(err, persist.ErrBadKey) {
			return fmt.Errorf("commit %q: expected ErrBadKey, got %v", clip(key), err)
		}
		if key == "" {
			continue // as a prefix it means everything
		}
		var last error
		for _, err := range r.store.List(ctx, key) {
			last = err
		}
		if !errors.Is(last, persist.ErrBadKey) {
			return fmt.Errorf("list %q: expected ErrBadKey, got %v", clip(key), last)
		}
	}
	return nil
}

func checkKeys(r *run) error {
	keys := HostileKeys()
	seen := map[persist.Key]bool{}
	for i, k := range keys {
		k = "keys/" + k
		if seen[k] || len(k) > persist.MaxKeyLen {
			k = keys[i]
		}
		keys[i], seen[k] = k, true
		if _, err := r.put(k, string(k), persist.Absent); err != nil {
			return err
		}
	}
	check := func(when string) error {
		for _, k := range keys {
			if err := r.expect(k, string(k)); err != nil {
				return fmt.Errorf("%s: %w", when, err)
			}
		}
		return nil
	}
	if err := check("after all were put"); err != nil {
		return err
	}
	if err := r.reopen(); err != nil {
		return err
	}
	if err := check("after a reopen"); err != nil {
		return err
	}
	for i, k := range keys {
		if err := r.remove(k, persist.Any); err != nil {
			return err
		}
		if err := r.expectNone(k); err != nil {
			return err
		}
		if i+1 < len(keys) {
			if err := r.expect(keys[i+1], string(keys[i+1])); err != nil {
				return fmt.Errorf("after the delete of %q: %w", clip(k), err)
			}
		}
	}
	return nil
}

func checkSizes(r *run) error {
	sizes := []int{0, 1, 511, 512, 513, 4095, 4096, 4097, 65536, 1 << 20}
	if r.opts.Large {
		sizes = append(sizes, persist.MaxPayload)
	}
	for _, n := range sizes {
		key := persist.Key(fmt.Sprintf("sizes/%d", n))
		payload := strings.Repeat("0123456789abcde", n/15+1)[:n]
		if _, err := r.put(key, payload, persist.Any); err != nil {
			return fmt.Errorf("%d bytes: %w", n, err)
		}
		if err := r.expect(key, payload); err != nil {
			return fmt.Errorf("%d bytes: %w", n, err)
		}
		if n == persist.MaxPayload {
			if err := r.remove(key, persist.Any); err != nil {
				return err
			}
		}
	}
	const key = "sizes/too-large"
	big := record(key, "")
	big.Payload = make([]byte, persist.MaxPayload+1)
	if _, err := r.store.Commit(context.Background(), persist.Change{Key: key, Put: big, If: persist.Any}); !errors.Is(err, persist.ErrTooLarge) {
		return fmt.Errorf("a payload of MaxPayload+1 bytes: expected ErrTooLarge, got %v", err)
	}
	return nil
}
