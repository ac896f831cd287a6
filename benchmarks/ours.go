package main

import (
	"context"
	"fmt"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/filestore"
	"github.com/understudy-go/understudy/persist/logstore"
)

// ours is a store of this module, through the public Store.Commit: with record,
// checksums, index, and every save conditional on the version before.
type ours struct {
	openStore func(dir string) (persist.Store, error)
	store     persist.Store
}

func openLog(dir string) (persist.Store, error) {
	return logstore.Open(afero.NewOsFs(), dir, nil)
}

func openFiles(dir string) (persist.Store, error) {
	return filestore.Open(afero.NewOsFs(), dir, nil)
}

func (o *ours) open(dir string) (err error) {
	o.store, err = o.openStore(dir)
	return err
}

func (o *ours) saver(i int) (func([]byte) error, error) {
	key := persist.Key("actors/" + actorName(i))
	rec := &persist.Record{Key: key, Kind: "player", KindVersion: 1, Codec: "cbor"}
	changes := []persist.Change{{Key: key, Put: rec, If: persist.Absent}}
	return func(payload []byte) error {
		rec.Payload = payload
		rec.Seq++
		versions, err := o.store.Commit(context.Background(), changes...)
		if err != nil {
			return err
		}
		changes[0].If = versions[0]
		return nil
	}, nil
}

func (o *ours) close() error { return o.store.Close() }

func actorName(i int) string { return fmt.Sprintf("%06d", i) }
