package http1

import (
	"bytes"

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

// headers reads header lines: the framing, ids of tracers, and what becomes
// attributes. With cut the last line may be half there.
func (p *parser) headers(b []byte, cut, request bool, f *framing, m *l7.Message) {
	allowed := p.opt.RequestHeaders
	if !request {
		allowed = p.opt.ResponseHeaders
	}
	prop := p.opt.Propagation
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		line := b
		if i >= 0 {
			line, b = b[:i], b[i+1:]
		} else if b = nil; cut {
			return
		}
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		k := bytes.IndexByte(line, ':')
		if k <= 0 {
			continue
		}
		name, value := line[:k], line[k+1:]
		for len(value) > 0 && (value[0] == ' ' || value[0] == '\t') {
			value = value[1:]
		}
		if !p.framed(name, value, request, f, m) {
			prop.Header(&m.Trace, m.Text, name, value)
		}
		if len(allowed) > 0 {
			keep(allowed, name, value, request, m)
		}
	}
}

// framed takes the headers that HTTP itself has a use for. It reports whether
// name was one of them.
func (p *parser) framed(name, value []byte, request bool, f *framing, m *l7.Message) bool {
	switch len(name) {
	case 4: // Host
		if request && equalFold(name, "host") {
			if len(m.Domain) == 0 {
				h := host(bytes.TrimSpace(value))
				m.Domain = m.Text.Copy(h[:min(len(h), maxValue)])
			}
			return true
		}
	case 6:
		if request && equalFold(name, "expect") {
			f.expect = len(value) >= 4 && value[0] == '1'
			return true
		}
		return name[0]|0x20 == 'a' // accept
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
