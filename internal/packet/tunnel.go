package packet

import "encoding/binary"

// enter notes that what follows lies inside a tunnel.
func (s *Segment) enter(t TunnelType, id uint32) Reason {
	if s.Tunnel.Depth >= maxDepth {
		return TooDeep
	}
	if t == VXLAN || t == VXLANGPE || t == Geneve { // its id names the network; the carrier's tags say nothing
		s.Tags = 0
	}
	s.Tunnel = Tunnel{Type: t, Depth: s.Tunnel.Depth + 1, ID: id, Src: s.Src, Dst: s.Dst}
	return OK
}

// Ports of tunnels over UDP.
const (
	portTeredo   = 3544
	portVXLAN    = 4789
	portVXLANGPE = 4790
	portGTPU     = 2152
	portGeneve   = 6081
	portGREinUDP = 4754 // RFC 8086
	portMPLS     = 6635
	portVXLANOld = 8472 // Linux before the IANA number, flannel until today
)

// udpTunnel unpacks what is certainly a tunnel; ok is false for all else, with
// s as it was.
func (d *Decoder) udpTunnel(dst, src uint16, b []byte, rest int, s *Segment) (r Reason, ok bool) {
	was := *s
	switch dst {
	case portVXLAN, portVXLANOld:
		r, ok = d.vxlan(b, rest, s)
	case portVXLANGPE:
		r, ok = d.vxlanGPE(b, rest, s)
	case portGeneve:
		r, ok = d.geneve(b, rest, s)
	case portGTPU:
		r, ok = d.gtpu(b, rest, s)
	case portGREinUDP:
		r, ok = d.gre(b, rest, s), true
	case portMPLS:
		r, ok = d.mpls(b, rest, s), true
	default:
		switch {
		case src == portTeredo || dst == portTeredo:
			r, ok = d.teredo(b, rest, s)
		case len(b) >= 22 && binary.BigEndian.Uint32(b) == vxlanOnly && b[7] == 0 && plainFrame(b[8:]):
			// A VXLAN on a port of its own: the flags word is exact, the
			// reserved byte is zero and a whole IP frame follows.
			r, ok = d.vxlan(b, rest, s)
		}
	}
	if ok && r != OK && r != Fragment && r != NotIP && r != NotL4 {
		ok = false // not what the port promised
	}
	if !ok {
		*s = was
	}
	return r, ok
}

const vxlanOnly = 0x08000000 // the I flag and nothing else

// plainFrame reports whether b is an Ethernet frame with an IP packet whose
// length fits exactly.
func plainFrame(b []byte) bool {
	if len(b) < 14+20 {
		return false
	}
	switch binary.BigEndian.Uint16(b[12:]) {
	case etIPv4:
		return b[14]>>4 == 4 && b[14]&15 >= 5 && (int(binary.BigEndian.Uint16(b[16:])) == len(b)-14 || len(b) == 60)
	case etIPv6:
		return len(b) >= 14+40 && b[14]>>4 == 6 && int(binary.BigEndian.Uint16(b[18:])) == len(b)-14-40
	}
	return false
}

func (d *Decoder) vxlan(b []byte, rest int, s *Segment) (Reason, bool) {
	if len(b) < 8+14 || b[0]&0x08 == 0 {
		return Malformed, false
	}
	if r := s.enter(VXLAN, binary.BigEndian.Uint32(b[4:])>>8); r != OK {
		return r, true
	}
	if b[0]&0x04 != 0 && b[3] != 0 { // the GPE extension on the plain port
		return d.nextProtocol(b[3], b[8:], rest-8, s), true
	}
	return d.ethernet(b[8:], rest-8, s), true
}

func (d *Decoder) vxlanGPE(b []byte, rest int, s *Segment) (Reason, bool) {
	if len(b) < 8 || b[0]&0x0c == 0 {
		return Malformed, false
	}
	if r := s.enter(VXLANGPE, binary.BigEndian.Uint32(b[4:])>>8); r != OK {
		return r, true
	}
	if b[0]&0x04 == 0 {
		return d.ethernet(b[8:], rest-8, s), true
	}
	return d.nextProtocol(b[3], b[8:], rest-8, s), true
}

// nextProtocol is the number space that VXLAN-GPE and NSH share.
func (d *Decoder) nextProtocol(p uint8, b []byte, rest int, s *Segment) Reason {
	switch p {
	case 1:
		return d.ipv4(b, rest, s)
	case 2:
		return d.ipv6(b, rest, s)
	case 3:
		return d.ethernet(b, rest, s)
	case 4:
		return d.nsh(b, rest, s)
	case 5:
		return d.mpls(b, rest, s)
	}
	return NotIP
}

// nsh reads a network service header (RFC 8300).
func (d *Decoder) nsh(b []byte, rest int, s *Segment) Reason {
	if len(b) < 8 {
		return Cut
	}
	n := int(b[1]&0x3f) * 4
	if n < 8 || n > rest {
		return Malformed
	}
	if len(b) < n {
		return Cut
	}
	if s.Tunnel.Depth++; s.Tunnel.Depth > maxDepth {
		return TooDeep
	}
	return d.nextProtocol(b[3], b[n:], rest-n, s)
}

