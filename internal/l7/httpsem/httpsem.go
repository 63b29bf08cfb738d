// Package httpsem is what every version of HTTP has in common (RFC 9110) and a
// span tells: methods, targets without values, status codes, and which headers
// become attributes.
//
// Strings go in as they lie in the message; what has to stay is copied.
package httpsem

import (
	"strings"

	"github.com/hopscope/hopscope/internal/l7"
)

// Keys of HTTP's spans.
var Keys = l7.Keys{
	Op:      "http.request.method",
	Target:  "url.path",
	Route:   "http.route",
	Code:    "http.response.status_code",
	CodeInt: true,
	Domain:  "server.address",
}

// Attribute names.
const (
	UserAgent    = "user_agent.original"
	Referer      = "http.request.header.referer"
	ForwardedFor = "hopscope.http.forwarded_for"
	RequestSize  = "http.request.body.size"
	ResponseSize = "http.response.body.size"
	Upgrade      = "hopscope.http.upgrade"

	methodOriginal = "http.request.method_original"
	query          = "url.query"
	requestHeader  = "http.request.header."
	responseHeader = "http.response.header."
)

// Limits.
const (
	// MaxValue bounds a header that becomes an attribute.
	MaxValue = 512
	// MaxMethod bounds a method that nobody knows.
	MaxMethod = 24
	// defaultMaxText bounds a path or a query where the options say nothing.
	defaultMaxText = 2048
	// maxKey bounds the name of a query parameter.
	maxKey = 64
)

// methods that are known: RFC 9110, PATCH (RFC 5789), QUERY, WebDAV and its
// extensions, and what caches and proxies add.
var methods = [...]string{
	"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY",
	"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "MKACTIVITY", "CHECKOUT",
	"CHECKIN", "UNCHECKOUT", "MERGE", "VERSION-CONTROL", "MKWORKSPACE", "UPDATE", "LABEL", "BASELINE-CONTROL",
	"MKCALENDAR", "ACL", "BIND", "REBIND", "UNBIND", "LINK", "UNLINK", "ORDERPATCH", "MKREDIRECTREF",
	"UPDATEREDIRECTREF", "PURGE", "BAN", "SUBSCRIBE", "UNSUBSCRIBE", "NOTIFY", "POLL",
}

// Method is the known method that s is, as a constant, or "".
func Method(s string) string {
	switch s {
	case "GET":
		return "GET"
	case "POST":
		return "POST"
	}
	for _, m := range methods {
		if s == m {
			return m
		}
	}
	return ""
}

// SetMethod writes the method of a request.
func SetMethod(m *l7.Message, s string) {
	if m.Op = Method(s); m.Op == "" {
		m.Op = "_OTHER"
		m.Add(methodOriginal, m.Text.Join(s[:min(len(s), MaxMethod)]))
	}
}

// SetTarget writes path, query and route of a request target in origin form:
// /path?query. kept: t stays valid.
func SetTarget(o *l7.Options, m *l7.Message, t string, kept bool) {
	limit := o.MaxText
	if limit <= 0 {
		limit = defaultMaxText
	}
	path, q, _ := strings.Cut(t, "?")
	if m.Target = path[:min(len(path), limit)]; !kept {
		m.Target = m.Text.Join(m.Target)
	}
	m.Route = o.Paths.Route(m.Text, m.Target)
	if q == "" {
		return
	}
	q = q[:min(len(q), limit)]
	if o.Extract != nil {
		o.Extract.Query(m, []byte(q))
	}
	if o.KeepLiterals {
		m.Add(query, m.Text.Join(q))
	} else {
		m.Add(query, m.Text.Build(len(q), func(dst []byte) int { return names(dst, q) }))
	}
}

// names writes the names in a query without their values: a=1&b=2 becomes a&b.
func names(dst []byte, q string) int {
	n := 0
	for q != "" {
		var pair string
		pair, q, _ = strings.Cut(q, "&")
		name, _, whole := strings.Cut(pair, "=")
		if !whole && len(name) > maxKey {
			continue // a long lone word is a value, not a name
		}
		if name = name[:min(len(name), maxKey)]; name == "" {
			continue
		}
		if n > 0 {
			dst[n] = '&'
			n++
		}
		n += copy(dst[n:], name)
	}
	return n
}

// StatusOf says whose fault a status code is.
func StatusOf(code int) l7.Status {
	switch {
	case code < 100 || code > 999:
		return l7.StatusUnset
	case code < 400:
		return l7.StatusOK
	case code < 500:
		return l7.StatusClientError
	}
	return l7.StatusServerError
}

// Keep makes an attribute of a header, its name in lower case, if the
// configuration allows it. Credentials are never shown.
func Keep(o *l7.Options, m *l7.Message, request bool, name, value string) {
	allowed, prefix := o.RequestHeaders, requestHeader
	if !request {
		allowed, prefix = o.ResponseHeaders, responseHeader
	}
	if !allowed[name] {
		return
	}
	switch name {
	case "cookie", "set-cookie", "authorization", "proxy-authorization":
		value = "REDACTED"
	}
	m.AddList(m.Text.Join(prefix, name), m.Text.Join(value[:min(len(value), MaxValue)]))
}

// WithoutQuery is a URL as the Referer header has it, without what values may
// be in.
func WithoutQuery(o *l7.Options, s string) string {
	if k := strings.IndexAny(s, "?#"); k >= 0 && !o.KeepLiterals {
		s = s[:k]
	}
	return s[:min(len(s), MaxValue)]
}
