package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/understudy-go/understudy/fsim"
)

// A config is a filesystem of the running kernel, how it is made and mounted, and the profile that is to
// contain whatever it leaves behind.
type config struct {
	name    string
	fs      string
	size    int64    // of the device, in bytes
	format  []string // the device is added as the last argument
	mount   string
	profile *fsim.Profile
	// wholePages says that no write is torn below a page: btrfs does not mount with a torn superblock, of
	// which it takes 4096 bytes to be written whole.
	wholePages bool
}

var makeExt4 = []string{"mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"}

// configs lists what can be checked, in the order in which "all" checks it.
var configs = []config{
	{name: "ext4", fs: "ext4", size: 64 << 20, format: makeExt4, profile: fsim.Ext4},
	{name: "ext4-writeback", fs: "ext4", size: 64 << 20, format: makeExt4, mount: "data=writeback", profile: fsim.Ext4Writeback},
	{name: "ext4-journal", fs: "ext4", size: 64 << 20, format: makeExt4, mount: "data=journal", profile: fsim.Ext4Journal},
	{name: "ext4-nodelalloc", fs: "ext4", size: 64 << 20, format: makeExt4, mount: "nodelalloc", profile: fsim.Ext4},
	{name: "ext4-noauto", fs: "ext4", size: 64 << 20, format: makeExt4, mount: "noauto_da_alloc", profile: fsim.Ext4Writeback},
	{name: "ext4-fastcommit", fs: "ext4", size: 64 << 20, format: append(slices.Clone(makeExt4), "-O", "fast_commit"), profile: fsim.Ext4},
	{name: "xfs", fs: "xfs", size: 300 << 20, format: []string{"mkfs.xfs", "-q", "-f", "-K"}, mount: "nouuid", profile: fsim.XFS},
	{name: "btrfs", fs: "btrfs", size: 128 << 20, mount: "nodiscard", profile: fsim.Btrfs, wholePages: true,
		format: []string{"mkfs.btrfs", "-q", "-f", "-K", "-m", "single", "-d", "single"}},
}

// findConfigs gives the configurations of a comma-separated list of names; "all" is every one.
func findConfigs(names string) ([]config, error) {
	if names == "all" {
		return slices.Clone(configs), nil
	}
	var out []config
	for _, n := range strings.Split(names, ",") {
		i := slices.IndexFunc(configs, func(c config) bool { return c.name == n })
		if i < 0 {
			var known []string
			for _, c := range configs {
				known = append(known, c.name)
			}
			return nil, fmt.Errorf("no configuration is named %q; there are: %s", n, strings.Join(known, ", "))
		}
		out = append(out, configs[i])
	}
	return out, nil
}

// missing says why the configuration cannot be checked here, or "".
func (c *config) missing(filesystems string) string {
	if _, err := exec.LookPath(c.format[0]); err != nil {
		return c.format[0] + " is not installed"
	}
	if !slices.Contains(strings.Fields(filesystems), c.fs) {
		return "the kernel has no " + c.fs
	}
	return ""
}
