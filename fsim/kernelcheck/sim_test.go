package main

import (
	"io/fs"
	"slices"
	"testing"

	"github.com/understudy-go/understudy/fsim"
)

// readAll reads a simulated disk in the order in which the kernel's states are compared with it.
func readAll(d *fsim.Disk, paths []string) {
	var infos []fs.FileInfo
	var there []string
	for _, path := range paths {
		if fi, _, err := d.LstatIfPossible(path); err == nil {
			infos, there = append(infos, fi), append(there, path)
		}
	}
	for _, fi := range infos {
		fsim.Inode(fi)
	}
	for _, fi := range infos {
		_ = fi.Mode().Perm()
		_ = fi.Size()
	}
	for x, fi := range infos {
		if f, err := d.Open(there[x]); err == nil && !fi.IsDir() {
			buf := make([]byte, fsim.BlockSize)
			for off := int64(0); off < fi.Size(); off += fsim.BlockSize {
				_, _ = f.ReadAt(buf, off)
			}
			_ = f.Close()
		}
	}
}

func readable(w *workload, p *fsim.Profile) error {
	paths := w.paths()
	look := func(d *fsim.Disk, _ []any) error { readAll(d, paths); return nil }
	r, err := fsim.Explore(w.run, look, &fsim.ExploreOptions{Profile: p, Budget: 100, Deviations: 1, Disk: simOptions})
	if err == nil && r.Failure != nil {
		err = r.Failure
	}
	return err
}

func TestEveryProfileCanBeReadInTheOrderOfAJudge(t *testing.T) {
	g, err := newGenerator(1, "../testdata/litmus")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		w := g.at(len(g.first) + 2*i + 1)
		for _, p := range fsim.Profiles() {
			err := readable(&w, p)
			if err == nil {
				continue
			}
			for x := len(w.calls) - 1; x >= 0; x-- { // the shortest of its kind
				less := w
				less.calls = slices.Delete(slices.Clone(w.calls), x, x+1)
				if less.isValid() && readable(&less, p) != nil {
					w = less
				}
			}
			t.Fatalf("%v: workload %d: %v\n%s", p, i, err, w.text(len(w.calls)))
		}
	}
}
