package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// logOf writes one page for each letter: lower case is a write of that byte at page letter-'a', F a flush, | a
// mark.
func logOf(s string) []event {
	var log []event
	for _, c := range s {
		switch c {
		case 'F':
			log = append(log, event{flush: true})
		case '|':
			log = append(log, event{})
		default:
			log = append(log, event{off: int64(c-'a') * pageSize, data: bytes.Repeat([]byte{byte(c)}, pageSize)})
		}
	}
	return log
}

// seen prints the pages of an image: . is zeros, ? torn.
func seen(m *image) string {
	out := ""
	buf := make([]byte, pageSize)
	for i := range m.pages {
		m.readAt(buf, int64(i)*pageSize)
		switch {
		case bytes.Count(buf, buf[:1]) < pageSize:
			out += "?"
		case buf[0] == 0:
			out += "."
		default:
			out += string(rune(buf[0]))
		}
	}
	return out
}

func TestCutsKeepWhatWasFlushedAndAnyOfTheRest(t *testing.T) {
	log := logOf("a|bF|cd|")
	got := map[string]string{}
	start := newImage(4 * pageSize)
	cuts := plan(log, 1000, false, rand.New(rand.NewPCG(1, 1)))
	err := images(start, log, cuts, func(c *cut, m *image) error {
		s := seen(m)
		got[s] = fmt.Sprint(c.first, c.last)
		if c.epoch == 1 && s[:2] != "ab" {
			t.Errorf("%v lost what was flushed: %s", c, s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"....": "0 1", "a...": "0 1", ".b..": "1 1", "ab..": "1 3", "abc.": "2 3", "ab.d": "2 3", "abcd": "2 3"}
	for s, when := range want {
		if got[s] == "" || s != "ab.." && got[s] != when {
			t.Errorf("image %s is possible after %q calls, want %q", s, got[s], when)
		}
	}
	for _, torn := range []string{"?...", "a?..", "ab?.", "abc?"} {
		if got[torn] == "" {
			t.Errorf("no image is torn like %s", torn)
		}
	}
	if seen(start) != "...." {
		t.Error("the first image was written to")
	}
}

func TestWholePagesAreNotTorn(t *testing.T) {
	log := logOf("abcd")
	err := images(newImage(4*pageSize), log, plan(log, 1000, true, rand.New(rand.NewPCG(1, 1))), func(c *cut, m *image) error {
		if bytes.Contains([]byte(seen(m)), []byte("?")) {
			t.Errorf("%v: %s", c, seen(m))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPlanIsTheSameForTheSameSeedAndKeepsItsLimit(t *testing.T) {
	log := logOf("abc|dF|badc|F|dcba")
	a := plan(log, 20, false, rand.New(rand.NewPCG(3, 1)))
	b := plan(log, 20, false, rand.New(rand.NewPCG(3, 1)))
	if fmt.Sprint(a) != fmt.Sprint(b) || len(a) != 20 {
		t.Errorf("%d and %d cuts\n%v\n%v", len(a), len(b), a, b)
	}
}

func TestImageReadsBackWhatWasWritten(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	flat := make([]byte, 5*pageSize)
	m := newImage(int64(len(flat)))
	var olds []*image
	var wants [][]byte
	for range 200 {
		off, n := r.IntN(len(flat)), r.IntN(2*pageSize)
		b := bytes.Repeat([]byte{byte(1 + r.IntN(200))}, min(n, len(flat)-off))
		olds, wants = append(olds, m.clone()), append(wants, bytes.Clone(flat))
		m.writeAt(b, int64(off))
		copy(flat[off:], b)
	}
	olds, wants = append(olds, m), append(wants, flat)
	for i := range olds {
		got := make([]byte, len(flat))
		olds[i].readAt(got, 0)
		if !bytes.Equal(got, wants[i]) {
			t.Fatalf("image %d does not hold what was written to it", i)
		}
	}
}
