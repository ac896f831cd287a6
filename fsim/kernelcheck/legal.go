package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/fsim"
)

// A workload is what is done: first the setup, which is synced and then only read back, then the calls.
type workload struct {
	name   string
	setup  []op
	calls  []op
	nudges []op // one for each call: what makes the kernel write back after it; an empty verb is nothing
}

// onSim makes one call on the simulated disk.
func onSim(d *fsim.Disk, o op) error {
	with := func(flag int, do func(f afero.File) error) error {
		f, err := d.OpenFile(o.Path, flag, 0o644)
		if err != nil {
			return err
		}
		return errors.Join(do(f), f.Close())
	}
	write := func(flag int) error {
		b, err := runs(o.Bytes)
		if err != nil {
			return err
		}
		return with(flag, func(f afero.File) error { _, err := f.WriteAt(b, o.N); return err })
	}
	switch o.Verb {
	case "create":
		return with(os.O_WRONLY|os.O_CREATE|os.O_EXCL, func(afero.File) error { return nil })
	case "mkdir":
		return d.Mkdir(o.Path, 0o755)
	case "write":
		return write(os.O_WRONLY)
	case "osync":
		return write(os.O_WRONLY | os.O_SYNC)
	case "rewrite":
		return write(os.O_WRONLY | os.O_TRUNC)
	case "truncate":
		return with(os.O_WRONLY, func(f afero.File) error { return f.Truncate(o.N) })
	case "rename":
		return d.Rename(o.Path, o.Path2)
	case "link":
		return d.Link(o.Path, o.Path2)
	case "unlink", "rmdir":
		fi, _, err := d.LstatIfPossible(o.Path)
		if err == nil && fi.IsDir() != (o.Verb == "rmdir") {
			err = fmt.Errorf("%s %s: of the other type", o.Verb, o.Path)
		}
		if err != nil {
			return err
		}
		return d.Remove(o.Path)
	case "chmod":
		return d.Chmod(o.Path, fs.FileMode(o.N))
	case "fsync":
		return with(os.O_RDONLY, afero.File.Sync)
	case "fdatasync":
		return with(os.O_RDONLY, func(f afero.File) error { return f.(fsim.SyncDataer).SyncData() })
	case "sync":
		return d.SyncAll()
	}
	return fmt.Errorf("no call %q", o.Verb)
}

// run does the whole workload on a simulated disk and acknowledges the setup and each call.
func (w *workload) run(d *fsim.Disk) error {
	for _, o := range w.setup {
		if err := onSim(d, o); err != nil {
			return fmt.Errorf("setup: %s: %w", o, err)
		}
	}
	if err := d.SyncAll(); err != nil {
		return err
	}
	d.Ack(0)
	for i, o := range w.calls {
		if err := onSim(d, o); err != nil {
			return fmt.Errorf("call %d: %s: %w", i+1, o, err)
		}
		d.Ack(i + 1)
	}
	return nil
}

var simOptions = &fsim.Options{Umask: -1, NoTrace: true, History: fsim.HistoryFull}

// isValid says whether every call succeeds, as it must on the kernel too.
func (w *workload) isValid() bool { return w.run(fsim.NewWith(fsim.Ext4, simOptions)) == nil }

// paths gives every name that a state may show, parents first: what the workload mentions, every directory
// above, and all that again below the other name of each directory that was renamed.
func (w *workload) paths() []string {
	const deepest = 6
	seen := map[string]bool{}
	var out []string
	add := func(p string) {
		for ; p != "" && p != "." && !seen[p] && strings.Count(p, "/") < deepest; p = path.Dir(p) {
			seen[p] = true
			out = append(out, p)
		}
	}
	all := append(slices.Clone(w.setup), w.calls...)
	for _, o := range all {
		add(o.Path)
		add(o.Path2)
	}
	for i := 0; i < len(out); i++ { // grows as it goes
		for _, o := range all {
			if o.Verb != "rename" {
				continue
			}
			if below, ok := strings.CutPrefix(out[i], o.Path+"/"); ok {
				add(o.Path2 + "/" + below)
			}
			if below, ok := strings.CutPrefix(out[i], o.Path2+"/"); ok {
				add(o.Path + "/" + below) // a name may be new where the directory's is old
			}
		}
	}
	slices.Sort(out)
	return out
}

