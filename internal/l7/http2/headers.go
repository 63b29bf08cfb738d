package http2

import (
	"strings"

	"github.com/hopscope/hopscope/internal/h2"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/httpsem"
)

// Headers that mean something here.
const (
	tagOther uint8 = iota // perhaps an id of a tracer, or configured
	tagPlain              // nothing that a span tells
	tagMethod
	tagPath
	tagAuthority
	tagHost
	tagStatus
	tagProtocol
	tagContentType
	tagContentLength
	tagUserAgent
	tagReferer
	tagForwarded
	tagTimeout
	tagEncoding
	tagGRPCStatus
	tagGRPCMessage
	tagTriple
)

// tags are made once: which names they are is a constant.
var tags = h2.NewTags(tagOf)

func tagOf(name string) uint8 {
	switch name {
	case ":method":
		return tagMethod
	case ":path":
		return tagPath
	case ":authority":
		return tagAuthority
	case "host":
		return tagHost
	case ":status":
		return tagStatus
	case ":protocol":
		return tagProtocol
	case "content-type":
		return tagContentType
	case "content-length":
		return tagContentLength
	case "user-agent":
		return tagUserAgent
	case "referer":
		return tagReferer
	case "x-forwarded-for":
		return tagForwarded
	case "grpc-timeout", "tri-service-timeout":
		return tagTimeout
	case "grpc-encoding":
		return tagEncoding
	case "grpc-status":
		return tagGRPCStatus
	case "grpc-message":
		return tagGRPCMessage
	case ":scheme", "te", "date", "server", "accept", "accept-encoding", "accept-language", "grpc-accept-encoding", "cache-control":
		return tagPlain
	}
	if strings.HasPrefix(name, "tri-") {
		return tagTriple
	}
	return tagOther
}

// stay is the value of fd as a string that stays valid, cut to limit.
func stay(m *l7.Message, fd *h2.Field, limit int) string {
	v := fd.Value[:min(len(fd.Value), limit)]
	if fd.ValueKept {
		return v
	}
	return m.Text.Join(v)
}

