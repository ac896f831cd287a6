package fsim_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strings"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/fsim"
)

var (
	oldText = bytes.Repeat([]byte("o"), 1000)
	newText = bytes.Repeat([]byte("n"), 1000)
)

// install puts the old version on the disk, durably.
func install(d *fsim.Disk) error {
	f, err := d.Create("/config")
	if err != nil {
		return err
	}
	if _, err := f.Write(oldText); err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), syncDir(d, "/"))
}

func syncDir(d *fsim.Disk, name string) error {
	dir, err := d.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func writeTemp(d *fsim.Disk, sync bool) error {
	f, err := d.Create("/config.tmp")
	if err != nil {
		return err
	}
	if _, err := f.Write(newText); err != nil {
		return err
	}
	if sync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// oldOrNew is what the programs below promise: the old version or the new one, whole, and the new one once it
// was acknowledged.
func oldOrNew(d *fsim.Disk, acked []any) error {
	b, err := afero.ReadFile(d, "/config")
	switch {
	case err != nil && len(acked) == 0 && errors.Is(err, fs.ErrNotExist):
		return nil // not installed yet
	case err != nil:
		return err
	case len(acked) == 0:
		return nil
	case len(acked) == 2 && !bytes.Equal(b, newText):
		return errors.New("the new config was acknowledged and is not there")
	case !bytes.Equal(b, oldText) && !bytes.Equal(b, newText):
		return fmt.Errorf("config is neither old nor new: %d bytes", len(b))
	}
	return nil
}

// update makes a workload of a way to replace the file.
func update(replace func(d *fsim.Disk) error) fsim.Workload {
	return func(d *fsim.Disk) error {
		if err := install(d); err != nil {
			return err
		}
		d.Ack("installed")
		if err := replace(d); err != nil {
			return err
		}
		d.Ack("updated")
		return nil
	}
}

func tell(w fsim.Workload, r fsim.Recover) {
	report, err := fsim.Explore(w, r, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if report.Failure == nil {
		fmt.Println(report)
		return
	}
	// The whole story is longer; see ExampleFailure_Story.
	parts := strings.Split(report.Failure.Story(), "\n\n")
	for _, p := range parts {
		if !strings.HasPrefix(p, "what was done") && !strings.HasPrefix(p, "what recovery") &&
			!strings.HasPrefix(p, "token") && !strings.HasPrefix(p, "as a test") {
			fmt.Println(p)
		}
	}
}

// A temporary file that is renamed before its bytes are durable: the whole story.
func ExampleFailure_Story() {
	report, err := fsim.Explore(update(func(d *fsim.Disk) error {
		if err := writeTemp(d, false); err != nil {
			return err
		}
		return errors.Join(d.Rename("/config.tmp", "/config"), syncDir(d, "/"))
	}), oldOrNew, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(report.Failure.Story())
	// Output:
	// a promise is broken on linux: config is neither old nor new: 1000 bytes
	//
	// what was done:
	//     1  open /config RDWR|CREATE|TRUNC 0666 = ok
	//     3  write /config #1 @0+1000 = 1000
	//     4  sync /config #1 = ok
	//     5  sync / #2 = ok
	//     6  acknowledge installed
	//     7  open /config.tmp RDWR|CREATE|TRUNC 0666 = ok
	//     9  write /config.tmp #3 @0+1000 = 1000
	//    10  rename /config.tmp -> /config = ok
	//        -- power cut
	//
	// what the disk held, against what was written:
	//   block 0 of /config.tmp was never written: zeros
	//
	// what had been acknowledged: [installed]
	//
	// what recovery said: config is neither old nor new: 1000 bytes
	//
	// what would have prevented it: Sync of /config.tmp after operation 9 (write /config.tmp #3 @0+1000 = 1000)
	//
	// token: fsim1:linux:i10:h313cb76dad7afc37:b3.0=0
	//
	// as a test:
	// func TestCrash(t *testing.T) {
	// 	fsim.Check(t, func(d *fsim.Disk) error {
	// 		f2, _ := d.Create("/config")
	// 		f2.WriteAt(bytes.Repeat([]byte("o"), 1000), 0)
	// 		f2.Sync()
	// 		d4, _ := d.Open("/")
	// 		d4.Sync()
	// 		d.Ack("installed")
	// 		f3, _ := d.Create("/config.tmp")
	// 		f3.WriteAt(bytes.Repeat([]byte("n"), 1000), 0)
	// 		d.Rename("/config.tmp", "/config")
	// 		return nil
	// 	}, oldOrNew, &fsim.ExploreOptions{Profile: fsim.Linux})
	// }
}

// Writing over a file in place: a power cut leaves a mixture, or nothing at all.
func ExampleExplore_writeInPlace() {
	tell(update(func(d *fsim.Disk) error {
		f, err := d.Create("/config") // truncates
		if err != nil {
			return err
		}
		_, err = f.Write(newText)
		return errors.Join(err, f.Sync(), f.Close())
	}), oldOrNew)
	// Output:
	// a promise is broken on linux: config is neither old nor new: 1000 bytes
	// what the disk held, against what was written:
	//   block 0 of /config is torn: its first 1 sectors are from operation 7, the others from operation 3
	// what had been acknowledged: [installed]
	// what would have prevented it: no sync, nor two: bytes that are still needed must not be written over
}

// A temporary file that is renamed before its bytes are durable.
func ExampleExplore_renameWithoutSync() {
	tell(update(func(d *fsim.Disk) error {
		if err := writeTemp(d, false); err != nil {
			return err
		}
		return errors.Join(d.Rename("/config.tmp", "/config"), syncDir(d, "/"))
	}), oldOrNew)
	// Output:
	// a promise is broken on linux: config is neither old nor new: 1000 bytes
	// what the disk held, against what was written:
	//   block 0 of /config.tmp was never written: zeros
	// what had been acknowledged: [installed]
	// what would have prevented it: Sync of /config.tmp after operation 9 (write /config.tmp #3 @0+1000 = 1000)
}

// A rename that nobody made durable before it was acknowledged.
func ExampleExplore_withoutDirectorySync() {
	tell(update(func(d *fsim.Disk) error {
		if err := writeTemp(d, true); err != nil {
			return err
		}
		return d.Rename("/config.tmp", "/config")
	}), oldOrNew)
	// Output:
	// a promise is broken on linux: the new config was acknowledged and is not there
	// what the disk held, against what was written:
	//   /config is still there
	// what had been acknowledged: [installed updated]
	// what would have prevented it: Sync of the directory / after operation 11 (rename /config.tmp -> /config = ok)
}

// The right way: write aside, sync, rename, sync the directory.
func ExampleExplore_rightWay() {
	tell(update(func(d *fsim.Disk) error {
		if err := writeTemp(d, true); err != nil {
			return err
		}
		return errors.Join(d.Rename("/config.tmp", "/config"), syncDir(d, "/"))
	}), oldOrNew)
	// Output:
	// linux: 4 instants, 16 states, 10 classes: exhausted, no promise broken (unsynced blocks whole or torn between two versions after the first k or before the last k sectors; unwritten bytes zero)
}

// sealed puts a checksum before b.
func sealed(b []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)), b...)
}

// A journal that is written after the data it should protect.
func ExampleExplore_journalInWrongOrder() {
	tell(func(d *fsim.Disk) error {
		if err := install(d); err != nil {
			return err
		}
		d.Ack("installed")
		j, err := d.Create("/journal")
		if err != nil {
			return err
		}
		if _, err := j.Write(sealed(oldText)); err != nil { // not synced before the data is written over
			return err
		}
		f, err := d.OpenFile("/config", 1, 0)
		if err != nil {
			return err
		}
		if _, err := f.WriteAt(newText, 0); err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close(), j.Close()); err != nil {
			return err
		}
		d.Ack("updated")
		return d.Remove("/journal")
	}, func(d *fsim.Disk, acked []any) error {
		undo, err := afero.ReadFile(d, "/journal")
		if err == nil && len(undo) > 4 && len(acked) < 2 && bytes.Equal(undo, sealed(undo[4:])) {
			if err := afero.WriteFile(d, "/config", undo[4:], 0o644); err != nil {
				return err
			}
		}
		return oldOrNew(d, acked)
	})
	// Output:
	// a promise is broken on linux: config is neither old nor new: 1000 bytes
	// what the disk held, against what was written:
	//   block 0 of /config is torn: its first 1 sectors are from operation 7, the others from operation 3
	// what had been acknowledged: [installed]
	// what would have prevented it: no sync, nor two: bytes that are still needed must not be written over
}

