package storetest

import (
	"testing"

	"github.com/understudy-go/understudy/persist"
)

// flip damages the last byte of what m stores under key.
func flip(m *Memory) func(persist.Key) error {
	return func(key persist.Key) error {
		return m.Edit(key, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	}
}

func TestMemoryKeepsEveryRule(t *testing.T) {
	m := NewMemory("")
	open := func() (persist.Store, error) { return m.Reopen(), nil }
	if err := Run(open, &Options{Damage: flip(m), Large: true}); err != nil {
		t.Fatal(err)
	}
}
