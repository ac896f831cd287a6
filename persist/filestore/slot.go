package filestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist"
)

// A slot is a small file that names the keys of one commit under way, written
// before that commit makes a folder or renames anything, and not synced. Only a
// kill of the process leaves one that matters: it tells the next owner which
// folders hold names that may be visible and not yet durable. Were they taken
// as they are, a state could be read, acted upon, and lost in a later power
// cut. A power cut itself loses slots, and needs none.
//
// Slots are used again by later commits, so their number is that of the commits
// at one time, and what an old one names costs the next open a sync.
//
// A slot holds, for each key, its length (2 bytes, little-endian) and its
// bytes, and ends with a length of 0.

// takeSlot writes the keys of a commit to a free slot.
func (s *Store) takeSlot(fsys afero.Fs, keys []persist.Key) (int, error) {
	s.mu.Lock()
	slot := 0
	for slot < len(s.slots) && s.slots[slot] {
		slot++
	}
	if slot == len(s.slots) {
		s.slots = append(s.slots, false)
	}
	s.slots[slot] = true
	s.mu.Unlock()

	var b []byte
	for _, k := range keys {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(k)))
		b = append(b, k...)
	}
	b = binary.LittleEndian.AppendUint16(b, 0)
	// Not truncated: ext4 would start writing the old block out at once.
	f, err := fsys.OpenFile(filepath.Join(s.slotDir, strconv.Itoa(slot)), os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		var n int
		if n, err = f.Write(b); err == nil && n < len(b) {
			err = io.ErrShortWrite
		}
		err = joinErrors(err, f.Close())
	}
	if err != nil {
		s.dropSlot(slot)
		return 0, fmt.Errorf("note the commit in %s: %w", s.slotDir, err)
	}
	return slot, nil
}

func (s *Store) dropSlot(slot int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots[slot] = false
}

// readSlots returns the keys that the slots in a folder name. What is not a
// key was torn by a power cut, after which slots say nothing of use.
func readSlots(fsys afero.Fs, folder string) ([]persist.Key, error) {
	names, _, err := readFolder(fsys, folder)
	if err != nil {
		return nil, err
	}
	var keys []persist.Key
	for _, name := range names {
		b, err := readFile(fsys, filepath.Join(folder, name), 1<<30)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		for len(b) >= 2 {
			n := int(binary.LittleEndian.Uint16(b))
			if b = b[2:]; n == 0 || n > len(b) {
				break
			}
			if k := persist.Key(b[:n]); persist.CheckStoreKey(k) == nil {
				keys = append(keys, k)
			}
			b = b[n:]
		}
	}
	return keys, nil
}
