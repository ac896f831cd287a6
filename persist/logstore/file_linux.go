package logstore

import (
	"errors"
	"syscall"
)

const hasFdatasync = true

func fdatasync(fd uintptr) error {
	for {
		if err := syscall.Fdatasync(int(fd)); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
