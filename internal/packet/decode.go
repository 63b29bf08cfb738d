package packet

import "encoding/binary"

// maxDepth is how many encapsulations are unpacked: ERSPAN of VXLAN of IPIP is
// three; more than eight is somebody's joke.
const maxDepth = 8

// Decoder turns frames into segments. One goroutine owns it.
type Decoder struct {
	Stats Stats
	// NoTunnels leaves encapsulated traffic as it is: the outer UDP or nothing.
	NoTunnels bool
	// NoTags leaves VLANs out of what tells connections apart: where the two
	// directions of one are tagged differently (some mirror ports).
	NoTags bool
	frags  fragments
}

// Decode reads f into s. Only if it returns OK is s filled; its payload is
// borrowed from f, or from the decoder if the datagram came in fragments.
func (d *Decoder) Decode(f *Frame, s *Segment) Reason {
	// Field by field: a Segment at once would be built elsewhere and copied.
	*s = Segment{}
	s.Time, s.Iface, s.SubIface, s.VLAN, s.Way = f.Time, f.Iface, f.Sub, f.VLAN, f.Way
	s.Wire, s.WinScale = max(f.Wire, uint32(len(f.Data))), -1
	if f.VLAN != 0 && !d.NoTags {
		s.Tags = uint32(f.VLAN)
	}
	var r Reason
	if f.Link == LinkCooked {
		r = d.ethertype(f.EtherType, f.Data, int(s.Wire), s)
	} else {
		r = d.link(f.Link, f.Data, int(s.Wire), s)
	}
	d.Stats.By[r].Add(1)
	return r
}

func (d *Decoder) link(l Link, b []byte, wire int, s *Segment) Reason {
	switch l {
	case LinkEthernet:
		return d.ethernet(b, wire, s)
	case LinkRaw, LinkRawBSD, LinkRawOpen, LinkIPv4, LinkIPv6:
		return d.ip(b, wire, s)
	case LinkSLL:
		if len(b) < 16 {
			return Cut
		}
		if binary.BigEndian.Uint16(b) == sllOutgoing {
			s.Way = WayOut
		} else if s.Way == WayUnknown {
			s.Way = WayIn
		}
		return d.ethertype(binary.BigEndian.Uint16(b[14:]), b[16:], wire-16, s)
	case LinkSLL2:
		if len(b) < 20 {
			return Cut
		}
		if b[10] == sllOutgoing {
			s.Way = WayOut
		} else if s.Way == WayUnknown {
			s.Way = WayIn
		}
		s.SubIface = binary.BigEndian.Uint32(b[4:])
		return d.ethertype(binary.BigEndian.Uint16(b), b[20:], wire-20, s)
	case LinkNull, LinkLoop:
		// The family's byte order is the capturing host's; its numbers differ
		// by system. The IP version says the same.
		if len(b) < 4 {
			return Cut
		}
		return d.ip(b[4:], wire-4, s)
	case LinkPPP, LinkPPPHDLC:
		return d.ppp(b, wire, s)
	case LinkCHDLC:
		if len(b) < 4 {
			return Cut
		}
		return d.ethertype(binary.BigEndian.Uint16(b[2:]), b[4:], wire-4, s)
	case LinkFDDI:
		if len(b) < 13 {
			return Cut
		}
		return d.llc(b[13:], wire-13, s)
	case LinkPPI:
		if len(b) < 8 {
			return Cut
		}
		n, inner := int(binary.LittleEndian.Uint16(b[2:])), Link(binary.LittleEndian.Uint32(b[4:]))
		if n > len(b) || n < 8 {
			return Cut
		}
		return d.link(inner, b[n:], wire-n, s)
	case LinkNFLOG:
		return d.nflog(b, wire, s)
	case Link80211:
		return d.wifi(b, wire, s)
	case LinkRadiotap:
		if len(b) < 4 {
			return Cut
		}
		n := int(binary.LittleEndian.Uint16(b[2:]))
		if n > len(b) {
			return Cut
		}
		return d.wifi(b[n:], wire-n, s)
	}
	return UnknownLink
}

const sllOutgoing = 4 // PACKET_OUTGOING

// Ethertypes.
const (
	etIPv4       = 0x0800
	etTEB        = 0x6558
	etVLAN       = 0x8100
	etIPv6       = 0x86dd
	etPPP        = 0x880b
	etMPLS       = 0x8847
	etMPLSMulti  = 0x8848
	etPPPoE      = 0x8864
	etQinQ       = 0x88a8
	etERSPAN     = 0x88be
	etVNTag      = 0x8926
	etNSH        = 0x894f
	etQinQOld    = 0x9100
	etERSPAN3    = 0x22eb
	minEthertype = 0x0600 // below it is a length (IEEE 802.3)
)

func (d *Decoder) ethernet(b []byte, wire int, s *Segment) Reason {
	if len(b) < 14 {
		return Cut
	}
	return d.ethertype(binary.BigEndian.Uint16(b[12:]), b[14:], wire-14, s)
}