// request reads the headers that open a stream, or the client's trailers.
func (p *parser) request(d *h2.Decoder, f h2.Frame, block []byte, cut bool, m *l7.Message) error {
	m.More = !f.EndStream()
	s := p.streams.get(f.Stream)
	trailers := s != nil
	if !trailers {
		s = p.streams.put(f.Stream)
	} else if s.reqEnd {
		trailers = false // the number anew: a connection that was not seen to end
		s = p.streams.put(f.Stream)
	}
	began := d.State()
	if !trailers && !cut && p.last.is(block, began) {
		p.again(s, f, m)
		return nil
	}
	var fd h2.Field
	var path h2.Field
	unknown, typed, pseudo, kept := cut, false, false, true
	for d.Next(&fd) {
		kept = kept && fd.ValueKept
		if !fd.NameKnown || !fd.ValueKnown {
			unknown = true
		}
		if !fd.NameKnown {
			continue
		}
		pseudo = pseudo || strings.HasPrefix(fd.Name, ":")
		if !fd.ValueKnown {
			continue
		}
		switch fd.Tag {
		case tagPlain:
		case tagMethod:
			s.method = httpsem.Method(fd.Value)
			if s.method == "" {
				httpsem.SetMethod(m, fd.Value)
				s.method = m.Op
			}
		case tagPath:
			path = fd
			if !fd.ValueKept {
				path.Value, path.ValueKept = m.Text.Join(fd.Value[:min(len(fd.Value), 2*httpTargetMax)]), true
			}
		case tagAuthority:
			m.Domain = stay(m, &fd, httpsem.MaxValue)
		case tagHost:
			if m.Domain == "" {
				m.Domain = stay(m, &fd, httpsem.MaxValue)
			}
		case tagProtocol:
			m.Add(httpsem.Upgrade, stay(m, &fd, httpsem.MaxValue))
		case tagContentType:
			typed = true
			if isGRPC(fd.Value) && s.kind != kindTriple {
				s.kind = kindGRPC
			}
		case tagTriple:
			s.kind = kindTriple
		case tagContentLength:
			if n, ok := number(fd.Value); ok {
				m.AddInt(httpsem.RequestSize, n)
			}
		case tagUserAgent:
			m.Add(httpsem.UserAgent, stay(m, &fd, httpsem.MaxValue))
		case tagReferer:
			fd.Value = httpsem.WithoutQuery(p.opt, fd.Value)
			m.AddList(httpsem.Referer, stay(m, &fd, httpsem.MaxValue))
		case tagForwarded:
			m.Add(httpsem.ForwardedFor, stay(m, &fd, httpsem.MaxValue))
		case tagTimeout:
			if ms, ok := timeout(fd.Name, fd.Value); ok {
				m.AddInt("hopscope.rpc.timeout", ms)
			}
		case tagEncoding:
			s.coding = stay(m, &fd, maxCoding)
		default:
			p.opt.Propagation.Header(&m.Trace, m.Text, bytesOf(fd.Name), bytesOf(fd.Value))
		}
		if p.opt.Extract != nil && fd.Name[0] != ':' {
			p.opt.Extract.Header(m, bytesOf(fd.Name), bytesOf(fd.Value))
		}
		if len(p.opt.RequestHeaders) > 0 && fd.Name[0] != ':' {
			httpsem.Keep(p.opt, m, true, fd.Name, fd.Value)
		}
	}
	if d.Err() != nil {
		unknown = true
	}
	s.reqEnd = f.EndStream()
	if trailers {
		m.Continues = true
		p.ended(s, l7.Client, m)
		return nil
	}
	if !pseudo {
		// Trailers of a request that was not seen: a request has :method, and of
		// :scheme and :method the usual values are in no table that can be lost.
		p.streams.drop(s)
		return l7.ErrSkip
	}
	m.Version = version
	switch {
	case s.kind.rpc():
		m.As = s.protocol()
		m.Op = strings.TrimPrefix(path.Value, "/")
		if kept && !unknown && began == d.State() && p.opt.Extract == nil && m.Trace.Format == "" && m.Trace.RequestID == "" {
			p.learn(block, began, s, m)
		}
	case unknown && !typed && !s.reqEnd && s.method == "POST":
		// A POST of a type that is not known is a gRPC call, if its body looks
		// like one.
		s.pending, s.path = true, path.Value
	default:
		s.path = path.Value
		p.plain(s, m)
	}
	m.Session = decimalText(m, f.Stream)
	p.ended(s, l7.Client, m)
	return nil
}

// httpTargetMax bounds what is copied of a path with its query; the options cut
// it further.
const httpTargetMax = 2048

// maxCoding bounds grpc-encoding: identity, gzip, snappy, ...
const maxCoding = 32

// protocol is what s speaks.
func (s *stream) protocol() *l7.Protocol {
	switch s.kind {
	case kindGRPC:
		return GRPC
	case kindTriple:
		return Triple
	}
	return HTTP
}

// settle says what a stream is whose request did not tell: HTTP, if nothing
// made it gRPC by now.
func (p *parser) settle(s *stream, m *l7.Message) {
	if s.pending {
		p.plain(s, m)
	}
}

// plain: s is a request of HTTP.
func (p *parser) plain(s *stream, m *l7.Message) {
	s.pending, s.kind = false, kindHTTP
	if m.As = HTTP; m.Op == "" {
		m.Op = s.method
	}
	if s.path != "" {
		httpsem.SetTarget(p.opt, m, s.path, true)
		s.path = ""
	}
}

// late: s turned out to be a gRPC call.
func (s *stream) late(m *l7.Message) {
	s.pending, s.kind = false, kindGRPC
	m.As, m.Op = GRPC, strings.TrimPrefix(s.path, "/")
	s.path = ""
}

