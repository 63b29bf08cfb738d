package thrift

import (
	"math"
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// Field types of the binary protocol.
const (
	tStop   = 0
	tBool   = 2
	tByte   = 3
	tDouble = 4
	tI16    = 6
	tI32    = 8
	tI64    = 10
	tString = 11
	tStruct = 12
	tMap    = 13
	tSet    = 14
	tList   = 15
	tUUID   = 16
)

// compactTypes maps the compact protocol's types to these; true and false have
// their value in the type.
var compactTypes = [...]byte{1: tBool, 2: tBool, 3: tByte, 4: tI16, 5: tI32, 6: tI64, 7: tDouble, 8: tString, 9: tList, 10: tSet, 11: tMap, 12: tStruct, 13: tUUID}

// maxDepth bounds the nesting that is followed; Thrift's own limit is 64.
const maxDepth = 64

// skipper walks over a value without keeping it. It can stop between any two
// simple values and go on later, so that no message is too long for it.
type skipper struct {
	compact bool
	depth   int
	stack   [maxDepth]level
}

// level is a container that is open: a struct until its stop, or a collection
// with left elements of types a and b in turn.
type level struct {
	collection bool
	a, b       byte // b is tStop but for maps
	turn       bool // b is next
	left       uint32
}

// begin opens the struct that a message's arguments are.
func (s *skipper) begin() { s.depth, s.stack[0] = 1, level{} }

// run walks b, to the first place between two values behind piece bytes at most.
// n is how far it came, which is beyond b where a text goes on behind it; done:
// the struct has ended at n.
func (s *skipper) run(b []byte) (n int, done, bad bool) {
	pos := 0
	for s.depth > 0 {
		if pos >= piece || pos > len(b) {
			return pos, false, false
		}
		c := l7.NewCursor(b[pos:])
		before := *s.top()
		depth := s.depth
		size, ok := s.step(&c)
		if !ok {
			return pos, false, true
		}
		if c.Short() { // not whole: as if it had not been begun
			s.depth = depth
			*s.top() = before
			return pos, false, false
		}
		pos = len(b) - c.Len() + size
	}
	return pos, true, false
}

func (s *skipper) top() *level { return &s.stack[s.depth-1] }

// step walks over one simple value, or into or out of a container. size is how
// much of a text is still to be skipped.
func (s *skipper) step(c *l7.Cursor) (size int, ok bool) {
	t := s.top()
	var typ byte
	inline := false
	if !t.collection {
		h := c.U8()
		if c.Short() {
			return 0, true
		}
		if s.compact {
			typ = h & 15
			if h == 0 {
				s.depth--
				return 0, true
			}
			if int(typ) >= len(compactTypes) || typ == 0 {
				return 0, false
			}
			if h>>4 == 0 {
				c.Varint()
			}
			typ = compactTypes[typ]
			inline = typ == tBool
		} else {
			if h == tStop {
				s.depth--
				return 0, true
			}
			typ = h
			c.Skip(2)
		}
	} else {
		if t.left == 0 {
			s.depth--
			return 0, true
		}
		typ = t.a
		if t.turn {
			typ = t.b
		}
		if t.b == tStop || t.turn {
			t.left--
		}
		t.turn = t.b != tStop && !t.turn
	}
	if inline {
		return 0, true
	}
	return s.value(c, typ)
}

func (s *skipper) value(c *l7.Cursor, typ byte) (size int, ok bool) {
	switch typ {
	case tBool, tByte:
		c.Skip(1)
	case tI16, tI32, tI64:
		switch {
		case s.compact:
			c.Uvarint()
		case typ == tI16:
			c.Skip(2)
		case typ == tI32:
			c.Skip(4)
		default:
			c.Skip(8)
		}
	case tDouble:
		c.Skip(8)
	case tUUID:
		c.Skip(16)
	case tString:
		n := s.count(c)
		if n > maxFrame {
			return 0, false
		}
		have := min(int(n), c.Len())
		if !c.Short() {
			c.Skip(have)
		}
		return int(n) - have, true
	case tStruct:
		return 0, s.push(level{})
	case tList, tSet:
		l := level{collection: true}
		if s.compact {
			h := c.U8()
			l.left = uint32(h >> 4)
			if l.left == 15 {
				l.left = s.count(c)
			}
			if int(h&15) >= len(compactTypes) {
				return 0, false
			}
			l.a = compactTypes[h&15]
		} else {
			l.a = c.U8()
			l.left = c.U32()
		}
		if c.Short() {
			return 0, true
		}
		return 0, l.left <= maxFrame && (l.a != tStop || l.left == 0) && s.push(l)
	case tMap:
		l := level{collection: true}
		if s.compact {
			if l.left = s.count(c); l.left > 0 {
				h := c.U8()
				if int(h>>4) >= len(compactTypes) || int(h&15) >= len(compactTypes) {
					return 0, false
				}
				l.a, l.b = compactTypes[h>>4], compactTypes[h&15]
			}
		} else {
			l.a, l.b = c.U8(), c.U8()
			l.left = c.U32()
		}
		if c.Short() {
			return 0, true
		}
		return 0, l.left <= maxFrame && (l.left == 0 || l.a != tStop && l.b != tStop) && s.push(l)
	default:
		return 0, false
	}
	return 0, true
}

func (s *skipper) push(l level) bool {
	if s.depth == maxDepth {
		return false
	}
	s.stack[s.depth] = l
	s.depth++
	return true
}

// count is a length.
func (s *skipper) count(c *l7.Cursor) uint32 {
	if s.compact {
		return uint32(min(c.Uvarint(), math.MaxUint32))
	}
	return c.U32()
}

// firstField is the id of the first field of a struct, 0 if it has none.
func firstField(b []byte, compact bool) (id int, ok bool) {
	c := l7.NewCursor(b)
	h := c.U8()
	switch {
	case h == 0:
	case !compact:
		id = int(int16(c.U16()))
	case h>>4 != 0:
		id = int(h >> 4)
	default:
		id = int(c.Varint())
	}
	return id, !c.Short()
}

// exceptionTypes of TApplicationException.
var exceptionTypes = [...]string{"unknown", "unknown method", "invalid message type", "wrong method name", "bad sequence id",
	"missing result", "internal error", "protocol error", "invalid transform", "invalid protocol", "unsupported client type"}

// applicationException is the text of one: field 1 the message, field 2 the
// type.
func applicationException(t *l7.Text, b []byte, compact bool) string {
	var text []byte
	kind := -1
	c := l7.NewCursor(b)
	s := skipper{compact: compact}
	for range 2 {
		h := c.U8()
		if h == 0 || c.Short() {
			break
		}
		isText, isInt := h == tString, h == tI32
		if compact {
			if h>>4 == 0 {
				c.Varint()
			}
			isText, isInt = h&15 == 8, h&15 == 5
		} else {
			c.Skip(2)
		}
		switch {
		case isText:
			if v := c.Take(int(s.count(&c))); !c.Short() {
				text = v
			}
		case isInt && compact:
			kind = int(c.Varint())
		case isInt:
			kind = int(int32(c.U32()))
		}
	}
	name := ""
	switch {
	case c.Short() || kind < 0:
	case kind < len(exceptionTypes):
		name = exceptionTypes[kind]
	default:
		name = strconv.Itoa(kind)
	}
	if len(text) > maxText {
		text = text[:maxText]
	}
	if len(text) == 0 || name == "" {
		return t.Join(name, l7.View(text))
	}
	return t.Join(name, ": ", l7.View(text))
}

// maxText bounds an exception's text.
const maxText = 512
