package fsim

import (
	"fmt"
	"strings"
)

// cellKind tells the cells of a disk apart.
type cellKind uint8

const (
	cellEntry cellKind = iota + 1
	cellSize
	cellBlock
	cellMeta
	cellSizeOrigin  // whether the size is one of the versions, or what an undecided base has
	cellBlockOrigin // the same for a block
	cellInstant     // when the power goes a second time
)

// cellKey names a cell for ever: decisions are found by it, never by the order in which they were asked for.
// level counts the crashes before it.
type cellKey struct {
	level int
	kind  cellKind
	ino   Ino // of the directory for an entry
	name  string
	index int64
}

func (k cellKey) String() string {
	s := ""
	switch k.kind {
	case cellEntry:
		s = fmt.Sprintf("entry %d/%q", k.ino, k.name)
	case cellSize:
		s = fmt.Sprintf("size %d", k.ino)
	case cellBlock:
		s = fmt.Sprintf("block %d.%d", k.ino, k.index)
	case cellMeta:
		s = fmt.Sprintf("meta %d", k.ino)
	case cellSizeOrigin:
		s = fmt.Sprintf("size-origin %d", k.ino)
	case cellBlockOrigin:
		s = fmt.Sprintf("block-origin %d.%d", k.ino, k.index)
	case cellInstant:
		s = "instant"
	}
	return strings.Repeat("again ", k.level) + s
}

// values are the legal values of a cell, at least two. Value 0 is what it would hold had everything been written
// back, oldest what it holds if only what was synced survived. id tells values apart whatever else is decided.
type values struct {
	n, oldest int
	id        func(i int) uint64
}

// decider picks one of the legal values of a cell. It is called once per cell and base.
type decider interface {
	decide(k cellKey, v values) int
}
