// Package packet turns frames, from capture files or live interfaces, into
// segments: the TCP, UDP or ICMP unit inside whatever links and tunnels lie
// around it.
//
// Promise: no frame makes it panic or allocate; what it cannot read it counts.
package packet

import (
	"encoding/binary"
	"net/netip"
)

// Link is a link-layer type, numbered as in capture files (LINKTYPE_ values).
type Link uint32

// Link types that are read.
const (
	LinkNull     Link = 0 // BSD loopback, 4 bytes of address family
	LinkEthernet Link = 1
	LinkPPP      Link = 9
	LinkRawBSD   Link = 12 // raw IP, as some BSDs number it
	LinkRawOpen  Link = 14 // raw IP on OpenBSD
	LinkFDDI     Link = 10
	LinkPPPHDLC  Link = 50
	LinkRaw      Link = 101
	LinkCHDLC    Link = 104
	Link80211    Link = 105
	LinkLoop     Link = 108 // OpenBSD loopback
	LinkSLL      Link = 113 // Linux "any", version 1
	LinkRadiotap Link = 127
	LinkPPI      Link = 192 // a header around another link type
	LinkIPv4     Link = 228
	LinkIPv6     Link = 229
	LinkNFLOG    Link = 239 // Linux netfilter log
	LinkSLL2     Link = 276 // Linux "any", version 2
	// LinkCooked is ours: the frame begins after its link header, of which
	// Frame.EtherType is what was left.
	LinkCooked Link = 1 << 31
)

// Way is which way a frame went over the interface it was seen on.
type Way uint8

// Ways. Files do not always tell.
const (
	WayUnknown Way = iota
	WayIn          // received by the interface
	WayOut         // sent by the interface
)

// Frame is one frame as it was captured. Data is borrowed.
type Frame struct {
	Time  int64 // unix nanoseconds
	Iface uint32
	Link  Link
	Wire  uint32 // its length on the wire; Data holds the first len(Data) bytes
	Way   Way
	// Sub tells interfaces of the same number apart (network namespaces).
	Sub uint32
	// Of LinkCooked: what follows, and the tag that was taken off.
	EtherType, VLAN uint16
	Data            []byte
}

// Interface is what is known of an interface that frames came from.
type Interface struct {
	Name string
	Link Link
}

// Addr is an IPv6 address, or an IPv4 address mapped into one.
type Addr struct{ Hi, Lo uint64 }

const mapped = 0xffff << 32

// Is4 reports whether a is an IPv4 address.
func (a Addr) Is4() bool { return a.Hi == 0 && a.Lo>>32 == 0xffff }

// Netip is a in the standard library's form.
func (a Addr) Netip() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	return netip.AddrFrom16(b).Unmap()
}

// FromNetip is the Addr of a.
func FromNetip(a netip.Addr) Addr {
	b := a.As16()
	return Addr{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a Addr) less(b Addr) bool { return a.Hi < b.Hi || (a.Hi == b.Hi && a.Lo < b.Lo) }

func addr4(b []byte) Addr { return Addr{0, mapped | uint64(binary.BigEndian.Uint32(b))} }

func addr6(b []byte) Addr {
	return Addr{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:16])}
}

// Transport protocols, by their IP numbers.
const (
	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
)

// TCP flags.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
)

// TunnelType is an encapsulation.
type TunnelType uint8

// Encapsulations.
const (
	NoTunnel TunnelType = iota
	VXLAN
	VXLANGPE
	Geneve
	GRE
	ERSPAN
	IPIP
	GTPU
	Teredo
)

var tunnelNames = [...]string{"", "vxlan", "vxlan-gpe", "geneve", "gre", "erspan", "ipip", "gtp-u", "teredo"}

func (t TunnelType) String() string { return tunnelNames[t] }

