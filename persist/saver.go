package persist

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/anthdm/hollywood/actor"
)

// saver is the part of a shell that knows which state is where. States are
// numbered by the messages handled. At most one commit is in flight; what
// happens meanwhile is carried by the next one, which takes the newest state.
type saver struct {
	handled   uint64 // the number of the present state
	submitted uint64 // the newest that was given to the store
	durable   uint64 // the newest that is known to be there
	demand    uint64 // the newest that somebody waits for
	base      uint64 // the one that Started left behind; EveryMessages counts from it
	savedMid  bool   // a save happened inside the present message

	version Version // of the newest record known to be durable
	seq     uint64
	sum     [sha256.Size]byte // of its payload
	flight  *flight
	saveErr error // a failed save that nothing has made good yet
	timer   *time.Timer
	ticking bool
}

// flight is a commit under way. The goroutine that commits fills it in and
// closes done.
type flight struct {
	state    uint64
	seq      uint64
	sum      [sha256.Size]byte
	bytes    int
	harmless bool // part of a tree save: its failure is the caller's, not the actor's
	done     chan struct{}
	version  Version
	err      error
}

// Save saves the actor that c belongs to, within its Receive, and returns when
// the state is durable. An error means that what was durable before still is,
// except for [ErrUnknownOutcome]. A save that fails and is not followed by a
// successful one before Receive returns has the consequence that the kind's
// Supervision names; so a handler may try again, but cannot go on as if.
//
// A state that equals the last one submitted is not written again; it also
// does not ask the store again whether another owner has come.
//
// Errors: [ErrNotPersistent] for an actor that was not spawned through this
// package, [ErrRolledBack] in the Stopped of an object that was given up after a panic,
// the errors of the codec, [ErrTooLarge], and those of the store.
func Save(c *actor.Context) error {
	s := shellIn(c)
	switch {
	case s == nil:
		return fmt.Errorf("save: %w", ErrNotPersistent)
	case s.phase == discarded:
		return fmt.Errorf("save %q: %w", string(s.key), ErrRolledBack)
	case s.phase == finished || s.phase == broken:
		return fmt.Errorf("save %q: %w", string(s.key), ErrStopped)
	}
	return s.saveNow(c)
}

// saveNow makes the present state durable before it returns.
func (s *shell) saveNow(c *actor.Context) error {
	s.awaitFlight(c)
	if isFatal(s.saveErr) {
		return fmt.Errorf("save %q: %w", string(s.key), s.saveErr)
	}
	payload, err := s.encode(c)
	if err == nil {
		err = s.commitNow(payload)
	}
	s.savedMid = true
	if err != nil {
		s.saveFailed(err)
		return err
	}
	s.saveErr = nil
	return nil
}

// commitNow writes payload as the present state, on this goroutine. Nothing is
// in flight.
func (s *shell) commitNow(payload []byte) error {
	f := s.prepare(payload)
	if f == nil {
		return nil
	}
	ctx, cancel := s.sys.brief("save " + string(s.key))
	defer cancel()
	versions, err := s.sys.commit(ctx, s.mount, []Change{{Key: s.rel, Put: s.record(f, payload), If: s.version}})
	if err != nil {
		return fmt.Errorf("save %q: %w", string(s.key), err)
	}
	f.version = versions[0]
	s.landed(f)
	return nil
}

// prepare returns the flight of payload as the present state, or nil where the
// store has it already.
func (s *shell) prepare(payload []byte) *flight {
	sum := sha256.Sum256(payload)
	if sum == s.sum {
		s.submitted, s.durable = s.handled, s.handled
		return nil
	}
	return &flight{state: s.handled, seq: s.seq + 1, sum: sum, bytes: len(payload)}
}

func (s *shell) record(f *flight, payload []byte) *Record {
	return &Record{
		Key: s.rel, Kind: s.plan.name, KindVersion: s.plan.version, Codec: s.plan.codec.Name(),
		Writer: s.sys.writer, Seq: f.seq, Payload: payload,
	}
}

// landed takes note of a commit that succeeded.
func (s *shell) landed(f *flight) {
	s.version, s.seq, s.sum = f.version, f.seq, f.sum
	s.submitted, s.durable = max(s.submitted, f.state), max(s.durable, f.state)
	pid := s.pid
	if pid == nil {
		pid = pidOf(s.sys.engine, s.key)
	}
	s.sys.engine.BroadcastEvent(SnapshotSaved{Key: s.key, PID: pid, Seq: f.seq, Bytes: f.bytes})
}

