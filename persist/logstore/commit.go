package logstore

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/understudy-go/understudy/persist"
)

// request is one frame on its way into the log. What it needs for a commit of
// one change lies within it, so that requests can be used again without a
// further allocation.
type request struct {
	ctx  context.Context
	kind frameKind
	rows []row    // their off is counted from the start of the frame's records
	ids  []uint32 // the entries of the rows
	recs []byte   // the encoded records back to back
	drop []*segment
	from []place // where the records of a move were
	size int64   // of the frame

	// Where the frame lies in its group, set when it is queued.
	part int   // the buffer that holds its head and table
	pos  int   // the head's place in that buffer
	at   int64 // the head's place in the group

	err  error
	wake chan struct{} // it is r's turn to lead the group that it is the first of

	rows1 [1]row
	ids1  [1]uint32
}

// keepRecs is the capacity up to which a request's buffer is used again.
const keepRecs = 64 << 10

var requests = sync.Pool{New: func() any { return &request{wake: make(chan struct{}, 1)} }}

func newRequest(ctx context.Context, kind frameKind) *request {
	r := requests.Get().(*request)
	r.ctx, r.kind = ctx, kind
	r.rows, r.ids, r.recs = r.rows1[:0], r.ids1[:0], r.recs[:0]
	return r
}

func (r *request) free() {
	r.ctx, r.err, r.drop, r.from = nil, nil, nil, nil
	r.rows, r.ids = nil, nil
	r.rows1[0].key = ""
	if cap(r.recs) > keepRecs {
		r.recs = nil
	}
	requests.Put(r)
}

// Commit makes all changes durable as one frame, or none. See [persist.Store].
//
// Commits that are under way at the same time share one write and one sync. A
// context that ends before the commit is queued makes it return that error;
// from then on Commit waits for the truth, which takes as long as two syncs.
//
// A full disk is an error that names it and leaves everything as it was: the
// store goes on, and the same commit may succeed later. After any other failure
// to write or sync, the commits that shared the group have an unknown outcome
// ([persist.ErrUnknownOutcome]) and the store takes no more
// ([persist.ErrStoreFailed]) until it is opened again. A commit during which a
// newer owner took over is both [persist.ErrFenced] and
// [persist.ErrUnknownOutcome].
func (s *Store) Commit(ctx context.Context, changes ...persist.Change) ([]persist.Version, error) {
	r := newRequest(ctx, kindCommit)
	versions, err := s.commit(ctx, r, changes)
	r.free()
	return versions, err
}

func (s *Store) commit(ctx context.Context, r *request, changes []persist.Change) ([]persist.Version, error) {
	if err := r.encode(changes); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	s.mu.Lock()
	if err := s.admit(ctx, r, changes); err != nil {
		s.mu.Unlock()
		return nil, fmt.Errorf("commit: %w", err)
	}
	if len(changes) == 0 {
		s.mu.Unlock()
		return nil, nil
	}
	if err := s.submit(r); err != nil {
		return nil, fmt.Errorf("commit %q: %w", string(changes[0].Key), err)
	}
	return r.versions(changes), nil
}

