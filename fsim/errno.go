package fsim

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
)

// The errors of the kernel that a disk gives, ready as error values.
var (
	errNotPermitted error = syscall.EPERM
	errNoEntry      error = syscall.ENOENT
	errIO           error = syscall.EIO
	errBadFile      error = syscall.EBADF
	errAccess       error = syscall.EACCES
	errBusy         error = syscall.EBUSY
	errExists       error = syscall.EEXIST
	errNotDir       error = syscall.ENOTDIR
	errIsDir        error = syscall.EISDIR
	errInvalid      error = syscall.EINVAL
	errTooBig       error = syscall.EFBIG
	errNoSpace      error = syscall.ENOSPC
	errReadOnly     error = syscall.EROFS
	errTooManyLinks error = syscall.EMLINK
	errNameTooLong  error = syscall.ENAMETOOLONG
	errNotEmpty     error = syscall.ENOTEMPTY
	errLoop         error = syscall.ELOOP
)

// errnos are the error numbers that have a name here: those that the disk
// gives and those that a fault may give.
var errnos = []struct {
	name string
	no   syscall.Errno
}{
	{"EPERM", syscall.EPERM}, {"ENOENT", syscall.ENOENT}, {"EINTR", syscall.EINTR},
	{"EIO", syscall.EIO}, {"EBADF", syscall.EBADF}, {"EAGAIN", syscall.EAGAIN},
	{"ENOMEM", syscall.ENOMEM}, {"EACCES", syscall.EACCES}, {"EBUSY", syscall.EBUSY},
	{"EEXIST", syscall.EEXIST}, {"EXDEV", syscall.EXDEV}, {"ENODEV", syscall.ENODEV},
	{"ENOTDIR", syscall.ENOTDIR}, {"EISDIR", syscall.EISDIR}, {"EINVAL", syscall.EINVAL},
	{"ENFILE", syscall.ENFILE}, {"EMFILE", syscall.EMFILE}, {"EFBIG", syscall.EFBIG},
	{"ENOSPC", syscall.ENOSPC}, {"EROFS", syscall.EROFS}, {"EMLINK", syscall.EMLINK},
	{"ENAMETOOLONG", syscall.ENAMETOOLONG}, {"ENOTEMPTY", syscall.ENOTEMPTY},
	{"ELOOP", syscall.ELOOP}, {"EDQUOT", syscall.EDQUOT}, {"ESTALE", syscall.ESTALE},
	{"EOPNOTSUPP", syscall.EOPNOTSUPP}, {"ETIMEDOUT", syscall.ETIMEDOUT},
}

// ErrnoName returns the symbolic name of the error number in err, such as
// "ENOENT", the same on every operating system; "EOF", "closed", "poweroff"
// and "short" for the errors of this package and of io that have no number;
// "ok" for nil, and the text of any other error.
func ErrnoName(err error) string {
	if err == nil {
		return "ok"
	}
	var no syscall.Errno
	if errors.As(err, &no) {
		for _, e := range errnos {
			if e.no == no {
				return e.name
			}
		}
	}
	switch {
	case err == io.EOF:
		return "EOF"
	case errors.Is(err, fs.ErrClosed):
		return "closed"
	case errors.Is(err, ErrPoweredOff):
		return "poweroff"
	case errors.Is(err, io.ErrShortWrite):
		return "short"
	}
	return err.Error()
}

// errnoByName is the inverse of [ErrnoName] for error numbers.
func errnoByName(name string) (syscall.Errno, bool) {
	for _, e := range errnos {
		if e.name == name {
			return e.no, true
		}
	}
	return 0, false
}
