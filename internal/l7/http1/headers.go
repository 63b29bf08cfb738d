package http1

import (
	"bytes"
	"math/bits"

	"github.com/hopscope/hopscope/internal/l7"
)

// Names of what headers become.
const (
	keyUserAgent = "user_agent.original"
	keyReferer   = "http.request.header.referer"
	keyForwarded = "hopscope.http.forwarded_for"
	keyRequest   = "http.request.header."
	keyResponse  = "http.response.header."
)

// maxValue bounds a header that becomes an attribute.
const maxValue = 512

// headers reads the header lines of the head b: the framing, ids of tracers, and what becomes
// attributes. With cut the last line may be half there.
func (p *parser) headers(b []byte, at *lines, cut, request bool, f *framing, m *l7.Message) {
	if at.n == 0 {
		return // not even the first line is whole
	}
	allowed := p.opt.RequestHeaders
	if !request {
		allowed = p.opt.ResponseHeaders
	}
	prop, mine := p.opt.Propagation, &framed[l7.Server]
	if request {
		mine = &framed[l7.Client]
	}
	for i, from := 1, at.end[0]+1; from < len(b); i++ {
		to := len(b)
		if i < at.n {
			to = at.end[i]
		} else if k := bytes.IndexByte(b[from:], '\n'); k >= 0 {
			to = from + k
		} else if cut {
			return
		}
		line := b[from:to]
		from = to + 1
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		if len(line) == 0 {
			continue
		}
		// The name ends at one of the few lengths that names of interest with this
		// first letter have, or the line is none of them: a colon at such a length
		// that is not the first one is part of a name that matches nothing.
		for may := mine[line[0]&31] | prop.Lengths(line[0]); may != 0; may &= may - 1 {
			k := bits.TrailingZeros64(may)
			if k >= len(line) {
				break
			}
			if line[k] != ':' {
				continue
			}
			name, value := line[:k], trimLeft(line[k+1:])
			if !p.framed(name, value, request, f, m) {
				p.opt.Header(m, name, value)
			} else if p.opt.Extract != nil {
				p.opt.Extract.Header(m, name, value)
			}
			break
		}
		if len(allowed) > 0 {
			if k := bytes.IndexByte(line, ':'); k > 0 {
				keep(allowed, line[:k], trimLeft(line[k+1:]), request, m)
			}
		}
	}
}

// framed has bit n set at the first letter of a name that is n bytes long and
// that framed knows, for requests and for answers.
var framed = [2][32]uint64{
	l7.Client: {'h' & 31: 1 << 4, 'e' & 31: 1 << 6, 'r' & 31: 1 << 7, 'u' & 31: 1 << 10, 'c' & 31: 1 << 14, 'x' & 31: 1 << 15, 't' & 31: 1 << 17},
	l7.Server: {'c' & 31: 1 << 14, 't' & 31: 1 << 17},
}

func trimLeft(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

// framed takes the headers that HTTP itself has a use for. It reports whether
// name was one of them.
func (p *parser) framed(name, value []byte, request bool, f *framing, m *l7.Message) bool {
	switch len(name) {
	case 4: // Host
		if request && equalFold(name, "host") {
			if len(m.Domain) == 0 {
				h := host(trimSpace(value))
				m.Domain = m.Text.Copy(h[:min(len(h), maxValue)])
			}
			return true
		}
	case 6:
		if request && equalFold(name, "expect") {
			f.expect = len(value) >= 4 && value[0] == '1'
			return true
		}
	case 7:
		if request && equalFold(name, "referer") {
			if k := bytes.IndexAny(value, "?#"); k >= 0 && !p.opt.KeepLiterals {
				value = value[:k]
			}
			m.AddList(keyReferer, m.Text.Copy(value[:min(len(value), maxValue)]))
			return true
		}
	case 10:
		if request && equalFold(name, "user-agent") {
			m.Add(keyUserAgent, m.Text.Copy(value[:min(len(value), maxValue)]))
			return true
		}
	case 14:
		if equalFold(name, "content-length") {
			// A list of equal lengths is one length; of unequal ones the first is
			// what most servers take (RFC 9112 6.3).
			n, digits := uint64(0), 0
			for _, c := range value {
				if c < '0' || c > '9' {
					break
				}
				if n = n*10 + uint64(c-'0'); n > maxLength {
					n = maxLength
				}
				digits++
			}
			if digits > 0 && !f.sized {
				f.length, f.sized = n, true
			}
			return true
		}
	case 15:
		if request && equalFold(name, "x-forwarded-for") {
			m.Add(keyForwarded, m.Text.Copy(value[:min(len(value), maxValue)]))
			return true
		}
	case 17:
		if equalFold(name, "transfer-encoding") {
			v := bytes.TrimSpace(value)
			if n := len(v) - len("chunked"); n >= 0 && equalFold(v[n:], "chunked") {
				f.chunked = true
			}
			return true
		}
	}
	return false
}

// never is what no configuration may show: credentials.
func never(name []byte) bool {
	switch len(name) {
	case 6:
		return equalFold(name, "cookie")
	case 10:
		return equalFold(name, "set-cookie")
	case 13:
		return equalFold(name, "authorization")
	case 19:
		return equalFold(name, "proxy-authorization")
	}
	return false
}

// keep makes an attribute of a header that the configuration allows.
func keep(allowed map[string]bool, name, value []byte, request bool, m *l7.Message) {
	var low [64]byte
	if len(name) > len(low) {
		return
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		low[i] = c
	}
	if !allowed[string(low[:len(name)])] {
		return
	}
	prefix := keyRequest
	if !request {
		prefix = keyResponse
	}
	value = value[:min(len(value), maxValue)]
	if never(name) {
		value = []byte("REDACTED")
	}
	m.AddList(m.Text.Join(prefix, l7.View(low[:len(name)])), m.Text.Copy(value))
}

// equalFold compares b with low, which is in lower case and of the same length.
func equalFold(b []byte, low string) bool {
	if len(b) != len(low) {
		return false
	}
	for i := 0; i < len(low); i++ {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != low[i] {
			return false
		}
	}
	return true
}
