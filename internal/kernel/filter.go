//go:build linux

package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Twins of enum hs_want and enum hs_pass.
const (
	wantPort   uint32 = 1
	wantCIDR   uint32 = 2
	wantName   uint32 = 4
	wantCgroup uint32 = 8
	wantNetNS  uint32 = 16

	passIn  uint8 = 1
	passOut uint8 = 2
)

func (f *Filter) want() (w uint32) {
	add := func(n int, bit uint32) {
		if n > 0 {
			w |= bit
		}
	}
	add(len(f.Ports), wantPort)
	add(len(f.CIDRs), wantCIDR)
	add(len(f.Names), wantName)
	add(len(f.Cgroups)+len(f.Containers), wantCgroup)
	add(len(f.NetNS), wantNetNS)
	return w
}

// cidrKey is the key of hs_cidrs.
type cidrKey struct {
	Bits uint32
	Addr [16]byte
}

func cidr(p netip.Prefix) cidrKey {
	k := cidrKey{Bits: uint32(p.Bits()), Addr: p.Addr().As16()}
	if p.Addr().Is4() {
		k.Bits += 96
	}
	return k
}

// fillFilters writes the filter into its maps.
func (c *Capture) fillFilters() error {
	f := &c.cfg.Filter
	var errs []error
	put := func(m string, key any, v uint8) {
		if err := c.maps[m].Update(key, &v, ebpf.UpdateAny); err != nil {
			errs = append(errs, fmt.Errorf("filter: put %v into %s: %w", key, m, err))
		}
	}
	for v, ports := range map[uint8][]uint16{passIn: f.Ports, passOut: f.ExcludePorts} {
		for _, p := range ports {
			put("hs_ports", &p, v)
		}
	}
	for v, cidrs := range map[uint8][]netip.Prefix{passIn: f.CIDRs, passOut: f.ExcludeCIDRs} {
		for _, p := range cidrs {
			put("hs_cidrs", cidr(p), v)
		}
	}
	for v, names := range map[uint8][]string{passIn: f.Names, passOut: f.ExcludeNames} {
		for _, n := range names {
			var comm [16]byte
			copy(comm[:15], n)
			put("hs_names", &comm, v)
		}
	}
	for v, groups := range map[uint8][]string{passIn: f.Cgroups, passOut: f.ExcludeCgroups} {
		for _, g := range groups {
			ids, err := cgroupsBelow(g)
			errs = append(errs, err)
			for _, id := range ids {
				put("hs_cgroups", &id, v)
			}
		}
	}
	if len(f.Containers) > 0 {
		ids, err := cgroupsOf(f.Containers)
		errs = append(errs, err)
		for _, id := range ids {
			put("hs_cgroups", &id, passIn)
		}
	}
	for _, n := range f.NetNS {
		put("hs_netns", &n, passIn)
	}
	for _, p := range c.cfg.ExcludePids {
		put("hs_skip_pids", &p, passOut)
	}
	return errors.Join(errs...)
}

// cgroupsBelow are the ids of a cgroup, by its path below the mount, and of all
// below it.
func cgroupsBelow(path string) ([]uint64, error) {
	root, err := cgroupRoot()
	if err != nil {
		return nil, fmt.Errorf("filter: cgroup %s: %w", path, err)
	}
	top := filepath.Join(root, filepath.Clean("/"+path))
	if _, err := os.Stat(top); err != nil {
		return nil, fmt.Errorf("filter: cgroup %s: %w", path, err)
	}
	return walkCgroups(top, func(string) bool { return true })
}

// minContainerID is how many characters of a container's id have to be given:
// shorter ones meet other directories' names.
const minContainerID = 8

// cgroupsOf are the ids of the cgroups whose path names one of the containers.
func cgroupsOf(containers []string) ([]uint64, error) {
	root, err := cgroupRoot()
	if err != nil {
		return nil, fmt.Errorf("filter: containers: %w", err)
	}
	for _, c := range containers {
		if len(c) < minContainerID {
			return nil, fmt.Errorf("filter: container %q: give at least %d characters of its id", c, minContainerID)
		}
	}
	return walkCgroups(root, func(path string) bool {
		for _, c := range containers {
			if strings.Contains(path, c) {
				return true
			}
		}
		return false
	})
}

func walkCgroups(top string, ok func(path string) bool) (ids []uint64, err error) {
	err = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || !ok(path) {
			return nil // what is gone while we walk is no cgroup any more
		}
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil {
			ids = append(ids, st.Ino) // a cgroup's id is the inode of its directory
		}
		return nil
	})
	return ids, err
}
