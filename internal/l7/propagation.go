package l7

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Trace is what a message carries of other tracers' ids, text unchanged.
type Trace struct {
	// Format is w3c, b3, jaeger, sw8, sw6, pinpoint, xray, datadog or custom;
	// "" when TraceID is empty.
	Format       string
	TraceID      string
	SpanID       string
	ParentSpanID string
	// RequestID is X-Request-ID, or what the configuration calls so.
	RequestID string
}

// Empty reports whether t carries nothing.
func (t *Trace) Empty() bool { return t.TraceID == "" && t.RequestID == "" && t.SpanID == "" }

// Propagation formats, as hopscope.propagation.format has them. Where a message
// carries several, the earlier one in this list wins.
const (
	FormatW3C      = "w3c"
	FormatB3       = "b3"
	FormatJaeger   = "jaeger"
	FormatSW8      = "sw8"
	FormatSW6      = "sw6"
	FormatPinpoint = "pinpoint"
	FormatXRay     = "xray"
	FormatDatadog  = "datadog"
	FormatCustom   = "custom"
)

type headerRule uint8

const (
	ruleTraceparent headerRule = iota + 1
	ruleB3
	ruleB3Trace
	ruleB3Span
	ruleB3Parent
	ruleJaeger
	ruleSW8
	ruleSW6
	rulePinpointTrace
	rulePinpointSpan
	rulePinpointParent
	ruleXRay
	ruleDatadogTrace
	ruleDatadogParent
	ruleRequestID
	ruleCustomTrace
)

// Propagation finds trace and request ids in the headers of any protocol.
type Propagation struct {
	names [32][]headerName // by the first letter, of which five bits count
	// lengths has bit n set at the first letter of a name that is n bytes long,
	// so that nearly all other headers cost a shift.
	lengths [32]uint64
}

// headerName is a name to look for. letters is 0x20 where it has a letter: with
// that bit set, a name of any case has the bytes of lower.
type headerName struct {
	lower, letters []byte
	rule           headerRule
}

// is compares, eight bytes at a time.
func (n *headerName) is(name []byte) bool {
	if len(name) != len(n.lower) {
		return false
	}
	lower, letters := n.lower[:len(name)], n.letters[:len(name)]
	le := binary.LittleEndian
	i := 0
	for ; i+8 <= len(name); i += 8 {
		if le.Uint64(name[i:])|le.Uint64(letters[i:]) != le.Uint64(lower[i:]) {
			return false
		}
	}
	for ; i < len(name); i++ {
		if name[i]|letters[i] != lower[i] {
			return false
		}
	}
	return true
}

// maxHeaderName bounds configured header names: lengths is one word.
const maxHeaderName = 63

// DefaultPropagation knows the public formats and X-Request-ID.
func DefaultPropagation() *Propagation { return NewPropagation(nil, []string{"x-request-id"}) }

// NewPropagation knows the public formats, takes the value of a header named in
// traceIDs as a trace id of format custom, and of one named in requestIDs as
// the request id.
func NewPropagation(traceIDs, requestIDs []string) *Propagation {
	rules := map[string]headerRule{
		"traceparent":       ruleTraceparent,
		"b3":                ruleB3,
		"x-b3-traceid":      ruleB3Trace,
		"x-b3-spanid":       ruleB3Span,
		"x-b3-parentspanid": ruleB3Parent,
		"uber-trace-id":     ruleJaeger,
		"sw8":               ruleSW8,
		"sw6":               ruleSW6,
		"pinpoint-traceid":  rulePinpointTrace,
		"pinpoint-spanid":   rulePinpointSpan,
		"pinpoint-pspanid":  rulePinpointParent,
		// Pinpoint's own spelling, in the attachments of Dubbo.
		"_dubbo_trasaction_id":  rulePinpointTrace,
		"_dubbo_span_id":        rulePinpointSpan,
		"_dubbo_parent_span_id": rulePinpointParent,
		"x-amzn-trace-id":       ruleXRay,
		"x-datadog-trace-id":    ruleDatadogTrace,
		"x-datadog-parent-id":   ruleDatadogParent,
	}
	for _, n := range requestIDs {
		rules[strings.ToLower(n)] = ruleRequestID
	}
	for _, n := range traceIDs {
		rules[strings.ToLower(n)] = ruleCustomTrace
	}
	p := &Propagation{}
	for n, rule := range rules {
		if n == "" || len(n) > maxHeaderName {
			continue
		}
		p.asked(n)
		letters := make([]byte, len(n))
		for i := range letters {
			if 'a' <= n[i] && n[i] <= 'z' {
				letters[i] = 0x20
			}
		}
		p.names[n[0]&31] = append(p.names[n[0]&31], headerName{lower: []byte(n), letters: letters, rule: rule})
	}
	return p
}

// asked makes Lengths know a name.
func (p *Propagation) asked(name string) {
	if name != "" && len(name) <= maxHeaderName {
		p.lengths[name[0]&31] |= 1 << len(name)
	}
}

// asking is p whose Lengths know these names too.
func (p *Propagation) asking(names []string) *Propagation {
	own := &Propagation{}
	if p != nil {
		*own = *p
	}
	for _, n := range names {
		own.asked(n)
	}
	return own
}

// Lengths has bit n set if a header may carry an id whose name is n bytes long
// and starts with first (any case). It spares a reader of many headers most
// calls of Header.
func (p *Propagation) Lengths(first byte) uint64 {
	if p == nil {
		return 0
	}
	return p.lengths[first&31]
}

