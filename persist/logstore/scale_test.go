package logstore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/spf13/afero"
	"github.com/understudy-go/understudy/persist"
)

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestTheIndexCostsAtMostAHundredBytesAKey(t *testing.T) {
	n := deep(100_000, 1_000_000)
	keys := make([]persist.Key, n)
	for i := range keys {
		keys[i] = persist.Key(fmt.Sprintf("players/%08d", i))
	}
	before := heap()
	ix := newIndex()
	for i, key := range keys {
		e := ix.at(ix.add(key))
		e.version, e.size = uint64(i+1), 1
		ix.count++
	}
	o := buildOrder(ix)
	perKey := float64(heap()-before) / float64(n)
	t.Logf("%.1f bytes a key beyond the key", perKey)
	if perKey > 100 {
		t.Errorf("%.1f bytes a key", perKey)
	}
	runtime.KeepAlive(ix)
	runtime.KeepAlive(o)
	runtime.KeepAlive(keys)
}

func TestSpaceStaysWithinTwiceTheLiveBytesAndTwoSegments(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "log")
	const segment = 256 << 10
	s, err := Open(afero.NewOsFs(), dir, &Options{SegmentSize: segment})
	if err != nil {
		t.Fatal(err)
	}
	live := int64(0)
	for i := range deep(1500, 20_000) {
		key := persist.Key(fmt.Sprintf("k/%d", i*7919%300))
		c := put(key, persist.Any, string(make([]byte, 3000)))
		if i < 300 {
			live += int64(c.Put.EncodedLen())
		}
		if _, err := s.Commit(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	s.stopKeeper()
	for s.work() { // what the keeper had not come to
	}
	s.mu.Lock()
	size := int64(0)
	for _, seg := range s.live {
		size += max(seg.end, seg.room)
	}
	s.mu.Unlock()
	t.Logf("%d bytes live, %d in segments", live, size)
	if size > 2*live+2*segment {
		t.Errorf("%d bytes live, %d in segments", live, size)
	}
	s.keeper.stop = make(chan struct{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkOpen compares an open from hints with one from segments.
func BenchmarkOpen(b *testing.B) {
	ctx := context.Background()
	for _, hints := range []bool{true, false} {
		b.Run(fmt.Sprintf("100k keys of 1 KB/hints=%v", hints), func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "log")
			fsys := afero.NewOsFs()
			s, err := Open(fsys, dir, nil)
			if err != nil {
				b.Fatal(err)
			}
			for i := 0; i < 100_000; i += 1000 {
				var changes []persist.Change
				for j := i; j < i+1000; j++ {
					changes = append(changes, put(persist.Key(fmt.Sprintf("players/%06d", j)), persist.Absent, string(make([]byte, 1024))))
				}
				if _, err := s.Commit(ctx, changes...); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if !hints {
					b.StopTimer()
					found, _ := filepath.Glob(filepath.Join(dir, "*"+hintExt))
					for _, h := range found {
						_ = os.Remove(h)
					}
					b.StartTimer()
				}
				s, err := Open(fsys, dir, nil)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkLoadAll opens a log of 100,000 values of 1 KB and reads all of it.
func BenchmarkLoadAll(b *testing.B) {
	ctx := context.Background()
	dir := filepath.Join(b.TempDir(), "log")
	fsys := afero.NewOsFs()
	s, err := Open(fsys, dir, nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < 100_000; i += 1000 {
		var changes []persist.Change
		for j := i; j < i+1000; j++ {
			changes = append(changes, put(persist.Key(fmt.Sprintf("players/%06d", j)), persist.Absent, string(make([]byte, 1024))))
		}
		if _, err := s.Commit(ctx, changes...); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(fsys, dir, nil)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for _, err := range s.LoadTree(ctx, "") {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 100_000 {
			b.Fatal(n)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
