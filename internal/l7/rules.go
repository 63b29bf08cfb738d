package l7

import (
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
)

// Source is where in a message a rule looks.
type Source uint8

// Sources. What is called a header is whatever name and value a protocol carries
// beside its content: HTTP headers, Dubbo attachments, Kafka record headers, AMQP
// header fields, MQTT user properties, keys in SQL comments.
const (
	// SourceText: the body of an HTTP message; of other protocols the message as
	// it is on the wire.
	SourceText Source = iota
	SourceHeader
	SourceQuery
	SourceForm
	SourceJSON
)

// Meaning is what a value is taken for.
type Meaning uint8

// Meanings.
const (
	MeansAttribute Meaning = iota
	MeansTraceID
	MeansRequestID
)

// Rule takes one value out of the messages that it is for.
type Rule struct {
	Protocols []string // names; empty: any
	Ports     []uint16 // the server's; empty: any
	Response  bool     // of answers; else of requests and one-way messages
	// Endpoint is what Target has to match, or Op where there is none; nil: any.
	Endpoint *regexp.Regexp
	Source   Source
	Name     string         // of the header or parameter; the path in JSON
	Match    *regexp.Regexp // its first group, or else all of it, is the value; nil: the value is all there is
	Means    Meaning
	Key      string // of the attribute
}

// Limits of what rules look at and take.
const (
	// MaxBody is how much of a body is kept for rules: what a gateway puts in
	// front of a payload, and less than the capture keeps.
	MaxBody = 8 << 10
	// MaxExtracted bounds a value. A longer one is not taken at all: half an id
	// is another one.
	MaxExtracted = 256
	// maxParams bounds the parameters looked at in a query or a form.
	maxParams = 128
)

// RuleCounts is what became of one rule, from all connections.
type RuleCounts struct {
	Found   atomic.Uint64 // values that were put into a span
	TooLong atomic.Uint64 // values beyond MaxExtracted
	Other   atomic.Uint64 // values of another endpoint
}

// Rules are all rules of a configuration. They are read-only; engines share them.
type Rules struct {
	list   []Rule
	counts []RuleCounts
}

// NewRules makes rules of list; nil if there are none.
func NewRules(list []Rule) *Rules {
	if len(list) == 0 {
		return nil
	}
	return &Rules{list: list, counts: make([]RuleCounts, len(list))}
}

// Counts are those of rule i.
func (r *Rules) Counts(i int) *RuleCounts { return &r.counts[i] }

// Port is port if any rule names it, else 0: to the rules all those are alike.
func (r *Rules) Port(port uint16) uint16 {
	for i := range r.list {
		if slices.Contains(r.list[i].Ports, port) {
			return port
		}
	}
	return 0
}

// For is what applies to connections that speak p, to a server's port; nil if
// nothing does.
func (r *Rules) For(p *Protocol, port uint16) *Extract {
	x := &Extract{}
	for i := range r.list {
		rule := &r.list[i]
		if len(rule.Ports) > 0 && !slices.Contains(rule.Ports, port) || !rule.concerns(p) {
			continue
		}
		side := Client
		if rule.Response {
			side = Server
		}
		n := len(x.rules)
		x.rules = append(x.rules, applied{Rule: rule, counts: &r.counts[i]})
		by := &x.by[side]
		switch rule.Source {
		case SourceHeader:
			if x.headers[side] == nil {
				x.headers[side] = map[string][]int{}
			}
			name := strings.ToLower(rule.Name)
			x.headers[side][name] = append(x.headers[side][name], n)
		default:
			by[rule.Source] = append(by[rule.Source], n)
		}
	}
	if len(x.rules) == 0 {
		return nil
	}
	return x
}

// concerns reports whether the rule may apply to a connection that speaks p: it
// names p, or what is spoken on top of it.
func (r *Rule) concerns(p *Protocol) bool {
	if len(r.Protocols) == 0 || slices.Contains(r.Protocols, p.Name) {
		return true
	}
	return slices.ContainsFunc(p.Carries, func(c *Protocol) bool { return slices.Contains(r.Protocols, c.Name) })
}

