package http1

import (
	"bytes"

	"github.com/hopscope/hopscope/internal/l7"
)

// framing is what the headers say of the body.
type framing struct {
	length  uint64
	sized   bool // there is a Content-Length
	chunked bool
	expect  bool // Expect: 100-continue
}

// head reads the first line and the headers at the front of w.
func (p *parser) head(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	if b[0] == '\r' || b[0] == '\n' {
		n := 1
		for n < len(b) && (b[n] == '\r' || b[n] == '\n') {
			n++
		}
		return n, l7.ErrSkip
	}
	var slot *l7.Head
	if p.opt.Extract == nil { // rules may ask for the body, too
		known := false
		if slot, known = m.Text.Head(side, b); known {
			return p.again(side, slot, w, m), nil
		}
	}
	var at lines
	n := at.headLen(b)
	cut := n < 0
	if cut {
		if v := detect(b); v == l7.No && side == l7.Client && !w.End && unknownMethod(b) {
			return 0, l7.ErrMore
		} else if v == l7.No || v == l7.Request && side == l7.Server || v == l7.Response && side == l7.Client {
			return 0, l7.ErrLost
		} else if !w.End || v == l7.More {
			return 0, l7.ErrMore
		}
		n = len(b)
	}
	head := b[:n]
	whole, first := at.n > 0, head
	if whole {
		first = head[:at.end[0]+1]
	}
	m.Fresh = true
	var f framing
	if side == l7.Client {
		if !whole && requestLine(first) != l7.Request {
			return 0, l7.ErrLost
		}
		if !p.request(first, whole, m) {
			return 0, l7.ErrLost
		}
		p.headers(head, &at, cut, true, &f, m)
		if f.sized && !f.chunked && !f.expect && !cut && !p.showBody(side, w, n, f.length, m) {
			return 0, l7.ErrMore
		}
		if !cut {
			slot.Learn(side, head, m, f.aux(0))
		}
		return p.requestBody(n, cut, &f, m), nil
	}
	if statusLine(first) != l7.Response {
		return 0, l7.ErrLost
	}
	status := int(head[9]-'0')*100 + int(head[10]-'0')*10 + int(head[11]-'0')
	if status < 200 && status != 101 {
		p.half[l7.Client].goAhead = true
		return n, l7.ErrSkip
	}
	p.status(status, first, whole, m)
	p.headers(head, &at, cut, false, &f, m)
	if f.sized && !f.chunked && !cut && !bodiless(status, w.Req) && !p.showBody(side, w, n, f.length, m) {
		return 0, l7.ErrMore
	}
	if !cut {
		slot.Learn(side, head, m, f.aux(status))
	}
	return p.responseBody(n, status, cut, w.Req, &f, m), nil
}

// again is head for one that was read before.
func (p *parser) again(side l7.Side, h *l7.Head, w l7.Window, m *l7.Message) int {
	m.Set(&h.Msg)
	f := framing{length: h.Aux[0], sized: h.Aux[1]&1 != 0, chunked: h.Aux[1]&2 != 0, expect: h.Aux[1]&4 != 0}
	if side == l7.Client {
		return p.requestBody(h.N, false, &f, m)
	}
	return p.responseBody(h.N, int(h.Aux[2]), false, w.Req, &f, m)
}

// aux is what l7.Head keeps of f, and of the status code of an answer.
func (f *framing) aux(status int) [3]uint64 {
	a := [3]uint64{f.length, 0, uint64(status)}
	for i, b := range [...]bool{f.sized, f.chunked, f.expect} {
		if b {
			a[1] |= 1 << i
		}
	}
	return a
}

// lines is where the first lines of a head end: they are looked for once.
type lines struct {
	n   int
	end [24]int // of the line feeds; what browsers send has fewer lines
}

// headLen is the length of the head at the front of b with its empty line, or
// -1. Bare line feeds are allowed (RFC 9112 2.2). The first line is not empty.
func (l *lines) headLen(b []byte) int {
	for i := 0; ; {
		k := bytes.IndexByte(b[i:], '\n')
		if k < 0 {
			return -1
		}
		if i > 0 && (k == 0 || k == 1 && b[i] == '\r') {
			return i + k + 1
		}
		i += k
		if l.n < len(l.end) {
			l.end[l.n] = i
			l.n++
		}
		i++
	}
}

// requestBody says how long the request is whose head takes n bytes.
func (p *parser) requestBody(n int, cut bool, f *framing, m *l7.Message) int {
	h := &p.half[l7.Client]
	h.goAhead = false
	switch {
	case cut:
		if f.sized && !f.chunked && f.length > 0 { // where the head ends is not known
			m.AddInt("http.request.body.size", int64(f.length))
		}
	case f.chunked:
		h.state, m.More = atChunk, true
		h.collect = p.opt.Extract.WantsBody(l7.Client)
	case f.sized && f.length > 0:
		m.AddInt("http.request.body.size", int64(f.length))
		if f.expect {
			h.state, h.rest, m.More = atExpect, f.length, true
			break
		}
		return n + int(f.length)
	}
	return n
}

// bodiless reports whether an answer to req has no body, whatever its headers say.
func bodiless(status int, req *l7.Message) bool {
	return status == 101 || status == 204 || status == 304 || req != nil && (req.Op == "HEAD" || req.Op == connectName && status/100 == 2)
}

