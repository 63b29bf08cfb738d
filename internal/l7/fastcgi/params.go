package fastcgi

import (
	"bytes"
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// params reads the request, of which cut says that the end is missing: its names and values are those of CGI,
// https://www.rfc-editor.org/rfc/rfc3875#section-4.1.
func (p *parser) params(b []byte, cut bool, m *l7.Message) {
	c := l7.NewCursor(b)
	var uri, script, query, host, name []byte
	for c.Len() > 0 {
		k, v, ok := pair(&c)
		if !ok {
			break
		}
		switch l7.View(k) {
		case "REQUEST_METHOD":
			m.Op = m.Text.Copy(v)
		case "REQUEST_URI":
			uri = v
		case "SCRIPT_NAME":
			script = v
		case "QUERY_STRING":
			query = v
			p.opts.Extract.Query(m, v)
		case "HTTP_HOST":
			host = v
		case "SERVER_NAME":
			name = v
		case "HTTP_USER_AGENT":
			if len(v) > 0 {
				m.Add("user_agent.original", m.Text.Copy(v))
			}
		case "CONTENT_LENGTH":
			if n, err := strconv.ParseInt(l7.View(v), 10, 64); err == nil && n >= 0 {
				m.AddInt("http.request.body.size", n)
			}
		case "SERVER_PROTOCOL":
			if bytes.HasPrefix(v, []byte("HTTP/")) {
				m.Version = m.Text.Copy(v[5:])
			}
		default:
			if bytes.HasPrefix(k, []byte("HTTP_")) {
				p.header(k[5:], v, m)
			}
		}
	}
	if len(host) == 0 && !cut {
		host = name
	}
	m.Domain = m.Text.Copy(host)
	path := script
	switch {
	case len(uri) == 0 && cut:
		path = nil // it may be in what is missing
	case len(uri) > 0:
		path = uri
		if i := bytes.IndexByte(uri, '?'); i >= 0 {
			path, query = uri[:i], uri[i+1:]
		}
	}
	if len(path) > p.opts.MaxText && p.opts.MaxText > 0 {
		path = path[:p.opts.MaxText]
	}
	if m.Target = m.Text.Copy(path); m.Target != "" {
		m.Route = p.opts.Paths.Route(m.Text, m.Target)
	}
	if len(query) > 0 {
		if limit := p.opts.MaxText; limit > 0 && len(query) > limit {
			query = query[:limit]
		}
		if p.opts.KeepLiterals {
			m.Add("url.query", m.Text.Copy(query))
		} else {
			m.Add("url.query", m.Text.Build(len(query), func(d []byte) int { return names(d, query) }))
		}
	}
}

// names writes the names in a query without their values.
func names(dst, query []byte) (n int) {
	for len(query) > 0 {
		var kv []byte
		kv, query, _ = bytes.Cut(query, []byte("&"))
		k, _, _ := bytes.Cut(kv, []byte("="))
		if n > 0 {
			dst[n] = '&'
			n++
		}
		n += copy(dst[n:], k)
	}
	return n
}

// header is a header of the request, in CGI's spelling: X_REQUEST_ID.
func (p *parser) header(k, v []byte, m *l7.Message) {
	var low [64]byte
	if len(k) > len(low) {
		return
	}
	for i, x := range k {
		if x == '_' {
			x = '-'
		}
		low[i] = x
	}
	p.opts.Header(m, low[:len(k)], v)
}

// pair is a name and a value, each with a length of one or four bytes before
// both.
func pair(c *l7.Cursor) (k, v []byte, ok bool) {
	kn := length(c)
	vn := length(c)
	k = c.Take(kn)
	v = c.Take(vn)
	return k, v, !c.Short()
}

func length(c *l7.Cursor) int {
	n := int(c.U8())
	if n < 0x80 {
		return n
	}
	return (n&0x7f)<<24 | int(c.U24())
}
