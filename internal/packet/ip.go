package packet

import "encoding/binary"

func (d *Decoder) ipv4(b []byte, wire int, s *Segment) Reason {
	if len(b) < 20 {
		return Cut
	}
	n := int(b[0]&15) * 4
	if b[0]>>4 != 4 || n < 20 {
		return Malformed
	}
	total := int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case total == 0: // left to the card to fill in (TSO): the frame says it
		total = wire
	case total < n:
		return Malformed
	}
	if len(b) < n {
		return Cut
	}
	if len(b) > total {
		b = b[:total] // padding of short frames
	}
	s.Src, s.Dst, s.TTL = addr4(b[12:]), addr4(b[16:]), b[8]
	proto, rest := b[9], total-n
	if frag := binary.BigEndian.Uint16(b[6:]); frag&0x3fff != 0 {
		k := fragKey{src: s.Src, dst: s.Dst, id: uint32(binary.BigEndian.Uint16(b[4:])), proto: proto, tunnel: s.Tunnel.ID}
		whole, ok := d.frags.add(&d.Stats, k, s.Time, int(frag&0x1fff)*8, frag&0x2000 != 0, b[n:], rest)
		if !ok {
			return Fragment
		}
		return d.transport(proto, whole, len(whole), s)
	}
	return d.transport(proto, b[n:], rest, s)
}

// IPv6 extension headers.
const (
	extHopByHop  = 0
	extRouting   = 43
	extFragment  = 44
	extAH        = 51
	extNoNext    = 59
	extDest      = 60
	extMobility  = 135
	extHIP       = 139
	extShim6     = 140
	maxExtension = 12 // in one packet
)

func (d *Decoder) ipv6(b []byte, wire int, s *Segment) Reason {
	if len(b) < 40 {
		return Cut
	}
	if b[0]>>4 != 6 {
		return Malformed
	}
	s.Src, s.Dst, s.TTL = addr6(b[8:]), addr6(b[24:]), b[7]
	next, rest := b[6], int(binary.BigEndian.Uint16(b[4:]))
	if rest == 0 && next != extNoNext { // a jumbogram, or left to the card
		rest = wire - 40
	}
	b = b[40:]
	if len(b) > rest {
		b = b[:max(rest, 0)]
	}
	for range maxExtension {
		n := 0
		switch next {
		case extHopByHop, extRouting, extDest, extMobility, extHIP, extShim6:
			if len(b) < 8 {
				return Cut
			}
			n = int(b[1])*8 + 8
		case extAH:
			if len(b) < 8 {
				return Cut
			}
			n = int(b[1])*4 + 8
		case extFragment:
			if len(b) < 8 {
				return Cut
			}
			off := binary.BigEndian.Uint16(b[2:])
			if off&0xfff9 == 0 { // atomic: the only one
				n = 8
				break
			}
			k := fragKey{src: s.Src, dst: s.Dst, id: binary.BigEndian.Uint32(b[4:]), proto: b[0], v6: true, tunnel: s.Tunnel.ID}
			whole, ok := d.frags.add(&d.Stats, k, s.Time, int(off&0xfff8), off&1 != 0, b[8:], rest-8)
			if !ok {
				return Fragment
			}
			next, b, rest = b[0], whole, len(whole)
			continue
		case extNoNext:
			return NotL4
		default:
			return d.transport(next, b, rest, s)
		}
		if n > rest {
			return Malformed
		}
		if len(b) < n {
			return Cut
		}
		next, b, rest = b[0], b[n:], rest-n
	}
	return Malformed
}

// IP protocols that carry IP or frames.
const (
	protoIPIP    = 4
	protoIPv6    = 41
	protoGRE     = 47
	protoAH      = 51
	protoEtherIP = 97
	protoMPLS    = 137
)

func (d *Decoder) transport(proto uint8, b []byte, rest int, s *Segment) Reason {
	switch proto {
	case ProtoTCP:
		return d.tcp(b, rest, s)
	case ProtoUDP:
		return d.udp(b, rest, s)
	case ProtoICMP, ProtoICMPv6:
		return d.icmp(proto, b, rest, s)
	}
	if d.NoTunnels {
		return NotL4
	}
	switch proto {
	case protoIPIP, protoIPv6:
		if r := s.enter(IPIP, 0); r != OK {
			return r
		}
		return d.ip(b, rest, s)
	case protoGRE:
		return d.gre(b, rest, s)
	case protoEtherIP:
		if len(b) < 2 {
			return Cut
		}
		if r := s.enter(IPIP, 0); r != OK {
			return r
		}
		return d.ethernet(b[2:], rest-2, s)
	case protoMPLS:
		return d.mpls(b, rest, s)
	case protoAH:
		if len(b) < 8 {
			return Cut
		}
		n := int(b[1])*4 + 8
		if n > rest {
			return Malformed
		}
		if n > len(b) {
			return Cut
		}
		if b[0] == protoAH {
			return Malformed
		}
		return d.transport(b[0], b[n:], rest-n, s)
	}
	return NotL4
}

