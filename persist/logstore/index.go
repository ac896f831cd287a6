package logstore

import (
	"hash/maphash"
	"slices"

	"github.com/understudy-go/understudy/persist"
)

// place is where an encoded record lies.
type place struct {
	slot uint32 // of its segment in Store.slots
	off  uint32
	size uint32 // 0: there is no record, the key was deleted
	sum  uint32
}

// entry is what the index knows of one key: 48 bytes. An entry whose version is
// 0 stands for a birth that is not durable yet.
type entry struct {
	key     persist.Key
	version uint64
	place
	rows  uint32 // the rows for this key in all live segments
	flags entryFlags
}

type entryFlags uint32

const (
	entryBusy    entryFlags = 1 << iota // a commit of this key is queued or being written
	entryUnknown                        // the last commit of this key failed halfway
	entryFree
	entryBirth // the newest state began a life of the key
	entryIdle  // the newest state is a delete that hides nothing any more
)

// exists says whether a load would find the key.
func (e *entry) exists() bool { return e.version != 0 && e.size != 0 }

// index finds the entry of a key. Entries live in blocks that never move and
// are known by number; hash tables of numbers, one for each of 64 shards so
// that none takes long to grow, lead to them. Together that is about 70 bytes a
// key beyond the key's own.
//
// The seed of the hash differs between processes. It decides where a number
// lies in a table, and nothing that leaves the index depends on that.
type index struct {
	seed   maphash.Seed
	shards [64]shard
	blocks [][]entry
	next   uint32
	free   []uint32
	count  int // keys that exist
	older  map[uint32][]generation
}

// generation is an older state of a key, kept for the day its newest is damaged.
type generation struct {
	version uint64
	birth   bool
	place
}

const (
	blockBits = 10
	blockLen  = 1 << blockBits
)

// shard is an open-addressing table with linear probing: 32 bits of hash above
// the entry's number plus one.
type shard struct {
	slots []uint64
	used  int
}

func newIndex() *index {
	return &index{seed: maphash.MakeSeed(), older: map[uint32][]generation{}}
}

func (ix *index) at(id uint32) *entry { return &ix.blocks[id>>blockBits][id&(blockLen-1)] }

func (ix *index) hash(key persist.Key) (sh *shard, h uint32) {
	sum := maphash.String(ix.seed, string(key))
	return &ix.shards[sum>>58], uint32(sum)
}

// find returns the number of key's entry.
func (ix *index) find(key persist.Key) (uint32, bool) {
	sh, h := ix.hash(key)
	if len(sh.slots) == 0 {
		return 0, false
	}
	mask := uint32(len(sh.slots) - 1)
	for i := h & mask; sh.slots[i] != 0; i = (i + 1) & mask {
		if uint32(sh.slots[i]>>32) != h {
			continue
		}
		if id := uint32(sh.slots[i]) - 1; ix.at(id).key == key {
			return id, true
		}
	}
	return 0, false
}

// add makes an entry for a key that has none.
func (ix *index) add(key persist.Key) uint32 {
	var id uint32
	if n := len(ix.free); n > 0 {
		id, ix.free = ix.free[n-1], ix.free[:n-1]
	} else {
		id = ix.next
		ix.next++
		if int(id>>blockBits) == len(ix.blocks) {
			ix.blocks = append(ix.blocks, make([]entry, blockLen))
		}
	}
	*ix.at(id) = entry{key: key}
	sh, h := ix.hash(key)
	if sh.used*4 >= len(sh.slots)*3 {
		sh.grow()
	}
	sh.put(uint64(h)<<32 | uint64(id+1))
	sh.used++
	return id
}

func (sh *shard) grow() {
	old := sh.slots
	sh.slots = make([]uint64, max(8, 2*len(old)))
	for _, v := range old {
		if v != 0 {
			sh.put(v)
		}
	}
}

func (sh *shard) put(v uint64) {
	mask := uint32(len(sh.slots) - 1)
	i := uint32(v>>32) & mask
	for sh.slots[i] != 0 {
		i = (i + 1) & mask
	}
	sh.slots[i] = v
}

// remove forgets an entry. Its number is used again for another key.
func (ix *index) remove(id uint32) {
	e := ix.at(id)
	sh, h := ix.hash(e.key)
	mask := uint32(len(sh.slots) - 1)
	i := h & mask
	for uint32(sh.slots[i]) != id+1 {
		i = (i + 1) & mask
	}
	// Close the gap: move back every later one that the gap would cut off from
	// its home (Knuth, The Art of Computer Programming 3, 6.4, algorithm R).
	for j := i; ; {
		j = (j + 1) & mask
		if sh.slots[j] == 0 {
			break
		}
		home := uint32(sh.slots[j]>>32) & mask
		if (j-home)&mask >= (j-i)&mask {
			sh.slots[i] = sh.slots[j]
			i = j
		}
	}
	sh.slots[i] = 0
	sh.used--
	*e = entry{flags: entryFree}
	delete(ix.older, id)
	ix.free = append(ix.free, id)
}

// order is the numbers of the keys that exist, in the order of their keys, in
// runs that are split when they grow long. It is built when somebody first asks
// for it.
type order struct {
	runs [][]uint32
}

const runLen = 512

func buildOrder(ix *index) *order {
	ids := make([]uint32, 0, ix.count)
	for id := range ix.next {
		if ix.at(id).exists() {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b uint32) int { return ix.at(a).key.Compare(ix.at(b).key) })
	o := &order{}
	for run := range slices.Chunk(ids, runLen*3/4) {
		o.runs = append(o.runs, append(make([]uint32, 0, runLen), run...))
	}
	return o
}

// seek returns where key is, or where it would be: a run and a place in it.
func (o *order) seek(ix *index, key persist.Key) (run, at int) {
	run, found := slices.BinarySearchFunc(o.runs, key, func(r []uint32, k persist.Key) int {
		return ix.at(r[0]).key.Compare(k)
	})
	if !found && run > 0 {
		run--
	}
	if run == len(o.runs) {
		return run, 0
	}
	at, _ = slices.BinarySearchFunc(o.runs[run], key, func(id uint32, k persist.Key) int {
		return ix.at(id).key.Compare(k)
	})
	return run, at
}

func (o *order) insert(ix *index, id uint32) {
	if len(o.runs) == 0 {
		o.runs = append(o.runs, append(make([]uint32, 0, runLen), id))
		return
	}
	run, at := o.seek(ix, ix.at(id).key)
	r := slices.Insert(o.runs[run], at, id)
	o.runs[run] = r
	if len(r) == runLen {
		second := append(make([]uint32, 0, runLen), r[runLen/2:]...)
		o.runs[run] = r[:runLen/2]
		o.runs = slices.Insert(o.runs, run+1, second)
	}
}

func (o *order) remove(ix *index, id uint32) {
	run, at := o.seek(ix, ix.at(id).key)
	o.runs[run] = slices.Delete(o.runs[run], at, at+1)
	if len(o.runs[run]) == 0 {
		o.runs = slices.Delete(o.runs, run, run+1)
	}
}

// from calls f with the numbers of the keys at and after key, in order, until f
// returns false.
func (o *order) from(ix *index, key persist.Key, f func(id uint32) bool) {
	run, at := o.seek(ix, key)
	for ; run < len(o.runs); run, at = run+1, 0 {
		for _, id := range o.runs[run][at:] {
			if !f(id) {
				return
			}
		}
	}
}
