// Package tap takes frames from live interfaces: memory-mapped rings of packet
// sockets, or programs of traffic control and their ring; a filter in the kernel,
// the interfaces that come and go, and where on the path each of them lies.
// Packet sockets need CAP_NET_RAW, and nothing that is newer than Linux 3.2.
package tap

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"sync/atomic"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/packet"
)

// Config is what a source may be told. The zero value captures everything.
type Config struct {
	// Mode is how: packet sockets, or programs of traffic control.
	Mode Mode
	// Interfaces and Exclude are patterns of names (eth*, veth*). No
	// Interfaces: all.
	Interfaces, Exclude []string
	// Filter is an expression, see Filter.
	Filter string
	// Snaplen is how many bytes of a packet are kept, from the IP header on.
	// Zero: DefaultSnaplen; with programs of traffic control
	// kernel.DefaultSnaplen.
	Snaplen int
	// Rings is how many rings share the traffic, a connection staying with one;
	// programs of traffic control have one a namespace.
	// Zero: 1. RingBytes is the size of each. Zero: DefaultRingBytes.
	Rings, RingBytes int
	// NetNS are the paths of network namespaces (/run/netns/x, /proc/1/ns/net).
	// None: the collector's own.
	NetNS []string
	// Kinds says what interfaces are, by pattern, where the guess is wrong.
	Kinds []NamedKind
	// Promiscuous also takes frames for other machines, for mirror ports.
	Promiscuous bool
	// Own captures the collector's own connections too.
	Own bool
}

// Mode is how packets are captured.
type Mode uint8

// Modes.
const (
	ModeSockets Mode = iota
	ModeTC           // programs of traffic control, attached as links (Linux 6.6 on), else as ModeClassic
	ModeClassic      // as filters of a clsact qdisc (Linux 5.8 on)
)

// NamedKind is the kind of the interfaces whose name fits.
type NamedKind struct {
	Pattern string
	Kind    Kind
}

// Defaults and limits.
const (
	// DefaultSnaplen is any packet whole: parsers read past what others cut.
	DefaultSnaplen = 65535
	// MinSnaplen holds the longest headers, with options and a tunnel.
	MinSnaplen = 128
	// DefaultRingBytes is 15 ms at 10 Gbit/s.
	DefaultRingBytes = 16 << 20
	// ringBlock is what is handed over at once: the kernel wants whole pages,
	// and the largest packet has to fit. A block is handed over after 10 ms however
	// little is in it, so it is their number that bounds how long a reader may be
	// kept waiting where traffic is light: 16 MiB in blocks of 1 MiB are full after
	// 160 ms (which a busy machine of two cores does make one wait), in these after
	// 1.28 s.
	ringBlock = 128 << 10
	// MinRingBytes is what traffic of one quiet interface needs to survive 160 ms.
	MinRingBytes = 2 << 20
	MaxRingBytes = 1 << 30
	MaxRings     = 64
	// maxInterfacesKernel is how many are compared in the kernel; more are, in
	// the collector.
	maxInterfacesKernel = 128
	// maxOwnKernel is how many of the collector's own ends are.
	maxOwnKernel = 48
)

// ErrUnsupported: this system has no packet sockets.
var ErrUnsupported = errors.New("tap: packet sockets are a thing of Linux")

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	for _, p := range append(append([]string(nil), c.Interfaces...), c.Exclude...) {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			errs = append(errs, fmt.Errorf("interfaces: %q is not a pattern such as eth*", p))
		}
	}
	for _, k := range c.Kinds {
		if _, err := path.Match(k.Pattern, ""); err != nil || k.Pattern == "" {
			errs = append(errs, fmt.Errorf("kinds: %q is not a pattern such as eth*", k.Pattern))
		}
	}
	if _, err := ParseFilter(c.Filter); err != nil {
		errs = append(errs, err)
	} else if _, err := c.program(nil, nil).compile(); err != nil {
		errs = append(errs, err)
	}
	between := func(key string, v, lo, hi int) {
		if v != 0 && (v < lo || v > hi) {
			errs = append(errs, fmt.Errorf("%s: %d is not between %d and %d", key, v, lo, hi))
		}
	}
	between("snaplen", c.Snaplen, MinSnaplen, DefaultSnaplen)
	between("rings", c.Rings, 1, MaxRings)
	between("ring_size", c.RingBytes, MinRingBytes, MaxRingBytes)
	return errors.Join(errs...)
}

// program is the kernel's, for these interfaces.
func (c *Config) program(ifaces []uint32, own []netip.AddrPort) *program {
	f, err := ParseFilter(c.Filter)
	if err != nil {
		f = nil // Validate has told
	}
	p := &program{filter: f, snaplen: uint32(c.Snaplen)}
	if c.Snaplen == 0 {
		p.snaplen = DefaultSnaplen
	}
	if len(ifaces) <= maxInterfacesKernel {
		p.ifaces = ifaces
	}
	p.own = own[:min(len(own), maxOwnKernel)]
	return p
}

// Stats counts what a source saw. Any goroutine may read it.
type Stats struct {
	Packets atomic.Uint64 // let through by the kernel's filter, lost or not
	Dropped atomic.Uint64 // lost because the ring was full
	Frames  atomic.Uint64 // taken from the ring
	Other   atomic.Uint64 // of interfaces that are not wanted, or loopback's other half
	Filter  atomic.Uint64 // times that the kernel's filter was replaced
	Ifaces  atomic.Int64  // interfaces captured now
}

// iface is an interface that is captured.
type iface struct {
	name string
	kind Kind
	lo   bool
	bare bool // frames begin with the network header
}

// choose says whether an interface is captured, and as what.
func (c *Config) choose(name, linkType string, loopback, own bool) (iface, bool) {
	if len(c.Interfaces) > 0 && !matchAny(c.Interfaces, name) || matchAny(c.Exclude, name) {
		return iface{}, false
	}
	i := iface{name: name, lo: loopback}
	switch {
	case loopback:
		i.kind = KindLoopback
	case !own:
		i.kind = KindInside
	case linkType == "veth":
		i.kind = KindPod
	}
	for _, k := range c.Kinds {
		if ok, _ := path.Match(k.Pattern, name); ok {
			i.kind = k.Kind
			break
		}
	}
	return i, true
}

// Place says where an interface lies on the path of a connection.
func (s *Source) Place(index, ns uint32, client packet.Way) (hop.Point, string) {
	i, ok := s.iface(index, ns)
	if !ok {
		return hop.Rest, ""
	}
	return i.kind.Point(client), i.name
}
