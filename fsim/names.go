package fsim

import "slices"

// searchSteps bounds the search for a completion of names. Real histories need a handful.
const searchSteps = 1 << 16

// search completes the names of one component: every inode that is required gets a name that leads to it, no
// directory gets two.
type search struct {
	l     *lazyBase
	comp  *component
	value map[*entryCell]Ino
	steps int
}

// extends says whether c may hold v, given what was decided: whether some state is left then.
func (l *lazyBase) extends(comp *component, c *entryCell, v Ino) bool {
	s := &search{l: l, comp: comp, value: map[*entryCell]Ino{c: v}}
	for _, e := range comp.cells {
		if i, ok := l.ents[e]; ok {
			s.value[e] = i
		}
	}
	return s.solve()
}

// get gives the value of a cell and whether it has one yet.
func (s *search) get(e *entryCell) (Ino, bool) {
	if len(e.vers) == 1 {
		return e.vers[0].ino, true
	}
	v, ok := s.value[e]
	return v, ok
}

// visible says whether the directory can be reached by names that have a value.
func (s *search) visible(dir Ino) bool { return s.leadsTo(dir, len(s.l.w.t.inodes)) }

// leadsTo follows at most steps names upwards: entries taken one by one may make a ring.
func (s *search) leadsTo(dir Ino, steps int) bool {
	if dir == rootIno {
		return true
	}
	if steps == 0 {
		return false
	}
	in := s.l.w.peek(dir)
	if in == nil || in.fromBase && len(in.names) == 0 {
		return true
	}
	for _, e := range in.names {
		if v, ok := s.get(e); ok && v == dir && s.leadsTo(e.dir, steps-1) {
			return true
		}
	}
	return false
}

// named counts the names with a value that lead to in.
func (s *search) named(in *inodeCells) int {
	n := 0
	for _, e := range in.names {
		if v, ok := s.get(e); ok && v == in.ino && s.visible(e.dir) {
			n++
		}
	}
	return n
}

// twoParents says whether some directory of the component is named twice.
func (s *search) twoParents() bool {
	for e, v := range s.value {
		if v == 0 || !s.l.w.peek(v).mode.IsDir() {
			continue
		}
		if s.visible(e.dir) && s.named(s.l.w.peek(v)) > 1 {
			return true
		}
	}
	return false
}

func (s *search) solve() bool {
	if s.steps++; s.steps > searchSteps || s.twoParents() {
		return false
	}
	for _, in := range s.comp.required {
		if s.named(in) == 0 && !(in.fromBase && s.l.w.t.namedInBase(in)) {
			return s.place(in, nil)
		}
	}
	for _, e := range s.comp.cells {
		if _, ok := s.get(e); ok || !s.visible(e.dir) {
			continue
		}
		if !slices.ContainsFunc(e.vers, func(v entryVer) bool { return v.ino == 0 || !s.l.w.peek(v.ino).mode.IsDir() }) {
			return slices.ContainsFunc(e.vers, func(v entryVer) bool { return s.try(e, v.ino) })
		}
	}
	return true
}

// place tries every way to give in a name that leads to it. above holds the directories that wait for it.
func (s *search) place(in *inodeCells, above []Ino) bool {
	if slices.Contains(above, in.ino) {
		return false
	}
	for _, e := range in.names {
		v, ok := s.get(e)
		if ok && v != in.ino {
			continue
		}
		if !ok && !slices.ContainsFunc(e.vers, func(v entryVer) bool { return v.ino == in.ino }) {
			continue
		}
		if ok && s.visible(e.dir) {
			continue
		}
		if !ok {
			s.value[e] = in.ino
		}
		good := false
		if s.visible(e.dir) {
			good = s.solve()
		} else {
			good = s.place(s.l.w.peek(e.dir), append(slices.Clone(above), in.ino))
		}
		if !ok {
			delete(s.value, e)
		}
		if good {
			return true
		}
	}
	return false
}

func (s *search) try(e *entryCell, v Ino) bool {
	s.value[e] = v
	good := s.solve()
	delete(s.value, e)
	return good
}