// responseBody says how long the answer is whose head takes n bytes (RFC 9112 6.3).
func (p *parser) responseBody(n, status int, cut bool, req *l7.Message, f *framing, m *l7.Message) int {
	h := &p.half[l7.Server]
	connect := req != nil && req.Op == "CONNECT" && status/100 == 2
	switch {
	case status == 101 || connect:
		m.Switch = true
	case cut:
		if f.sized && !f.chunked && !bodiless(status, req) {
			m.AddInt("http.response.body.size", int64(f.length))
		}
	case bodiless(status, req):
	case f.chunked:
		h.state, m.More = atChunk, true
		h.collect = p.opt.Extract.WantsBody(l7.Server)
	case f.sized:
		m.AddInt("http.response.body.size", int64(f.length))
		return n + int(f.length)
	default:
		h.state, m.More = atBody, true
	}
	return n
}

// request reads the request line. It reports whether it is one, which is known
// already of half a line.
func (p *parser) request(line []byte, whole bool, m *l7.Message) bool {
	sp := methodEnd(line)
	if sp <= 0 {
		return false
	}
	end := 0
	if whole {
		line = trimCR(line[:len(line)-1])
		if end = len(line) - len(" HTTP/1.1"); end <= sp+1 || !endsLine(line[end:]) {
			return false
		}
	}
	if m.Op = method(line[:sp]); m.Op == "" {
		m.Op = "_OTHER"
		m.Add("http.request.method_original", m.Text.Copy(line[:sp]))
	}
	if !whole {
		// Half a URL is none: it is whole where a space follows.
		if k := bytes.IndexByte(line[sp+1:], ' '); k > 0 {
			p.target(line[sp+1:sp+1+k], m)
		}
		return true
	}
	m.Version = versionOf(line)
	p.target(trimSpace(line[sp+1:end]), m)
	return true
}

// trimSpace is bytes.TrimSpace, for what hardly ever has any.
func trimSpace(b []byte) []byte {
	if n := len(b); n > 0 && b[0] > ' ' && b[0] < 0x80 && b[n-1] > ' ' && b[n-1] < 0x80 {
		return b
	}
	return bytes.TrimSpace(b)
}

func versionOf(b []byte) string {
	if b[len(b)-1] == '0' {
		return "1.0"
	}
	return "1.1"
}

var (
	scheme      = []byte("://")
	connectName = "CONNECT"
)

// target reads the request target: /path?query, http://host/path?query,
// host:port or *.
func (p *parser) target(t []byte, m *l7.Message) {
	if len(t) == 0 {
		return
	}
	if t[0] != '/' {
		if m.Op == connectName {
			m.Domain = m.Text.Copy(host(t))
			return
		}
		if k := bytes.Index(t, scheme); k > 0 && k < 8 {
			t = t[k+3:]
			k := bytes.IndexAny(t, "/?")
			if k < 0 {
				k = len(t)
			}
			authority := t[:k]
			if at := bytes.LastIndexByte(authority, '@'); at >= 0 {
				authority = authority[at+1:] // never a password
			}
			m.Domain = m.Text.Copy(host(authority))
			if t = t[k:]; len(t) == 0 {
				t = slash
			}
		}
	}
	limit := p.maxText()
	path, query := t, []byte(nil)
	if k := bytes.IndexByte(t, '?'); k >= 0 {
		path, query = t[:k], t[k+1:]
	}
	m.Target = m.Text.Copy(path[:min(len(path), limit)])
	m.Route = p.opt.Paths.Route(m.Text, m.Target)
	if len(query) > 0 {
		p.opt.Extract.Query(m, query)
		query = query[:min(len(query), limit)]
		if !p.opt.KeepLiterals {
			m.Add("url.query", m.Text.Build(len(query), func(dst []byte) int { return keys(dst, query) }))
		} else {
			m.Add("url.query", m.Text.Copy(query))
		}
	}
}

var slash = []byte("/")

func (p *parser) maxText() int {
	if p.opt.MaxText > 0 {
		return p.opt.MaxText
	}
	return 2048
}

// keys writes the names in a query, without their values: a=1&b=2 becomes a&b.
func keys(dst, query []byte) int {
	n := 0
	for len(query) > 0 {
		k := bytes.IndexByte(query, '&')
		pair := query
		if k >= 0 {
			pair, query = query[:k], query[k+1:]
		} else {
			query = nil
		}
		eq := bytes.IndexByte(pair, '=')
		if eq < 0 {
			// A lone word may be a name or a value: long ones are no name.
			if eq = len(pair); eq > maxKey {
				continue
			}
		}
		if eq = min(eq, maxKey); eq > 0 {
			if n > 0 {
				dst[n] = '&'
				n++
			}
			n += copy(dst[n:], pair[:eq])
		}
	}
	return n
}

// maxKey bounds the name of a query parameter.
const maxKey = 64

// host is an authority without its port.
func host(b []byte) []byte {
	if len(b) > 0 && b[0] == '[' {
		if k := bytes.IndexByte(b, ']'); k > 0 {
			return b[1:k]
		}
	}
	if k := bytes.LastIndexByte(b, ':'); k >= 0 && bytes.IndexByte(b, ':') == k {
		return b[:k]
	}
	return b
}

// status reads the status line.
func (p *parser) status(status int, line []byte, whole bool, m *l7.Message) {
	m.Version = versionOf(line[:8])
	m.Code = codes[status-100]
	switch status / 100 {
	case 1, 2, 3:
		m.Status = l7.StatusOK
	case 4:
		m.Status = l7.StatusClientError
	default:
		m.Status = l7.StatusServerError
	}
	if m.Status.Failed() && whole && len(line) > 13 {
		reason := bytes.TrimSpace(line[12:])
		m.Error = m.Text.Copy(reason[:min(len(reason), maxReason)])
	}
}

// maxReason bounds a reason phrase: the longest registered one is 31 bytes.
const maxReason = 128

// codes are the three-digit numbers as strings, so that none is ever made.
var codes = func() (t [900]string) {
	for i := range t {
		n := i + 100
		t[i] = string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
	}
	return t
}()