// counts gives the number of legal states while each call is under way, and after the last. Where it cannot
// be counted it is a bound.
func (w *workload) counts(p *fsim.Profile) ([]*big.Int, error) {
	d := fsim.NewWith(p, simOptions)
	var out []*big.Int
	note := func() error {
		c, err := d.History().At(d.History().Len()).Crash()
		if err != nil {
			return err
		}
		n, _ := c.Count()
		out = append(out, n)
		return nil
	}
	step := &workload{setup: w.setup}
	if err := step.run(d); err != nil {
		return nil, err
	}
	for _, o := range w.calls {
		if o.raises() && o.Verb != "osync" {
			if err := note(); err != nil {
				return nil, err
			}
		}
		if err := onSim(d, o); err != nil {
			return nil, err
		}
		if !o.raises() || o.Verb == "osync" {
			if err := note(); err != nil {
				return nil, err
			}
		}
	}
	return out, note()
}

// What the search for a state ends with.
var (
	errFound = errors.New("the state is legal")
)

// verdict of one state at one moment.
type verdict uint8

const (
	legal verdict = iota + 1
	escaped
	undecided // the search was longer than its budget
)

// searchBudget bounds the search for one state, in states that agree with it up to some cell.
const searchBudget = 20_000

// judge says whether a power cut may leave s after acked calls have returned and before the next one has. It
// is exact: the legal states are searched cell by cell, and a branch ends at the first cell that differs, so
// that a search costs about as many steps as the state has cells.
func (w *workload) judge(p *fsim.Profile, acked int, s state) (verdict, error) {
	paths := w.paths()
	for _, e := range s {
		if !slices.Contains(paths, e.Path) {
			return escaped, nil
		}
	}
	look := func(d *fsim.Disk, acks []any) error {
		if len(acks) == acked+1 && s.isOn(d, paths) {
			return errFound
		}
		return nil
	}
	r, err := fsim.Explore(w.run, look, &fsim.ExploreOptions{Profile: p, Budget: searchBudget, Disk: simOptions})
	switch {
	case err != nil:
		return 0, err
	case r.Failure != nil && errors.Is(r.Failure, errFound):
		return legal, nil
	case r.Failure != nil:
		return 0, r.Failure
	case !r.Exhausted:
		return undecided, nil
	}
	return escaped, nil
}

// isOn compares cell by cell: names, identities, link counts, then sizes, modes and bytes.
func (s state) isOn(d *fsim.Disk, paths []string) bool {
	infos := make([]fs.FileInfo, len(s))
	at := 0
	for _, p := range paths {
		fi, _, err := d.LstatIfPossible(p)
		here := at < len(s) && s[at].Path == p
		if (err == nil) != here {
			return false
		}
		if !here {
			continue
		}
		if fi.IsDir() != s[at].Dir {
			return false
		}
		infos[at] = fi
		at++
	}
	return at == len(s) && s.sameInodes(infos) && s.sameContent(d, infos)
}

// sameInodes says whether names share an inode where they do on the real disk, and nowhere else.
func (s state) sameInodes(infos []fs.FileInfo) bool {
	to, from := map[uint64]uint64{}, map[uint64]uint64{}
	for i, e := range s {
		ino, links, ok := fsim.Inode(infos[i])
		if !ok || to[e.Ino] != 0 && to[e.Ino] != ino || from[ino] != 0 && from[ino] != e.Ino {
			return false
		}
		to[e.Ino], from[ino] = ino, e.Ino
		if !e.Dir && uint64(links) != e.Links {
			return false
		}
	}
	return true
}

func (s state) sameContent(d *fsim.Disk, infos []fs.FileInfo) bool {
	for i, e := range s {
		if uint32(infos[i].Mode().Perm()) != e.Mode {
			return false
		}
		if !e.Dir && infos[i].Size() != int64(len(e.Data)) {
			return false
		}
	}
	for _, e := range s {
		if !e.Dir && !sameBytes(d, e) {
			return false
		}
	}
	return true
}

func sameBytes(d *fsim.Disk, e entry) bool {
	f, err := d.Open(e.Path)
	if err != nil {
		return false
	}
	same := len(e.Data) == 0 || sameBlocks(f, e.Data)
	return f.Close() == nil && same
}

// sameBlocks reads block by block, so that a search ends at the first that differs.
func sameBlocks(f afero.File, data []byte) bool {
	buf := make([]byte, fsim.BlockSize)
	for off := 0; off < len(data); off += len(buf) {
		want := data[off:min(off+len(buf), len(data))]
		n, err := f.ReadAt(buf[:len(want)], int64(off))
		if err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(buf[:n], want) {
			return false
		}
	}
	return true
}
