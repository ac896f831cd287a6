package filestore_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/afero"

	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/filestore"
	"github.com/understudy-go/understudy/persist/storetest"
)

func TestStoreKeepsTheContractOnOsFs(t *testing.T) {
	conformance(t, afero.NewOsFs(), t.TempDir(), &storetest.Options{Large: true, Rounds: rounds()})
}

// BasePathFs hides the descriptors, so there is no lock; the rest is the same.
func TestStoreKeepsTheContractOnBasePathFs(t *testing.T) {
	conformance(t, afero.NewBasePathFs(afero.NewOsFs(), t.TempDir()), "/store", &storetest.Options{Rounds: 1})
}

func TestStoreKeepsTheContractInMemory(t *testing.T) {
	conformance(t, afero.NewMemMapFs(), "/store", &storetest.Options{Rounds: 3})
}

// rounds keeps the concurrent parts short on a disk that really syncs.
func rounds() int {
	if deep {
		return 40
	}
	return 2
}

func conformance(t *testing.T, fsys afero.Fs, dir string, o *storetest.Options) {
	t.Helper()
	o.Damage = func(key persist.Key) error {
		return damageNewest(fsys, filepath.Join(dir, filepath.FromSlash(string(key))))
	}
	err := storetest.Run(func() (persist.Store, error) { return filestore.Open(fsys, dir, nil) }, o)
	if err != nil {
		t.Fatal(err)
	}
}

// generations returns the files of the key whose folder this is, oldest first.
func generations(fsys afero.Fs, folder string) []string {
	infos, _ := afero.ReadDir(fsys, folder)
	var names []string
	for _, info := range infos {
		if strings.HasPrefix(info.Name(), "@0") {
			names = append(names, filepath.Join(folder, info.Name()))
		}
	}
	slices.Sort(names)
	return names
}

// damageNewest flips a bit in the newest generation in folder.
func damageNewest(fsys afero.Fs, folder string) error {
	all := generations(fsys, folder)
	if len(all) == 0 {
		return errors.New("nothing to damage in " + folder)
	}
	return flipBit(fsys, all[len(all)-1])
}

func flipBit(fsys afero.Fs, path string) error {
	b, err := afero.ReadFile(fsys, path)
	if err != nil {
		return err
	}
	b[len(b)/2] ^= 4
	return afero.WriteFile(fsys, path, b, os.FileMode(0o644))
}