// Extract is the rules that apply to one connection. Parsers show it what it
// asks for; what is found stands among the message's attributes, as AttrRule,
// until Settle, when the endpoint is known. A nil Extract wants nothing.
type Extract struct {
	rules   []applied
	headers [2]map[string][]int // lower-case name → rules
	by      [2][SourceJSON + 1][]int
}

// applied is a rule with its counts.
type applied struct {
	*Rule
	counts *RuleCounts
}

// side is whose message m is: that of one who asks or says, or an answer.
func (m *Message) side() Side {
	if m.Type == TypeResponse {
		return Server
	}
	return Client
}

// names are the headers that are asked for.
func (x *Extract) names() (list []string) {
	for _, by := range x.headers {
		for name := range by {
			list = append(list, name)
		}
	}
	return list
}

// Header shows a header, of any case. It reports whether a rule wanted it.
func (x *Extract) Header(m *Message, name, value []byte) bool {
	if x == nil || len(name) > maxHeaderName {
		return false
	}
	by := x.headers[m.side()]
	if len(by) == 0 {
		return false
	}
	var low [maxHeaderName]byte
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		low[i] = c
	}
	list := by[string(low[:len(name)])]
	for _, i := range list {
		x.take(m, i, value, true)
	}
	return len(list) > 0
}

// take notes a value of rule i; whole: value does not go on beyond what is there.
func (x *Extract) take(m *Message, i int, value []byte, whole bool) {
	r := &x.rules[i]
	if r.Match != nil {
		loc := r.Match.FindSubmatchIndex(value)
		switch {
		case loc == nil, !whole && loc[1] == len(value): // half a value is another one
			return
		case len(loc) > 2 && loc[2] >= 0:
			value = value[loc[2]:loc[3]]
		default:
			value = value[loc[0]:loc[1]]
		}
	}
	value = trim(value)
	if len(value) == 0 {
		return
	}
	if len(value) > MaxExtracted {
		r.counts.TooLong.Add(1)
		return
	}
	for k := range m.Attrs {
		if a := &m.Attrs[k]; a.Kind == AttrRule && a.Int == int64(i) {
			return // the first one counts
		}
	}
	m.Attrs = append(m.Attrs, Attr{Kind: AttrRule, Int: int64(i), Str: m.Text.Copy(value)})
}

func trim(b []byte) []byte {
	for len(b) > 0 && b[0] <= ' ' {
		b = b[1:]
	}
	for len(b) > 0 && b[len(b)-1] <= ' ' {
		b = b[:len(b)-1]
	}
	return b
}

// Settle gives what was found in f its place, as far as the endpoint tells: that
// of asked, which is f or the request that f answers. p is what the connection
// speaks. last: no more will be known.
func (x *Extract) Settle(p *Protocol, f, asked *Message, last bool) {
	if !slices.ContainsFunc(f.Attrs, func(a Attr) bool { return a.Kind == AttrRule }) {
		return
	}
	kept := f.Attrs[:0]
	for _, a := range f.Attrs {
		if a.Kind != AttrRule {
			kept = append(kept, a)
			continue
		}
		r := &x.rules[a.Int]
		switch ok, known := r.applies(p, asked); {
		case !known && !last:
			kept = append(kept, a)
		case !ok:
			r.counts.Other.Add(1)
		default:
			r.counts.Found.Add(1)
			switch r.Means {
			case MeansTraceID:
				if claim(&f.Trace, FormatCustom) && f.Trace.TraceID == "" {
					f.Trace.TraceID = a.Str
				}
			case MeansRequestID:
				f.Trace.RequestID = a.Str
			default:
				kept = append(kept, Attr{Key: r.Key, Str: a.Str})
			}
		}
	}
	f.Attrs = kept
}

// applies tells whether the rule is for what was asked on a connection that
// speaks p, and whether that is known yet.
func (r *Rule) applies(p *Protocol, asked *Message) (ok, known bool) {
	if len(r.Protocols) > 0 && !slices.Contains(r.Protocols, p.Name) {
		if asked.As == nil {
			return false, len(p.Carries) == 0
		}
		if !slices.Contains(r.Protocols, asked.As.Name) {
			return false, true
		}
	}
	if r.Endpoint == nil {
		return true, true
	}
	at := asked.Target
	if at == "" {
		at = asked.Op
	}
	if at == "" {
		return false, false
	}
	return r.Endpoint.MatchString(at), true
}
