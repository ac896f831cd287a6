// Package persist makes the actors of a Hollywood engine durable: it keeps
// their snapshots in a store and brings whole trees of them back after a
// restart or a crash.
//
// Most programs need [Define], which says what an actor's snapshot is, [New],
// which joins an engine and a store to a [System], and [Kind.TryRespawn], which
// brings an actor and its tree back, or makes it where nothing was saved.
//
// # The promise
//
// After a crash at any instant every actor comes back in a state that was
// acknowledged or was being saved, never older than its last acknowledgement,
// never mixed, never invented; and actors last saved together, by
// [System.SaveTree], come back together. It holds as far as the store's own
// promise does: a store that acknowledges a [Store.Commit] has made it durable.
//
// What acknowledges is the nil error of [Kind.Spawn], [Save], [System.Save],
// [System.SaveTree], [System.Stop] and [System.Close], the event
// [SnapshotSaved], and the arrival of what was sent through [Reply] and [Send].
// Messages in inboxes are not saved. What an actor sends with the engine's own
// Send or Respond leaves at once, whatever becomes of the state behind it.
//
// # Keys
//
// A [Key] names one actor for ever, and the tree of actors is the tree of keys:
// what is stored below a key is its tree. Never more than one live actor has a
// key in a system; a second system on the same store is fenced off by the
// versions that every write is conditional on.
//
// # Supervision
//
// The engine never sees the user's actor, but a shell around it. No panic gets
// past the shell: it rolls the actor back to its last durable snapshot and goes
// on with the queue, within the bounds of [Supervision]. c.Receiver() returns
// the shell, which is how the functions of this package that take a context
// find their actor; keep the context's receiver as it is.
//
// # Goroutines and blocking
//
// The functions that take an [*actor.Context] belong into Receive; those that
// take a context.Context belong anywhere else. [Save], [Kind.SpawnChild] and
// [StopChild] block their actor while the store works. No lock is held across a
// call to a store. Every goroutine of a system has ended when [System.Close]
// returns nil.
package persist
