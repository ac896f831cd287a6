package persist

import (
	"log/slog"

	"github.com/anthdm/hollywood/actor"
)

// The events of this package go to the event stream of the engine; subscribe an
// actor with engine.Subscribe. Hollywood logs them through slog at the level
// that each gives.
type (
	// SnapshotSaved: a snapshot is durable.
	SnapshotSaved struct {
		Key   Key
		PID   *actor.PID
		Seq   uint64 // of its record
		Bytes int    // of its payload
	}
	// SnapshotFailed: a save failed; what was durable before still is, unless Err
	// is ErrUnknownOutcome.
	SnapshotFailed struct {
		Key Key
		PID *actor.PID
		Err error
	}
	// Respawned: an actor has come back.
	Respawned struct {
		Key  Key
		PID  *actor.PID
		Kind string
		// Fallback is set where the newest generation was damaged and an older one
		// was taken.
		Fallback *CorruptError
	}
	// RespawnFailed: an actor that is stored did not come back.
	RespawnFailed struct {
		Key Key
		Err error
	}
	// ActorRestarted: an actor was rolled back to its last durable snapshot.
	ActorRestarted struct {
		Key      Key
		PID      *actor.PID
		Reason   error // a *PanicError, or the failure of a save
		Restarts int   // within the window of its Supervision
	}
	// ActorFailed: an actor was ended for a reason that is not its own wish.
	// Its last durable snapshot stays.
	ActorFailed struct {
		Key    Key
		PID    *actor.PID
		Reason error
	}
	// StoreFailed: a store takes no more writes until it is reopened. Sent once a
	// store.
	StoreFailed struct {
		Base Key
		Err  error
	}
)

// Log implements actor.EventLogger.
func (e SnapshotSaved) Log() (slog.Level, string, []any) {
	return slog.LevelDebug, "snapshot saved", []any{"key", e.Key, "seq", e.Seq, "bytes", e.Bytes}
}

// Log implements actor.EventLogger.
func (e SnapshotFailed) Log() (slog.Level, string, []any) {
	return slog.LevelError, "snapshot failed", []any{"key", e.Key, "err", e.Err}
}

// Log implements actor.EventLogger.
func (e Respawned) Log() (slog.Level, string, []any) {
	if e.Fallback != nil {
		return slog.LevelError, "respawned from an older generation", []any{"key", e.Key, "kind", e.Kind, "damage", e.Fallback}
	}
	return slog.LevelDebug, "respawned", []any{"key", e.Key, "kind", e.Kind}
}

// Log implements actor.EventLogger.
func (e RespawnFailed) Log() (slog.Level, string, []any) {
	return slog.LevelError, "respawn failed", []any{"key", e.Key, "err", e.Err}
}

// Log implements actor.EventLogger.
func (e ActorRestarted) Log() (slog.Level, string, []any) {
	return slog.LevelWarn, "persistent actor restarted", []any{"key", e.Key, "reason", e.Reason, "restarts", e.Restarts}
}

// Log implements actor.EventLogger.
func (e ActorFailed) Log() (slog.Level, string, []any) {
	return slog.LevelError, "persistent actor failed", []any{"key", e.Key, "reason", e.Reason}
}

// Log implements actor.EventLogger.
func (e StoreFailed) Log() (slog.Level, string, []any) {
	return slog.LevelError, "store failed", []any{"base", e.Base, "err", e.Err}
}
