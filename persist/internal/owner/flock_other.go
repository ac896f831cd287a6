//go:build !unix || solaris || aix

package owner

import "github.com/spf13/afero"

// lockFile locks nothing: this system has no flock, and the epoch alone guards
// the directory.
func lockFile(afero.Fs, string) (afero.File, error) { return nil, nil }
