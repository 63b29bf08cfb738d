package span

import "strings"

// names makes span names and remembers them: there are few, and each would be
// an allocation.
type names struct{ of2 map[[2]string]string }

// maxNames bounds what is remembered. Names are meant to be few; where they
// turn out to be many, the memory starts anew.
const maxNames = 4096

// of is the name of an operation on a route. One of them may be empty.
func (n *names) of(op, route string) string {
	k := [2]string{op, route}
	if s, ok := n.of2[k]; ok {
		return s
	}
	if n.of2 == nil || len(n.of2) >= maxNames {
		n.of2 = map[[2]string]string{}
	}
	s := op + " " + route
	if op == "" || route == "" {
		s = strings.Clone(first(op, route))
	}
	// The key's parts would pin the memory they are cut from.
	n.of2[[2]string{s[:len(op)], s[len(s)-len(route):]}] = s
	return s
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// hostPort takes "name:port", "[v6]:port" or "name" apart; port is "" if there
// is none.
func hostPort(s string) (host, port string) {
	if strings.HasPrefix(s, "[") {
		if i := strings.IndexByte(s, ']'); i > 0 {
			return s[1:i], strings.TrimPrefix(s[i+1:], ":")
		}
		return s, ""
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 && strings.IndexByte(s, ':') == i {
		return s[:i], s[i+1:]
	}
	return s, ""
}
