package fsim

import (
	"errors"
	"slices"
)

// shrinkPicks drops decisions from a failure as long as the recovery still fails, and updates its token.
func (e *explorer) shrinkPicks(f *Failure) {
	if errors.Is(f.Err, ErrNondeterministic) {
		return
	}
	for i := len(f.picks) - 1; i >= 0; i-- {
		less := slices.Delete(slices.Clone(f.picks), i, i+1)
		at, err := f.history.trackerAt(f.Instant)
		if err != nil {
			return
		}
		err = e.replay(at, less)
		if err == nil || errors.Is(err, ErrStaleToken) || errors.Is(err, ErrNondeterministic) {
			continue
		}
		f.picks, f.Err = less, err
		i = min(i, len(f.picks))
	}
	if at, err := f.history.trackerAt(f.Instant); err == nil {
		t := token{profile: f.history.p, instant: f.Instant, hash: at.hash, picks: f.picks}
		f.Token = t.String()
	}
}

// trialBudget bounds the classes of one trial while a failure is shrunk or a missing sync is looked for, and
// trials their number.
const (
	trialBudget = 20_000
	trials      = 300
)

// try explores a history made of ops. It gives the first failure, and whether everything was covered.
func (e *explorer) try(ops []op) (*Failure, bool) {
	h := e.historyOf(ops)
	o := e.o
	o.Workers, o.Progress, o.Budget = 1, nil, trialBudget
	x := &explorer{h: h, disk: e.disk, recover: e.recover, o: o}
	done := x.sweep(-1, Kept, false)
	if !done && x.report.Failure == nil {
		x.o.Deviations = max(1, min(2, e.o.Deviations))
		for k := 0; k <= x.o.Deviations && x.report.Failure == nil; k++ {
			for _, extreme := range Extremes() {
				if x.report.Failure == nil {
					x.sweep(k, extreme, false)
				}
			}
		}
	}
	return x.report.Failure, done
}

// shrinkCalls drops whole calls and acknowledgements from the history of a failure as long as what is left is
// still right when nothing is lost, and still breaks the same promise when something is. Syncs stay as long as
// their file does: to drop one would be to put in a mistake.
func (e *explorer) shrinkCalls(f *Failure) *Failure {
	if f.history.base != nil || errors.Is(f.Err, ErrNondeterministic) {
		return f
	}
	ops := f.history.ops()
	want := f.Err.Error()
	if f.Instant < len(ops) {
		if g := e.shorter(ops[:f.Instant], want); g != nil {
			ops, f = ops[:f.Instant], g
		}
	}
	left := trials
	for size := max(1, len(groups(ops))/2); size >= 1; size /= 2 {
		for again := true; again && left > 0; {
			again = false
			gs := groups(ops)
			for end := len(gs); end > 0 && left > 0; end -= size {
				start := max(0, end-size)
				less := without(gs, start, end)
				if len(less) == len(ops) {
					continue
				}
				left--
				if g := e.shorter(less, want); g != nil {
					ops, f, again = less, g, true
					break
				}
			}
		}
	}
	e.shrinkPicks(f)
	return f
}

// groups cuts operations into calls.
func groups(ops []op) [][]op {
	var out [][]op
	for i := 0; i < len(ops); {
		j := i + 1
		for j < len(ops) && ops[j].call == ops[i].call && ops[i].call != 0 && ops[j].kind != opAck && ops[i].kind != opAck {
			j++
		}
		out = append(out, ops[i:j])
		i = j
	}
	return out
}

// without gives the operations of all calls but [start, end), of which it keeps the syncs. Syncs of a file that
// is not made any more go with it.
func without(gs [][]op, start, end int) []op {
	var out []op
	born := map[Ino]bool{rootIno: true}
	for x, g := range gs {
		for i := range g {
			o := &g[i]
			sync := o.kind == opFsync || o.kind == opFdatasync || o.kind == opSyncAll || o.kind == opSyncFail
			if x >= start && x < end && !sync || sync && o.kind != opSyncAll && !born[o.ino] {
				continue
			}
			born[o.ino] = born[o.ino] || o.kind == opInode
			out = append(out, *o)
		}
	}
	return rebuild(out)
}

// shorter gives the failure of a reduced history, or nil if it has none or makes no sense.
func (e *explorer) shorter(ops []op, want string) *Failure {
	if !sensible(ops) || !e.rightWithoutCut(ops) {
		return nil
	}
	f, _ := e.try(ops)
	if f != nil && f.Err.Error() != want {
		return nil
	}
	return f
}

// rightWithoutCut says whether the recovery is content after each acknowledgement and at the end if all of ops
// reached the medium. A history from which the work was dropped and the acknowledgement kept is not.
func (e *explorer) rightWithoutCut(ops []op) bool {
	t := newTracker(e.h.p, nil)
	for i := range ops {
		t.apply(&ops[i])
		if ops[i].kind != opAck && i+1 < len(ops) {
			continue
		}
		l := newLazy(newWorld(t.clone()), kept{}, 0)
		if e.guarded(newDisk(e.h.p, l, nil, quiet), t.acks) != nil {
			return false
		}
	}
	return true
}

// rebuild gives ops with the blocks and sizes that they have when writes before them were dropped.
func rebuild(ops []op) []op {
	pages := map[blockAt]page{}
	sizes := map[Ino]int64{}
	for i := range ops {
		o := &ops[i]
		switch o.kind {
		case opWrite:
			at := blockAt{o.ino, o.block}
			p := page{p: new([BlockSize]byte), n: max(pages[at].n, o.off+o.n)}
			pages[at].readAt(p.p[:], 0)
			o.page.readAt(p.p[o.off:o.off+o.n], int(o.off))
			sizes[o.ino] = max(sizes[o.ino], o.block*BlockSize+int64(o.off+o.n))
			o.page, o.size, pages[at] = p, sizes[o.ino], p
		case opTruncate:
			sizes[o.ino] = o.size
			for at, p := range pages {
				if at.ino == o.ino {
					pages[at] = p.cut(clampLim(o.size - at.b*BlockSize))
				}
			}
		}
	}
	return ops
}

func (e *explorer) historyOf(ops []op) *History {
	h := newRecorder(e.h.p, HistoryFull, nil)
	for i := range ops {
		h.record(&ops[i])
	}
	return h
}

// sensible says whether every operation finds the names and inodes that it needs.
func sensible(ops []op) bool {
	names := map[holder]Ino{}
	born := map[Ino]bool{rootIno: true}
	for i := range ops {
		o := &ops[i]
		switch o.kind {
		case opInode:
			born[o.ino] = true
			continue
		case opAck, opSyncAll:
			continue
		}
		if !born[o.ino] {
			return false
		}
		at, to := holder{o.dir, o.name}, holder{o.dir2, o.name2}
		switch o.kind {
		case opLink:
			if !born[o.dir] || names[at] != 0 {
				return false
			}
			names[at] = o.ino
		case opUnlink:
			if names[at] != o.ino {
				return false
			}
			delete(names, at)
		case opRename:
			if names[at] != o.ino || !born[o.dir2] || names[to] != o.over {
				return false
			}
			delete(names, at)
			names[to] = o.ino
		}
	}
	return true
}
