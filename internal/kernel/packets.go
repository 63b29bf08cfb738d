package kernel

import "structs"

// PacketsConfig is what capture on interfaces may be told. The zero value is
// usable.
type PacketsConfig struct {
	// RingBytes is the size of the ring, rounded up to a power of two. Zero:
	// DefaultRing.
	RingBytes int
	// Snaplen is how many bytes of a packet are kept. Zero: DefaultSnaplen.
	Snaplen int
	// Classic attaches filters of a clsact qdisc also where the kernel has links
	// of traffic control (6.6 on).
	Classic bool
}

const (
	// DefaultSnaplen is any packet of an Ethernet, in a tunnel too, and the head
	// of what card or kernel have joined: heads of requests are seldom longer.
	DefaultSnaplen = 2048
	// MaxSnaplen is twin of HS_MAX_SNAPLEN.
	MaxSnaplen = 65536
)

// Packet is a packet on an interface. Twin of struct hs_packet.
type Packet struct {
	_         structs.HostLayout
	Time      uint64 // CLOCK_MONOTONIC, ns
	Ifindex   uint32
	Wire      uint32 // length of the packet
	Captured  uint32 // bytes that follow
	Ethertype uint16 // of what follows the link header and the tag below
	Vlan      uint16 //nolint:revive // twin of vlan: the tag that the card took off; 0: none
	Way       PacketWay
	Iface     IfaceHead
	Pad       [6]uint8
}

// PacketWay is which way a packet goes. Twin of enum hs_packet_way.
type PacketWay uint8

// Ways.
const (
	PacketIn  PacketWay = 1
	PacketOut PacketWay = 2
)

// IfaceHead is what frames of an interface begin with. Twin of enum hs_iface.
type IfaceHead uint8

// Heads.
const (
	HeadEthernet IfaceHead = 1
	HeadBare     IfaceHead = 2 // the network header: tun, ppp, wireguard
)

// packetStats is twin of struct hs_packet_stats.
type packetStats struct {
	_       structs.HostLayout
	Kept    uint64
	Dropped uint64
}

// Steps: twin of enum hs_step.
const (
	stepFilterIn uint32 = iota
	stepFilterOut
	stepKeepIn
	stepKeepOut
)