func (d *Decoder) geneve(b []byte, rest int, s *Segment) (Reason, bool) {
	if len(b) < 8 || b[0]>>6 != 0 {
		return Malformed, false
	}
	n := 8 + int(b[0]&0x3f)*4
	if len(b) < n {
		return Cut, false
	}
	if r := s.enter(Geneve, binary.BigEndian.Uint32(b[4:])>>8); r != OK {
		return r, true
	}
	return d.ethertype(binary.BigEndian.Uint16(b[2:]), b[n:], rest-n, s), true
}

func (d *Decoder) gtpu(b []byte, rest int, s *Segment) (Reason, bool) {
	if len(b) < 8 || b[0]>>4 != 3 || b[1] != 0xff { // version 1, a user's packet
		return Malformed, false
	}
	n := 8
	if b[0]&7 != 0 {
		n = 12
		if len(b) < n {
			return Cut, false
		}
		for next := b[11]; b[0]&4 != 0 && next != 0; {
			if len(b) < n+4 || b[n] == 0 {
				return Cut, false
			}
			n += int(b[n]) * 4
			if len(b) < n {
				return Cut, false
			}
			next = b[n-1]
		}
	}
	if r := s.enter(GTPU, binary.BigEndian.Uint32(b[4:])); r != OK {
		return r, true
	}
	return d.ip(b[n:], rest-n, s), true
}

func (d *Decoder) teredo(b []byte, rest int, s *Segment) (Reason, bool) {
	if len(b) > 4 && b[0] == 0 && b[1] == 1 { // authentication
		n := 4 + int(b[2]) + int(b[3]) + 9
		if len(b) < n {
			return Cut, false
		}
		b, rest = b[n:], rest-n
	}
	if len(b) > 8 && b[0] == 0 && b[1] == 0 { // origin
		b, rest = b[8:], rest-8
	}
	if len(b) < 40 || b[0]>>4 != 6 {
		return Malformed, false
	}
	if r := s.enter(Teredo, 0); r != OK {
		return r, true
	}
	return d.ipv6(b, rest, s), true
}

func (d *Decoder) gre(b []byte, rest int, s *Segment) Reason {
	if len(b) < 4 {
		return Cut
	}
	flags, et := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	n, key, hasSeq := 4, uint32(0), flags&0x1000 != 0
	if flags&0x8000 != 0 || (flags&0x4000 != 0 && flags&7 == 0) { // checksum and offset
		n += 4
	}
	if flags&0x2000 != 0 {
		if len(b) < n+4 {
			return Cut
		}
		key = binary.BigEndian.Uint32(b[n:])
		n += 4
	}
	if hasSeq {
		n += 4
	}
	switch flags & 7 {
	case 0:
		if flags&0x4000 != 0 {
			return NotL4 // source routes: nobody has them
		}
	case 1: // PPTP: the key is length and call id; without payload it has no length
		if flags&0x0080 != 0 {
			n += 4
		}
		key &= 0xffff
	default:
		return Malformed
	}
	if len(b) < n {
		return Cut
	}
	switch et {
	case etERSPAN:
		return d.erspan(hasSeq, b[n:], rest-n, s)
	case etERSPAN3:
		return d.erspan3(b[n:], rest-n, s)
	}
	if r := s.enter(GRE, key); r != OK {
		return r
	}
	if et == etPPP {
		return d.ppp(b[n:], rest-n, s)
	}
	return d.ethertype(et, b[n:], rest-n, s)
}

// erspan reads types I (no header of its own) and II.
func (d *Decoder) erspan(second bool, b []byte, rest int, s *Segment) Reason {
	n, id := 0, uint32(0)
	if second {
		if len(b) < 8 {
			return Cut
		}
		n, id = 8, uint32(binary.BigEndian.Uint16(b[2:])&0x3ff)
	}
	if r := s.enter(ERSPAN, id); r != OK {
		return r
	}
	return d.ethernet(b[n:], rest-n, s)
}

func (d *Decoder) erspan3(b []byte, rest int, s *Segment) Reason {
	if len(b) < 12 {
		return Cut
	}
	n := 12
	if b[11]&1 != 0 { // a platform specific header follows
		n += 8
	}
	if len(b) < n {
		return Cut
	}
	if r := s.enter(ERSPAN, uint32(binary.BigEndian.Uint16(b[2:])&0x3ff)); r != OK {
		return r
	}
	switch frame := b[10] >> 2 & 0x1f; {
	case b[10]&0x80 == 0 && frame == 0: // P clear on some boxes; Ethernet all the same
		return d.ethernet(b[n:], rest-n, s)
	case frame == 2:
		return d.ip(b[n:], rest-n, s)
	default:
		return d.ethernet(b[n:], rest-n, s)
	}
}