// encode checks the changes, but for their keys and conditions, and encodes the
// records.
func (r *request) encode(changes []persist.Change) error {
	size := int64(0)
	for i := range changes {
		c := &changes[i]
		if c.Put == nil {
			if c.If == persist.Absent {
				return fmt.Errorf("%q: %w: a delete of what must be absent", string(c.Key), persist.ErrBadChange)
			}
		} else {
			if c.Put.Key != c.Key {
				return fmt.Errorf("%q: %w: its record is of %q", string(c.Key), persist.ErrBadChange, string(c.Put.Key))
			}
			if p := c.Put; len(p.Kind) == 0 || len(p.Codec) == 0 || len(p.Kind)|len(p.Codec) > 255 || len(p.Payload) > persist.MaxPayload {
				return p.Check() // which says what is wrong with it
			}
			size += int64(c.Put.EncodedLen())
		}
		size += rowLen + int64(len(c.Key))
	}
	if size += headLen + frameAlign; size > maxFrame {
		return fmt.Errorf("%w: %d changes take %d bytes, a commit may have %d", persist.ErrTooLarge, len(changes), size, maxFrame)
	}
	if err := checkDistinct(changes); err != nil {
		return err
	}
	r.recs = slices.Grow(r.recs, int(size))
	for i := range changes {
		c := &changes[i]
		w := row{key: c.Key, off: uint32(len(r.recs))}
		if c.Put != nil {
			r.recs = c.Put.Append(r.recs)
			w.size = uint32(len(r.recs)) - w.off
			w.sum = recordSum(r.recs)
		}
		r.rows = append(r.rows, w)
	}
	return nil
}

func checkDistinct(changes []persist.Change) error {
	twice := func(k persist.Key) error {
		return fmt.Errorf("%q: %w: it is changed twice", string(k), persist.ErrBadChange)
	}
	if len(changes) <= 8 {
		for i := range changes {
			for j := range i {
				if changes[i].Key == changes[j].Key {
					return twice(changes[i].Key)
				}
			}
		}
		return nil
	}
	seen := make(map[persist.Key]bool, len(changes))
	for i := range changes {
		if seen[changes[i].Key] {
			return twice(changes[i].Key)
		}
		seen[changes[i].Key] = true
	}
	return nil
}

// admit waits until no earlier commit of these keys is under way, checks the
// conditions, and takes the keys for this one. The caller holds mu, and holds
// it again when admit returns.
func (s *Store) admit(ctx context.Context, r *request, changes []persist.Change) error {
	for {
		if err := s.usable(ctx); err != nil {
			return err
		}
		if s.failed != nil {
			return s.failed
		}
		busy, err := s.conditions(r, changes)
		if err != nil {
			return err
		}
		if !busy {
			break
		}
		wait := s.settledChan()
		s.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
		}
		s.yield("logstore.admit")
		s.mu.Lock()
	}
	// A delete of what is not there changes nothing and needs no row.
	kept := r.rows[:0]
	for i := range r.rows {
		w, id := r.rows[i], r.ids[i]
		if w.size == 0 && (id == noEntry || !s.index.at(id).exists()) {
			continue
		}
		if id == noEntry {
			w.key = persist.Key(strings.Clone(string(w.key)))
			id = s.index.add(w.key)
		}
		e := s.index.at(id)
		w.birth = w.size != 0 && !e.exists()
		e.flags |= entryBusy
		w.version = s.nextVersion
		s.nextVersion++
		r.ids[len(kept)] = id
		kept = append(kept, w)
	}
	r.rows, r.ids = kept, r.ids[:len(kept)]
	return nil
}

const noEntry = ^uint32(0)

// conditions finds the entries of the changes and checks the conditions. busy
// says that one of the keys is taken. The caller holds mu.
func (s *Store) conditions(r *request, changes []persist.Change) (busy bool, err error) {
	r.ids = r.ids[:0]
	for i := range changes {
		c := &changes[i]
		id, ok := s.index.find(c.Key)
		have := persist.Absent
		matches := c.If == persist.Any || c.If == persist.Absent
		if !ok {
			// Whatever has an entry has passed this before.
			if err := persist.CheckStoreKey(c.Key); err != nil {
				return false, err
			}
			id = noEntry
		} else if e := s.index.at(id); e.flags&entryBusy != 0 {
			return true, nil
		} else if e.exists() {
			matches = c.If == persist.Any || isVersion(c.If, e.version)
			if !matches {
				have = formatVersion(e.version)
			}
		}
		if !matches {
			return false, &persist.ConflictError{Key: c.Key, Want: c.If, Have: have}
		}
		r.ids = append(r.ids, id)
	}
	return false, nil
}

