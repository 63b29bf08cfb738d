package l7

import (
	"regexp"
	"strings"
)

// Paths makes routes of few values from URL paths: /orders/4711 becomes
// /orders/{id}. A segment that looks like a number, a UUID, a hash or another
// long token is replaced; user patterns come first.
type Paths struct {
	// Patterns are tried in order on the whole path; the first that matches
	// gives the route.
	Patterns []PathPattern
	// MaxSegments cuts a route after that many segments. Zero: 8.
	MaxSegments int
}

// PathPattern is one rule of the user: paths that match Match are named Route.
type PathPattern struct {
	Match *regexp.Regexp
	Route string
}

const defaultPathSegments = 8

// DefaultPaths has no user patterns.
func DefaultPaths() *Paths { return &Paths{} }

// Route is the route of path, which has no query. The result is in text, or,
// where nothing had to be replaced and path is already kept, path itself.
func (p *Paths) Route(text *Text, path string) string {
	if p != nil {
		for i := range p.Patterns {
			if p.Patterns[i].Match.MatchString(path) {
				return p.Patterns[i].Route
			}
		}
	}
	max := defaultPathSegments
	if p != nil && p.MaxSegments > 0 {
		max = p.MaxSegments
	}
	// Most paths have nothing to replace: only from the first segment on that
	// has are they copied.
	for i, segments := 0, 0; i < len(path); {
		j := segmentEnd(path, i)
		if segments++; segments > max || j+4 > maxRoute || path[i] == '/' && variable(path[i+1:j]) {
			return p.replace(text, path, i, segments-1, max)
		}
		i = j
	}
	return path
}

// maxRoute bounds a route, in bytes: what does not fit becomes "/*".
const maxRoute = 256

// segmentEnd is where the segment of path ends that starts at i.
func segmentEnd(path string, i int) int {
	if k := strings.IndexByte(path[i+1:], '/'); k >= 0 {
		return i + 1 + k
	}
	return len(path)
}

// replace is Route of path, of which the segments before path[i:] stay.
func (p *Paths) replace(text *Text, path string, i, segments, max int) string {
	var out [maxRoute]byte
	n := copy(out[:], path[:i])
	for i < len(path) {
		j := segmentEnd(path, i)
		seg := path[i:j]
		if segments++; segments > max || n+len(seg)+4 > len(out) {
			n += copy(out[n:], "/*")
			break
		}
		switch {
		case seg[0] == '/' && variable(seg[1:]):
			n += copy(out[n:], "/{id}")
		default:
			n += copy(out[n:], seg)
		}
		i = j
	}
	return text.Copy(out[:n])
}

// variable reports whether a path segment is an id rather than a name: it is
// all digits, a UUID or a hash, has as many digits as letters, or is too long
// for a word.
func variable(s string) bool {
	if s == "" {
		return false
	}
	var digits, letters, hex int
	for i := 0; i < len(s); i++ {
		c := classes[s[i]]
		digits += int(c & 1)
		letters += int(c >> 1 & 1)
		hex += int(c >> 2)
	}
	switch {
	case digits == 0:
		return len(s) > 40
	case letters == 0:
		return true // numbers, dates, versions without letters
	case hex == digits+letters && len(s) >= 8:
		return true // hashes, UUIDs
	case digits >= letters && digits >= 3:
		return true // A1234, 12ab34
	}
	return len(s) > 32
}

// classes are, for each byte, 1: a digit, 2: a letter, 4: a hexadecimal digit.
var classes = func() (t [256]uint8) {
	for i := range t {
		switch c := byte(i); {
		case '0' <= c && c <= '9':
			t[i] = 1 | 4
		case 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F':
			t[i] = 2 | 4
		case 'g' <= c && c <= 'z' || 'G' <= c && c <= 'Z', c == '%', c >= 0x80:
			t[i] = 2
		}
	}
	return t
}()
