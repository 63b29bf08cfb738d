package http1

import (
	"bytes"

	"github.com/hopscope/hopscope/internal/l7"
)

// methods that are known: RFC 9110, PATCH (RFC 5789), QUERY, WebDAV and its
// extensions, and what caches and proxies add.
var methods = []string{
	"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY",
	"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "MKACTIVITY", "CHECKOUT",
	"CHECKIN", "UNCHECKOUT", "MERGE", "VERSION-CONTROL", "MKWORKSPACE", "UPDATE", "LABEL", "BASELINE-CONTROL",
	"MKCALENDAR", "ACL", "BIND", "REBIND", "UNBIND", "LINK", "UNLINK", "ORDERPATCH", "MKREDIRECTREF",
	"UPDATEREDIRECTREF", "PURGE", "BAN", "SUBSCRIBE", "UNSUBSCRIBE", "NOTIFY", "POLL", "BCOPY", "BDELETE", "BMOVE",
	"BPROPFIND", "BPROPPATCH", "X-MS-ENUMATTS", "RPC_IN_DATA", "RPC_OUT_DATA", "M-SEARCH", "SOURCE",
}

// longestMethod bounds the token before the first space.
const longestMethod = 24

// method is the known method that b is, or "".
func method(b []byte) string {
	switch string(b) { // the common ones cost one comparison
	case "GET":
		return "GET"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "DELETE":
		return "DELETE"
	case "HEAD":
		return "HEAD"
	case "OPTIONS":
		return "OPTIONS"
	case "PATCH":
		return "PATCH"
	}
	for _, m := range methods {
		if string(b) == m {
			return m
		}
	}
	return ""
}

// detect implements Protocol.Detect.
func detect(head []byte) l7.Verdict {
	for len(head) > 0 && (head[0] == '\r' || head[0] == '\n') {
		head = head[1:] // RFC 9112 2.2 allows them before a request
	}
	if len(head) == 0 {
		return l7.No
	}
	if head[0] == 'H' {
		if v := statusLine(head); v != l7.No {
			return v
		}
	}
	return requestLine(head)
}

// statusLine: "HTTP/1.1 200 OK".
func statusLine(b []byte) l7.Verdict {
	if len(b) >= len(version) {
		if string(b[:7]) != "HTTP/1." {
			return l7.No
		}
	} else if !bytes.HasPrefix(version, b) {
		return l7.No
	}
	const digits = len("HTTP/1.1 ")
	if len(b) < digits+3 {
		return l7.More
	}
	if b[7] != '0' && b[7] != '1' || b[8] != ' ' || b[9] < '1' || b[9] > '9' || b[10] < '0' || b[10] > '9' || b[11] < '0' || b[11] > '9' {
		return l7.No
	}
	if len(b) > 12 && b[12] != ' ' && b[12] != '\r' && b[12] != '\n' {
		return l7.No
	}
	return l7.Response
}

// surely is from how many bytes on a request line without an end is believed:
// a known method and that many bytes of a URL.
const surely = 512

// enough is how much of "HTTP/1.1" behind a known method and a URL tells a
// request: captures of short packets end there.
const enough = 2

// requestLine: "GET /path HTTP/1.1".
func requestLine(b []byte) l7.Verdict {
	sp := methodEnd(b)
	if sp == notMethod {
		return l7.No
	}
	switch {
	case sp == 0 || sp < 0 && len(b) > longestMethod:
		return l7.No
	case sp < 0:
		for _, m := range methods {
			if len(b) < len(m) && m[:len(b)] == string(b) || m == string(b) {
				return l7.More
			}
		}
		return l7.No
	}
	known := method(b[:sp]) != ""
	target := b[sp+1:]
	if len(target) == 0 {
		return more(known)
	}
	end := bytes.IndexByte(target, '\n')
	if end < 0 {
		// A URL has no spaces and no control characters; an unknown method needs
		// the whole line.
		k := bytes.IndexByte(target, ' ')
		url := target
		if k >= 0 {
			url = target[:k]
		}
		if !clean(url) || !urlStart(url[0]) && string(b[:sp]) != "CONNECT" {
			return l7.No
		}
		if k >= 0 {
			rest := trimCR(target[k+1:])
			if n := min(len(rest), len(version)); !bytes.Equal(rest[:n], version[:n]) {
				return l7.No
			}
			if known && len(rest) >= enough {
				return l7.Request
			}
			return more(known)
		}
		if known && len(target) >= surely {
			return l7.Request
		}
		return more(known)
	}
	line := trimCR(target[:end])
	if k := len(line) - len(" HTTP/1.1"); k <= 0 || !endsLine(line[k:]) {
		return l7.No
	}
	return l7.Request
}

// notMethod is what methodEnd says of bytes that no method has.
const notMethod = -2

// methodEnd is where the space after the method at the front of b is, -1 if
// that is not there (yet).
func methodEnd(b []byte) int {
	for i := 0; i < len(b) && i <= longestMethod; i++ {
		c := b[i]
		if c == ' ' {
			return i
		}
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return notMethod
		}
	}
	return -1
}

// endsLine: b, nine bytes, is what follows the target in a request line.
func endsLine(b []byte) bool {
	return b[0] == ' ' && string(b[1:8]) == "HTTP/1." && (b[8] == '0' || b[8] == '1')
}

// unknownMethod: b may become a request line with a method that nobody knows.
// Only where a message is known to start.
func unknownMethod(b []byte) bool {
	for i, c := range b {
		if i > longestMethod {
			return false
		}
		if c == ' ' {
			return i > 0 && (len(b) == i+1 || urlStart(b[i+1])) && bytes.IndexByte(b, '\n') < 0
		}
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func more(known bool) l7.Verdict {
	if known {
		return l7.More
	}
	return l7.No
}

func urlStart(c byte) bool {
	return c == '/' || c == '*' || c|0x20 == 'h' || c == '?' || c == '%'
}

func clean(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return len(b) > 0
}
