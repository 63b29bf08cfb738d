package dubbo

import (
	"bytes"

	"github.com/hopscope/hopscope/internal/l7"
)

// maxString bounds the texts in front of a call: names and descriptors.
const maxString = 4 << 10

// kryo reads a string as Kryo writes it: ASCII with the end marked in its last
// byte, or a length (one more than it is) and UTF-8.
func kryo(c *l7.Cursor) ([]byte, bool) {
	if c.Len() == 0 {
		return nil, false
	}
	if c.Peek()&0x80 == 0 {
		for i, x := range c.Rest()[:min(c.Len(), maxString)] {
			if x&0x80 != 0 {
				b := append([]byte(nil), c.Take(i+1)...)
				b[i] &= 0x7f
				return b, true
			}
		}
		return nil, false
	}
	x := c.U8()
	n := int(x & 0x3f)
	if x&0x40 != 0 {
		n |= int(min(c.Uvarint(), maxString)) << 6
	}
	if n <= 1 {
		return nil, !c.Short()
	}
	b := chars(c, n-1)
	return b, !c.Short()
}

// jsonb reads a string as Dubbo's Fastjson2 writes it: the length of the value,
// then the value in JSONB.
func jsonb(c *l7.Cursor) ([]byte, bool) {
	n := c.U32()
	if n == 0 || n > maxString {
		return nil, false
	}
	b := c.Take(int(n))
	if c.Short() {
		return nil, false
	}
	// BC_STR_ASCII_FIX_MIN..MAX, BC_STR_ASCII, BC_STR_UTF8, BC_NULL.
	switch x := b[0]; {
	case x >= 0x49 && x <= 0x78 && int(x-0x49) == len(b)-1:
		return b[1:], true
	case x == 0x79 || x == 0x7a:
		// The length is a number of 1 to 5 bytes: what is left of the value.
		v := b[1:]
		if len(v) == 0 {
			return nil, false
		}
		switch y := v[0]; {
		case y < 0x30 || y >= 0xf0:
			v = v[1:]
		case y <= 0x3f && len(v) > 2:
			v = v[2:]
		case y <= 0x47 && len(v) > 3:
			v = v[3:]
		case y == 0x48 && len(v) > 5:
			v = v[5:]
		default:
			return nil, false
		}
		return v, true
	case x == 0xaf:
		return nil, true
	}
	return nil, false
}

// quoted reads a JSON string and the line end behind it.
func quoted(c *l7.Cursor) ([]byte, bool) {
	line := bytes.TrimRight(c.Until('\n'), "\r")
	if c.Short() || len(line) > maxString {
		return nil, false
	}
	if string(line) == "null" {
		return nil, true
	}
	if len(line) < 2 || line[0] != '"' || line[len(line)-1] != '"' || bytes.IndexByte(line, '\\') >= 0 {
		return nil, false
	}
	return line[1 : len(line)-1], true
}
