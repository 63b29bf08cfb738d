//go:build linux

package kernel

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/internal/event"
)

// cgroups reports whether the filter looks at any.
func (f *Filter) cgroups() bool { return len(f.Cgroups)+len(f.ExcludeCgroups)+len(f.Containers) > 0 }

// findCgroups writes the cgroups of the filter that exist into its map: those of
// its paths and containers, with all below them. It reports whether there are new
// ones. Where one is let in and kept out, it is kept out.
func (c *Capture) findCgroups() (found bool, err error) {
	root, err := cgroupRoot()
	if err != nil {
		return false, fmt.Errorf("filter: cgroups: %w", err)
	}
	f := &c.cfg.Filter
	out, err := c.findPaths(root, f.ExcludeCgroups)
	if err != nil {
		return false, err
	}
	in, err := c.findPaths(root, f.Cgroups)
	if err != nil {
		return false, err
	}
	if len(f.Containers) > 0 {
		ids, err := cgroupsOf(root, f.Containers)
		if err != nil {
			return false, err
		}
		in = append(in, ids...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.maps == nil {
		return false, nil
	}
	put := func(ids []uint64, v uint8, flags ebpf.MapUpdateFlags) {
		for _, id := range ids {
			var was uint8
			if c.maps["hs_cgroups"].Lookup(&id, &was) == nil && (was == v || was == passOut) {
				continue
			}
			found = c.maps["hs_cgroups"].Update(&id, &v, flags) == nil || found
		}
	}
	put(out, passOut, ebpf.UpdateAny)
	put(in, passIn, ebpf.UpdateNoExist)
	return found, nil
}

// findPaths are the ids of cgroups, by their paths below the mount, and of all
// below them. It keeps which are not there, and tells which have come.
func (c *Capture) findPaths(root string, paths []string) (ids []uint64, err error) {
	for _, path := range paths {
		top := filepath.Join(root, filepath.Clean("/"+path))
		if _, err := os.Stat(top); err != nil {
			c.missing[path] = true
			continue
		}
		below, err := walkCgroups(top, func(string) bool { return true })
		if err != nil {
			return nil, fmt.Errorf("filter: cgroup %s: %w", path, err)
		}
		ids = append(ids, below...)
		if c.missing[path] {
			delete(c.missing, path)
			if c.cfg.Cgroup != nil {
				c.cfg.Cgroup(path, true)
			}
		}
	}
	return ids, nil
}

// tellMissing tells of the paths that are not there.
func (c *Capture) tellMissing() {
	for path := range c.missing {
		if c.cfg.Cgroup != nil {
			c.cfg.Cgroup(path, false)
		}
	}
}

// newcomers notices processes in cgroups that nobody has seen yet: where cgroups
// are asked for, one of them may have begun.
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
	// missingEvery is how often those that are missing are looked for, besides: a
	// process may move without running something new.
	missingEvery = 5e9
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
func cgroupsOf(root string, containers []string) ([]uint64, error) {
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
