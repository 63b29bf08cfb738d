package l7

import "regexp"

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
	var out [256]byte
	n, changed, segments := 0, false, 0
	for i := 0; i < len(path); {
		j := i + 1
		for j < len(path) && path[j] != '/' {
			j++
		}
		seg := path[i:j]
		if segments++; segments > max || n+len(seg)+4 > len(out) {
			n += copy(out[n:], "/*")
			changed = true
			break
		}
		switch {
		case seg[0] == '/' && variable(seg[1:]):
			n += copy(out[n:], "/{id}")
			changed = true
		default:
			n += copy(out[n:], seg)
		}
		i = j
	}
	if !changed {
		return path
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
	digits, letters, hex := 0, 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			digits++
			hex++
		case 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F':
			letters++
			hex++
		case 'g' <= c && c <= 'z' || 'G' <= c && c <= 'Z':
			letters++
		case c == '-' || c == '_' || c == '.' || c == '~':
		case c == '%' || c >= 0x80:
			letters++
		}
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