// submit queues r and returns when it is settled. The caller holds mu, which
// submit releases.
func (s *Store) submit(r *request) error {
	if r.kind == kindCommit && len(r.rows) == 0 {
		s.mu.Unlock()
		return nil
	}
	g := s.enqueue(r)
	if g.reqs[0] != r {
		if g.settled == nil {
			g.settled = make(chan struct{})
		}
		settled := g.settled
		s.mu.Unlock()
		<-settled
		s.yield("logstore.settled")
		return r.err
	}
	turn := !s.leading
	s.leading = true
	s.mu.Unlock()
	if !turn {
		<-r.wake
		s.yield("logstore.lead")
	}
	s.lead(r)
	return r.err
}

// enqueue encodes r's frame into the last pending group and returns that. The
// caller holds mu.
func (s *Store) enqueue(r *request) *group {
	table := int64(len(r.drop)) * 8
	for i := range r.rows {
		table += rowLen + int64(len(r.rows[i].key))
	}
	r.size = align(headLen + table + int64(len(r.recs)))
	g := s.groupFor(r.size)
	r.part, r.pos, r.at = g.tailPart(), len(g.parts[g.tailPart()]), g.size

	b := slices.Grow(g.parts[r.part], int(headLen+table))
	b = append(b, make([]byte, headLen)...)
	for i := range r.rows {
		b = appendRow(b, &r.rows[i])
	}
	for _, seg := range r.drop {
		b = le.AppendUint64(b, uint64(seg.id))
	}
	h := head{kind: r.kind, size: uint32(r.size), table: uint32(table)}
	h.tableSum = crc32.Checksum(b[r.pos+headLen:], castagnoli)
	h.put(b[r.pos:])
	pad := int(r.size - headLen - table - int64(len(r.recs)))
	if len(r.recs) > inlineRecords {
		g.parts[r.part] = b
		g.parts = append(g.parts, r.recs, zeros[:pad:pad])
		g.ownTail = false
	} else {
		b = append(b, r.recs...)
		g.parts[r.part] = append(b, zeros[:pad]...)
	}
	g.size += r.size
	g.reqs = append(g.reqs, r)
	s.queued.Add(1)
	return g
}

// inlineRecords is the size up to which records are copied into the buffer of
// their group; larger ones are written from where they are.
const inlineRecords = 128 << 10

var zeros [frameAlign]byte

// versions returns what Commit owes its caller, in one allocation for a commit
// of one change.
func (r *request) versions(changes []persist.Change) []persist.Version {
	if len(changes) == 1 {
		if len(r.rows) == 0 || r.rows[0].size == 0 {
			return []persist.Version{persist.Absent}
		}
		v := &struct {
			list [1]persist.Version
			text [20]byte
		}{}
		n := len(strconv.AppendUint(v.text[:0], r.rows[0].version, 10))
		v.list[0] = persist.Version(unsafe.String(&v.text[0], n))
		return v.list[:]
	}
	list, next := make([]persist.Version, len(changes)), 0
	for i := range changes {
		if next == len(r.rows) || r.rows[next].key != changes[i].Key {
			continue // a delete that had nothing to do
		}
		if r.rows[next].size != 0 {
			list[i] = formatVersion(r.rows[next].version)
		}
		next++
	}
	return list
}

// A version is the number of the change among all changes of the store, in
// decimal. Numbers go up by more than a segment can hold at every open, so that
// one never comes again even where a tail was lost.
func formatVersion(v uint64) persist.Version { return persist.Version(strconv.FormatUint(v, 10)) }

func isVersion(given persist.Version, v uint64) bool {
	var buf [20]byte
	return string(given) == string(strconv.AppendUint(buf[:0], v, 10))
}

// unknown is the error of a request whose bytes may or may not have arrived.
func unknown(err error) error { return errors.Join(persist.ErrUnknownOutcome, err) }
