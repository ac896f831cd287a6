// Package fsim is a simulated disk behind [afero.Fs] that knows what a power
// cut may legally leave of it on ext4, XFS, btrfs or bare POSIX.
//
// Make a [Disk] with [New], hand it to any code that runs on afero, and ask
// what it may hold after a crash, or let [Explore] run that code's recovery on
// every such state.
//
// # A faithful filesystem
//
// A disk behaves as package os shows a local filesystem of Linux to behave:
// inodes with several names, handles that outlive their names, sparse files,
// O_APPEND and O_EXCL, symlinks, permissions, and errors with the kernel's
// number in the same wrapping and with the same text. Tests hold it to that,
// call by call, beside the kernel's own. It differs in this:
//
//   - names in a directory are listed in sorted order, all as of the first read;
//   - reading does not change access times; times come from the disk's clock;
//   - reading the names of a closed directory is [io/fs.ErrClosed] too;
//   - there are no devices, pipes, locks, extended attributes or quotas, and
//     no data can be found with SEEK_DATA and SEEK_HOLE.
//
// Every call is recorded in a trace ([Disk.Trace]), with the name of the caller
// where it came through [Disk.As].
//
// # Crash states
//
// [Disk.Crash] and [History.At] give the set of states that a power cut may
// leave at an instant: counted, reached by number without visiting the others,
// iterated without duplicates, sampled near the extremes, mounted as disks that
// crash again. Which states are legal is said by a [Profile], a small table of
// rules with their sources; each rule is pinned by a narrated scenario under
// testdata/litmus. What a profile allows, Linux allows, and what Linux allows,
// POSIX allows. Everything is relative to a model of torn blocks and of fills,
// which [Profile.Model] states.
//
// # Exploring
//
// [Explore] runs a workload once and its recovery on every legal state of every
// instant that matters. A cell of the disk is decided when recovery first reads
// it, so states that differ only in what it never reads are visited once. Where
// that is too much it covers all states within k cells of each extreme, and its
// [Report] says which k. [Check] does it in a test and tells the shortest story
// of what broke, with the sync that was missing; [Judge] compares profiles.
//
// # Faults
//
// A [Fault] is a value that prints as one line and parses back: an error at the
// n-th sync of a path, a torn or lost write, a flipped bit. A sync that fails
// leaves the file as the kernel leaves it. [Sweep] fails each call of a
// workload in turn.
//
// # The same on every run
//
// A disk has no ambient time and no randomness: the same calls give the same
// results, inode numbers and times on every run, machine and operating system.
package fsim
