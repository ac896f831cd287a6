//go:build unix

package logstore

import (
	"errors"
	"syscall"
)

// isFull says whether err means that there was no room, which may change
// without anybody's doing.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
