package l7

import (
	"regexp"
	"strings"
	"testing"
)

// TestRules: which connections and messages a rule is for, and what it makes of
// what it finds.
func TestRules(t *testing.T) {
	grpc := &Protocol{Name: "grpc"}
	http := &Protocol{Name: "http"}
	h2 := &Protocol{Name: "http2", Carries: []*Protocol{grpc, http}}
	rules := NewRules([]Rule{
		{Ports: []uint16{80}, Source: SourceHeader, Name: "X-Txn", Means: MeansTraceID},
		{Protocols: []string{"grpc"}, Source: SourceHeader, Name: "x-call", Key: "bank.call"},
		{Endpoint: regexp.MustCompile("^/pay"), Source: SourceHeader, Name: "x-req", Means: MeansRequestID},
	})
	if NewRules(nil) != nil || rules.Port(80) != 80 || rules.Port(81) != 0 {
		t.Error("ports")
	}
	if x := NewRules([]Rule{{Protocols: []string{"kafka"}}}).For(h2, 80); x != nil {
		t.Error("a rule for another protocol applies")
	}
	x := rules.For(h2, 80)
	found := func(asked *Message, last bool) *Message {
		m := &Message{Text: new(Text)}
		for _, h := range [][2]string{{"X-TXN", " T-1 "}, {"x-txn", "T-2"}, {"x-call", "C-1"}, {"x-req", "R-1"}, {"x-other", "x"}} {
			x.Header(m, []byte(h[0]), []byte(h[1]))
		}
		m.Op, m.Target, m.As = asked.Op, asked.Target, asked.As
		x.Settle(h2, m, m, last)
		return m
	}
	if m := found(&Message{Target: "/pay/1", As: http}, false); m.Trace.TraceID != "T-1" || m.Trace.Format != FormatCustom || m.Trace.RequestID != "R-1" || len(m.Attrs) != 0 {
		t.Errorf("%+v %+v", m.Trace, m.Attrs)
	}
	if m := found(&Message{Op: "/payments/Do", As: grpc}, false); m.Trace.RequestID != "R-1" || len(m.Attrs) != 1 || m.Attrs[0] != (Attr{Key: "bank.call", Str: "C-1"}) {
		t.Errorf("%+v %+v", m.Trace, m.Attrs)
	}
	m := found(&Message{}, false) // neither protocol nor endpoint are known
	if m.Trace.RequestID != "" || len(m.Attrs) != 2 || m.Attrs[0].Kind != AttrRule {
		t.Errorf("%+v %+v", m.Trace, m.Attrs)
	}
	if x.Settle(h2, m, m, true); len(m.Attrs) != 0 || m.Trace.RequestID != "" {
		t.Errorf("%+v %+v", m.Trace, m.Attrs)
	}
	if f, o := rules.Counts(2).Found.Load(), rules.Counts(2).Other.Load(); f != 2 || o != 1 {
		t.Errorf("rule 2 found %d, %d of another endpoint", f, o)
	}
	if x := rules.For(h2, 81); x.headers[Client]["x-txn"] != nil || x.WantsBody(Client) {
		t.Error("a rule for another port applies")
	}
	if (*Extract)(nil).Header(m, []byte("x-txn"), nil) || (*Extract)(nil).WantsBody(Client) {
		t.Error("nothing wants something")
	}
}

// TestExtracted: a value is whole, not too long, and the first.
func TestExtracted(t *testing.T) {
	rules := NewRules([]Rule{
		{Source: SourceForm, Name: "a", Key: "form"},
		{Source: SourceJSON, Name: "a.b", Key: "json"},
		{Match: regexp.MustCompile("id=([a-z]+)"), Key: "text"},
		{Source: SourceQuery, Name: "a", Key: "query"},
	})
	x := rules.For(&Protocol{Name: "http", Bodies: true}, 80)
	for _, c := range []struct {
		body  string
		whole bool
		want  string // key=value ...
	}{
		{"x=1&a=b+c%21&a=2", true, "form=b c!"},
		{"x=1&a=b", false, ""},
		{"a=b&x=1", false, "form=b"},
		{"a=" + strings.Repeat("x", MaxExtracted), true, "form=" + strings.Repeat("x", MaxExtracted)},
		{"a=" + strings.Repeat("x", MaxExtracted+1), true, ""},
		{"a=" + strings.Repeat("x", 4*MaxExtracted), true, ""},
		{`{"a":{"b":"x\u00e9y"},"c":1}`, true, "json=x\u00e9y"},
		{`{"a":{"b":-1.5e3}}`, true, "json=-1.5e3"},
		{`{"a":{"b":12`, false, ""},
		{`{"a":{"b":"12`, true, ""},
		{`{"a":{"b":12,`, false, "json=12"},
		{`{"a":{"b":[1]}}`, true, ""},
		{`{"a":{"b":null}}`, true, ""},
		{`{"a":"b=c&a=1"}`, true, ""}, // no form
		{"hello id=jane, id=jo", false, "text=jane"},
		{"hello id=jane", false, ""},
		{"hello id=jane", true, "text=jane"},
		{"", true, ""},
	} {
		m := &Message{Text: new(Text)}
		x.Body(m, []byte(c.body), c.whole)
		x.Settle(&Protocol{Name: "http"}, m, m, true)
		got := ""
		for _, a := range m.Attrs {
			got += a.Key + "=" + a.Str
		}
		if got != c.want {
			t.Errorf("%.40q, whole %t: %q, want %q", c.body, c.whole, got, c.want)
		}
	}
	if n := rules.Counts(0).TooLong.Load(); n != 2 {
		t.Errorf("%d values were too long, want 2", n)
	}
	m := &Message{Text: new(Text)}
	x.Query(m, []byte("b=1&a=%41&a"))
	if len(m.Attrs) != 1 || m.Attrs[0].Str != "A" {
		t.Errorf("%+v", m.Attrs)
	}
}

// FuzzExtract: bodies of any kind.
func FuzzExtract(f *testing.F) {
	for _, s := range []string{"a=b&c=d", `{"a":{"b":[{"c":"x"}]}}`, "%", "a=%4", "[[[[", `{"a":`, "\x00\xff"} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	x := NewRules([]Rule{
		{Source: SourceForm, Name: "a", Key: "form"},
		{Source: SourceJSON, Name: "a.b.0.c", Key: "json"},
		{Match: regexp.MustCompile("(a)(b)?|c"), Key: "text"},
		{Source: SourceQuery, Name: "a", Key: "query"},
	}).For(&Protocol{Name: "http", Bodies: true}, 80)
	f.Fuzz(func(t *testing.T, b []byte, whole bool) {
		m := &Message{Text: new(Text)}
		x.Body(m, b, whole)
		x.Query(m, b)
		x.Settle(&Protocol{Name: "http"}, m, m, true)
		for _, a := range m.Attrs {
			if a.Kind == AttrRule || len(a.Str) > MaxExtracted {
				t.Errorf("%+v", a)
			}
		}
	})
}
