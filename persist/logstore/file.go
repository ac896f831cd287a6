package logstore

import "github.com/spf13/afero"

// What a file may offer beyond afero.File. Each is found by assertion, and the
// store does without where it is missing.
type (
	dataSyncer interface{ SyncData() error }
	descriptor interface{ Fd() uintptr }
)

// syncData makes the contents and the length of f durable, and no more where
// the file can tell the difference.
func syncData(f afero.File) error {
	switch f := f.(type) {
	case dataSyncer:
		return f.SyncData()
	case descriptor:
		if hasFdatasync {
			return fdatasync(f.Fd())
		}
	}
	return f.Sync()
}

// canSyncData says whether overwriting preallocated bytes is cheaper to sync
// than appending.
func canSyncData(f afero.File) bool {
	switch f.(type) {
	case dataSyncer:
		return true
	case descriptor:
		return hasFdatasync
	}
	return false
}
