package tap

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hopscope/hopscope/internal/packet"
)

// Filter is a filter expression: the usual subset of tcpdump's language. It is
// applied in the kernel to what lies outermost, and again, in the collector, to
// the segment inside tunnels; tunnels themselves always pass the kernel.
//
//	[ip|ip6] [tcp|udp|icmp] [src|dst] [host A | net CIDR | port N | portrange N-M]
//	and, or, not, ( ), and a bare value that repeats what was asked before.
type Filter struct {
	Text string
	root *node
}

// node is one test or a combination.
type node struct {
	op   byte // '&', '|', '!', or 0: a test
	x, y *node
	test
}

// test holds if everything holds that is set.
type test struct {
	version uint8 // 4, 6, 0
	protos  []uint8
	dir     byte // 's', 'd', 0: either
	prefix  netip.Prefix
	lo, hi  uint16 // ports, if ports
	ports   bool
}

// maxFilter bounds the text: what a person writes.
const maxFilter = 4096

// ParseFilter reads an expression; "" matches everything.
func ParseFilter(text string) (*Filter, error) {
	f := &Filter{Text: text}
	if len(text) > maxFilter {
		return nil, fmt.Errorf("filter of %d bytes, limit %d", len(text), maxFilter)
	}
	p := parser{words: words(text)}
	if len(p.words) == 0 {
		return f, nil
	}
	root, err := p.or(0)
	if err == nil && p.i < len(p.words) {
		err = fmt.Errorf("%q is not expected there", p.words[p.i])
	}
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w", text, err)
	}
	f.root = root
	return f, nil
}

func words(s string) (list []string) {
	for _, c := range []string{"(", ")", "!"} {
		s = strings.ReplaceAll(s, c, " "+c+" ")
	}
	s = strings.ReplaceAll(strings.ReplaceAll(s, "&&", " and "), "||", " or ")
	return strings.Fields(s)
}

type parser struct {
	words []string
	i     int
	last  []string // qualifiers of the test before
}

func (p *parser) peek() string {
	if p.i < len(p.words) {
		return p.words[p.i]
	}
	return ""
}

// maxNesting bounds parentheses.
const maxNesting = 32

func (p *parser) or(depth int) (*node, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("more than %d parentheses inside each other", maxNesting)
	}
	x, err := p.and(depth)
	for err == nil && p.peek() == "or" {
		p.i++
		var y *node
		y, err = p.and(depth)
		x = &node{op: '|', x: x, y: y}
	}
	return x, err
}

func (p *parser) and(depth int) (*node, error) {
	x, err := p.not(depth)
	for err == nil && p.peek() == "and" {
		p.i++
		var y *node
		y, err = p.not(depth)
		x = &node{op: '&', x: x, y: y}
	}
	return x, err
}

func (p *parser) not(depth int) (*node, error) {
	switch p.peek() {
	case "not", "!":
		p.i++
		if depth > maxNesting {
			return nil, fmt.Errorf("more than %d negations", maxNesting)
		}
		x, err := p.not(depth + 1)
		return &node{op: '!', x: x}, err
	case "(":
		p.i++
		x, err := p.or(depth + 1)
		if err == nil && p.peek() != ")" {
			err = fmt.Errorf("a parenthesis is not closed")
		}
		p.i++
		return x, err
	}
	return p.test()
}

// test reads qualifiers and a value.
func (p *parser) test() (*node, error) {
	n := &node{}
	var quals []string
	kind := ""
	for {
		w := p.peek()
		switch w {
		case "ip":
			n.version = 4
		case "ip6":
			n.version = 6
		case "tcp":
			n.protos = []uint8{packet.ProtoTCP}
		case "udp":
			n.protos = []uint8{packet.ProtoUDP}
		case "icmp":
			n.protos = []uint8{packet.ProtoICMP, packet.ProtoICMPv6}
		case "src":
			n.dir = 's'
		case "dst":
			n.dir = 'd'
		case "host", "net", "port", "portrange":
			kind = w
		default:
			if w == "" || w == ")" || w == "and" || w == "or" {
				if len(quals) == 0 {
					return nil, fmt.Errorf("a test is missing")
				}
				if kind != "" || n.dir != 0 {
					return nil, fmt.Errorf("%q lacks its value", strings.Join(quals, " "))
				}
				return n, nil
			}
			if len(quals) == 0 { // a bare value: as before
				if len(p.last) == 0 {
					return nil, fmt.Errorf("%q: known are ip, ip6, tcp, udp, icmp, src, dst, host, net, port, portrange, and, or, not", w)
				}
				p.words = append(p.words[:p.i:p.i], append(append([]string(nil), p.last...), p.words[p.i:]...)...)
				continue
			}
			if kind == "" && n.dir != 0 {
				kind = "host"
			}
			p.i++
			p.last = quals
			return n, n.value(kind, w)
		}
		quals = append(quals, w)
		p.i++
	}
}

func (n *node) value(kind, w string) error {
	switch kind {
	case "host":
		a, err := netip.ParseAddr(w)
		if err != nil {
			return fmt.Errorf("%q is not an IP address", w)
		}
		n.prefix = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
	case "net":
		x, err := netip.ParsePrefix(w)
		if err != nil {
			return fmt.Errorf("%q is not a network such as 10.0.0.0/8", w)
		}
		n.prefix = x.Masked()
	case "port", "portrange":
		lo, hi, isRange := strings.Cut(w, "-")
		if !isRange {
			hi = lo
		}
		a, err1 := strconv.ParseUint(lo, 10, 16)
		b, err2 := strconv.ParseUint(hi, 10, 16)
		if err1 != nil || err2 != nil || a > b || isRange != (kind == "portrange") {
			return fmt.Errorf("%q is not a %s", w, kind)
		}
		n.ports, n.lo, n.hi = true, uint16(a), uint16(b)
	default:
		return fmt.Errorf("%q: host, net, port or portrange is missing before it", w)
	}
	return nil
}

// Match reports whether s passes.
func (f *Filter) Match(s *packet.Segment) bool { return f.root == nil || f.root.match(s) }

func (n *node) match(s *packet.Segment) bool {
	switch n.op {
	case '&':
		return n.x.match(s) && n.y.match(s)
	case '|':
		return n.x.match(s) || n.y.match(s)
	case '!':
		return !n.x.match(s)
	}
	if n.version != 0 && (n.version == 4) != s.Src.Is4() {
		return false
	}
	if len(n.protos) > 0 {
		ok := false
		for _, p := range n.protos {
			ok = ok || p == s.Proto
		}
		if !ok {
			return false
		}
	}
	if n.ports {
		if s.Proto != packet.ProtoTCP && s.Proto != packet.ProtoUDP {
			return false
		}
		src, dst := s.SrcPort >= n.lo && s.SrcPort <= n.hi, s.DstPort >= n.lo && s.DstPort <= n.hi
		if !(n.dir != 'd' && src || n.dir != 's' && dst) {
			return false
		}
	}
	if n.prefix.IsValid() {
		if !(n.dir != 'd' && n.prefix.Contains(s.Src.Netip()) || n.dir != 's' && n.prefix.Contains(s.Dst.Netip())) {
			return false
		}
	}
	return true
}