// response reads headers of the server: interim, final, or trailers.
func (p *parser) response(d *h2.Decoder, f h2.Frame, block []byte, cut bool, m *l7.Message) error {
	s := p.streams.get(f.Stream)
	end := f.EndStream()
	m.More = !end
	began := d.State()
	if s != nil && s.kind.rpc() && !cut {
		if a := &p.answers[place(end)]; a.is(block, began) {
			s.answer = true
			if a.status >= 0 {
				p.grpcStatus(int(a.status), m)
			}
			if end {
				p.ended(s, l7.Server, m)
				p.streams.drop(s)
			}
			return nil
		}
	}
	usual := true // nothing but what answer remembers
	var fd h2.Field
	code, grpc := 0, -1
	var say h2.Field
	isRPC, events, typed, unknown := false, false, false, cut
	for d.Next(&fd) {
		if !fd.NameKnown || !fd.ValueKnown || s == nil {
			unknown = true
			continue
		}
		switch fd.Tag {
		case tagPlain, tagStatus, tagContentType, tagGRPCStatus:
		default:
			usual = false
		}
		switch fd.Tag {
		case tagPlain, tagUserAgent, tagTimeout, tagTriple:
		case tagStatus:
			if n, ok := number(fd.Value); ok && len(fd.Value) == 3 {
				code = int(n)
				if !s.kind.rpc() {
					m.Code = stay(m, &fd, 3)
				}
			}
		case tagContentType:
			typed, isRPC = true, isGRPC(fd.Value)
			events = strings.HasPrefix(fd.Value, "text/event-stream")
		case tagContentLength:
			if n, ok := number(fd.Value); ok && !s.kind.rpc() {
				m.AddInt(httpsem.ResponseSize, n)
			}
		case tagEncoding:
			if s.coding == "" {
				s.coding = stay(m, &fd, maxCoding)
			}
		case tagGRPCStatus:
			isRPC = true
			if n, ok := number(fd.Value); ok && n <= maxGRPCStatus {
				grpc = int(n)
			}
		case tagGRPCMessage:
			say = fd
			if !fd.ValueKept {
				say.Value, say.ValueKept = m.Text.Join(fd.Value[:min(len(fd.Value), maxMessage)]), true
			}
		default:
			p.opt.Propagation.Header(&m.Trace, m.Text, bytesOf(fd.Name), bytesOf(fd.Value))
		}
		if p.opt.Extract != nil && fd.Name[0] != ':' {
			p.opt.Extract.Header(m, bytesOf(fd.Name), bytesOf(fd.Value))
		}
		if len(p.opt.ResponseHeaders) > 0 && fd.Name[0] != ':' {
			httpsem.Keep(p.opt, m, false, fd.Name, fd.Value)
		}
	}
	if s == nil {
		return l7.ErrSkip
	}
	if code >= 100 && code < 200 {
		*m = l7.Message{Type: m.Type, Stream: m.Stream, More: true, Text: m.Text, Attrs: m.Attrs[:0]}
		return l7.ErrSkip
	}
	if cut && code == 0 && !s.answer && !end {
		return l7.ErrSkip // an interim answer, perhaps
	}
	s.answer = true
	if isRPC && !s.kind.rpc() && (s.pending || s.kind == kindUnknown) {
		s.late(m)
		m.Code = ""
	}
	switch {
	case s.pending && typed:
		p.plain(s, m)
	case s.pending && (unknown || d.Err() != nil):
		// The status of HTTP says nothing of a call, if it is one.
		code, m.Code = 0, ""
	case s.pending && end:
		p.plain(s, m)
	}
	switch {
	case grpc >= 0:
		if s.kind.rpc() {
			p.grpcStatus(grpc, m)
		} else { // gRPC-Web, JSON transcoding: HTTP with a second status
			m.Status = grpcClass(grpc)
		}
		if say.Value != "" {
			m.Error = m.Text.Build(len(say.Value), func(dst []byte) int { return unescape(dst, say.Value[:len(dst)]) })
		}
	case s.kind.rpc():
		if code != 0 && code != 200 {
			// Not the callee's answer but that of something in between.
			p.grpcStatus(grpcOfHTTP(code), m)
			m.Status = httpsem.StatusOf(code)
			m.AddInt(httpsem.Keys.Code, int64(code))
		}
	case code != 0:
		m.Status = httpsem.StatusOf(code)
	}
	if events {
		m.Timed = true
	}
	if usual && s.kind.rpc() && !unknown && !events && (code == 0 || code == 200) && grpc < len(codes) && began == d.State() &&
		p.opt.Extract == nil && len(p.opt.ResponseHeaders) == 0 {
		p.answers[place(end)].learn(block, began, grpc)
	}
	if end {
		p.ended(s, l7.Server, m)
		p.streams.drop(s)
	}
	return nil
}