func (d *Decoder) tcp(b []byte, rest int, s *Segment) Reason {
	if len(b) < 20 {
		return Cut
	}
	n := int(b[12]>>4) * 4
	if n < 20 || n > rest {
		return Malformed
	}
	s.Proto = ProtoTCP
	s.SrcPort, s.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	s.Seq, s.Ack = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	s.Flags, s.Win = b[13], binary.BigEndian.Uint16(b[14:])
	s.Len = uint32(rest - n)
	if len(b) < n {
		return OK // cut inside the options: what counts is there
	}
	if s.Flags&SYN != 0 {
		s.options(b[20:n])
	}
	s.Payload = b[n:]
	return OK
}

// options reads those of a SYN.
func (s *Segment) options(b []byte) {
	for len(b) > 1 {
		switch b[0] {
		case 0:
			return
		case 1:
			b = b[1:]
			continue
		}
		n := int(b[1])
		if n < 2 || n > len(b) {
			return
		}
		switch {
		case b[0] == 2 && n == 4:
			s.MSS = binary.BigEndian.Uint16(b[2:])
		case b[0] == 3 && n == 3:
			s.WinScale = int8(min(b[2], 14)) // RFC 7323: more counts as 14
		}
		b = b[n:]
	}
}

func (d *Decoder) udp(b []byte, rest int, s *Segment) Reason {
	if len(b) < 8 {
		return Cut
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	if n == 0 || n > rest { // a jumbogram; or cut by a tunnel's mirror
		n = rest
	}
	if n < 8 {
		return Malformed
	}
	src, dst := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	body := b[8:]
	if len(body) > n-8 {
		body = body[:n-8]
	}
	if !d.NoTunnels {
		if r, ok := d.udpTunnel(dst, src, body, n-8, s); ok {
			return r
		}
	}
	s.Proto, s.SrcPort, s.DstPort = ProtoUDP, src, dst
	s.Len, s.Payload = uint32(n-8), body
	return OK
}

func (d *Decoder) icmp(proto uint8, b []byte, rest int, s *Segment) Reason {
	if len(b) < 8 {
		return Cut
	}
	t := b[0]
	echo := t == 8 || t == 0
	if proto == ProtoICMPv6 {
		echo = t == 128 || t == 129
	}
	s.ICMPType, s.ICMPCode = t, b[1]
	switch {
	case echo:
		s.SrcPort = binary.BigEndian.Uint16(b[4:])
		s.DstPort, s.Seq = s.SrcPort, uint32(binary.BigEndian.Uint16(b[6:]))
	case proto == ProtoICMP && (t == 3 || t == 4 || t == 5 || t == 11 || t == 12), proto == ProtoICMPv6 && t >= 1 && t <= 4:
		s.Quoted = quoted(b[8:])
		if s.Quoted.Proto == 0 {
			return NotL4
		}
	default:
		return NotL4
	}
	s.Proto = proto
	s.Len, s.Payload = uint32(max(rest-8, 0)), b[8:]
	return OK
}

// quoted reads the packet head that an ICMP error carries.
func quoted(b []byte) (q Quoted) {
	n := 0
	var proto uint8
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		n, proto = int(b[0]&15)*4, b[9]
		q.Src, q.Dst = addr4(b[12:]), addr4(b[16:])
	case len(b) >= 40 && b[0]>>4 == 6:
		n, proto = 40, b[6]
		q.Src, q.Dst = addr6(b[8:]), addr6(b[24:])
	default:
		return Quoted{}
	}
	if n < 20 || len(b) < n+4 || (proto != ProtoTCP && proto != ProtoUDP) {
		return Quoted{}
	}
	q.Proto, q.SrcPort, q.DstPort = proto, binary.BigEndian.Uint16(b[n:]), binary.BigEndian.Uint16(b[n+2:])
	return q
}
