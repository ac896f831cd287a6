//go:build !windows

package filestore

import (
	"errors"
	"syscall"
)

// diskFull says whether there was no room.
func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
