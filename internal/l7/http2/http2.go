// Package http2 reads HTTP/2 (RFC 9113) over TCP, and what is spoken on top of
// it: HTTP, gRPC, and Dubbo's Triple. One stream is one exchange.
package http2

import (
	"strings"

	"github.com/hopscope/hopscope/internal/h2"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/httpsem"
)

// Protocol is HTTP/2. Its spans are those of HTTP, GRPC or Triple; its own name
// is that of streams whose headers nobody saw.
var Protocol = &l7.Protocol{
	Name:      "http2",
	Transport: l7.TCP,
	Ports:     []uint16{50051, 80, 8080, 443, 9090, 20880, 50052},
	Pairing:   l7.ByStream,
	Keys:      httpsem.Keys,
	Carries:   []*l7.Protocol{HTTP, GRPC, Triple},
	Bodies:    true,
	Detect:    detect,
	New:       New,
}

// HTTP is a request that is plain HTTP.
var HTTP = &l7.Protocol{Name: "http", Transport: l7.TCP, Pairing: l7.ByStream, Keys: httpsem.Keys}

var rpcKeys = l7.Keys{Op: "rpc.method", Code: "rpc.response.status_code", Domain: "server.address"}

// GRPC is a gRPC call: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
var GRPC = &l7.Protocol{Name: "grpc", Transport: l7.TCP, Pairing: l7.ByStream, Keys: rpcKeys,
	Attrs: []l7.Attr{{Key: "rpc.system.name", Str: "grpc"}}}

// Triple is a Dubbo 3 call: gRPC with headers of its own.
var Triple = &l7.Protocol{Name: "triple", Transport: l7.TCP, Pairing: l7.ByStream, Keys: rpcKeys,
	Attrs: []l7.Attr{{Key: "rpc.system.name", Str: "dubbo"}}}

// version is network.protocol.version.
const version = "2"

// New makes the state of one connection.
func New(o *l7.Options) l7.Parser {
	p := &parser{opt: o}
	p.dec[l7.Client].Init(tags)
	p.dec[l7.Server].Init(tags)
	return p
}

type parser struct {
	opt     *l7.Options
	dec     [2]h2.Decoder
	streams table
	block   []byte  // a header block of several frames, put together
	last    *repeat // nil until there is one
	answers [2]answer
	// refused are streams that a GOAWAY ended, still to be reported: one for
	// each byte of the frame, refusedLeft of which are left.
	refused     []uint32
	refusedLeft int
	refusedCode h2.ErrorCode
}

// Parse implements l7.Parser.
func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	if side == l7.Server && len(p.refused) > 0 {
		return p.refuse(m)
	}
	if side == l7.Client && b[0] == h2.Preface[0] {
		k := min(len(b), len(h2.Preface))
		switch {
		case l7.View(b[:k]) != h2.Preface[:k]:
			return 0, l7.ErrLost
		case k < len(h2.Preface):
			return 0, l7.ErrMore
		}
		return k, l7.ErrSkip
	}
	if len(b) < h2.HeaderLen {
		return 0, l7.ErrMore
	}
	f := h2.Parse(b)
	if f.Stream == 0 && f.Type == h2.Data || f.Type != h2.Data && !f.Valid() {
		return 0, l7.ErrLost
	}
	m.Stream = uint64(f.Stream)
	if side == l7.Server {
		m.Type = l7.TypeResponse
	}
	switch f.Type {
	case h2.Data:
		return p.data(side, f, w, m)
	case h2.Headers, h2.PushPromise:
		return p.headers(side, f, w, m)
	case h2.Continuation:
		p.dec[side].Forget() // its beginning is lost
	case h2.RSTStream:
		return p.reset(side, f, w, m)
	case h2.GoAway:
		return p.goAway(side, f, w, m)
	case h2.Ping, h2.WindowUpdate:
		return quiet(b, f.Size()), l7.ErrSkip
	}
	return f.Size(), l7.ErrSkip
}

// quiet is the length of the frames at the front of b that say nothing, the first
// of which has n bytes: of the eleven frames of a call of grpc-go they are six, in
// two rows.
func quiet(b []byte, n int) int {
	for n+h2.HeaderLen <= len(b) {
		f := h2.Parse(b[n:])
		if f.Type != h2.Ping && f.Type != h2.WindowUpdate || !f.Valid() {
			break
		}
		n += f.Size()
	}
	return n
}

// Resync implements l7.Resyncer: what was said in the hole of header tables and
// of messages is not known; streams stay.
func (p *parser) Resync(side l7.Side) {
	p.dec[side].Forget()
	p.streams.each(func(s *stream) { s.count[side].unsure = true })
	if side == l7.Server {
		p.refused = p.refused[:0]
	}
}

// Find implements l7.Finder.
func (p *parser) Find(side l7.Side, b []byte) int {
	if side == l7.Client && len(b) >= len(h2.Preface) && strings.HasPrefix(l7.View(b), h2.Preface) {
		return 0
	}
	return h2.Find(b)
}

