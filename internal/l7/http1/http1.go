// Package http1 reads HTTP/1.0 and HTTP/1.1 (RFC 9112).
package http1

import (
	"bytes"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is HTTP/1.x. Its name is that of all versions, as
// network.protocol.name has it.
var Protocol = &l7.Protocol{
	Name:      "http",
	Folder:    "http1",
	Transport: l7.TCP,
	Ports:     []uint16{80, 8080, 8000, 8081, 8888, 3000, 5000, 9090, 9200},
	Pairing:   l7.InOrder,
	Keys: l7.Keys{
		Op:      "http.request.method",
		Target:  "url.path",
		Route:   "http.route",
		Code:    "http.response.status_code",
		CodeInt: true,
		Domain:  "server.address",
	},
	Bodies: true,
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opt: o} },
}

// state is what the next byte of one direction is.
type state uint8

const (
	atHead   state = iota // a request or status line
	atChunk               // the size line of a chunk
	atTail                // the trailer after the last chunk
	atBody                // body without an end: all that follows belongs to it
	atExpect              // a body that waits for 100 Continue, of length rest
	atBlind               // in a body whose framing was lost in a hole
)

type parser struct {
	opt  *l7.Options
	half [2]struct {
		state state
		rest  uint64
		// goAhead: the server said 100 Continue.
		goAhead bool
		// body is the beginning of a chunked body, if rules look into it.
		body    []byte
		collect bool
	}
}

// Parse implements l7.Parser.
func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	h := &p.half[side]
	if side == l7.Server {
		m.Type = l7.TypeResponse
	}
	switch h.state {
	case atHead:
		return p.head(side, w, m)
	case atChunk, atTail:
		return p.chunk(side, w, m)
	case atBody:
		return len(w.B), l7.ErrSkip
	case atBlind:
		return p.blind(side, w, m)
	default: // atExpect: the client went on with the body, or gave it up
		if !h.goAhead {
			switch v := requestLine(w.B); {
			case v == l7.Request:
				h.state = atHead
				return p.head(side, w, m)
			case v == l7.More && !w.End:
				return 0, l7.ErrMore
			}
		}
		n := int(min(h.rest, maxLength))
		if !p.showBody(side, w, 0, h.rest, m) {
			return 0, l7.ErrMore
		}
		h.state = atHead
		return n, l7.ErrEnd
	}
}

// maxLength bounds Content-Length, so that positions do not overflow: an
// exabyte.
const maxLength = 1 << 60

// Resync implements l7.Resyncer: a body whose framing is in the hole goes on to
// the next head that is seen.
func (p *parser) Resync(side l7.Side) {
	h := &p.half[side]
	h.body, h.collect = nil, false
	if h.state == atChunk || h.state == atTail || h.state == atBlind {
		h.state = atBlind
		return
	}
	if h.state == atExpect {
		h.state = atHead
	}
	// atBody stays: everything up to the end is body.
}

// Find implements l7.Finder.
func (p *parser) Find(side l7.Side, b []byte) int {
	h := &p.half[side]
	if h.state == atBody {
		return 0
	}
	k := find(side, b)
	if k >= 0 {
		return k
	}
	if h.state == atBlind {
		return 0
	}
	return -1
}

// find is where in b a whole first line of side stands after a line end, or -1.
// At the very front a line may be cut.
func find(side l7.Side, b []byte) int {
	if side == l7.Server {
		if statusLine(b) != l7.No {
			return 0
		}
		for i := 0; ; {
			k := bytes.Index(b[i:], version)
			if k < 0 {
				return -1
			}
			i += k
			if i > 0 && b[i-1] == '\n' && statusLine(b[i:]) == l7.Response && bytes.IndexByte(b[i:], '\n') > 0 {
				return i
			}
			i++
		}
	}
	if v := requestLine(b); v == l7.Request || v == l7.More && len(b) < surely {
		return 0
	}
	for i := 0; ; {
		k := bytes.Index(b[i:], version) // "GET / HTTP/1.1\r\n"
		if k < 0 {
			return -1
		}
		line := bytes.LastIndexByte(b[i:i+k], '\n') + 1
		if (line > 0 || i > 0 && b[i-1] == '\n') && requestLine(b[i+line:]) == l7.Request && bytes.IndexByte(b[i+k:], '\n') > 0 {
			return i + line
		}
		i += k + len(version)
	}
}

// blind goes on in a body whose framing is lost: up to the next head, which a
// body may not hold but after its own end, or to what the last chunk looks like
// at the end of a write.
func (p *parser) blind(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	h, b := &p.half[side], w.B
	switch k := find(side, b); {
	case k == 0:
		h.state = atHead
		return p.head(side, w, m)
	case k > 0:
		return k, l7.ErrBlind
	}
	if bytes.HasSuffix(b, lastChunk) && (len(b) == len(lastChunk)-2 || bytes.HasSuffix(b[:len(b)-len(lastChunk)+2], crlf)) || bytes.Equal(b, lastChunk[2:]) {
		h.state = atHead
		return len(b), l7.ErrEnd
	}
	return len(b), l7.ErrBlind
}

var (
	version   = []byte("HTTP/1.")
	lastChunk = []byte("\r\n0\r\n\r\n")
	crlf      = []byte("\r\n")
)

// chunk reads one chunk, or the trailer.
func (p *parser) chunk(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	h := &p.half[side]
	i := bytes.IndexByte(w.B, '\n')
	if i < 0 {
		if len(w.B) > maxLine {
			return 0, l7.ErrLost
		}
		return 0, l7.ErrMore
	}
	line := trimCR(w.B[:i])
	if h.state == atTail {
		if len(line) > 0 {
			return i + 1, l7.ErrSkip
		}
		h.state = atHead
		p.bodyEnds(side, m)
		return i + 1, l7.ErrEnd
	}
	size, digits := uint64(0), 0
	for _, c := range line {
		d := unhex[c]
		if d == 0xff {
			if c != ';' && c != ' ' && c != '\t' {
				return 0, l7.ErrLost
			}
			break
		}
		if size > maxLength>>4 {
			return 0, l7.ErrLost
		}
		size = size<<4 | uint64(d)
		digits++
	}
	if digits == 0 {
		return 0, l7.ErrLost
	}
	if size == 0 {
		h.state = atTail
		if rest := w.B[i+1:]; len(rest) >= 2 && rest[0] == '\r' && rest[1] == '\n' {
			h.state = atHead
			p.bodyEnds(side, m)
			return i + 3, l7.ErrEnd
		}
		return i + 1, l7.ErrSkip
	}
	if h.collect && !p.keepChunk(side, w, i+1, size) {
		return 0, l7.ErrMore
	}
	return i + 1 + int(size) + 2, l7.ErrSkip
}

// maxLine bounds the size line of a chunk with its extensions, and a header of
// the trailer.
const maxLine = 4 << 10

var unhex = func() (t [256]byte) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9':
			t[c] = byte(c - '0')
		case c >= 'a' && c <= 'f':
			t[c] = byte(c-'a') + 10
		case c >= 'A' && c <= 'F':
			t[c] = byte(c-'A') + 10
		default:
			t[c] = 0xff
		}
	}
	return t
}()

func trimCR(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\r' {
		return b[:n-1]
	}
	return b
}
