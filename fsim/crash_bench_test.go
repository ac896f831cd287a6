package fsim

import (
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"testing"

	"github.com/spf13/afero"
)

// appends is "n unsynced appends of 4 KiB": a synced empty log, then records that fill a block each.
func appends(n int) Workload {
	return func(d *Disk) error {
		f, err := d.Create("/log")
		if err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		for i := 0; i < n; i++ {
			if _, err := f.Write(logRecord(i)); err != nil {
				return err
			}
		}
		return f.Close()
	}
}

func logRecord(i int) []byte {
	b := make([]byte, BlockSize)
	for j := range b[4:] {
		b[4+j] = byte(i + j>>3*7 + 1)
	}
	sum := crc32.Checksum(b[4:], crc32.MakeTable(crc32.Castagnoli))
	b[0], b[1], b[2], b[3] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	return b
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func recordFits(b []byte) bool {
	s := crc32.Checksum(b[4:], castagnoli)
	return b[0] == byte(s) && b[1] == byte(s>>8) && b[2] == byte(s>>16) && b[3] == byte(s>>24)
}

// byRecord recovers a log record by record, up to the first that does not fit.
func byRecord(d *Disk, _ []any) error {
	f, err := d.Open("/log")
	if err != nil {
		return nil
	}
	defer f.Close()
	var b [BlockSize]byte
	for {
		if n, err := f.Read(b[:]); n < len(b) || err == io.EOF || !recordFits(b[:]) {
			return nil
		}
	}
}

// whole recovers a log with one ReadFile.
func whole(d *Disk, _ []any) error {
	b, err := afero.ReadFile(d, "/log")
	for err == nil && len(b) >= BlockSize && recordFits(b[:BlockSize]) {
		b = b[BlockSize:]
	}
	return nil
}

func BenchmarkExploreAppends(b *testing.B) {
	b.Run("record by record", func(b *testing.B) {
		classes := 0
		for b.Loop() {
			r, err := Explore(appends(20), byRecord, nil)
			if err != nil || !r.Exhausted {
				b.Fatal(r, err)
			}
			classes += r.Classes
		}
		b.ReportMetric(float64(classes)/b.Elapsed().Seconds(), "classes/s")
	})
	for k := 1; k <= 2; k++ {
		b.Run(fmt.Sprintf("ReadFile within %d", k), func(b *testing.B) {
			for b.Loop() {
				r, err := Explore(appends(20), whole, &ExploreOptions{Deviations: k, Budget: 1 << 30})
				if err != nil || r.Deviations != k {
					b.Fatal(r, err)
				}
				b.ReportMetric(float64(r.Classes), "classes")
			}
		})
	}
}

func replaceFive(d *Disk) error {
	for i := 0; i < 5; i++ {
		f, err := d.Create("/f.tmp")
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(f, "version %d", i); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		f.Close()
		if err := d.Rename("/f.tmp", "/f"); err != nil {
			return err
		}
		dir, err := d.Open("/")
		if err != nil {
			return err
		}
		dir.Sync()
		dir.Close()
	}
	return nil
}

func listAndRead(d *Disk, _ []any) error {
	dir, err := d.Open("/")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	for _, n := range names {
		if _, err := afero.ReadFile(d, "/"+n); err != nil {
			return err
		}
	}
	return err
}

func BenchmarkExploreReplaceFive(b *testing.B) {
	for b.Loop() {
		r, err := Explore(replaceFive, listAndRead, nil)
		if err != nil || !r.Exhausted {
			b.Fatal(r, err)
		}
		b.ReportMetric(float64(r.Classes), "classes")
	}
}

// crashOf runs a workload and gives its crash states.
func crashOf(b testing.TB, w Workload) *Crash {
	d := NewWith(Linux, &Options{History: HistoryFull})
	if err := w(d); err != nil {
		b.Fatal(err)
	}
	c, err := d.Crash()
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func twentyFiles(d *Disk) error {
	for i := 0; i < 20; i++ {
		f, err := d.Create(fmt.Sprintf("/f%d", i))
		if err != nil {
			return err
		}
		f.Write(logRecord(i))
		f.Close()
	}
	return nil
}

func BenchmarkState(b *testing.B) {
	for _, w := range []struct {
		name string
		do   Workload
	}{{"20 appends", appends(20)}, {"20 new files", twentyFiles}, {"5 replaced", replaceFive}} {
		c := crashOf(b, w.do)
		n, exact := c.Count()
		if !exact {
			b.Fatal("not exact")
		}
		ks := make([]*big.Int, 1024)
		for i := range ks {
			ks[i] = new(big.Int).Mul(n, big.NewInt(int64(i)))
			ks[i].Div(ks[i], big.NewInt(int64(len(ks))))
		}
		b.Run(w.name+"/hash", func(b *testing.B) {
			var x digest
			for i := 0; b.Loop(); i++ {
				s, err := c.State(ks[i%len(ks)])
				if err != nil {
					b.Fatal(err)
				}
				x = x.plus(s.digest)
			}
			b.ReportMetric(float64(n.BitLen()), "bits")
		})
		b.Run(w.name+"/mount", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				s, _ := c.State(ks[i%len(ks)])
				s.Mount(&Options{History: HistoryOff, NoTrace: true})
			}
		})
	}
}
