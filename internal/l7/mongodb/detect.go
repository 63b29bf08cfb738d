package mongodb

import (
	"encoding/binary"

	"github.com/hopscope/hopscope/internal/l7"
)

func detect(b []byte) l7.Verdict {
	if len(b) < headerLen {
		if len(b) >= 4 {
			if n := int(int32(binary.LittleEndian.Uint32(b))); n < headerLen || n > maxMessage {
				return l7.No
			}
		}
		return l7.More
	}
	h := readHeader(b)
	if !h.valid() {
		return l7.No
	}
	b = b[headerLen:min(len(b), h.n)]
	switch h.op {
	case opMsg:
		if len(b) < 5 {
			return l7.More
		}
		if flags := binary.LittleEndian.Uint32(b); flags&^flagsKnown != 0 {
			return l7.No
		}
		switch b[4] {
		case 0:
			if v := command(b[5:], h.n-headerLen-5); v != l7.Request {
				return v
			}
		case 1:
			if len(b) < 9 {
				return l7.More
			}
			n := int(int32(binary.LittleEndian.Uint32(b[5:])))
			if n < 4+2+minDoc || n > h.n-headerLen-5 {
				return l7.No
			}
			if v := name(b[9:], false); v != l7.Request {
				return v
			}
		default:
			return l7.No
		}
		if h.to != 0 {
			return l7.Response
		}
		return l7.Request
	case opReply:
		if len(b) < 20 {
			return l7.More
		}
		if binary.LittleEndian.Uint32(b)&^0xf != 0 {
			return l7.No
		}
		if n := binary.LittleEndian.Uint32(b[16:]); n > uint32(h.n/minDoc) {
			return l7.No
		} else if n > 0 {
			if v := command(b[20:], h.n-headerLen-20); v != l7.Request {
				return v
			}
		} else if h.n != headerLen+20 {
			return l7.No
		}
		return l7.Response
	case opCompressed:
		if len(b) < 9 {
			return l7.More
		}
		inner := header{op: binary.LittleEndian.Uint32(b), n: headerLen + int(int32(binary.LittleEndian.Uint32(b[4:])))}
		if inner.op == opCompressed || !inner.valid() || b[8] > 3 {
			return l7.No
		}
		if inner.op == opReply || h.to != 0 {
			return l7.Response
		}
		return l7.Request
	case opKillCursors:
		if len(b) < 8 {
			return l7.More
		}
		if n := binary.LittleEndian.Uint32(b[4:]); binary.LittleEndian.Uint32(b) != 0 || uint64(n)*8 != uint64(h.n-headerLen-8) {
			return l7.No
		}
		return l7.Request
	}
	if len(b) < 4 {
		return l7.More
	}
	flags := binary.LittleEndian.Uint32(b)
	if h.op == opQuery && flags&^0xff != 0 || h.op == opInsert && flags > 1 || h.op != opQuery && h.op != opInsert && flags != 0 {
		return l7.No
	}
	return name(b[4:], true)
}

// command: b looks like a document with a command or an answer in it, of at
// most room bytes.
func command(b []byte, room int) l7.Verdict {
	if len(b) < 4 {
		return l7.More
	}
	n := int(int32(binary.LittleEndian.Uint32(b)))
	if n < minDoc || n > room {
		return l7.No
	}
	if n == minDoc {
		return l7.Request
	}
	if len(b) < 5 {
		return l7.More
	}
	if t := b[4]; t == 0 || t > 0x13 {
		return l7.No
	}
	return name(b[5:], false)
}

// maxName is longer than any command or field that a message starts with, and
// as long as the longest namespace.
const maxName = 255

// name: b starts with a name and the zero behind it. With dot it is that of a
// collection, in its database.
func name(b []byte, dot bool) l7.Verdict {
	for i, c := range b {
		switch {
		case c == 0:
			if i == 0 || dot {
				return l7.No
			}
			return l7.Request
		case c == '.':
			dot = false
		case c < 0x20 || c == 0x7f || i > maxName:
			return l7.No
		}
	}
	return l7.More
}

// Find looks for a header whose operation, length and first name agree.
func (p *parser) Find(side l7.Side, b []byte) int {
	want := l7.Request
	if side == l7.Server {
		want = l7.Response
	}
	for i := 0; i+headerLen <= len(b); i++ {
		// All operations are below 4096: two zero bytes first.
		if b[i+15] != 0 || b[i+14] != 0 || b[i+13]&^7 != 0 {
			continue
		}
		if detect(b[i:]) == want {
			return i
		}
	}
	return -1
}
