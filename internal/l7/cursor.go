package l7

import (
	"bytes"
	"encoding/binary"
)

// Cursor reads fixed-width fields off the front of B. A read past the end
// gives zero and sets the mark that Short reports: read a whole header, ask
// once.
type Cursor struct {
	B     []byte
	short bool
}

// Short reports whether any read went past the end.
func (c *Cursor) Short() bool { return c.short }

// Len is what is left.
func (c *Cursor) Len() int { return len(c.B) }

// Take is the next n bytes, aliased, or nil when fewer are left.
func (c *Cursor) Take(n int) []byte {
	if n < 0 || n > len(c.B) {
		c.short, c.B = true, nil
		return nil
	}
	b := c.B[:n:n]
	c.B = c.B[n:]
	return b
}

// Skip drops n bytes.
func (c *Cursor) Skip(n int) { c.Take(n) }

// U8 is the next byte.
func (c *Cursor) U8() byte {
	if b := c.Take(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 is big-endian, as are U32 and U64.
func (c *Cursor) U16() uint16 {
	if b := c.Take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// U32 is the next four bytes.
func (c *Cursor) U32() uint32 {
	if b := c.Take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// U64 is the next eight bytes.
func (c *Cursor) U64() uint64 {
	if b := c.Take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// U16LE is little-endian, as are U24LE, U32LE and U64LE.
func (c *Cursor) U16LE() uint16 {
	if b := c.Take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// U24LE is the next three bytes.
func (c *Cursor) U24LE() uint32 {
	if b := c.Take(3); b != nil {
		return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
	}
	return 0
}

// U32LE is the next four bytes.
func (c *Cursor) U32LE() uint32 {
	if b := c.Take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// U64LE is the next eight bytes.
func (c *Cursor) U64LE() uint64 {
	if b := c.Take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Until is what lies before the next sep; sep is read too.
func (c *Cursor) Until(sep byte) []byte {
	i := bytes.IndexByte(c.B, sep)
	if i < 0 {
		c.short, c.B = true, nil
		return nil
	}
	b := c.B[:i:i]
	c.B = c.B[i+1:]
	return b
}

// Line is what lies before the next CR LF, which is read too.
func (c *Cursor) Line() []byte {
	i := bytes.Index(c.B, crlf)
	if i < 0 {
		c.short, c.B = true, nil
		return nil
	}
	b := c.B[:i:i]
	c.B = c.B[i+2:]
	return b
}

var crlf = []byte("\r\n")
