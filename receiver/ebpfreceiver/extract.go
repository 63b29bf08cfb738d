package ebpfreceiver

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/protocols"
)

// ExtractConfig takes one value out of messages: a transaction number that lies
// in the open, as trace id, request id or attribute.
type ExtractConfig struct {
	// As is trace_id, request_id, or the name of an attribute.
	As string `mapstructure:"as"`
	// From is request or response.
	From string `mapstructure:"from"`
	// Protocols, server Ports and Endpoint (a regular expression for path, topic or
	// method) say which messages; what is left out means all.
	Protocols []string `mapstructure:"protocols"`
	Ports     []uint16 `mapstructure:"ports"`
	Endpoint  string   `mapstructure:"endpoint"`
	// One of these says where. None: the body of an HTTP message, or the message
	// as it is on the wire, of which Match takes a part.
	Header string `mapstructure:"header"`
	Query  string `mapstructure:"query"`
	Form   string `mapstructure:"form"`
	JSON   string `mapstructure:"json"`
	// Match is a regular expression: its first group, or all it matches, is the
	// value.
	Match string `mapstructure:"match"`

	_ struct{}
}

// Words of As and From.
const (
	asTraceID    = "trace_id"
	asRequestID  = "request_id"
	fromRequest  = "request"
	fromResponse = "response"
)

// ours is where names of attributes begin that the receiver writes.
const ours = "hopscope"

// maxRules bounds the rules: each is looked at for every message that it may be
// for.
const maxRules = 256

// secret headers hold credentials, which no span may show.
var secret = []string{"authorization", "proxy-authorization", "cookie", "set-cookie"}

var (
	attributeName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$`)
	jsonPath      = regexp.MustCompile(`^[A-Za-z0-9_$-]+(\.[A-Za-z0-9_$-]+)*$`)
)

// extracts validates the list.
func (c *Config) extracts(p *problems) {
	if len(c.Extract) > maxRules {
		p.add("extract", "%d rules are more than %d", len(c.Extract), maxRules)
	}
	known := names(protocols.All())
	for i := range c.Extract {
		r := &c.Extract[i]
		key := fmt.Sprintf("extract::%d::", i)
		switch {
		case r.As == asTraceID, r.As == asRequestID:
		case !attributeName.MatchString(r.As):
			p.add(key+"as", "%q is neither trace_id nor request_id nor the name of an attribute such as bank.transaction", r.As)
		case strings.HasPrefix(r.As, ours+"."):
			p.add(key+"as", "%q: names that begin with %s are the receiver's own; take another one", r.As, ours)
		}
		if r.From != "" && r.From != fromRequest && r.From != fromResponse {
			p.add(key+"from", "%q is neither request nor response", r.From)
		}
		for _, n := range r.Protocols {
			if !slices.Contains(known, n) {
				p.add(key+"protocols", "no such protocol: %q; there are %s", n, strings.Join(known, ", "))
			}
		}
		ports(p, key+"ports", r.Ports)
		if _, err := regexp.Compile(r.Endpoint); err != nil {
			p.add(key+"endpoint", "%q is no regular expression: %v", r.Endpoint, err)
		}
		if _, err := regexp.Compile(r.Match); err != nil {
			p.add(key+"match", "%q is no regular expression: %v", r.Match, err)
		}
		switch n := len(slices.DeleteFunc([]string{r.Header, r.Query, r.Form, r.JSON}, func(s string) bool { return s == "" })); {
		case n > 1:
			p.add(strings.TrimSuffix(key, "::"), "header, query, form and json exclude each other: make it several rules")
		case n == 0 && r.Match == "":
			p.add(strings.TrimSuffix(key, "::"), "says nowhere where to look: set one of header, query, form, json or match")
		}
		switch {
		case len(r.Header) > maxHeader:
			p.add(key+"header", "%q is longer than %d bytes", r.Header, maxHeader)
		case slices.Contains(secret, strings.ToLower(r.Header)):
			p.add(key+"header", "%q holds credentials, which are never shown", r.Header)
		}
		if r.JSON != "" && !jsonPath.MatchString(r.JSON) {
			p.add(key+"json", "%q is no path such as order.items.0.id: names and places in lists, with dots between them", r.JSON)
		}
	}
}

// rules are what validate has passed.
func (c *Config) rules() *l7.Rules {
	var list []l7.Rule
	for i := range c.Extract {
		r := &c.Extract[i]
		out := l7.Rule{Protocols: r.Protocols, Ports: r.Ports, Response: r.From == fromResponse, Key: r.As}
		switch r.As {
		case asTraceID:
			out.Means = l7.MeansTraceID
		case asRequestID:
			out.Means = l7.MeansRequestID
		}
		switch {
		case r.Header != "":
			out.Source, out.Name = l7.SourceHeader, r.Header
		case r.Query != "":
			out.Source, out.Name = l7.SourceQuery, r.Query
		case r.Form != "":
			out.Source, out.Name = l7.SourceForm, r.Form
		case r.JSON != "":
			out.Source, out.Name = l7.SourceJSON, r.JSON
		}
		if r.Endpoint != "" {
			out.Endpoint = regexp.MustCompile(r.Endpoint)
		}
		if r.Match != "" {
			out.Match = regexp.MustCompile(r.Match)
		}
		list = append(list, out)
	}
	return l7.NewRules(list)
}

// names are those of protocols and of what is spoken on top of them.
func names(list []*l7.Protocol) (out []string) {
	for _, p := range list {
		out = append(out, p.Name)
		out = append(out, names(p.Carries)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
