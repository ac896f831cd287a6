package filestore

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/understudy-go/understudy/persist"
)

func TestADeleteIsForgottenOnlyWhenNothingOlderCanComeBack(t *testing.T) {
	at := func(counts ...int) (states []state) { // negative: gone
		for _, c := range counts {
			states = append(states, state{generation{1, uint64(max(c, -c))}, c < 0})
		}
		return states
	}
	for _, tc := range []struct {
		old  []state
		keep int
		want []state
	}{
		{nil, 1, nil},
		{at(5), 1, nil},
		{at(5, 4), 1, at(4)},
		{at(5, 4, 3), 0, at(5, 4, 3)},
		{at(-5), 1, at(-5)},
		{at(6, -5), 1, at(-5)},
		{at(7, 6, -5), 1, at(6, -5)},
		{at(-5, 4, 3), 1, at(4, 3)},
		{at(7, 6, -5, 4), 1, at(6, 4)},
		{at(7, -5, 4, -3, 2), 1, at(4, -3, 2)},
	} {
		if got := superseded(tc.old, tc.keep); len(got)+len(tc.want) > 0 && !reflect.DeepEqual(got, tc.want) {
			t.Errorf("of %v, keeping %d: %v goes, expected %v", tc.old, tc.keep, got, tc.want)
		}
	}
}

func TestSegmentsEscapeToPortableNamesAndBack(t *testing.T) {
	for seg, want := range map[string]string{
		"james": "james", "James": "+james", "a.b-c_d9": "a.b-c_d9", ".hidden": "%2ehidden", "dot.": "dot%2e", "...": "%2e.%2e",
		"con": "%63on", "CON": "+c+o+n", "nul.txt": "%6eul.txt", "com0": "%63om0", "com": "com", "com10": "com10", "lpt1.": "%6cpt1%2e",
		"a b": "a%20b", "é": "%c3%a9", "~1": "%7e1", "@store": "%40store", "%41": "%2541", "+": "%2b", "a:b": "a%3ab", `a\b`: "a%5cb",
	} {
		if got := escapeSegment(seg); got != want {
			t.Errorf("%q escapes to %q, expected %q", seg, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		seg := rapid.StringN(1, -1, persist.MaxSegmentLen).Filter(validSegment).Draw(t, "segment")
		name := escapeSegment(seg)
		if strings.ToLower(name) != name || strings.Trim(name, ". ") != name || isDevice(name) || name[0] == mark {
			t.Fatalf("%q escapes to %q, which is not portable", seg, name)
		}
		if back, ok := unescapeSegment(name); !ok || back != seg {
			t.Fatalf("%q escapes to %q, which reads %q", seg, name, back)
		}
		for _, piece := range segmentPieces(seg) {
			if len(piece) > pieceLen+2 || piece[0] == mark || isDevice(piece) || strings.Trim(piece, ". ") != piece {
				t.Fatalf("%q has the piece %q", seg, piece)
			}
		}
	})
}

func TestStrangersNamesAreNotRead(t *testing.T) {
	for _, name := range []string{"", "A", "a b", "%61", "%C3%A9", "+A", "a+", "%zz", "%4", ".a", "a.", "con", "é", "~", "@x"} {
		if seg, ok := unescapeSegment(name); ok {
			t.Errorf("%q is read as %q", name, seg)
		}
	}
	for _, name := range []string{"@", "@1.1", "@00000001", "@00000001.", "@00000001.1", "@00000001.00000000000A", "@00000001.000000000001.tmp", "@00000001.000000000001.gone.bad", "@000000001.000000000001", "@store"} {
		if g, suffix, ok := parseGeneration(name); ok {
			t.Errorf("%q is read as %v %q", name, g, suffix)
		}
	}
	for _, g := range []generation{{1, 1}, {1 << 40, 1 << 60}} {
		for _, suffix := range []string{"", goneSuffix, badSuffix} {
			if back, s, ok := parseGeneration(g.name() + suffix); !ok || back != g || s != suffix {
				t.Errorf("%v%s reads %v %q %v", g, suffix, back, s, ok)
			}
		}
	}
}

func FuzzDecodeIntent(f *testing.F) {
	r := &persist.Record{Key: "a", Kind: "k", Codec: "c"}
	f.Add(encodeIntent(3, []*write{{key: "a", data: r.Append(nil), state: state{generation{3, 1}, false}}, {key: "b/c", state: state{generation{3, 2}, true}}}))
	f.Add(encodeIntent(1, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		writes, err := decodeIntent(b, "fuzz")
		if err != nil {
			return
		}
		var epoch uint64
		for _, w := range writes {
			epoch = w.state.epoch
		}
		if again := encodeIntent(epoch, writes); len(writes) > 0 && string(again) != string(b) {
			t.Fatalf("%x reads as an intent that is written %x", b, again)
		}
	})
}

func TestEveryDamageToAnIntentIsSeen(t *testing.T) {
	r := &persist.Record{Key: "a", Kind: "k", Codec: "c", Payload: []byte("payload")}
	whole := encodeIntent(3, []*write{{key: "a", data: r.Append(nil), state: state{generation{3, 1}, false}}, {key: "b", state: state{generation{3, 2}, true}}})
	if _, err := decodeIntent(whole, "here"); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := decodeIntent(whole[:n], "here"); err == nil {
			t.Fatalf("cut off after %d bytes it is read", n)
		}
		for bit := range 8 {
			whole[n] ^= 1 << bit
			if _, err := decodeIntent(whole, "here"); err == nil {
				t.Fatalf("with bit %d of byte %d flipped it is read", bit, n)
			}
			whole[n] ^= 1 << bit
		}
	}
}