func (d *Decoder) ethertype(et uint16, b []byte, wire int, s *Segment) Reason {
	for range 16 { // tags; no real frame has more than four
		switch et {
		case etIPv4:
			return d.ipv4(b, wire, s)
		case etIPv6:
			return d.ipv6(b, wire, s)
		case etVLAN, etQinQ, etQinQOld:
			if len(b) < 4 {
				return Cut
			}
			if s.VLAN = binary.BigEndian.Uint16(b) & 0xfff; !d.NoTags {
				s.Tags = (s.Tags<<12 | uint32(s.VLAN)) & 0xffffff
			}
			et, b, wire = binary.BigEndian.Uint16(b[2:]), b[4:], wire-4
		case etVNTag:
			if len(b) < 6 {
				return Cut
			}
			et, b, wire = binary.BigEndian.Uint16(b[4:]), b[6:], wire-6
		case etMPLS, etMPLSMulti:
			return d.mpls(b, wire, s)
		case etPPPoE:
			if len(b) < 6 {
				return Cut
			}
			return d.ppp(b[6:], wire-6, s)
		case etNSH:
			return d.nsh(b, wire, s)
		case etTEB:
			return d.ethernet(b, wire, s)
		default:
			if et < minEthertype {
				return d.llc(b, wire, s)
			}
			return NotIP
		}
	}
	return Malformed
}

// llc reads IEEE 802.2 with SNAP.
func (d *Decoder) llc(b []byte, wire int, s *Segment) Reason {
	if len(b) < 8 {
		return NotIP
	}
	if b[0] != 0xaa || b[1] != 0xaa || b[2] != 3 {
		return NotIP
	}
	et := binary.BigEndian.Uint16(b[6:])
	if et < minEthertype {
		return NotIP
	}
	return d.ethertype(et, b[8:], wire-8, s)
}

func (d *Decoder) mpls(b []byte, wire int, s *Segment) Reason {
	if s.Tunnel.Depth++; s.Tunnel.Depth > maxDepth {
		return TooDeep
	}
	for range 16 {
		if len(b) < 4 {
			return Cut
		}
		bottom := b[2]&1 != 0
		b, wire = b[4:], wire-4
		if !bottom {
			continue
		}
		if len(b) == 0 {
			return Cut
		}
		switch b[0] >> 4 {
		case 4, 6:
			return d.ip(b, wire, s)
		case 0: // pseudo wire with a control word
			if len(b) < 4 {
				return Cut
			}
			return d.ethernet(b[4:], wire-4, s)
		}
		return d.ethernet(b, wire, s)
	}
	return Malformed
}

func (d *Decoder) ppp(b []byte, wire int, s *Segment) Reason {
	if len(b) >= 2 && b[0] == 0xff && b[1] == 3 { // address and control, if not compressed away
		b, wire = b[2:], wire-2
	}
	if len(b) < 2 {
		return Cut
	}
	proto, n := uint16(b[0]), 1
	if b[0]&1 == 0 { // an odd byte is the last one of the protocol
		proto, n = binary.BigEndian.Uint16(b), 2
	}
	switch proto {
	case 0x21:
		return d.ipv4(b[n:], wire-n, s)
	case 0x57:
		return d.ipv6(b[n:], wire-n, s)
	case 0x281:
		return d.mpls(b[n:], wire-n, s)
	}
	return NotIP
}

// nflog reads what the netfilter log gives: attributes, one of them the packet.
func (d *Decoder) nflog(b []byte, wire int, s *Segment) Reason {
	if len(b) < 4 {
		return Cut
	}
	b, wire = b[4:], wire-4
	for len(b) >= 4 {
		n, t := int(binary.LittleEndian.Uint16(b)), binary.LittleEndian.Uint16(b[2:])
		if n < 4 {
			return Malformed
		}
		if t == 9 { // NFULA_PAYLOAD
			return d.ip(b[4:min(n, len(b))], n-4, s)
		}
		n = (n + 3) &^ 3
		if n > len(b) {
			return Cut
		}
		b, wire = b[n:], wire-n
	}
	return NotIP
}

// wifi reads unencrypted IEEE 802.11 data frames.
func (d *Decoder) wifi(b []byte, wire int, s *Segment) Reason {
	if len(b) < 24 {
		return Cut
	}
	if b[0]&0x0c != 0x08 || b[0]&0x40 != 0 || b[1]&0x40 != 0 { // not data, no data, protected
		return NotIP
	}
	n := 24
	if b[1]&3 == 3 {
		n += 6
	}
	if b[0]&0x80 != 0 {
		n += 2
		if b[1]&0x80 != 0 {
			n += 4
		}
	}
	if len(b) < n {
		return Cut
	}
	return d.llc(b[n:], wire-n, s)
}

// ip reads either version.
func (d *Decoder) ip(b []byte, wire int, s *Segment) Reason {
	if len(b) == 0 {
		return Cut
	}
	switch b[0] >> 4 {
	case 4:
		return d.ipv4(b, wire, s)
	case 6:
		return d.ipv6(b, wire, s)
	}
	return NotIP
}