// Tunnel is the encapsulation nearest to the segment.
type Tunnel struct {
	Type     TunnelType
	Depth    uint8  // how many encapsulations lie around the segment
	ID       uint32 // VNI, GRE key, ERSPAN session
	Src, Dst Addr   // the outer addresses
}

// Segment is one transport unit. Payload is borrowed: valid until the next
// call of the decoder it came from.
type Segment struct {
	Time  int64
	Iface uint32
	// SubIface is Frame.Sub, or the kernel's interface index inside a capture
	// of "any".
	SubIface uint32
	Src, Dst Addr
	SrcPort  uint16 // ICMP echo: its id, on both sides
	DstPort  uint16
	Proto    uint8
	Flags    uint8 // TCP
	Way      Way
	Win      uint16
	Seq, Ack uint32 // TCP; ICMP echo: Seq is its sequence number
	// Of SYN segments: -1 if the option is not there.
	WinScale int8
	MSS      uint16
	// ICMP type and code, and for errors the ports of the packet it is about
	// (then Src and Dst are still those of the ICMP packet itself).
	ICMPType, ICMPCode uint8
	Quoted             Quoted
	TTL                uint8
	VLAN               uint16 // innermost tag, 0 = none
	// Tags are the innermost two tags, which tell apart what uses the same
	// addresses in several VLANs. 0: none, or the decoder was told to ignore them.
	Tags   uint32
	Tunnel Tunnel
	// Wire is the length of the whole frame, Len of the payload, as they were
	// on the wire; Payload holds the first bytes of it.
	Wire, Len uint32
	Payload   []byte
}

// Quoted is the head of the packet that an ICMP error quotes.
type Quoted struct {
	Src, Dst         Addr
	SrcPort, DstPort uint16
	Proto            uint8 // 0: nothing quoted
}

// Key tells connections apart. It is the same for both directions.
type Key struct {
	A, B   Addr
	Ports  uint32 // of A, then of B
	Iface  uint32
	Sub    uint32
	Tunnel uint32 // type and VNI; other tunnels may differ by direction and are left out
	Proto  uint64 // the protocol, above it the tags; 64 bits wide so that the key has no padding
}

// Key is the connection that s belongs to; swapped tells that s goes from B to
// A.
func (s *Segment) Key() (k Key, swapped bool) {
	swapped = s.Dst.less(s.Src) || (s.Src == s.Dst && s.DstPort < s.SrcPort)
	if swapped {
		k.A, k.B = s.Dst, s.Src
		k.Ports = uint32(s.DstPort)<<16 | uint32(s.SrcPort)
	} else {
		k.A, k.B = s.Src, s.Dst
		k.Ports = uint32(s.SrcPort)<<16 | uint32(s.DstPort)
	}
	k.Iface, k.Sub, k.Proto = s.Iface, s.SubIface, uint64(s.Proto)|uint64(s.Tags)<<8
	switch s.Tunnel.Type {
	case VXLAN, VXLANGPE, Geneve:
		k.Tunnel = uint32(s.Tunnel.Type)<<24 | s.Tunnel.ID // a VNI has 24 bits
	}
	return k, swapped
}

// QuotedKey is the connection that an ICMP error is about; swapped tells that
// the quoted packet went from B to A.
func (s *Segment) QuotedKey() (k Key, swapped bool) {
	q := Segment{Iface: s.Iface, SubIface: s.SubIface, Src: s.Quoted.Src, Dst: s.Quoted.Dst,
		SrcPort: s.Quoted.SrcPort, DstPort: s.Quoted.DstPort, Proto: s.Quoted.Proto, Tags: s.Tags, Tunnel: s.Tunnel}
	return q.Key()
}

// SrcAddrPort is the sender.
func (s *Segment) SrcAddrPort() netip.AddrPort { return netip.AddrPortFrom(s.Src.Netip(), s.SrcPort) }

// DstAddrPort is the receiver.
func (s *Segment) DstAddrPort() netip.AddrPort { return netip.AddrPortFrom(s.Dst.Netip(), s.DstPort) }
