package ebpfreceiver

import (
	"errors"
	"strings"
	"time"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/tap"
)

// PacketsConfig is capture on interfaces, or from files.
type PacketsConfig struct {
	// Mode is off, afpacket (packet sockets), tc (programs of traffic control),
	// auto (what this system has) or file.
	Mode string `mapstructure:"mode"`
	// Interfaces and ExcludeInterfaces are patterns of names; none: all.
	Interfaces        []string `mapstructure:"interfaces"`
	ExcludeInterfaces []string `mapstructure:"exclude_interfaces"`
	// Filter is an expression such as "tcp port 80".
	Filter string `mapstructure:"filter"`
	// Snaplen is how many bytes of a packet are kept; 0: all, with tc the first
	// kernel.DefaultSnaplen.
	Snaplen int `mapstructure:"snaplen"`
	// Rings share the traffic; RingSize is the size of each.
	Rings    int `mapstructure:"rings"`
	RingSize int `mapstructure:"ring_size"`
	// NetNS are paths of network namespaces; none: the collector's own.
	NetNS []string `mapstructure:"netns"`
	// Kinds says what interfaces are, by pattern.
	Kinds []KindConfig `mapstructure:"kinds"`
	// Promiscuous takes frames for other machines too.
	Promiscuous bool `mapstructure:"promiscuous"`
	// IgnoreVLAN joins the two directions of a connection though their VLANs
	// differ.
	IgnoreVLAN bool `mapstructure:"ignore_vlan"`
	// FlowInterval is how often the metrics of flows are handed on, and how often
	// a flow that goes on is reported; FlowPairs bounds the pairs of addresses
	// that metrics are kept of.
	FlowInterval time.Duration `mapstructure:"flow_interval"`
	FlowPairs    int           `mapstructure:"flow_pairs"`
	// Files are read instead, with mode file; Point is where they were made.
	Files []string `mapstructure:"files"`
	Point string   `mapstructure:"point"`

	_ struct{}
}

// KindConfig says what interfaces are.
type KindConfig struct {
	Match string `mapstructure:"match"`
	Kind  string `mapstructure:"kind"`

	_ struct{}
}

// Further modes.
const (
	modePacketSockets = "afpacket"
	modeTC            = "tc"
	modeFile          = "file"
)

func (c *PacketsConfig) on() bool { return c.Mode != modeOff }

func (c *PacketsConfig) validate(p *problems) {
	switch c.Mode {
	case modeOff, modeAuto, modePacketSockets, modeTC:
		if len(c.Files) > 0 {
			p.add("packets::files", "are read with mode: file only")
		}
	case modeFile:
		if len(c.Files) == 0 {
			p.add("packets::files", "is empty: name the captures to read")
		}
	default:
		p.add("packets::mode", "%q is none of off, auto, afpacket, tc, file", c.Mode)
	}
	for _, k := range c.Kinds {
		if _, ok := tap.ParseKind(k.Kind); !ok {
			p.add("packets::kinds", "%q is none of node, pod, nic, local, rest, gateway, hypervisor", k.Kind)
		}
	}
	if _, ok := hop.Parse(c.Point); !ok {
		p.add("packets::point", "%q is no capture point: rest, c, c-nd, s-nd, s ...", c.Point)
	}
	if c.FlowInterval < time.Second || c.FlowInterval > time.Hour {
		p.add("packets::flow_interval", "%v is not between 1s and 1h", c.FlowInterval)
	}
	p.between("packets::flow_pairs", int64(c.FlowPairs), 1, 1<<20)
	t := c.tap()
	if err := t.Validate(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			p.errs = append(p.errs, errors.New("packets::"+line))
		}
	}
}

func (c *PacketsConfig) tap() tap.Config {
	t := tap.Config{Interfaces: c.Interfaces, Exclude: c.ExcludeInterfaces, Filter: c.Filter, Snaplen: c.Snaplen, Rings: c.Rings,
		RingBytes: c.RingSize, NetNS: c.NetNS, Promiscuous: c.Promiscuous}
	if c.Mode == modeTC {
		t.Mode = tap.ModeTC
	}
	for _, k := range c.Kinds {
		kind, _ := tap.ParseKind(k.Kind)
		t.Kinds = append(t.Kinds, tap.NamedKind{Pattern: k.Match, Kind: kind})
	}
	return t
}
