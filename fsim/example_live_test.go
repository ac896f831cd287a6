package fsim_test

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/fsim"
)

// replace is code under test: anything that runs on afero.
func replace(fs afero.Fs, name, content string) error {
	f, err := fs.Create(name + ".tmp")
	if err != nil {
		return err
	}
	if _, err := f.WriteString(content); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return fs.Rename(name+".tmp", name)
}

// A disk is a filesystem of afero, and keeps a record of every call on it.
func ExampleDisk() {
	disk := fsim.New(fsim.Ext4)
	fmt.Println(replace(disk.As("saver"), "/config", "new"))
	for _, call := range disk.Trace() {
		fmt.Println(call)
	}
	// Output:
	// <nil>
	// 1 saver open /config.tmp RDWR|CREATE|TRUNC 0666 = ok
	// 2 saver write /config.tmp #1 @0+3 = 3
	// 3 saver sync /config.tmp #1 = ok
	// 4 saver close /config.tmp #1 = ok
	// 5 saver rename /config.tmp -> /config = ok
}

// Errors are those of the kernel, in the wrapping of package os.
func ExampleNew_errors() {
	disk := fsim.New(fsim.Linux)
	_, err := disk.Create("/missing/file")
	fmt.Println(err, errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOENT))
	disk.SetCapacity(fsim.BlockSize)
	fmt.Println(afero.WriteFile(disk, "/big", make([]byte, 2*fsim.BlockSize), 0o644))
	// Output:
	// open /missing/file: no such file or directory true true
	// write /big: no space left on device
}

// A fault is a line of text. After a failed sync the page passes for clean: the
// next sync succeeds, and the data is gone once the page is evicted.
func ExampleDisk_SetFaults() {
	disk := fsim.New(fsim.Ext4)
	fault, err := fsim.ParseFault("EIO sync path=/journal nth=1")
	if err != nil {
		fmt.Println(err)
		return
	}
	disk.SetFaults(fault)
	f, _ := disk.Create("/journal")
	_, _ = f.WriteString("entry")
	fmt.Println("first sync: ", f.Sync())
	fmt.Println("second sync:", f.Sync())
	disk.DropCaches()
	content, _ := afero.ReadFile(disk, "/journal")
	fmt.Printf("content:     %q\n", content)
	// Output:
	// first sync:  sync /journal: input/output error
	// second sync: <nil>
	// content:     "\x00\x00\x00\x00\x00"
}

// A sweep fails the first call, then the second, and so on, until the code
// under test gets through.
func ExampleSweep() {
	fault, _ := fsim.ParseFault("EIO")
	for run := range fsim.Sweep(fault, func(f fsim.Fault) (*fsim.Disk, error) {
		disk := fsim.New(fsim.Linux)
		disk.SetFaults(f)
		return disk, replace(disk, "/config", "new")
	}) {
		if run.Struck {
			fmt.Printf("%v fails: %v\n", run.Call.Op, run.Err)
		} else {
			fmt.Println("nothing fails:", run.Err)
		}
	}
	// Output:
	// open fails: open /config.tmp: input/output error
	// write fails: write /config.tmp: input/output error
	// sync fails: sync /config.tmp: input/output error
	// close fails: close /config.tmp: input/output error
	// rename fails: rename /config.tmp /config: input/output error
	// nothing fails: <nil>
}

// Every user other than root is held to the permissions.
func ExampleDisk_AsUser() {
	disk := fsim.New(fsim.Linux)
	_ = afero.WriteFile(disk, "/secret", nil, 0o600)
	_, err := disk.AsUser(1000, 1000).Open("/secret")
	fmt.Println(err)
	// Output:
	// open /secret: permission denied
}
