package filestore

import (
	"errors"
	"syscall"
)

// diskFull says whether there was no room: ERROR_HANDLE_DISK_FULL and
// ERROR_DISK_FULL of winerror.h, or what a simulated disk says.
func diskFull(err error) bool {
	return errors.Is(err, syscall.Errno(39)) || errors.Is(err, syscall.Errno(112)) ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
