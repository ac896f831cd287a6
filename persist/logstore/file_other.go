//go:build !linux

package logstore

const hasFdatasync = false

func fdatasync(uintptr) error { panic("no fdatasync here") }
