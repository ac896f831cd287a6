package filestore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist/internal/owner"
)

// readFolder returns the names in a folder, and false where there is none: a
// file of that name is a stranger, not a folder.
func readFolder(fsys afero.Fs, path string) (names []string, exists bool, err error) {
	names, err = owner.ReadNames(fsys, path)
	if err == nil {
		return names, true, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	for p := path; ; p = filepath.Dir(p) { // below a file the error is another one
		if info, statErr := fsys.Stat(p); statErr == nil {
			if !info.IsDir() {
				return nil, false, nil
			}
			return nil, false, err
		}
		if p == filepath.Dir(p) {
			return nil, false, err
		}
	}
}

// makeFolder creates path and its missing ancestors below the store's
// directory and returns those it made, the outermost first. They are not yet
// durable: settleFolder makes them so.
func (s *Store) makeFolder(fsys afero.Fs, path string) (made []string, err error) {
	if path == s.dir {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist) // it went away under our feet
	}
	for try := 0; ; try++ {
		// Told before it is done, so that no other commit takes the folder for
		// durable because it exists.
		s.markFresh(path)
		err = fsys.Mkdir(path, 0o755)
		switch {
		case err == nil:
			return append(made, path), nil
		case errors.Is(err, fs.ErrExist):
			if info, statErr := fsys.Stat(path); statErr == nil && !info.IsDir() {
				return made, fmt.Errorf("make the folder: a file is in its place: %w", err)
			}
			return made, nil
		case !errors.Is(err, fs.ErrNotExist) || try == maxRaces:
			return made, fmt.Errorf("make the folder: %w", err)
		}
		above, err := s.makeFolder(fsys, filepath.Dir(path))
		made = append(made, above...)
		if err != nil {
			return made, err
		}
	}
}

// maxRaces bounds how often a folder is made again because a delete next to it
// has just removed it as empty.
const maxRaces = 16

func (s *Store) markFresh(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.freshID++
	s.fresh[path] = s.freshID
}

// settleFolder makes the names in path durable, and path itself and each of
// its ancestors that somebody made and nobody has synced yet. One parent may be
// synced for several callers at once; none relies on another's sync.
func (s *Store) settleFolder(fsys afero.Fs, path string) error {
	if err := owner.SyncDir(fsys, path); err != nil {
		return fmt.Errorf("sync the folder %s: %w", path, err)
	}
	for p := path; p != s.dir; p = filepath.Dir(p) {
		s.mu.Lock()
		id, fresh := s.fresh[p]
		s.mu.Unlock()
		if !fresh {
			continue
		}
		if err := owner.SyncDir(fsys, filepath.Dir(p)); err != nil {
			return fmt.Errorf("sync the folder %s: %w", filepath.Dir(p), err)
		}
		s.mu.Lock()
		if s.fresh[p] == id { // else it was removed and made again meanwhile
			delete(s.fresh, p)
		}
		s.mu.Unlock()
	}
	return nil
}

// settleChain is settleFolder for a folder that an earlier owner may have made:
// it syncs all of its ancestors.
func (s *Store) settleChain(fsys afero.Fs, path string) error {
	for p := path; ; p = filepath.Dir(p) {
		if err := owner.SyncDir(fsys, p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sync the folder %s: %w", p, err)
		}
		if p == s.dir {
			return nil
		}
	}
}

// syncFolder makes the names in a folder durable, and says whether that was
// tried: a failure before is none of the disk's.
func syncFolder(fsys afero.Fs, path string) (tried bool, err error) {
	d, err := fsys.Open(path)
	if err != nil {
		return false, err
	}
	if runtime.GOOS != "windows" { // see owner.SyncDir
		err = d.Sync()
	}
	return true, joinErrors(err, d.Close())
}

// dropFolders takes back what makeFolder made, unless it is in use.
func dropFolders(fsys afero.Fs, made []string) {
	for i := len(made) - 1; i >= 0; i-- {
		if !removeEmpty(fsys, made[i]) {
			return
		}
	}
}

// prune removes path and its ancestors inside the store as far as they are
// empty. Nothing depends on it: an empty folder is no key.
func (s *Store) prune(fsys afero.Fs, path string) {
	for p := path; p != s.dir; p = filepath.Dir(p) {
		if !removeEmpty(fsys, p) {
			return
		}
	}
}

// removeEmpty removes a folder that is empty. It looks first, for filesystems
// that remove any folder, and only as far as the first name.
func removeEmpty(fsys afero.Fs, path string) bool {
	d, err := fsys.Open(path)
	if err != nil {
		return false
	}
	names, err := d.Readdirnames(1)
	if closeErr := d.Close(); closeErr != nil || len(names) > 0 || err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	return fsys.Remove(path) == nil
}

// removeFolder removes a flat folder of the store's own with the files in it.
func removeFolder(fsys afero.Fs, path string) error {
	names, exists, err := readFolder(fsys, path)
	if err != nil || !exists {
		return err
	}
	for _, name := range names {
		if err := fsys.Remove(filepath.Join(path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fsys.Remove(path)
}

// writeFile creates a file that did not exist and makes its bytes durable, not
// its name. Where it fails it removes the file again. written says that bytes
// had been written and that the disk was not merely full: nothing can then be
// concluded about what it still holds.
func writeFile(fsys afero.Fs, path string, data []byte) (written bool, err error) {
	f, err := fsys.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return false, err
	}
	n := 0
	if len(data) > 0 {
		if n, err = f.Write(data); err == nil && n < len(data) {
			err = io.ErrShortWrite
		}
	}
	if err == nil {
		if err = f.Sync(); err != nil {
			n = max(n, 1)
		}
	}
	if closeErr := f.Close(); closeErr != nil && err == nil {
		err = closeErr
	}
	if err != nil {
		_ = fsys.Remove(path) // or else the next open does
		return n > 0 && !diskFull(err), err
	}
	return false, nil
}

// readFile returns the bytes of a file of at most limit bytes. A longer one is
// returned cut off after limit+1.
func readFile(fsys afero.Fs, path string, limit int64) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, joinErrors(err, f.Close())
	}
	if info.IsDir() {
		return nil, joinErrors(fmt.Errorf("%s is a folder", path), f.Close())
	}
	data := make([]byte, min(info.Size(), limit+1))
	n, err := io.ReadFull(f, data)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // what is there is judged by its checksum
	}
	return data[:n], joinErrors(err, f.Close())
}
