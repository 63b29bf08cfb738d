package dubbo

import (
	"encoding/binary"

	"github.com/hopscope/hopscope/internal/l7"
)

// Hessian2 values by their first byte: http://hessian.caucho.com/doc/hessian-serialization.html#anchor38

// chars takes n UTF-16 characters, which is how Hessian counts a text's length.
func chars(c *l7.Cursor, n int) []byte {
	i, b := 0, c.Rest()
	for ; n > 0 && i < len(b); n-- {
		switch x := b[i]; {
		case x < 0x80:
			i++
		case x < 0xe0:
			i += 2
		case x < 0xf0:
			i += 3
		default:
			i += 4
			n--
		}
	}
	if n > 0 {
		i = len(b) + 1
	}
	return c.Take(i)
}

// text reads a string of one chunk.
func text(c *l7.Cursor) ([]byte, bool) {
	// Most are short and ASCII, where characters are bytes.
	if b := c.Rest(); len(b) > 0 && b[0] <= 0x1f {
		if n := int(b[0]) + 1; n <= len(b) && ascii(b[1:n]) {
			c.Skip(n)
			return b[1:n:n], true
		}
	}
	var n int
	switch x := c.U8(); {
	case x <= 0x1f:
		n = int(x)
	case x >= 0x30 && x <= 0x33:
		n = int(x-0x30)<<8 | int(c.U8())
	case x == 'S':
		n = int(c.U16())
	case x == 'N':
		return nil, !c.Short()
	default:
		return nil, false
	}
	b := chars(c, n)
	return b, !c.Short()
}

// ascii reports whether no byte of b is of a longer character; eight at a time.
func ascii(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b)&0x8080808080808080 != 0 {
			return false
		}
	}
	for _, x := range b {
		if x >= 0x80 {
			return false
		}
	}
	return true
}

const (
	// maxDepth bounds nesting, maxClasses the class definitions of a message,
	// maxFields the fields of a class.
	maxDepth   = 32
	maxClasses = 64
	maxFields  = 1 << 10
)

// skipper walks over values. It remembers how many fields the classes have that
// the message defines.
type skipper struct {
	classes int
	fields  [maxClasses]uint16
}

// integer reads an int.
func integer(c *l7.Cursor) (int, bool) {
	switch x := c.U8(); {
	case x >= 0x80 && x <= 0xbf:
		return int(x) - 0x90, !c.Short()
	case x >= 0xc0 && x <= 0xcf:
		return (int(x)-0xc8)<<8 | int(c.U8()), !c.Short()
	case x >= 0xd0 && x <= 0xd7:
		return (int(x)-0xd4)<<16 | int(c.U16()), !c.Short()
	case x == 'I':
		return int(int32(c.U32())), !c.Short()
	}
	return 0, false
}

// typeName skips a type: its name, or the number of one used before.
func typeName(c *l7.Cursor) bool {
	if c.Len() == 0 {
		return false
	}
	if x := c.Peek(); x <= 0x1f || x >= 0x30 && x <= 0x33 || x == 'S' {
		_, ok := text(c)
		return ok
	}
	_, ok := integer(c)
	return ok
}

