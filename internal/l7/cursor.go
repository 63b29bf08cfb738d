package l7

import (
	"bytes"
	"encoding/binary"
)

// Cursor reads fixed-width fields off the front of bytes. A read past the end
// gives zero and sets the mark that Short reports, and there is nothing more to
// read: read a whole header, ask once.
//
// It counts a place up rather than cutting bytes off a slice, since a pointer
// that is written again for every field costs more than the field does.
type Cursor struct {
	b  []byte
	at int // beyond len(b) after a read past the end
}

// NewCursor reads b from its beginning.
func NewCursor(b []byte) Cursor { return Cursor{b: b} }

// Short reports whether any read went past the end.
func (c *Cursor) Short() bool { return c.at > len(c.b) }

// Len is what is left.
func (c *Cursor) Len() int { return max(len(c.b)-c.at, 0) }

// Rest is what is left, aliased.
func (c *Cursor) Rest() []byte {
	if c.at > len(c.b) {
		return nil
	}
	return c.b[c.at:]
}

// Keep leaves no more than n bytes.
func (c *Cursor) Keep(n int) {
	if n = max(n, 0); n < len(c.b)-c.at {
		c.b = c.b[:c.at+n]
	}
}

// Fail is a read past the end: what was read is not what was thought.
func (c *Cursor) Fail() { c.at = len(c.b) + 1 }

// Peek is the next byte, which stays; 0 at the end.
func (c *Cursor) Peek() byte {
	if c.at < len(c.b) {
		return c.b[c.at]
	}
	return 0
}

// Take is the next n bytes, aliased, or nil when fewer are left.
func (c *Cursor) Take(n int) []byte {
	at := c.at
	if n < 0 || n > len(c.b)-at {
		c.at = len(c.b) + 1
		return nil
	}
	c.at = at + n
	return c.b[at : at+n : at+n]
}

// Skip drops n bytes.
func (c *Cursor) Skip(n int) {
	if n < 0 || n > len(c.b)-c.at {
		n = len(c.b) + 1 - c.at
	}
	c.at += n
}

// U8 is the next byte.
func (c *Cursor) U8() byte {
	if at := c.at; at < len(c.b) {
		c.at = at + 1
		return c.b[at]
	}
	c.at = len(c.b) + 1
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
	rest := c.Rest()
	i := bytes.IndexByte(rest, sep)
	if i < 0 {
		c.Fail()
		return nil
	}
	c.at += i + 1
	return rest[:i:i]
}

// Line is what lies before the next CR LF, which is read too.
func (c *Cursor) Line() []byte {
	rest := c.Rest()
	i := bytes.Index(rest, crlf)
	if i < 0 {
		c.Fail()
		return nil
	}
	c.at += i + 2
	return rest[:i:i]
}

var crlf = []byte("\r\n")
