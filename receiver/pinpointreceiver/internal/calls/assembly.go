package calls

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"

	"github.com/hopscope/hopscope/internal/h2"
	"github.com/hopscope/hopscope/internal/l7"
)

const prefixLen = 5 // compressed flag, length

// assembly puts the messages of one direction of a call together.
type assembly struct {
	prefix   [prefixLen]byte
	have     int    // bytes of prefix
	left     int    // bytes of the message still to come
	buf      []byte // of a message in several pieces
	bad      bool   // the message in hand is not whole
	lost     bool   // where messages begin is not known
	encoding string
}

// lose: bytes are missing, nobody knows how many.
func (a *assembly) lose(s *Sniffer) {
	if a.lost {
		return
	}
	if a.have > 0 {
		s.stats.Lost.Add(1)
	}
	*a = assembly{lost: true, encoding: a.encoding}
}

// missing: n bytes of the body are missing. Inside one message they cost that
// message.
func (a *assembly) missing(s *Sniffer, n int) {
	if a.lost {
		return
	}
	if a.have != prefixLen || n > a.left {
		a.lose(s)
		return
	}
	if !a.bad {
		a.bad, a.buf = true, nil
		s.stats.Lost.Add(1)
	}
	if a.left -= n; a.left == 0 {
		a.have, a.bad = 0, false
	}
}

// begins reports whether the frame f, whose payload starts with b, begins with a
// message: for a reader that does not know where messages begin. The next
// prefixes in the frame must be right too, or the frame be as long as frames of
// longer messages are.
func begins(f h2.Frame, b []byte) bool {
	left := f.Length
	for n := 0; left > 0; n++ {
		if left < prefixLen || len(b) < prefixLen {
			return n > 0
		}
		size := int(binary.BigEndian.Uint32(b[1:]))
		if b[0] > 1 || size > MaxMessage {
			return false
		}
		size += prefixLen
		if size > left {
			// It goes on in the next frame: then this one is full.
			return n > 0 || f.Length >= 1<<14
		}
		left -= size
		b = b[min(size, len(b)):]
	}
	return true
}

// put takes the next bytes of the body.
func (a *assembly) put(h *half, c *Call, b []byte) {
	for len(b) > 0 && !a.lost {
		if a.have < prefixLen {
			k := copy(a.prefix[a.have:], b)
			b = b[k:]
			if a.have += k; a.have < prefixLen {
				return
			}
			size := binary.BigEndian.Uint32(a.prefix[1:])
			if a.prefix[0] > 1 {
				a.lose(h.conn.s)
				return
			}
			a.left = int(size)
			if size > MaxMessage {
				a.bad = true
				h.conn.s.stats.Oversize.Add(1)
			}
		}
		k := min(a.left, len(b))
		a.left -= k
		switch {
		case a.left > 0 && !a.bad:
			// Not more is taken in advance than has come: a length is only a claim.
			a.buf = append(a.buf, b[:k]...)
		case a.left > 0 || a.bad:
		case len(a.buf) > 0:
			a.buf = append(a.buf, b[:k]...)
			h.emit(c, a, a.buf)
		default:
			h.emit(c, a, b[:k])
		}
		b = b[k:]
		if a.left == 0 {
			a.done()
		}
	}
	if a.have == prefixLen && a.left == 0 && !a.lost {
		h.emit(c, a, nil) // a message of no bytes at the very end of b
		a.done()
	}
}

// keepBuffer is what a stream holds on to between messages.
const keepBuffer = 64 << 10

func (a *assembly) done() {
	a.have, a.bad = 0, false
	if cap(a.buf) > keepBuffer {
		a.buf = nil
	}
	a.buf = a.buf[:0]
}

func (h *half) emit(c *Call, a *assembly, b []byte) {
	s := h.conn.s
	if a.bad {
		return
	}
	if a.prefix[0] == 1 {
		enc := a.encoding
		if h.client {
			enc = c.Encoding
		}
		var ok bool
		if b, ok = s.gz.inflate(enc, b); !ok {
			s.stats.Corrupt.Add(1)
			return
		}
	}
	s.stats.Messages.Add(1)
	s.msg = Message{Conn: h.conn.c, Call: c, Client: h.side() == l7.Client, Time: h.conn.now, Body: b}
	s.next(&s.msg)
}

// inflater unpacks gzip, which is all that agents and collectors register.
type inflater struct {
	r   gzip.Reader
	buf bytes.Buffer
}

func (z *inflater) inflate(encoding string, b []byte) ([]byte, bool) {
	if encoding != "gzip" && encoding != "" {
		return nil, false
	}
	if z.r.Reset(bytes.NewReader(b)) != nil {
		return nil, false
	}
	z.buf.Reset()
	n, err := io.Copy(&z.buf, io.LimitReader(&z.r, MaxMessage+1))
	return z.buf.Bytes(), err == nil && n <= MaxMessage
}
