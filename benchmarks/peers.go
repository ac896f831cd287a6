package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble"
	"github.com/dgraph-io/badger/v4"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	bolt "go.etcd.io/bbolt"
	_ "modernc.org/sqlite"
)

// How each peer was tuned: durable on every save, and otherwise as its own
// documentation advises for many concurrent writers.

func init() {
	variants = append(variants,
		variant{"bbolt, Batch", "peer", func() engine { return &boltPeer{} }},
		variant{"Pebble, Sync", "peer", func() engine { return &pebblePeer{} }},
		variant{"Badger, SyncWrites", "peer", func() engine { return &badgerPeer{} }},
		variant{"SQLite WAL, one transaction a save", "peer", func() engine { return &sqlitePeer{} }},
		variant{"SQLite WAL, group", "peer", func() engine { return &sqlitePeer{group: true} }},
		variant{"goleveldb, Sync", "peer", func() engine { return &levelPeer{} }},
		variant{"in place, unsynced (not durable)", "undurable", func() engine { return &unsynced{} }},
	)
}

// boltPeer uses DB.Batch where several save at once, which is bbolt's own group
// commit, with no delay; a freelist of the map kind, without syncing it.
type boltPeer struct {
	db *bolt.DB
	n  int
}

var boltBucket = []byte("actors")

func (p *boltPeer) open(dir string) (err error) {
	p.db, err = bolt.Open(filepath.Join(dir, "db"), 0o644, &bolt.Options{FreelistType: bolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return err
	}
	p.db.MaxBatchDelay = 0
	return p.db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket(boltBucket)
		return err
	})
}

func (p *boltPeer) saver(i int) (func([]byte) error, error) {
	key := []byte(actorName(i))
	p.n++
	return func(payload []byte) error {
		put := func(tx *bolt.Tx) error { return tx.Bucket(boltBucket).Put(key, payload) }
		if p.n == 1 {
			return p.db.Update(put)
		}
		return p.db.Batch(put)
	}, nil
}

func (p *boltPeer) close() error { return p.db.Close() }

// pebblePeer has a memtable of 64 MiB; commits are grouped by Pebble itself.
type pebblePeer struct{ db *pebble.DB }

type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

func (p *pebblePeer) open(dir string) (err error) {
	p.db, err = pebble.Open(dir, &pebble.Options{MemTableSize: 64 << 20, Logger: silent{}})
	return err
}

func (p *pebblePeer) saver(i int) (func([]byte) error, error) {
	key := []byte(actorName(i))
	return func(payload []byte) error { return p.db.Set(key, payload, pebble.Sync) }, nil
}

func (p *pebblePeer) close() error { return p.db.Close() }

// badgerPeer keeps values in the tree up to 1 KB, as Badger does by default.
type badgerPeer struct{ db *badger.DB }

func (p *badgerPeer) open(dir string) (err error) {
	p.db, err = badger.Open(badger.DefaultOptions(dir).WithSyncWrites(true).WithLogger(nil).WithDetectConflicts(false))
	return err
}

func (p *badgerPeer) saver(i int) (func([]byte) error, error) {
	key := []byte(actorName(i))
	return func(payload []byte) error {
		return p.db.Update(func(tx *badger.Txn) error { return tx.Set(key, append([]byte(nil), payload...)) })
	}, nil
}

func (p *badgerPeer) close() error { return p.db.Close() }

// levelPeer has a write buffer of 64 MiB; goleveldb merges writers by itself.
type levelPeer struct{ db *leveldb.DB }

func (p *levelPeer) open(dir string) (err error) {
	p.db, err = leveldb.OpenFile(dir, &opt.Options{WriteBuffer: 64 << 20})
	return err
}

func (p *levelPeer) saver(i int) (func([]byte) error, error) {
	key := []byte(actorName(i))
	return func(payload []byte) error { return p.db.Put(key, payload, &opt.WriteOptions{Sync: true}) }, nil
}

func (p *levelPeer) close() error { return p.db.Close() }

// sqlitePeer is the SQLite of modernc.org, which needs no C compiler, with a
// write-ahead log, synchronous=FULL and a prepared upsert. With group, one
// goroutine puts all that is queued into one transaction.
type sqlitePeer struct {
	group bool
	db    *sql.DB
	conn  *sql.Conn
	put   *sql.Stmt
	mu    sync.Mutex
	queue chan sqliteSave
	done  chan struct{}
}

type sqliteSave struct {
	key     string
	payload []byte
	err     chan error
}

func (p *sqlitePeer) open(dir string) error {
	ctx := context.Background()
	db, err := sql.Open("sqlite", filepath.Join(dir, "db"))
	if err != nil {
		return err
	}
	p.db = db
	if p.conn, err = db.Conn(ctx); err != nil {
		return err
	}
	for _, q := range []string{
		"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA wal_autocheckpoint=10000",
		"CREATE TABLE actors (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID",
	} {
		if _, err := p.conn.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	if p.put, err = p.conn.PrepareContext(ctx, "INSERT INTO actors VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"); err != nil {
		return err
	}
	if p.group {
		p.queue, p.done = make(chan sqliteSave, 4096), make(chan struct{})
		go p.write()
	}
	return nil
}

func (p *sqlitePeer) write() {
	defer close(p.done)
	ctx := context.Background()
	for first := range p.queue {
		batch := []sqliteSave{first}
		for more := true; more && len(batch) < 4096; {
			select {
			case next, ok := <-p.queue:
				if more = ok; ok {
					batch = append(batch, next)
				}
			default:
				more = false
			}
		}
		_, err := p.conn.ExecContext(ctx, "BEGIN")
		for _, s := range batch {
			if err == nil {
				_, err = p.put.ExecContext(ctx, s.key, s.payload)
			}
		}
		if err == nil {
			_, err = p.conn.ExecContext(ctx, "COMMIT")
		}
		for _, s := range batch {
			s.err <- err
		}
	}
}

func (p *sqlitePeer) saver(i int) (func([]byte) error, error) {
	key, answer := actorName(i), make(chan error, 1)
	return func(payload []byte) error {
		if p.group {
			p.queue <- sqliteSave{key, payload, answer}
			return <-answer
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		_, err := p.put.ExecContext(context.Background(), key, payload)
		return err
	}, nil
}

func (p *sqlitePeer) close() error {
	if p.group {
		close(p.queue)
		<-p.done
	}
	return p.db.Close()
}
