package thrift

import (
	"encoding/binary"
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

// fixed is the size of a value of each type that has one in the binary protocol,
// fixedCompact in the compact one, where most integers have none.
var (
	fixed        = [...]uint8{tBool: 1, tByte: 1, tDouble: 8, tI16: 2, tI32: 4, tI64: 8, tUUID: 16}
	fixedCompact = [...]uint8{tBool: 1, tByte: 1, tDouble: 8, tUUID: 16}
)

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
func (s *skipper) begin(compact bool) { s.compact, s.depth, s.stack[0] = compact, 1, level{} }

// run walks b, to the first place between two values behind piece bytes at most.
// n is how far it came, which is beyond b where a text goes on behind it; done:
// the struct has ended at n.
func (s *skipper) run(b []byte) (n int, done, bad bool) {
	pos := 0
	for s.depth > 0 {
		if pos >= piece || pos > len(b) {
			return pos, false, false
		}
		next, ok := 0, true
		if t := &s.stack[s.depth-1]; t.collection {
			next, ok = s.element(b, pos, t)
		} else {
			next, ok = s.field(b, pos)
		}
		if !ok || next < 0 {
			return pos, false, !ok
		}
		pos = next
	}
	return pos, true, false
}

// field walks over the field of a struct at b[pos:], into it if it is a
// container, or out of the struct if it has ended. next is where it ends; below
// 0 where b ends first, as if it had not been begun.
func (s *skipper) field(b []byte, pos int) (next int, ok bool) {
	if pos >= len(b) {
		return -1, true
	}
	h := b[pos]
	pos++
	if h == 0 {
		s.depth--
		return pos, true
	}
	if !s.compact {
		return s.value(b, pos+2, h)
	}
	typ := h & 15
	if int(typ) >= len(compactTypes) || typ == 0 {
		return 0, false
	}
	if h>>4 == 0 {
		if pos = varint(b, pos); pos < 0 {
			return -1, true
		}
	}
	if typ = compactTypes[typ]; typ == tBool {
		return pos, true
	}
	return s.value(b, pos, typ)
}

// element walks over the next elements of the collection t that have no parts,
// or into one that has, or out of t.
func (s *skipper) element(b []byte, pos int, t *level) (next int, ok bool) {
	if t.left == 0 {
		s.depth--
		return pos, true
	}
	if t.b == tStop {
		if size := s.size(t.a); size > 0 {
			// As many as there are, but none that begins behind piece.
			k := min(int(t.left), (len(b)-pos)/size, (piece-pos+size-1)/size)
			if k <= 0 {
				return -1, true
			}
			if t.left -= uint32(k); t.left == 0 {
				s.depth--
			}
			return pos + k*size, true
		}
		t.left--
		if next, ok = s.value(b, pos, t.a); next < 0 {
			t.left++
		}
		return next, ok
	}
	before := *t
	typ := t.a
	if t.turn {
		typ = t.b
		t.left--
	}
	t.turn = !t.turn
	if next, ok = s.value(b, pos, typ); next < 0 {
		*t = before
	}
	return next, ok
}

// size is that of a value of typ, 0 if they differ.
func (s *skipper) size(typ byte) int {
	switch {
	case s.compact && int(typ) < len(fixedCompact):
		return int(fixedCompact[typ])
	case !s.compact && int(typ) < len(fixed):
		return int(fixed[typ])
	}
	return 0
}

// value walks over the value of typ at b[pos:], or into it if it is a container.
// next is where it ends, which is behind b only where a text does; below 0 where
// b ends first.
func (s *skipper) value(b []byte, pos int, typ byte) (next int, ok bool) {
	if size := s.size(typ); size > 0 {
		if pos += size; pos > len(b) {
			return -1, true
		}
		return pos, true
	}
	switch typ {
	case tI16, tI32, tI64: // compact
		return varint(b, pos), true
	case tString:
		n, pos := s.count(b, pos)
		if n > maxFrame {
			return 0, false
		}
		if pos < 0 {
			return -1, true
		}
		return pos + int(n), true
	case tStruct:
		if pos > len(b) {
			return -1, s.depth < maxDepth
		}
		return pos, s.push(level{})
	case tList, tSet:
		if pos >= len(b) {
			return -1, true
		}
		l := level{collection: true, a: b[pos]}
		pos++
		if !s.compact {
			l.left, pos = s.count(b, pos)
		} else {
			h := l.a
			l.left = uint32(h >> 4)
			if l.left == 15 {
				l.left, pos = s.count(b, pos)
			}
			if int(h&15) >= len(compactTypes) {
				return 0, false
			}
			l.a = compactTypes[h&15]
		}
		if pos < 0 {
			return -1, true
		}
		return pos, l.left <= maxFrame && (l.a != tStop || l.left == 0) && s.push(l)
	case tMap:
		return s.pairs(b, pos)
	}
	return 0, false
}

// pairs walks into a map.
func (s *skipper) pairs(b []byte, pos int) (next int, ok bool) {
	l := level{collection: true}
	if s.compact {
		if l.left, pos = s.count(b, pos); pos < 0 {
			return -1, true
		}
		if l.left > 0 {
			if pos >= len(b) {
				return -1, true
			}
			h := b[pos]
			pos++
			if int(h>>4) >= len(compactTypes) || int(h&15) >= len(compactTypes) {
				return 0, false
			}
			l.a, l.b = compactTypes[h>>4], compactTypes[h&15]
		}
	} else {
		if pos+2 > len(b) {
			return -1, true
		}
		l.a, l.b = b[pos], b[pos+1]
		if l.left, pos = s.count(b, pos+2); pos < 0 {
			return -1, true
		}
	}
	return pos, l.left <= maxFrame && (l.left == 0 || l.a != tStop && l.b != tStop) && s.push(l)
}

func (s *skipper) push(l level) bool {
	if s.depth == maxDepth {
		return false
	}
	s.stack[s.depth] = l
	s.depth++
	return true
}

// count is a length at b[pos:], and where it ends; that is below 0 where b ends
// first.
func (s *skipper) count(b []byte, pos int) (n uint32, next int) {
	if s.compact {
		if pos < len(b) && b[pos] < 0x80 {
			return uint32(b[pos]), pos + 1
		}
		if next = varint(b, pos); next < 0 {
			return 0, -1
		}
		c := l7.NewCursor(b[pos:next])
		return uint32(min(c.Uvarint(), math.MaxUint32)), next
	}
	if len(b)-pos < 4 {
		return 0, -1
	}
	return binary.BigEndian.Uint32(b[pos:]), pos + 4
}

// varint is where the number at b[pos:] ends, in groups of seven bits; below 0
// where b ends first, or none of 64 bits does.
func varint(b []byte, pos int) int {
	for i := pos; i < len(b) && i < pos+10; i++ {
		if b[i] < 0x80 {
			if i == pos+9 && b[i] > 1 {
				return -1
			}
			return i + 1
		}
	}
	return -1
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
			n := uint64(0)
			if compact {
				n = min(c.Uvarint(), math.MaxUint32)
			} else {
				n = uint64(c.U32())
			}
			if v := c.Take(int(n)); !c.Short() {
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