// headers reads a header block, whose frames follow each other without others
// in between.
func (p *parser) headers(side l7.Side, f h2.Frame, w l7.Window, m *l7.Message) (int, error) {
	n := f.Size()
	b := w.B
	if f.Length > h2.MaxBlock {
		p.dec[side].Forget()
		return n, l7.ErrSkip
	}
	if len(b) < n && !w.End {
		return 0, l7.ErrMore
	}
	cut := len(b) < n
	block, ok := f.Payload(b[h2.HeaderLen:min(n, len(b))])
	if !ok {
		return 0, l7.ErrLost
	}
	if f.Type == h2.PushPromise {
		block = block[min(4, len(block)):]
	}
	if f.Flags&h2.FlagEndHeaders == 0 && !cut {
		var err error
		if block, n, cut, err = p.join(side, f, block, n, w); err != nil {
			return n, err
		}
	}
	d := &p.dec[side]
	d.Begin(block)
	var err error
	switch {
	case f.Type == h2.PushPromise:
		// Read for the table's sake: a request that nobody made.
		for fd := (h2.Field{}); d.Next(&fd); {
		}
		err = l7.ErrSkip
	case side == l7.Client:
		err = p.request(d, f, block, cut, m)
	default:
		err = p.response(d, f, block, cut, m)
	}
	if cut {
		d.Forget()
	}
	return n, err
}

// join puts the block together that goes on in CONTINUATION frames after n
// bytes of w. cut: its end is not there.
func (p *parser) join(side l7.Side, f h2.Frame, first []byte, n int, w l7.Window) (block []byte, size int, cut bool, err error) {
	p.block = append(p.block[:0], first...)
	for {
		if len(w.B) < n+h2.HeaderLen {
			if !w.End {
				return nil, 0, false, l7.ErrMore
			}
			return p.block, n, true, nil
		}
		c := h2.Parse(w.B[n:])
		if c.Type != h2.Continuation || c.Stream != f.Stream {
			return p.block, n, true, nil
		}
		if len(p.block)+c.Length > h2.MaxBlock {
			p.dec[side].Forget()
			return nil, n, false, l7.ErrSkip
		}
		end := n + c.Size()
		if end > len(w.B) {
			if !w.End {
				return nil, 0, false, l7.ErrMore
			}
			p.block = append(p.block, w.B[n+h2.HeaderLen:]...)
			return p.block, end, true, nil
		}
		p.block = append(p.block, w.B[n+h2.HeaderLen:end]...)
		n = end
		if c.Flags&h2.FlagEndHeaders != 0 {
			return p.block, n, false, nil
		}
	}
}

// reset reads RST_STREAM.
func (p *parser) reset(side l7.Side, f h2.Frame, w l7.Window, m *l7.Message) (int, error) {
	n := f.Size()
	if len(w.B) < n && !w.End {
		return 0, l7.ErrMore
	}
	s := p.streams.get(f.Stream)
	if s == nil {
		return n, l7.ErrSkip
	}
	if len(w.B) >= n {
		p.failed(s, side, h2.ErrorCode(h2.U32(w.B[h2.HeaderLen:])), "RST_STREAM ", m)
	}
	if side == l7.Client {
		m.NoReply, m.Continues = true, true
	}
	p.counts(s, m)
	p.streams.drop(s)
	return n, nil
}

// failed says why a stream ended early.
func (p *parser) failed(s *stream, side l7.Side, code h2.ErrorCode, frame string, m *l7.Message) {
	if code == h2.NoError && frame != goAwayName {
		return // the server has said all that it wants to say
	}
	m.Add("hopscope.http2.error", code.String())
	m.Error = m.Text.Join(frame, code.String())
	m.Status = l7.StatusServerError
	if side == l7.Client {
		m.Status = l7.StatusClientError
	}
	if s.kind.rpc() {
		p.grpcStatus(grpcOfReset(code), m)
	}
}

const goAwayName = "GOAWAY "

// goAway reads GOAWAY: streams above the last one that the server names are
// over, and were not looked at.
func (p *parser) goAway(side l7.Side, f h2.Frame, w l7.Window, m *l7.Message) (int, error) {
	const fixed = h2.HeaderLen + 8
	if len(w.B) < fixed {
		if w.End {
			return f.Size(), l7.ErrSkip
		}
		return 0, l7.ErrMore
	}
	if side == l7.Client {
		return f.Size(), l7.ErrSkip // of streams that the server opened: there are none
	}
	last := h2.U32(w.B[h2.HeaderLen:]) & (1<<31 - 1)
	p.refused = p.streams.above(last, p.refused[:0], fixed)
	p.refusedLeft = f.Size()
	p.refusedCode = h2.ErrorCode(h2.U32(w.B[h2.HeaderLen+4:]))
	if len(p.refused) == 0 {
		return f.Size(), l7.ErrSkip
	}
	return p.refuse(m)
}

// refuse reports the next of the streams that a GOAWAY ended, as one byte of
// it; the last one takes the rest.
func (p *parser) refuse(m *l7.Message) (int, error) {
	s := p.streams.get(p.refused[0])
	p.refused = p.refused[:copy(p.refused, p.refused[1:])]
	n := 1
	if len(p.refused) == 0 {
		n = p.refusedLeft
	}
	p.refusedLeft -= n
	if s == nil {
		return n, l7.ErrSkip
	}
	m.Type, m.Stream = l7.TypeResponse, uint64(s.id)
	p.failed(s, l7.Server, p.refusedCode, goAwayName, m)
	p.counts(s, m)
	p.streams.drop(s)
	return n, nil
}