// Header looks whether the header name (any case) carries an id, and if so
// reads value into t. It reports whether it did.
func (p *Propagation) Header(t *Trace, text *Text, name, value []byte) bool {
	if p == nil || len(name) == 0 || len(name) > maxHeaderName || p.lengths[name[0]&31]>>len(name)&1 == 0 {
		return false
	}
	list := p.names[name[0]&31]
	for i := range list {
		if !list[i].is(name) {
			continue
		}
		value = bytes.TrimSpace(value)
		if len(value) == 0 || len(value) > maxIDValue {
			return false
		}
		return list[i].rule.read(t, text, value)
	}
	return false
}

// maxIDValue bounds what is looked at as ids: sw8 with long endpoint names is
// the longest of them.
const maxIDValue = 1024

var ranks = map[string]int{FormatW3C: 9, FormatB3: 8, FormatJaeger: 7, FormatSW8: 6, FormatSW6: 5, FormatPinpoint: 4, FormatXRay: 3, FormatDatadog: 2, FormatCustom: 10}

// claim reports whether format may write t, and makes room if it takes over
// from a lesser one.
func claim(t *Trace, format string) bool {
	if t.Format == format {
		return true
	}
	if t.Format != "" && ranks[t.Format] > ranks[format] {
		return false
	}
	t.Format, t.TraceID, t.SpanID, t.ParentSpanID = format, "", "", ""
	return true
}

func (r headerRule) read(t *Trace, text *Text, v []byte) bool {
	switch r {
	case ruleRequestID:
		if t.RequestID == "" {
			t.RequestID = text.Copy(v)
		}
		return true
	case ruleCustomTrace:
		if claim(t, FormatCustom) && t.TraceID == "" {
			t.TraceID = text.Copy(v)
		}
		return true
	case ruleTraceparent:
		// https://www.w3.org/TR/trace-context/#traceparent-header
		if len(v) < 55 || v[2] != '-' || v[35] != '-' || v[52] != '-' || !hexID(v[3:35]) || !hexID(v[36:52]) ||
			string(v[:2]) == "ff" || (len(v) > 55 && (v[55] != '-' || string(v[:2]) == "00")) {
			return false
		}
		ids := text.Copy(v[3:52])
		return setIDs(t, FormatW3C, ids[:32], ids[33:], "")
	case ruleB3:
		// https://github.com/openzipkin/b3-propagation: {trace}-{span}[-{sampled}[-{parent}]]
		f := bytes.SplitN(v, []byte("-"), 4)
		if len(f) < 2 || !hexID(f[0]) || !hexID(f[1]) || (len(f[0]) != 32 && len(f[0]) != 16) || len(f[1]) != 16 {
			return false
		}
		var parent string
		if len(f) == 4 && len(f[3]) == 16 && hexID(f[3]) {
			parent = text.Copy(f[3])
		}
		return setIDs(t, FormatB3, text.Copy(f[0]), text.Copy(f[1]), parent)
	case ruleB3Trace, ruleB3Span, ruleB3Parent:
		if !hexID(v) || len(v) > 32 {
			return false
		}
		return part(t, FormatB3, r-ruleB3Trace, text.Copy(v))
	case ruleJaeger:
		// {trace-id}:{span-id}:{parent-span-id}:{flags}, sometimes URL-encoded
		s := text.Copy(v)
		if strings.Contains(s, "%3") {
			s = strings.NewReplacer("%3A", ":", "%3a", ":").Replace(s)
		}
		f := strings.Split(s, ":")
		if len(f) != 4 || f[0] == "" || !hexID([]byte(f[0])) || len(f[0]) > 32 || !hexID([]byte(f[1])) || len(f[1]) > 16 {
			return false
		}
		parent := f[2]
		if strings.Trim(parent, "0") == "" {
			parent = ""
		}
		return setIDs(t, FormatJaeger, f[0], f[1], parent)
	case ruleSW8:
		return skywalking(t, text, v, FormatSW8)
	case ruleSW6:
		return skywalking(t, text, v, FormatSW6)
	case rulePinpointTrace, rulePinpointSpan, rulePinpointParent:
		return part(t, FormatPinpoint, r-rulePinpointTrace, text.Copy(v))
	case ruleXRay:
		return xray(t, text, v)
	case ruleDatadogTrace, ruleDatadogParent:
		for _, c := range v {
			if c < '0' || c > '9' {
				return false
			}
		}
		return part(t, FormatDatadog, r-ruleDatadogTrace, text.Copy(v))
	}
	return false
}

// part sets one of the three ids of a format that spreads them over headers.
func part(t *Trace, format string, which headerRule, id string) bool {
	if !claim(t, format) {
		return false
	}
	switch which {
	case 0:
		t.TraceID = id
	case 1:
		t.SpanID = id
	case 2:
		t.ParentSpanID = id
	}
	return true
}

func setIDs(t *Trace, format, trace, span, parent string) bool {
	if strings.Trim(trace, "0") == "" || !claim(t, format) {
		return false
	}
	t.TraceID, t.SpanID, t.ParentSpanID = trace, span, parent
	return true
}

func hexID(b []byte) bool {
	all := uint8(4)
	for _, c := range b {
		all &= classes[c]
	}
	return all != 0 && len(b) > 0
}
