package span

import (
	"strings"
	"sync/atomic"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/stream"
)

// Names bounds how many names spans may have, for those who group by them. Zero
// values are the defaults.
type Names struct {
	// PerSegment is how many names one segment of a path may have below the same
	// parent, PerPort how many names the spans of one protocol on one server port
	// may have. What comes later is "*".
	PerSegment, PerPort int
}

// Defaults: a service with more paths below one than that does not have paths
// there but values, and one with more operations is hard to look at.
const (
	DefaultPerSegment = 100
	DefaultPerPort    = 1000
)

const (
	// maxNames bounds what is remembered of names that were made: past it they
	// are made anew.
	maxNames = 4096
	// maxServices bounds the pairs of protocol and port that have names of their
	// own; the others share theirs. maxSegments bounds the segments of all paths.
	// With names of 40 bytes, all of it is 5 MiB.
	maxServices = 1024
	maxSegments = 32768
	maxAllNames = 32768
	star        = "*"
)

// names makes span names, and routes, of which there are not too many.
type names struct {
	cfg Names
	// made is what came of names: there are few, and each would be an allocation.
	made     map[madeKey]*named
	services map[serviceKey]*service
	segments int // of all services
	all      int // names of all services
	// limited counts the spans whose name or route is not what it would be.
	limited atomic.Uint64
}

type serviceKey struct {
	protocol *l7.Protocol
	port     uint16
}

type madeKey struct {
	serviceKey
	op, route string
}

// named is what came of an operation and a route: a span's name, and its route.
type named struct {
	madeKey
	name    string
	few     string // the route, of which there are few
	limited bool
}

// service is what one port's names are so far.
type service struct {
	names map[string]struct{}
	root  segment
}

// segment is one of a path.
type segment struct{ next map[string]*segment }

func newNames(cfg Names) names {
	if cfg.PerSegment <= 0 {
		cfg.PerSegment = DefaultPerSegment
	}
	if cfg.PerPort <= 0 {
		cfg.PerPort = DefaultPerPort
	}
	return names{cfg: cfg, made: map[madeKey]*named{}, services: map[serviceKey]*service{}}
}

// of is what is made of an operation and a route.
func (n *names) of(p *l7.Protocol, port uint16, op, route string) *named {
	k := madeKey{serviceKey{p, port}, op, route}
	m := n.made[k]
	if m == nil {
		m = n.make(k)
	}
	return m
}

// make finds the name and the route for k, and remembers them.
func (n *names) make(k madeKey) *named {
	// What is kept may not pin the memory that k's parts are cut from.
	k.op, k.route = strings.Clone(k.op), strings.Clone(k.route)
	m, s := &named{madeKey: k, few: k.route}, n.service(k.serviceKey)
	if k.protocol.Keys.Route == semconv.HTTPRoute {
		m.few, m.limited = n.path(s, k.route)
	}
	m.name = join(k.op, m.few)
	if !n.admit(s, m.name) {
		m.limited = true
		if m.name = join(k.op, star); k.route == "" || !n.admit(s, m.name) {
			m.name = star
		}
	}
	if len(n.made) >= maxNames {
		clear(n.made)
	}
	n.made[k] = m
	return m
}

func join(op, route string) string {
	switch {
	case op == "":
		return route
	case route == "":
		return op
	}
	return op + " " + route
}

// service is that of k, or one that many share.
func (n *names) service(k serviceKey) *service {
	s := n.services[k]
	if s == nil && len(n.services) >= maxServices {
		k.port = 0
		s = n.services[k]
	}
	if s == nil {
		s = &service{names: map[string]struct{}{}}
		n.services[k] = s
	}
	return s
}

// admit reports whether a span of s may have this name. A few names with a star
// have room beyond the limit.
func (n *names) admit(s *service, name string) bool {
	if _, ok := s.names[name]; ok {
		return true
	}
	limit := n.cfg.PerPort
	if strings.HasSuffix(name, " "+star) {
		limit += DefaultPerSegment
	}
	if len(s.names) >= limit || n.all >= maxAllNames {
		return false
	}
	n.all++
	s.names[name] = struct{}{}
	return true
}

// path is route with a star for each segment that is one too many.
func (n *names) path(s *service, route string) (out string, limited bool) {
	if route == "" || route[0] != '/' {
		return route, false
	}
	at := &s.root
	for from := 1; ; {
		to := strings.IndexByte(route[from:], '/')
		if to < 0 {
			to = len(route)
		} else {
			to += from
		}
		name := route[from:to]
		next := at.next[name]
		if next == nil {
			if len(at.next) >= n.cfg.PerSegment || n.segments >= maxSegments {
				limited = true
				route = route[:from] + star + route[to:]
				to = from + len(star)
				name = star
				next = at.next[name]
			}
			if next == nil {
				next = &segment{}
				// The star has its place beyond the limits: one below each segment.
				if at.next == nil {
					at.next = map[string]*segment{}
				}
				at.next[name] = next
				n.segments++
			}
		}
		at = next
		if to == len(route) {
			return route, limited
		}
		from = to + 1
	}
}

// serverPort is the port of c's server, 0 if it is not known.
func serverPort(c *stream.Conn) uint16 {
	if c == nil {
		return 0
	}
	switch client, known := c.ClientDir(); {
	case !known:
		return 0
	case client == stream.FromA:
		return c.B.Port()
	}
	return c.A.Port()
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
