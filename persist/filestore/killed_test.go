package filestore_test

import (
	"errors"
	"io/fs"

	"github.com/spf13/afero"
)

// killed is a filesystem of a process that ends: after some calls none has an
// effect any more, and all fail. What was done stays, synced or not.
type killed struct {
	afero.Fs
	left   int
	before func() // if set, runs before each call
}

var errKilled = errors.New("killed")

func (k *killed) call() error {
	if k.before != nil {
		k.before()
	}
	if k.left--; k.left < 0 {
		return errKilled
	}
	return nil
}

func (k *killed) Open(name string) (afero.File, error) { return k.OpenFile(name, 0, 0) }

func (k *killed) OpenFile(name string, flag int, perm fs.FileMode) (afero.File, error) {
	if err := k.call(); err != nil {
		return nil, err
	}
	f, err := k.Fs.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &killedFile{f, k}, nil
}

func (k *killed) Mkdir(name string, perm fs.FileMode) error {
	if err := k.call(); err != nil {
		return err
	}
	return k.Fs.Mkdir(name, perm)
}

func (k *killed) Remove(name string) error {
	if err := k.call(); err != nil {
		return err
	}
	return k.Fs.Remove(name)
}

func (k *killed) Rename(from, to string) error {
	if err := k.call(); err != nil {
		return err
	}
	return k.Fs.Rename(from, to)
}

func (k *killed) Stat(name string) (fs.FileInfo, error) {
	if err := k.call(); err != nil {
		return nil, err
	}
	return k.Fs.Stat(name)
}

type killedFile struct {
	afero.File
	k *killed
}

func (f *killedFile) Write(b []byte) (int, error) {
	if err := f.k.call(); err != nil {
		return 0, err
	}
	return f.File.Write(b)
}

func (f *killedFile) Sync() error {
	if err := f.k.call(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *killedFile) Readdirnames(n int) ([]string, error) {
	if err := f.k.call(); err != nil {
		return nil, err
	}
	return f.File.Readdirnames(n)
}