// saveFailed takes note of a commit that did not, or of a state that could not
// be encoded.
func (s *shell) saveFailed(err error) {
	s.saveErr = err
	s.sys.engine.BroadcastEvent(SnapshotFailed{Key: s.key, PID: s.pid, Err: err})
}

// endMessage follows every message that was handled without a panic. It is on
// the path of every message: what is rare comes behind one comparison each.
func (s *shell) endMessage(c *actor.Context) {
	if s.savedMid {
		s.savedMid = false
		s.handled++ // what the handler changed after its save is a new state
		s.base = s.handled
	}
	if s.out != nil {
		s.stamp()
	}
	p := &s.plan.policy
	if p.interval > 0 && !s.ticking && s.handled > s.submitted {
		s.startTimer()
	}
	if s.flight != nil || s.saveErr != nil || s.wants() || s.out != nil {
		s.pump(c)
	}
}

// wants says whether the present state is to be saved now.
func (s *shell) wants() bool {
	if s.handled <= s.submitted {
		return false
	}
	p := &s.plan.policy
	return p.always || s.demand > s.submitted || p.messages > 0 && s.handled-max(s.submitted, s.base) >= uint64(p.messages)
}

// pump moves saves along: it takes in the commit that has finished, lets go
// what has become durable, and submits the present state where that is wanted.
// Nobody waits in it for the store.
func (s *shell) pump(c *actor.Context) {
	if kids, _ := s.yard.take(); len(kids) > 0 {
		s.endKids(c, kids)
	}
	if s.phase != running {
		return
	}
	if f := s.flight; f != nil {
		select {
		case <-f.done:
			s.land(c, f)
		default:
		}
	}
	if s.flight == nil && s.saveErr == nil && s.wants() {
		s.submit(c)
	}
	if s.saveErr != nil {
		s.afterFailedSave(c)
		return
	}
	s.release(c)
}

// submit gives the present state to a goroutine that commits it.
func (s *shell) submit(c *actor.Context) {
	payload, err := s.encode(c)
	if err != nil {
		s.saveFailed(err)
		return
	}
	f := s.prepare(payload)
	if f == nil {
		return
	}
	f.done = make(chan struct{})
	s.flight, s.submitted = f, f.state
	change := Change{Key: s.rel, Put: s.record(f, payload), If: s.version}
	s.sys.start("save "+string(s.key), func() {
		ctx, cancel := s.sys.brief("save " + string(s.key))
		defer cancel()
		f.err = errVanished
		defer func() {
			close(f.done)
			s.poke()
		}()
		versions, err := s.sys.commit(ctx, s.mount, []Change{change})
		f.err = wrap(err, "save", s.key)
		if err == nil {
			f.version = versions[0]
		}
	})
}

// errVanished stands where a store called runtime.Goexit in Commit.
var errVanished = fmt.Errorf("%w: the store's goroutine vanished", ErrUnknownOutcome)

// land takes in a flight that is done.
func (s *shell) land(c *actor.Context, f *flight) {
	s.flight = nil
	switch {
	case f.err == nil:
		s.landed(f)
		s.release(c)
	case f.harmless && !isFatal(f.err):
		s.submitted = s.durable
	default:
		s.saveFailed(f.err)
	}
}

// awaitFlight waits until no commit is in flight. The commit's own context
// bounds the wait.
func (s *shell) awaitFlight(c *actor.Context) {
	if f := s.flight; f != nil {
		s.waitLong(c, f.done)
		s.land(c, f)
	}
}

// afterFailedSave does what the kind's Supervision says.
func (s *shell) afterFailedSave(c *actor.Context) {
	err := s.saveErr
	switch {
	case s.phase != running:
	case s.stage() < started: // Started is being handled: whoever spawns it ends it
		s.phase, s.startErr = broken, err
	case isFatal(err), s.plan.limits.OnSaveFailure == StopOnSaveFailure, errors.Is(err, ErrClosed):
		s.fail(c, err)
	default:
		s.rollBack(c, err)
	}
}

func (s *shell) startTimer() {
	s.ticking = true
	f := func() {
		s.sys.yield("tick " + string(s.key))
		s.send((*shell).tick)
	}
	if s.timer == nil {
		s.timer = time.AfterFunc(s.plan.policy.interval, f)
		return
	}
	s.timer.Reset(s.plan.policy.interval)
}

// tick saves what Every has let pile up.
func (s *shell) tick(c *actor.Context) {
	s.ticking = false
	s.demand = max(s.demand, s.handled)
	s.pump(c)
}

func (s *shell) stopTimer() {
	if s.timer != nil {
		s.timer.Stop()
	}
}
