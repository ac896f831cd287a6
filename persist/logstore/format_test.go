package logstore

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/understudy-go/understudy/persist"
)

var update = flag.Bool("update", false, "write the golden files anew")

const golden = "testdata/v1"

// writeGolden makes the log that the golden files pin: a birth, a change, a
// batch with a delete, in a log that was closed and opened once between.
func writeGolden(t *testing.T) map[string][]byte {
	ctx := context.Background()
	d := newDisk(nil)
	d.plain = true
	for life := range 2 {
		s, err := Open(d, "/log", crashOptions)
		if err != nil {
			t.Fatal(err)
		}
		if life == 0 {
			_, err = s.Commit(ctx, put("players/james", persist.Absent, "first"), put("players/anna", persist.Absent, ""))
		} else {
			_, err = s.Commit(ctx, put("players/james", persist.Any, "second"), persist.Change{Key: "players/anna", If: persist.Any})
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return d.current()
}

func readGolden(t *testing.T) map[string][]byte {
	files := map[string][]byte{}
	names, err := filepath.Glob(golden + "/*")
	if err != nil || len(names) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = b
	}
	return files
}

func TestTheFormatIsWhatTheGoldenFilesSay(t *testing.T) {
	files := writeGolden(t)
	maps.DeleteFunc(files, func(name string, _ []byte) bool { return !strings.Contains(name, "-") })
	if *update {
		if err := os.MkdirAll(golden, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, b := range files {
			if err := os.WriteFile(filepath.Join(golden, name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	pinned := readGolden(t)
	if got, want := slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(pinned)); !slices.Equal(got, want) {
		t.Fatalf("files %q, want %q", got, want)
	}
	for name, want := range pinned {
		if !bytes.Equal(files[name], want) {
			t.Errorf("%s differs from its golden file", name)
		}
	}
}

func TestALogOfThisFormatIsReadForEver(t *testing.T) {
	for _, hints := range []bool{true, false} {
		files := readGolden(t)
		if !hints {
			maps.DeleteFunc(files, func(name string, _ []byte) bool { return strings.HasSuffix(name, hintExt) })
		}
		_, got, err := reopened(t, files, true)
		if err != nil || len(got) != 1 || got["players/james"] != "second" {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestALogOfANewerFormatIsRefusedAndLeftAlone(t *testing.T) {
	files := readGolden(t)
	for name, b := range files {
		if strings.HasSuffix(name, hintExt) {
			delete(files, name)
			continue
		}
		for off := 0; off < len(b); off += int(le.Uint32(b[off+8:])) {
			b[off+4] = frameVersion + 1
			le.PutUint32(b[off+36:], crc32.Checksum(b[off:off+36], castagnoli))
		}
	}
	d := newDisk(files)
	if _, err := Open(d, "/log", crashOptions); !errors.Is(err, persist.ErrTooNew) || errors.Is(err, persist.ErrCorrupt) {
		t.Errorf("open: %v", err)
	}
	for name, b := range d.current() {
		if want, ok := files[name]; ok && !bytes.Equal(b, want) {
			t.Errorf("%s was changed", name)
		}
	}
}

func FuzzScanningNeverFailsOtherThanByReport(f *testing.F) {
	names, _ := filepath.Glob(golden + "/*.log")
	for _, name := range names {
		b, _ := os.ReadFile(name)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, limit := range []int64{-1, int64(len(b))} {
			sc, err := scanSegment(bytes.NewReader(b), int64(len(b)), newSegID(1, 1), "fuzz", limit)
			if err != nil && !errors.Is(err, persist.ErrTooNew) {
				t.Fatal(err)
			}
			if sc.end > int64(len(b)) {
				t.Fatalf("it ends at %d of %d bytes", sc.end, len(b))
			}
			eachRow(sc.heads, func(r *row) bool { return true })
		}
		parseHeaderTable(b)
	})
}
