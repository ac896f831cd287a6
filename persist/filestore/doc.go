// Package filestore keeps each actor's snapshots in a folder of its own,
// readable with ls, and atomic and durable on any filesystem that keeps the
// promises of POSIX: the file:// scheme.
//
// [Open] returns a [Store], which is a [persist.TreeStore]; [Options] has what
// can be chosen.
//
// # On disk
//
// The record of the key "players/james" lies in the folder players/james below
// the store's directory, in a file such as @00000003.00000000002a: the epoch of
// the owner that wrote it and a counter of that owner. The greatest is the
// newest; some older ones are kept, see [Options.Keep]. A file
// ending in ".gone" says that the key was deleted; one ending in ".bad" is a
// generation that was found damaged and moved aside, which the store never
// touches again. Segments of a key are escaped to portable names, see the file
// escape.go. The folder @store belongs to the store itself: its format, its
// owner, and the staging folder of each owner. Whatever else lies in the
// directory is ignored and never touched.
//
// # Commits
//
// A record is written to a file in the staging folder, synced, renamed into
// its key's folder, and that folder is synced, as is the parent of every folder
// that is new. A commit of several keys first makes one file in the staging
// folder durable that holds all of it, the intent: the rename of that file is
// the instant at which the commit happens, and [Open] finishes what a crash
// interrupted. A full disk is an error that leaves everything as it was. Any
// other error after bytes were written is [persist.ErrUnknownOutcome], and the
// store does not trust itself any more ([persist.ErrStoreFailed]) until it is
// opened again.
//
// # Owners
//
// One process owns a directory. Where files have descriptors, a second open is
// refused with flock ([persist.ErrLocked]). Everywhere, an open raises an epoch
// and removes the staging folder of every earlier owner, so that none can
// rename anything into place any more: it finds out and gets
// [persist.ErrFenced].
//
// # Damage
//
// A newest generation that is damaged is moved aside and the newest intact one
// is returned in its place, with [persist.Record].Fallback set and a call of
// [Options.Report]. Where none is intact nothing is moved, and the error is a
// [*persist.CorruptError].
//
// # Not promised
//
// A filesystem whose Remove takes a folder that is not empty, such as
// afero.MemMapFs, may lose keys when keys are deleted next to it concurrently.
// A directory copied without its folder @store loses its epoch: commits to keys
// with generations of a higher epoch are then refused with ErrFenced. Symbolic
// links inside the directory are followed like folders.
package filestore