// value skips one value; false if it is not whole, or not understood.
func (s *skipper) value(c *l7.Cursor, depth int) bool {
	if depth > maxDepth {
		return false
	}
	if c.Len() == 0 {
		return false
	}
	x := c.Peek()
	switch {
	case x <= 0x1f, x >= 0x30 && x <= 0x33, x == 'S':
		_, ok := text(c)
		return ok
	case x == 'R': // a chunk of a string, more follow
		c.U8()
		chars(c, int(c.U16()))
		return !c.Short() && s.value(c, depth+1)
	}
	c.U8()
	switch {
	case x >= 0x20 && x <= 0x2f: // short binary
		c.Skip(int(x - 0x20))
	case x >= 0x34 && x <= 0x37:
		c.Skip(int(x-0x34)<<8 | int(c.U8()))
	case x == 'B':
		c.Skip(int(c.U16()))
	case x == 'A':
		c.Skip(int(c.U16()))
		return !c.Short() && s.value(c, depth+1)
	case x >= 0x38 && x <= 0x3f: // long
		c.Skip(2)
	case x == 'N', x == 'T', x == 'F', x >= 0x80 && x <= 0xbf, x >= 0xd8 && x <= 0xef, x == 0x5b, x == 0x5c:
	case x >= 0xc0 && x <= 0xcf, x >= 0xf0, x == 0x5d:
		c.Skip(1)
	case x >= 0xd0 && x <= 0xd7, x == 0x5e:
		c.Skip(2)
	case x == 'I', x == 'Y', x == 0x5f, x == 'K':
		c.Skip(4)
	case x == 'L', x == 'D', x == 'J':
		c.Skip(8)
	case x == 'Q': // a reference
		_, ok := integer(c)
		return ok
	case x == 'C':
		return s.class(c) && s.value(c, depth+1)
	case x == 'O':
		n, ok := integer(c)
		return ok && s.object(c, n, depth)
	case x >= 0x60 && x <= 0x6f:
		return s.object(c, int(x-0x60), depth)
	case x == 'M':
		return typeName(c) && s.until(c, depth)
	case x == 'H', x == 'W':
		return s.until(c, depth)
	case x == 'U':
		return typeName(c) && s.until(c, depth)
	case x == 'V':
		if !typeName(c) {
			return false
		}
		n, ok := integer(c)
		return ok && s.times(c, n, depth)
	case x == 'X':
		n, ok := integer(c)
		return ok && s.times(c, n, depth)
	case x >= 0x70 && x <= 0x77:
		return typeName(c) && s.times(c, int(x-0x70), depth)
	case x >= 0x78 && x <= 0x7f:
		return s.times(c, int(x-0x78), depth)
	default:
		return false
	}
	return !c.Short()
}

// class reads a class definition.
func (s *skipper) class(c *l7.Cursor) bool {
	if _, ok := text(c); !ok {
		return false
	}
	n, ok := integer(c)
	if !ok || n < 0 || n > maxFields || s.classes == maxClasses {
		return false
	}
	for range n {
		if _, ok := text(c); !ok {
			return false
		}
	}
	s.fields[s.classes] = uint16(n)
	s.classes++
	return true
}

func (s *skipper) object(c *l7.Cursor, class, depth int) bool {
	return class >= 0 && class < s.classes && s.times(c, int(s.fields[class]), depth)
}

func (s *skipper) times(c *l7.Cursor, n, depth int) bool {
	for ; n > 0; n-- {
		if !s.value(c, depth+1) {
			return false
		}
	}
	return n == 0
}

// until skips values up to a Z.
func (s *skipper) until(c *l7.Cursor, depth int) bool {
	for c.Len() > 0 {
		if c.Peek() == 'Z' {
			c.U8()
			return true
		}
		if !s.value(c, depth+1) {
			return false
		}
	}
	return false
}

// entries gives f the text entries of the map at c.
func (s *skipper) entries(c *l7.Cursor, f func(k, v []byte)) {
	switch c.U8() {
	case 'H':
	case 'M':
		if !typeName(c) {
			return
		}
	default:
		return
	}
	for c.Len() > 0 && c.Peek() != 'Z' {
		k, ok := text(c)
		if !ok || c.Len() == 0 {
			return
		}
		if x := c.Peek(); x <= 0x1f || x >= 0x30 && x <= 0x33 || x == 'S' {
			v, ok := text(c)
			if !ok {
				return
			}
			f(k, v)
		} else if !s.value(c, 0) {
			return
		}
	}
}

// className is the class of the object at c, if it is defined there.
func className(c *l7.Cursor) []byte {
	if c.U8() != 'C' {
		return nil
	}
	b, ok := text(c)
	if !ok || !plain(b) {
		return nil
	}
	return b
}
