package filestore

import (
	"context"
	"testing"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist"
)

func rec(key persist.Key, text string) *persist.Record {
	return &persist.Record{Key: key, Kind: "k", Codec: "c", Payload: []byte(text)}
}

func TestBasic(t *testing.T) {
	dir := t.TempDir() + "/s"
	s, err := Open(afero.NewOsFs(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	v, err := s.Commit(ctx, persist.Change{Key: "a/B", Put: rec("a/B", "1")}, persist.Change{Key: "a", Put: rec("a", "1")})
	t.Log(v, err)
	v, err = s.Commit(ctx, persist.Change{Key: "a/B", Put: rec("a/B", "2"), If: v[0]})
	t.Log(v, err)
	for l, err := range s.LoadTree(ctx, "") {
		t.Log(l, err)
	}
	v, err = s.Commit(ctx, persist.Change{Key: "a/B", If: v[0]})
	t.Log(v, err)
	for l, err := range s.List(ctx, "") {
		t.Log(l, err)
	}
	t.Log(s.Close())
	s, err = Open(afero.NewOsFs(), dir, nil)
	t.Log(err)
	for l, err := range s.LoadTree(ctx, "") {
		t.Log(l, err)
	}
}
