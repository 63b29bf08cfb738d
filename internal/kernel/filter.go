//go:build linux

package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/internal/event"
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
		_, err := c.findContainers()
		errs = append(errs, err)
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

// findContainers lets in the cgroups of the containers that are asked for, and
// reports whether there are new ones.
func (c *Capture) findContainers() (found bool, err error) {
	ids, err := cgroupsOf(c.cfg.Filter.Containers)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.maps == nil {
		return false, nil
	}
	for _, id := range ids {
		if v := passIn; c.maps["hs_cgroups"].Update(&id, &v, ebpf.UpdateNoExist) == nil {
			found = true
		}
	}
	return found, nil
}

// newcomers notices processes in cgroups that nobody has seen yet: where
// containers are asked for, one of them may have begun.
type newcomers struct {
	seen map[uint64]bool
	look bool
	next uint64 // not before
}

const (
	// maxNewcomers bounds the cgroups remembered; past it all are new again.
	maxNewcomers = 8192
	// newcomersEvery is how often the cgroups are walked at most, in nanoseconds.
	newcomersEvery = 200e6
)

// see takes the record of a process that began, or runs something new.
func (n *newcomers) see(raw []byte) {
	if n.seen == nil || len(raw) < event.HeadSize+8 {
		return
	}
	id := binary.LittleEndian.Uint64(raw[event.HeadSize:]) // Proc.Cgroup
	if n.seen[id] {
		return
	}
	if len(n.seen) >= maxNewcomers {
		clear(n.seen)
	}
	n.seen[id], n.look = true, true
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
