package filestore

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist"
)

// tidy removes what a durable change of key has superseded: generations beyond
// those to be kept, and everything where the key was deleted. before is what
// the folder held before that change. The caller has the right to write key,
// and the change has been acknowledged to be ours. What cannot be removed stays
// until the next change.
//
// Removals are not synced, so a power cut may undo any of them. One order
// matters: a delete may be forgotten only when it is certain that nothing older
// comes back.
func (s *Store) tidy(fsys afero.Fs, key persist.Key, folder string, before history, now state) {
	if s.pinned(key) {
		return
	}
	old := before.states
	if !now.gone {
		s.removeAll(fsys, folder, superseded(old, s.opts.Keep))
		return
	}
	if !s.removeAll(fsys, folder, old) {
		return
	}
	if len(old) > 0 {
		tried, err := syncFolder(fsys, folder)
		if tried && err != nil {
			_ = s.fail(err) // the delete is durable; what else the sync was about is not known
		}
		if err != nil {
			s.numbers.leftovers.Add(1)
			return
		}
	}
	if len(before.bad) > 0 {
		return // what was moved aside stays, and so must the word that the key is gone
	}
	if s.removeAll(fsys, folder, []state{now}) {
		s.prune(fsys, folder)
	}
}

// superseded returns which of the older states are not to be kept. What is
// older than a delete goes, and the delete itself only where nothing older is
// left: the sync of the newest state has then made those removals durable.
func superseded(old []state, keep int) []state {
	for i, st := range old {
		if st.gone {
			kept := min(i, keep)
			if i+1 == len(old) {
				return old[kept:]
			}
			drop := append([]state(nil), old[kept:i]...)
			return append(drop, old[i+1:]...)
		}
	}
	return old[min(len(old), keep):]
}

func (s *Store) removeAll(fsys afero.Fs, folder string, states []state) bool {
	all := true
	for _, st := range states {
		if err := fsys.Remove(filepath.Join(folder, st.file())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.numbers.leftovers.Add(1)
			all = false
		}
	}
	return all
}

// tidyFolder is tidy where nothing is known but the folder, all of whose names
// are durable.
func (s *Store) tidyFolder(fsys afero.Fs, key persist.Key) error {
	folder := s.pathOf(key)
	names, exists, err := readFolder(fsys, folder)
	if err != nil || !exists {
		return err
	}
	h := readHistory(names)
	if len(h.states) == 0 {
		s.prune(fsys, folder)
		return nil
	}
	s.tidy(fsys, key, folder, history{states: h.states[1:], bad: h.bad}, h.states[0])
	return nil
}
