//go:build unix && !solaris && !aix

package owner

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist"
)

// lockFile opens and locks path, without waiting. It returns nil where the
// file has no descriptor, which leaves the epoch alone to guard the directory.
func lockFile(fsys afero.Fs, path string) (afero.File, error) {
	f, err := fsys.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	d, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return nil, f.Close()
	}
	for {
		err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = fmt.Errorf("%s: %w", path, persist.ErrLocked)
	case errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.ENOLCK):
		return nil, f.Close() // a network filesystem without locks
	default:
		err = fmt.Errorf("lock %s: %w", path, err)
	}
	return nil, errors.Join(err, f.Close())
}
