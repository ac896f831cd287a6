package logstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/understudy-go/understudy/persist"
)

// An archive, version 1: the magic "UARC", a format version and a zero (2 bytes
// each); then for each actor the length of its encoded record (4 bytes, never
// 0) and the record; then a length of 0, the number of actors (8 bytes), and the
// CRC-32C of everything before it. Numbers are little-endian.
const (
	archiveMagic   = "UARC"
	archiveVersion = 1
)

// Export writes all actors of a store, with their newest snapshots, in the
// order of their keys. What a [persist.TreeStore] exports is one state of it;
// from another store, a save during the export may or may not be in it. It
// returns the number of actors. progress, if not nil, is called after each.
//
// An actor that cannot be read ends the export with its error: an archive is
// whole or it is no archive.
func Export(ctx context.Context, store persist.Store, w io.Writer, progress func(Progress)) (int64, error) {
	out := &archiveWriter{w: bufio.NewWriterSize(w, windowLen), sum: crc32.New(castagnoli)}
	head := le.AppendUint16(le.AppendUint16([]byte(archiveMagic), archiveVersion), 0)
	if err := out.write(head); err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	var n int64
	add := func(rec *persist.Record) error {
		if rec.Fallback != nil {
			return rec.Fallback
		}
		out.buf = rec.Append(le.AppendUint32(out.buf[:0], uint32(rec.EncodedLen())))
		if err := out.write(out.buf); err != nil {
			return err
		}
		n++
		if progress != nil {
			progress(Progress{Done: out.n, Keys: n})
		}
		return nil
	}
	if err := eachRecord(ctx, store, add); err != nil {
		return n, fmt.Errorf("export: %w", err)
	}
	tail := le.AppendUint64(le.AppendUint32(nil, 0), uint64(n))
	if err := out.write(tail); err != nil {
		return n, fmt.Errorf("export: %w", err)
	}
	if err := errors.Join(out.write(le.AppendUint32(nil, out.sum.Sum32())), out.w.Flush()); err != nil {
		return n, fmt.Errorf("export: %w", err)
	}
	return n, nil
}

