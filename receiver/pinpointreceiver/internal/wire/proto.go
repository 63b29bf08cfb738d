// Package wire reads the messages of Pinpoint agents: protocol buffers of
// package v1, decoded by hand into what is used of them.
//
// Strings are cut from the message, which is copied once: nothing aliases the
// bytes that came in.
package wire

import (
	"errors"
	"math"
)

// ErrMessage: the bytes are no such message.
var ErrMessage = errors.New("wire: not a message of this type")

// Limits, against messages made to harm: agents stay far below them.
const (
	// MaxEvents bounds the events of one span message (agents: 5000 in all of a
	// span's messages).
	MaxEvents = 20000
	// MaxAnnotations bounds those of one span or event.
	MaxAnnotations = 1000
	// maxVarint is the length of the longest varint.
	maxVarint = 10
)

// fields goes through the fields of a message.
type fields struct {
	s   string
	num uint32
	typ uint8
	v   uint64 // of a varint or a fixed field
	b   string // of a length-delimited one
	bad bool
	// Events and annotations left out.
	cut, notes int
}

const (
	varint  = 0
	fixed64 = 1
	bytes   = 2
	fixed32 = 5
)

func (f *fields) next() bool {
	if len(f.s) == 0 || f.bad {
		return false
	}
	// Nearly all keys and most values are one byte.
	if key := f.s[0]; key < 0x80 && key > 7 && len(f.s) > 1 && f.s[1] < 0x80 {
		switch n := int(f.s[1]); {
		case key&7 == varint:
			f.num, f.typ, f.v, f.b, f.s = uint32(key>>3), varint, uint64(n), "", f.s[2:]
			return true
		case key&7 == bytes && n <= len(f.s)-2:
			f.num, f.typ, f.v, f.b, f.s = uint32(key>>3), bytes, 0, f.s[2:2+n], f.s[2+n:]
			return true
		}
	}
	key, ok := f.varint()
	if !ok || key>>3 == 0 || key>>3 > 1<<29-1 {
		f.bad = true
		return false
	}
	f.num, f.typ = uint32(key>>3), uint8(key&7)
	f.b, f.v = "", 0
	switch f.typ {
	case varint:
		f.v, ok = f.varint()
	case fixed64:
		if ok = len(f.s) >= 8; ok {
			for i := range 8 {
				f.v |= uint64(f.s[i]) << (8 * i)
			}
			f.s = f.s[8:]
		}
	case fixed32:
		if ok = len(f.s) >= 4; ok {
			for i := range 4 {
				f.v |= uint64(f.s[i]) << (8 * i)
			}
			f.s = f.s[4:]
		}
	case bytes:
		var n uint64
		if n, ok = f.varint(); ok && n <= uint64(len(f.s)) {
			f.b, f.s = f.s[:n], f.s[n:]
		} else {
			ok = false
		}
	default:
		ok = false
	}
	f.bad = f.bad || !ok
	return ok
}

func (f *fields) varint() (v uint64, ok bool) {
	for i := 0; i < len(f.s) && i < maxVarint; i++ {
		c := f.s[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			f.s = f.s[i+1:]
			return v, true
		}
	}
	return 0, false
}

// want fails the message if the field in hand has another type.
func (f *fields) want(typ uint8) bool {
	if f.typ != typ {
		f.bad = true
		return false
	}
	return true
}

func (f *fields) int32() int32 {
	f.want(varint)
	return int32(f.v)
}

func (f *fields) int64() int64 {
	f.want(varint)
	return int64(f.v)
}

func (f *fields) sint32() int32 {
	f.want(varint)
	u := uint32(f.v)
	return int32(u>>1) ^ -int32(u&1)
}

func (f *fields) sfixed64() int64 {
	f.want(fixed64)
	return int64(f.v)
}

func (f *fields) double() float64 {
	f.want(fixed64)
	return math.Float64frombits(f.v)
}

func (f *fields) str() string {
	f.want(bytes)
	return f.b
}

// ints appends a repeated int32, packed or not.
func (f *fields) ints(dst []int32) []int32 {
	if f.typ == varint {
		return append(dst, int32(f.v))
	}
	if !f.want(bytes) {
		return dst
	}
	for p := (fields{s: f.b}); len(p.s) > 0; {
		v, ok := p.varint()
		if !ok {
			f.bad = true
			break
		}
		dst = append(dst, int32(v))
	}
	return dst
}

// inner goes through the message in the field in hand.
func (f *fields) inner() fields { return fields{s: f.str()} }

// merge takes over that an inner message was bad, and what it left out.
func (f *fields) merge(in *fields) {
	f.bad = f.bad || in.bad
	f.cut, f.notes = f.cut+in.cut, f.notes+in.notes
}
