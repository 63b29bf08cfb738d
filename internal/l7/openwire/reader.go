package openwire

import (
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// reader reads the fields of one command, in either form. Tight: the bits of all
// fields come first, then their bytes. Loose: each in its turn.
type reader struct {
	c      l7.Cursor
	format format
	side   *format
	text   *l7.Text
	bits   []byte
	bit    int
	depth  int
}

// bits takes the bit stream in front of a command.
func bits(c *l7.Cursor) []byte {
	n := int(c.U8())
	switch n {
	case 0xc0:
		n = int(c.U8())
	case 0x80:
		n = int(c.U16())
	}
	return c.Take(n)
}

// bool is a flag.
func (r *reader) bool() bool {
	if !r.format.tight {
		return r.c.U8() != 0
	}
	i := r.bit
	r.bit++
	if i>>3 >= len(r.bits) {
		r.c.Fail() // nothing more can be told
		return false
	}
	return r.bits[i>>3]>>(i&7)&1 != 0
}

func (r *reader) int32() int32 { return int32(r.c.U32()) }

// int64 is a number, which the tight form shortens.
func (r *reader) int64() int64 {
	if !r.format.tight {
		return int64(r.c.U64())
	}
	if r.bool() {
		if r.bool() {
			return int64(r.c.U64())
		}
		return int64(r.c.U32())
	}
	if r.bool() {
		return int64(r.c.U16())
	}
	return 0
}

// string is a text, in Java's form of UTF-8.
func (r *reader) string() []byte {
	if !r.bool() {
		return nil
	}
	if r.format.tight {
		r.bool() // it is ASCII only; the length is that of its bytes either way
	}
	return r.c.Take(int(r.c.U16()))
}

// content is a sequence of bytes.
func (r *reader) content() []byte {
	if !r.bool() {
		return nil
	}
	n := int32(r.c.U32())
	if n < 0 {
		r.c.Take(-1)
		return nil
	}
	if v := r.c.Rest(); int(n) > len(v) { // cut: the part that is there
		r.c.Take(len(v) + 1)
		return v
	}
	return r.c.Take(int(n))
}

// object is one of the small things that commands refer to: a destination or an
// id, as text (of producers and messages only). Those that the cache serves are
// sent once.
func (r *reader) object(cached bool) string {
	if !cached || !r.format.cache {
		return r.nested()
	}
	fresh := r.bool()
	i := r.c.U16()
	if !fresh {
		if int(i) < len(r.side.cached) {
			return r.side.cached[i]
		}
		return ""
	}
	v := r.nested()
	if r.c.Short() || i >= maxCache {
		return ""
	}
	for int(i) >= len(r.side.cached) {
		r.side.cached = append(r.side.cached, "")
	}
	r.side.cached[i] = v
	return v
}

// maxDepth bounds things in things.
const maxDepth = 8

// nested is an object that is there, or nothing.
func (r *reader) nested() string {
	if !r.bool() {
		return ""
	}
	if r.depth++; r.depth > maxDepth {
		r.c.Fail()
		return ""
	}
	v := r.thing()
	r.depth--
	return v
}

// thing is the object that is there.
func (r *reader) thing() string {
	switch kind := r.c.U8(); kind {
	case queue, topic, tempQueue, tempTopic:
		return r.text.Word(r.string())
	case connectionID, brokerID:
		r.string()
		return ""
	case sessionID:
		r.string()
		r.int64()
		return ""
	case consumerID:
		r.string()
		r.int64()
		r.int64()
		return ""
	case producerID:
		connection := r.string()
		value := r.int64()
		return r.id(connection, r.int64(), value)
	case messageID:
		var view []byte
		if r.format.version >= 10 {
			view = r.string()
		}
		producer := r.object(true)
		sequence := r.int64()
		r.int64() // the broker's
		if len(view) > 0 {
			return r.text.Copy(view)
		}
		if producer == "" {
			return ""
		}
		return r.text.Build(len(producer)+21, func(dst []byte) int {
			return len(strconv.AppendInt(append(append(dst[:0], producer...), ':'), sequence, 10))
		})
	case localTransaction:
		r.int64()
		r.object(true)
		return ""
	case xaTransaction:
		r.int32()
		r.content()
		r.content()
		return ""
	}
	r.c.Fail()
	return ""
}

// id is how ActiveMQ writes a producer's id: parts with colons between them.
func (r *reader) id(connection []byte, a, b int64) string {
	if r.c.Short() {
		return ""
	}
	return r.text.Build(len(connection)+42, func(dst []byte) int {
		out := strconv.AppendInt(append(append(dst[:0], connection...), ':'), a, 10)
		return len(strconv.AppendInt(append(out, ':'), b, 10))
	})
}

// value is a property of a message.
type value struct {
	text   []byte
	number int64
}

// properties reads a map in the form of ActiveMQ's primitives.
func properties(c *l7.Cursor, f func(key []byte, v value)) {
	for n := int32(c.U32()); n > 0 && !c.Short(); n-- {
		key := c.Take(int(c.U16()))
		var v value
		switch c.U8() {
		case 0: // null
		case 1, 2:
			v.number = int64(c.U8())
		case 3, 4:
			v.number = int64(c.U16())
		case 5:
			v.number = int64(int32(c.U32()))
		case 6:
			v.number = int64(c.U64())
		case 7:
			c.U64()
		case 8:
			c.U32()
		case 9:
			v.text = c.Take(int(c.U16()))
		case 10:
			c.Take(int(c.U32()))
		case 13:
			v.text = c.Take(int(c.U32()))
		default:
			return // maps and lists
		}
		if !c.Short() {
			f(key, v)
		}
	}
}
