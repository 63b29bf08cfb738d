//go:build linux

package kernel

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
)

// Twins of enum hs_want and enum hs_pass.
const (
	wantPort   uint32 = 1
	wantCIDR   uint32 = 2
	wantName   uint32 = 4
	wantCgroup uint32 = 8
	wantNetNS  uint32 = 16
	wantAgain  uint32 = 32

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
	add(len(f.ExcludeCgroups), wantAgain)
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
	if f.cgroups() {
		_, err := c.findCgroups()
		errs = append(errs, err)
		c.tellMissing()
	}
	for _, n := range f.NetNS {
		put("hs_netns", &n, passIn)
	}
	for _, p := range c.cfg.ExcludePids {
		put("hs_skip_pids", &p, passOut)
	}
	return errors.Join(errs...)
}
