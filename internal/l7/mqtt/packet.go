package mqtt

import (
	"github.com/hopscope/hopscope/internal/l7"
)

// packet is a fixed header and what there is of the rest.
type packet struct {
	kind  byte
	flags byte
	total int
	size  int // of what follows the fixed header
	b     []byte
}

// read reads the packet at the front of b. ok is false if none starts there,
// short if b is too short to tell how long it is.
func read(b []byte) (p packet, ok, short bool) {
	if len(b) == 0 {
		return p, true, true
	}
	p.kind, p.flags = b[0]>>4, b[0]&15
	switch p.kind {
	case 0:
		return p, false, false
	case publish:
		if p.flags&6 == 6 || p.flags&8 != 0 && p.flags&6 == 0 {
			return p, false, false
		}
	case pubrel, subscribe, unsubscribe:
		if p.flags != 2 {
			return p, false, false
		}
	default:
		if p.flags != 0 {
			return p, false, false
		}
	}
	size, shift := 0, 0
	for i := 1; ; i++ {
		if i > 4 {
			return p, false, false
		}
		if i >= len(b) {
			return p, true, true
		}
		size |= int(b[i]&0x7f) << shift
		shift += 7
		if b[i] < 0x80 {
			if i > 1 && b[i] == 0 {
				return p, false, false // not the shortest form
			}
			p.size, p.total = size, i+1+size
			p.b = b[i+1 : min(len(b), p.total)]
			break
		}
	}
	switch p.kind {
	case pingreq, pingresp:
		ok = size == 0
	case puback, pubrec, pubrel, pubcomp, unsuback:
		ok = size >= 2
	case connect:
		ok = size >= 12
	case connack, suback:
		ok = size >= 2
	case publish, subscribe, unsubscribe:
		ok = size >= 3
	default:
		ok = true
	}
	return p, ok, false
}

func detect(b []byte) l7.Verdict {
	p, ok, short := read(b)
	switch {
	case !ok:
		return l7.No
	case short:
		if len(b) == 0 || p.kind == connect || p.kind == publish || p.kind == subscribe {
			return l7.More
		}
		return l7.No
	}
	switch p.kind {
	case connect:
		return hello(p.b)
	case connack:
		// Session present or not, a code, and nothing else before the broker's
		// next packet; version 5 adds properties.
		if len(p.b) >= 2 && p.b[0] <= 1 && (p.total == 4 && p.b[1] <= 5 || p.total > 4 && len(b) >= p.total && len(p.b) >= 3 && int(p.b[2])+3 == p.total-2 && (p.b[1] == 0 || p.b[1] >= 0x80)) && follows(b, p.total, l7.Server) {
			return l7.Response
		}
	case publish:
		if !topical(p) {
			return l7.No
		}
		if len(b) < p.total && p.total <= 1<<10 {
			return l7.More
		}
		if len(b) >= p.total && (follows(b, p.total, l7.Client) || follows(b, p.total, l7.Server)) {
			return l7.Either
		}
	case pingreq:
		if len(b) == 2 { // nothing else is a chunk of these two bytes
			return l7.Request
		}
	case pingresp:
		if len(b) == 2 {
			return l7.Response
		}
	case subscribe:
		if len(b) < p.total {
			return l7.More
		}
		if filters(p) && follows(b, p.total, l7.Client) {
			return l7.Request
		}
	}
	return l7.No
}

// hello is the variable header of CONNECT.
func hello(b []byte) l7.Verdict {
	for _, h := range [...]string{"\x00\x04MQTT\x04", "\x00\x04MQTT\x05", "\x00\x06MQIsdp\x03"} {
		if n := min(len(b), len(h)); string(b[:n]) == h[:n] {
			if n < len(h) {
				return l7.More
			}
			return l7.Request
		}
	}
	return l7.No
}

// follows reports whether at b[at:] a packet of side starts, or nothing.
func follows(b []byte, at int, side l7.Side) bool {
	if at >= len(b) {
		return at == len(b)
	}
	p, ok, short := read(b[at:])
	return ok && (short || sent[side]>>p.kind&1 == 1)
}

// topical reports whether a PUBLISH names a legal topic.
func topical(p packet) bool {
	c := l7.NewCursor(p.b)
	n := int(c.U16())
	size := p.size
	if c.Short() {
		return true // too early to tell
	}
	if n == 0 || n+2 > size || (p.flags&6 != 0 && n+4 > size) {
		return false
	}
	t := c.Rest()[:min(n, c.Len())]
	for _, x := range t {
		if x < 0x20 || x == '+' || x == '#' || x == 0x7f {
			return false
		}
	}
	c.Take(n)
	return p.flags&6 == 0 || c.Short() || c.U16() != 0 || c.Short()
}

// filters reports whether a SUBSCRIBE of version 3 is exactly its filters.
func filters(p packet) bool {
	c := l7.NewCursor(p.b)
	if c.U16() == 0 {
		return false
	}
	for c.Len() > 0 {
		f := c.Take(int(c.U16()))
		if len(f) == 0 || c.U8() > 2 || c.Short() {
			return false
		}
	}
	return true
}

// code is the reason code after a packet id: a packet that ends there means 0;
// one that was cut there is not known.
func (k *packet) code(c *l7.Cursor) (code byte, known bool) {
	if c.Len() > 0 {
		return c.U8(), true
	}
	return 0, k.size == 2
}

// Find is where a packet of side starts and packets follow it to the end of b.
func (p *parser) Find(side l7.Side, b []byte) int {
	for i := range b {
		if p.chain(side, b[i:], i == 0) {
			return i
		}
	}
	return -1
}

// chain reports whether b is packets of side. Not first: the last must end
// where b ends, and a lone one has to name a topic.
func (p *parser) chain(side l7.Side, b []byte, first bool) bool {
	n, named := 0, false
	for len(b) > 0 {
		k, ok, short := read(b)
		if !ok || sent[side]>>k.kind&1 == 0 {
			return false
		}
		if k.kind == publish && !short {
			if !topical(k) {
				return false
			}
			named = true
		}
		if short {
			return first
		}
		if k.total > len(b) {
			return first && (n > 0 || named || k.total <= 1<<10)
		}
		n++
		b = b[k.total:]
	}
	return first || named || n > 1
}