// eachRecord calls f with every record of a store, from one state where the
// store can.
func eachRecord(ctx context.Context, store persist.Store, f func(*persist.Record) error) error {
	if tree, ok := store.(persist.TreeStore); ok {
		for l, err := range tree.LoadTree(ctx, "") {
			if err != nil {
				return err
			}
			if err := f(&l.Record); err != nil {
				return err
			}
		}
		return nil
	}
	for e, err := range store.List(ctx, "") {
		if err != nil {
			return err
		}
		rec, _, err := store.Load(ctx, e.Key)
		if errors.Is(err, persist.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		if err := f(&rec); err != nil {
			return err
		}
	}
	return nil
}

type archiveWriter struct {
	w   *bufio.Writer
	sum hash.Hash32
	buf []byte
	n   int64
}

func (a *archiveWriter) write(b []byte) error {
	a.sum.Write(b)
	a.n += int64(len(b))
	_, err := a.w.Write(b)
	return err
}

// importBatch is how many actors, or bytes, Import commits at a time.
const (
	importBatch = 256
	importBytes = 4 << 20
)

// Import reads an archive and saves every actor in it, each on the condition
// that nothing is stored under its key: persist.ErrConflict otherwise. A nil
// store only checks the archive. It returns the number of actors saved.
// progress, if not nil, is called after each commit.
//
// Everything is checked as it is read: damage is a [*persist.CorruptError] that
// names the place, and so is an archive that ends early. What came before the
// damage has been saved by then; check first, with a nil store, where that
// matters.
func Import(ctx context.Context, store persist.Store, r io.Reader, progress func(Progress)) (int64, error) {
	in := &archiveReader{r: bufio.NewReaderSize(r, windowLen), sum: crc32.New(castagnoli)}
	n, err := in.run(ctx, store, progress)
	if err != nil {
		return n, fmt.Errorf("import: %w", err)
	}
	return n, nil
}

type archiveReader struct {
	r   *bufio.Reader
	sum hash.Hash32
	n   int64
}

func (a *archiveReader) corrupt(key persist.Key, reason string) error {
	return &persist.CorruptError{Key: key, Place: fmt.Sprintf("the archive at byte %d", a.n), Reason: reason}
}

func (a *archiveReader) read(n int) ([]byte, error) {
	b := make([]byte, n)
	m, err := io.ReadFull(a.r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		a.n += int64(m)
		return nil, a.corrupt("", "it ends early")
	}
	if err != nil {
		return nil, err
	}
	a.sum.Write(b)
	a.n += int64(n)
	return b, nil
}

func (a *archiveReader) run(ctx context.Context, store persist.Store, progress func(Progress)) (saved int64, err error) {
	head, err := a.read(8)
	if err != nil {
		return 0, err
	}
	switch v := le.Uint16(head[4:]); {
	case string(head[:4]) != archiveMagic || v == 0:
		return 0, a.corrupt("", "it does not start like an archive")
	case v > archiveVersion:
		return 0, fmt.Errorf("%w: archive format %d, this program knows up to %d", persist.ErrTooNew, v, archiveVersion)
	}
	var batch []persist.Change
	bytes, seen := 0, int64(0)
	for {
		rec, err := a.next()
		if err != nil {
			return saved, err
		}
		if rec != nil {
			seen++
			batch = append(batch, persist.Change{Key: rec.Key, Put: rec, If: persist.Absent})
			bytes += len(rec.Payload)
		}
		if len(batch) > 0 && (rec == nil || len(batch) == importBatch || bytes >= importBytes) {
			if store != nil {
				if err := commitBatch(ctx, store, batch); err != nil {
					return saved, err
				}
				saved += int64(len(batch))
			}
			batch, bytes = batch[:0], 0
			if progress != nil {
				progress(Progress{Done: a.n, Keys: seen})
			}
		}
		if rec == nil {
			return saved, a.end(seen)
		}
	}
}

// next returns the next record, or nil at the end.
func (a *archiveReader) next() (*persist.Record, error) {
	b, err := a.read(4)
	if err != nil {
		return nil, err
	}
	n := le.Uint32(b)
	if n == 0 {
		return nil, nil
	}
	if n > persist.MaxRecordLen || n < 52 {
		return nil, a.corrupt("", fmt.Sprintf("a record of %d bytes", n))
	}
	place := fmt.Sprintf("the archive at byte %d", a.n)
	if b, err = a.read(int(n)); err != nil {
		return nil, err
	}
	// The record says itself whose it is; its checksum covers that.
	key := persist.Key("")
	if k := 48 + int(le.Uint16(b[44:])); k <= len(b) {
		key = persist.Key(b[48:k])
	}
	rec, err := persist.DecodeRecord(b, key, place)
	if err != nil {
		return nil, err
	}
	return &rec, nil
}

// end checks what follows the last record.
func (a *archiveReader) end(seen int64) error {
	b, err := a.read(8)
	if err != nil {
		return err
	}
	if n := le.Uint64(b); n != uint64(seen) {
		return a.corrupt("", fmt.Sprintf("it has %d actors and says %d", seen, n))
	}
	sum := a.sum.Sum32()
	if b, err = a.read(4); err != nil {
		return err
	}
	if le.Uint32(b) != sum {
		return a.corrupt("", "its checksum does not match")
	}
	return nil
}

// commitBatch commits the changes at once, or one by one where the store cannot.
func commitBatch(ctx context.Context, store persist.Store, batch []persist.Change) error {
	_, err := store.Commit(ctx, batch...)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	for _, c := range batch {
		if _, err := store.Commit(ctx, c); err != nil {
			return err
		}
	}
	return nil
}