// Records that are appended without a checksum: what looks like a record may never have been written.
func ExampleExplore_appendWithoutChecksum() {
	records := []string{"alpha---", "beta----", "gamma---"}
	tell(func(d *fsim.Disk) error {
		f, err := d.Create("/log")
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), syncDir(d, "/")); err != nil {
			return err
		}
		for _, r := range records {
			if _, err := f.Write([]byte(r)); err != nil {
				return err
			}
		}
		return f.Close()
	}, func(d *fsim.Disk, _ []any) error {
		b, err := afero.ReadFile(d, "/log")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for i := 0; len(b) >= 8; i, b = i+1, b[8:] {
			if string(b[:8]) != records[i] {
				return fmt.Errorf("record %d is %q", i, b[:8])
			}
		}
		return nil
	})
	// Output:
	// a promise is broken on linux: record 2 is "\x00\x00\x00\x00\x00\x00\x00\x00"
	// what the disk held, against what was written:
	//   block 0 of /log is as it was after operation 6
	// what would have prevented it: no sync, nor two: bytes that are still needed must not be written over
}

// The same with a checksum in each record: the end of the log is where the first one does not fit.
func ExampleExplore_appendWithChecksum() {
	record := func(s string) []byte {
		return append([]byte(s), fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(s)))...)
	}
	records := []string{"alpha---", "beta----", "gamma---"}
	tell(func(d *fsim.Disk) error {
		f, err := d.Create("/log")
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), syncDir(d, "/")); err != nil {
			return err
		}
		for _, r := range records {
			if _, err := f.Write(record(r)); err != nil {
				return err
			}
		}
		return f.Close()
	}, func(d *fsim.Disk, _ []any) error {
		b, err := afero.ReadFile(d, "/log")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for i := 0; len(b) >= 16 && bytes.Equal(b[:16], record(string(b[:8]))); i, b = i+1, b[16:] {
			if string(b[:8]) != records[i] {
				return fmt.Errorf("record %d is %q", i, b[:8])
			}
		}
		return nil
	})
	// Output:
	// linux: 2 instants, 12 states, 12 classes: exhausted, no promise broken (unsynced blocks whole or torn between two versions after the first k or before the last k sectors; unwritten bytes zero)
}

// The same program on every profile.
func ExampleJudge() {
	v, err := fsim.Judge(update(func(d *fsim.Disk) error {
		if err := writeTemp(d, false); err != nil {
			return err
		}
		return errors.Join(d.Rename("/config.tmp", "/config"), syncDir(d, "/"))
	}), oldOrNew, nil)
	if err != nil {
		fmt.Println(err)
	}
	fmt.Print(v)
	// Output:
	// profile         verdict  instants  classes  finding
	// linux           BROKEN   2         8        config is neither old nor new: 1000 bytes
	// ext4            safe     3         9        exhausted
	// ext4-writeback  BROKEN   2         8        config is neither old nor new: 1000 bytes
	// ext4-journal    safe     3         6        exhausted
	// xfs             BROKEN   2         5        config is neither old nor new: 0 bytes
	// btrfs           BROKEN   2         5        config is neither old nor new: 0 bytes
	// posix           BROKEN   2         9        config is neither old nor new: 1000 bytes
}
