// Package logstore keeps the snapshots of actors in one shared log: append
// only, checksummed, with group commit, an index in memory, and compaction.
//
// [Open] opens a directory and becomes its owner; the [Store] it returns is a
// persist.Store and a persist.TreeStore, and commits of several keys are
// atomic. [Verify] checks a log that nobody has open, [Export] and [Import]
// carry all actors of any store elsewhere in one file.
//
// # What is promised
//
// When [Store.Commit] returns nil, what it wrote survives a power cut. Commits
// that are under way at the same time share one write and one sync, so a save
// costs a share of a disk flush. After a crash Open finds every acknowledged
// commit, each in full; a commit that was not acknowledged is there in full or
// not at all. Anything else is damage of the medium, which is reported with
// its place and never taken for absence. What cannot be told from a write that
// the crash interrupted is damage to the very last group written before a
// crash; it is given up and counted in [Store.Stats] as cut bytes. A log that
// was closed ends in a seal, and damage to it is always reported.
//
// # Files
//
// All numbers in names are hexadecimal, of a fixed number of digits.
//
//	owner.lock           the flock of the owner, where the filesystem has descriptors
//	owner.EEEEEEEEEEEEEEEE  the epoch of the owner: one up with each Open
//	EEEEEEEE-NNNNNNNN.log   a segment: the epoch of its owner, and its number
//	EEEEEEEE-NNNNNNNN.hint  the heads and tables of a segment; may be missing
//	….log.damaged        a segment that was damaged and holds nothing else of use
//
// Segments are ordered by name. The newest that begins with an intact header
// says which others are part of the log and how many bytes of each count;
// everything else is litter. Where the file offers a sync of its data alone,
// segments are filled with zeros before their first use and used again
// afterwards; what an earlier use left behind carries another segment's name in
// every frame.
//
// # Format, version 1
//
// All numbers are little-endian; checksums are CRC-32C. A segment is frames
// back to back, each at a multiple of 8 bytes:
//
//	offset  size  field
//	0       4     magic "ULOG"
//	4       1     format version
//	5       1     kind: 1 header, 2 commit, 3 move, 4 drop, 5 seal
//	6       2     zero
//	8       4     length of the frame, a multiple of 8
//	12      4     offset of the frame in its segment
//	16      4     offset of the first frame that was synced together with it
//	20      4     length of the table
//	24      8     the segment: its number, then its epoch, 4 bytes each
//	32      4     checksum of the table
//	36      4     checksum of bytes 0 to 35
//	40      …     table, then for a commit or a move the records, back to back;
//	              then zeros up to the length
//
// The fields of the first 40 bytes keep their meaning in every later format.
//
// The table of a commit or a move has a row for each change:
//
//	0       8     version of the change; a later one is greater
//	8       4     length of its record, 0 for a delete
//	12      4     checksum of its record, which is also the record's last 4 bytes
//	16      2     length of the key
//	18      2     1 if the key did not exist before this change, else 0
//	20      …     key
//
// A record is encoded as package persist says. The change with the greatest
// version decides what a key holds; a move repeats a change elsewhere.
//
// The table of a header, which is the first frame of a segment, is the next
// version (8 bytes) and a line for each other live segment: the segment (8), the
// bytes of it that count (4), and 1 if it is known to be damaged, else 0 (4).
// The table of a drop is the segments (8 each) that left the log since. A seal
// has no table; nothing follows it, and everything before it was synced.
//
// A frame of a later group proves that everything before that group was synced.
// That is how damage is told from a torn tail: what cannot be read at the end of
// the newest segment is torn, unless such a frame follows.
//
// A hint is:
//
//	0       4     magic "ULHT"
//	4       2     format version
//	6       2     zero
//	8       8     the segment
//	16      4     the bytes of the segment that count
//	20      4     length of what follows, without the last checksum
//	24      4     checksum of bytes 0 to 23
//	28      …     the first 40 bytes and the table of each frame, back to back
//	end-4   4     checksum of bytes 28 to end-5
package logstore
