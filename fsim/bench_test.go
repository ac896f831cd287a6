package fsim

import (
	"fmt"
	"testing"

	"github.com/spf13/afero"
)

// BenchmarkLive times single calls on a disk, in each history mode, beside
// afero.MemMapFs in the same run. Sizes are those of the file that is written
// or read; every call moves 4 KiB at a block boundary.
func BenchmarkLive(b *testing.B) {
	for _, c := range []struct {
		name string
		make func() afero.Fs
	}{
		{"mem", afero.NewMemMapFs},
		{"off", func() afero.Fs { return NewWith(Linux, &Options{History: HistoryOff, NoTrace: true}) }},
		{"off+trace", func() afero.Fs { return NewWith(Linux, &Options{History: HistoryOff}) }},
		{"now", func() afero.Fs { return NewWith(Linux, &Options{NoTrace: true}) }},
		{"full", func() afero.Fs { return NewWith(Linux, &Options{History: HistoryFull, NoTrace: true}) }},
	} {
		b.Run("stat/"+c.name, func(b *testing.B) { benchStat(b, c.make()) })
		b.Run("create/"+c.name, func(b *testing.B) { benchCreate(b, c.make) })
		b.Run("rename/"+c.name, func(b *testing.B) { benchRename(b, c.make()) })
		for _, blocks := range []int{1, 256} {
			size := fmt.Sprintf("%dKiB/", blocks*4)
			b.Run("write4K/"+size+c.name, func(b *testing.B) { benchWrite(b, c.make, blocks) })
			b.Run("read4K/"+size+c.name, func(b *testing.B) { benchRead(b, c.make(), blocks) })
		}
	}
}

// benchEvery is after how many calls a benchmark starts on a new disk, so that
// what a history keeps does not grow with b.N.
const benchEvery = 10_000

func benchDir(b *testing.B, f afero.Fs) afero.Fs {
	if err := f.MkdirAll("/data/players", 0o755); err != nil {
		b.Fatal(err)
	}
	return f
}

func benchFile(b *testing.B, f afero.Fs, blocks int) afero.File {
	h, err := benchDir(b, f).Create("/data/players/f")
	if err != nil {
		b.Fatal(err)
	}
	for k := range blocks {
		if _, err := h.WriteAt(make([]byte, BlockSize), int64(k)*BlockSize); err != nil {
			b.Fatal(err)
		}
	}
	return h
}

func benchStat(b *testing.B, f afero.Fs) {
	benchFile(b, f, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Stat("/data/players/f"); err != nil {
			b.Fatal(err)
		}
	}
}

func benchCreate(b *testing.B, make func() afero.Fs) {
	names := [1000]string{}
	for k := range names {
		names[k] = fmt.Sprintf("/data/players/%d", k)
	}
	b.ReportAllocs()
	var f afero.Fs
	for k := 0; b.Loop(); k++ {
		if k%len(names) == 0 {
			f = benchDir(b, make())
		}
		h, err := f.Create(names[k%len(names)])
		if err != nil {
			b.Fatal(err)
		}
		if err := h.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func benchRename(b *testing.B, f afero.Fs) {
	benchFile(b, f, 1)
	names := [2]string{"/data/players/f", "/data/players/g"}
	b.ReportAllocs()
	for k := 0; b.Loop(); k++ {
		if err := f.Rename(names[k&1], names[k&1^1]); err != nil {
			b.Fatal(err)
		}
	}
}

func benchWrite(b *testing.B, make func() afero.Fs, blocks int) {
	buf := [BlockSize]byte{}
	var h afero.File
	b.ReportAllocs()
	for k := 0; b.Loop(); k++ {
		if k%benchEvery == 0 {
			h = benchFile(b, make(), blocks)
		}
		if _, err := h.WriteAt(buf[:], int64(k%blocks)*BlockSize); err != nil {
			b.Fatal(err)
		}
	}
}

func benchRead(b *testing.B, f afero.Fs, blocks int) {
	h := benchFile(b, f, blocks)
	buf := [BlockSize]byte{}
	b.ReportAllocs()
	for k := 0; b.Loop(); k++ {
		if _, err := h.ReadAt(buf[:], int64(k%blocks)*BlockSize); err != nil {
			b.Fatal(err)
		}
	}
}
