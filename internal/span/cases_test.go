package span

import (
	"net/netip"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// TestOutcome: whose error is an error at which end.
func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		name           string
		status         l7.Status
		code           string
		inc            session.Incomplete
		resp           bool
		client, server ptrace.StatusCode
		say, typ       string // at the client
	}{
		{"ok", l7.StatusOK, "200", 0, true, ptrace.StatusCodeUnset, ptrace.StatusCodeUnset, "ok", ""},
		{"client error", l7.StatusClientError, "404", 0, true, ptrace.StatusCodeError, ptrace.StatusCodeUnset, "client_error", "404"},
		{"server error", l7.StatusServerError, "503", 0, true, ptrace.StatusCodeError, ptrace.StatusCodeError, "server_error", "503"},
		{"server error without code", l7.StatusServerError, "", 0, true, ptrace.StatusCodeError, ptrace.StatusCodeError, "server_error", "_OTHER"},
		{"timeout", 0, "", session.Timeout, false, ptrace.StatusCodeError, ptrace.StatusCodeError, "timeout", "timeout"},
		{"lost", 0, "", session.LostEvents, false, ptrace.StatusCodeUnset, ptrace.StatusCodeUnset, "unknown", ""},
	} {
		for _, role := range []stream.Role{stream.RoleClient, stream.RoleServer} {
			x := request(conn(role), c.code, c.status)
			x.Incomplete = c.inc
			if !c.resp {
				x.Resp, x.Over = session.Half{}, t0+60e9
			}
			s := spansOf(build(t, Config{}, x))[0]
			want := c.client
			if role == stream.RoleServer {
				want = c.server
			}
			if s.Status().Code() != want {
				t.Errorf("%s at %v: status %v, want %v", c.name, role, s.Status().Code(), want)
			}
			if got := str(s, semconv.ResponseStatus); got != c.say {
				t.Errorf("%s: %s is %q, want %q", c.name, semconv.ResponseStatus, got, c.say)
			}
			if got := str(s, semconv.ErrorType); role == stream.RoleClient && got != c.typ {
				t.Errorf("%s: %s is %q, want %q", c.name, semconv.ErrorType, got, c.typ)
			}
			wantEnd, wantType := int64(t0+9000), semconv.TypeSession
			if !c.resp {
				wantEnd, wantType = t0+60e9, semconv.TypeRequest
			}
			if int64(s.EndTimestamp()) != wantEnd || str(s, semconv.SessionType) != wantType {
				t.Errorf("%s: ends at +%d as %q", c.name, int64(s.EndTimestamp())-t0, str(s, semconv.SessionType))
			}
		}
	}
}

// TestPropagated: a request that carries ids continues their trace.
func TestPropagated(t *testing.T) {
	x := request(conn(stream.RoleClient), "200", l7.StatusOK)
	x.Req.Msg.Trace = l7.Trace{Format: l7.FormatW3C, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7", RequestID: "r-1"}
	s := spansOf(build(t, Config{}, x))[0]
	if s.TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" || s.ParentSpanID().String() != "00f067aa0ba902b7" || s.Flags() != flagsRemote {
		t.Errorf("trace %s parent %s flags %x", s.TraceID(), s.ParentSpanID(), s.Flags())
	}
	for k, want := range map[string]string{
		semconv.PropagationFormat: "w3c", semconv.PropagationTraceID: "4bf92f3577b34da6a3ce929d0e0e4736", semconv.PropagationSpanID: "00f067aa0ba902b7",
		semconv.LinkEvidence: "propagated_ids", semconv.LinkConfidence: "exact", semconv.RequestIDRequest: "r-1", semconv.TraceProvisional: "",
	} {
		if got := str(s, k); got != want {
			t.Errorf("%s is %q, want %q", k, got, want)
		}
	}
}

// TestKeys: the two ends of an exchange have the same keys and trace, and span
// ids of their own; other exchanges have others.
func TestKeys(t *testing.T) {
	next := request(conn(stream.RoleClient), "200", l7.StatusOK)
	next.Req.Pos, next.Req.Seq, next.Resp.Seq = 90, 1090, 3000
	ss := spansOf(build(t, Config{Host: hostOf("a")}, request(conn(stream.RoleClient), "200", l7.StatusOK), request(conn(stream.RoleServer), "200", l7.StatusOK), next))
	byKind := map[ptrace.SpanKind][]ptrace.Span{}
	for _, s := range ss {
		byKind[s.Kind()] = append(byKind[s.Kind()], s)
	}
	c, d, s := byKind[ptrace.SpanKindClient][0], byKind[ptrace.SpanKindClient][1], byKind[ptrace.SpanKindServer][0]
	for _, k := range []string{semconv.ExchangeXID, semconv.ExchangeLID} {
		if v := str(c, k); len(v) != 16 || v != str(s, k) || v == str(d, k) {
			t.Errorf("%s: client %q, server %q, next %q", k, v, str(s, k), str(d, k))
		}
	}
	if c.TraceID() != s.TraceID() || c.TraceID() == d.TraceID() || c.TraceID().IsEmpty() {
		t.Errorf("traces %s %s %s", c.TraceID(), s.TraceID(), d.TraceID())
	}
	if c.SpanID() == s.SpanID() || c.SpanID() == d.SpanID() || !c.ParentSpanID().IsEmpty() || !s.ParentSpanID().IsEmpty() {
		t.Errorf("spans %s %s %s", c.SpanID(), s.SpanID(), d.SpanID())
	}
	again := spansOf(build(t, Config{Host: hostOf("a")}, request(conn(stream.RoleClient), "200", l7.StatusOK)))[0]
	other := spansOf(build(t, Config{Host: hostOf("b")}, request(conn(stream.RoleClient), "200", l7.StatusOK)))[0]
	if again.SpanID() != c.SpanID() || other.SpanID() == c.SpanID() {
		t.Errorf("span ids: again %s, on another host %s", again.SpanID(), other.SpanID())
	}
}

func TestDNS(t *testing.T) {
	c := &stream.Conn{ID: 1, Transport: l7.UDP, Role: stream.RoleClient, A: netip.MustParseAddrPort("127.0.0.1:5000"), B: netip.MustParseAddrPort("127.0.0.53:53")}
	ask := func(c *stream.Conn) *session.Exchange {
		x := &session.Exchange{Conn: c, Protocol: dnsProto}
		x.Req = session.Half{Seen: true, Start: t0, End: t0, Bytes: 30, Msg: l7.Message{Op: "A", Name: "DNS A", Target: "example.org", Session: "4711", Stream: 4711}}
		x.Resp = session.Half{Seen: true, Start: t0 + 9, End: t0 + 9, Bytes: 60, Msg: l7.Message{Status: l7.StatusClientError, Code: "NXDOMAIN"}}
		return x
	}
	server := &stream.Conn{ID: 2, Transport: l7.UDP, Role: stream.RoleServer, A: c.B, B: c.A}
	ss := spansOf(build(t, Config{}, ask(c), ask(server)))
	a, b := ss[0], ss[1]
	if a.Name() != "DNS A" || str(a, "dns.response_code") != "NXDOMAIN" || str(a, semconv.NetworkTransport) != "udp" || str(a, semconv.SessionRequestID) != "4711" {
		t.Error(text(build(t, Config{}, ask(c))))
	}
	if x := str(a, semconv.ExchangeXID); x == "" || x != str(b, semconv.ExchangeXID) || str(a, semconv.ExchangeLID) != "" || str(a, semconv.TCPSeqRequest) != "" {
		t.Errorf("keys: %q, %q", x, str(b, semconv.ExchangeXID))
	}
}

// TestUnix: a unix socket has no addresses and nobody else sees its exchanges.
func TestUnix(t *testing.T) {
	c := &stream.Conn{ID: 9, Transport: l7.TCP, Family: stream.Unix, Role: stream.RoleServer, Pid: 3, Comm: "mariadbd"}
	x := &session.Exchange{Conn: c, Protocol: mysqlProto}
	x.Req = session.Half{Seen: true, Start: t0, End: t0, Msg: l7.Message{Op: "SELECT", Route: "orders", Target: "SELECT * FROM orders WHERE id = ?"}}
	x.Resp = session.Half{Seen: true, Start: t0, End: t0, Msg: l7.Message{Status: l7.StatusOK}}
	golden(t, "unix.golden", text(build(t, Config{}, x)))
}

// TestFlow: messages handed to and out by a broker.
func TestFlow(t *testing.T) {
	x := request(conn(stream.RoleClient), "", l7.StatusOK)
	x.Req.Msg.Flow = l7.FlowPublish
	if s := spansOf(build(t, Config{}, x))[0]; s.Kind() != ptrace.SpanKindProducer {
		t.Error("publish is", s.Kind())
	}
	x = request(conn(stream.RoleClient), "", l7.StatusOK)
	x.OneWay, x.FromServer, x.Resp = true, true, session.Half{}
	x.Req.Msg.Flow = l7.FlowDeliver
	s := spansOf(build(t, Config{}, x))[0]
	if s.Kind() != ptrace.SpanKindConsumer || str(s, semconv.SessionType) != semconv.TypeResponse || str(s, semconv.TCPSeqResponse) != "1010" || str(s, semconv.TCPSeqRequest) != "" {
		t.Error(s.Kind(), str(s, semconv.SessionType))
	}
	p := request(conn(stream.RoleUnknown), "200", l7.StatusOK)
	p.Conn.Source, p.Conn.Interface = stream.Packets, "eth0"
	if s := spansOf(build(t, Config{}, p))[0]; s.Kind() != ptrace.SpanKindInternal || str(s, semconv.CapturePoint) != hop.Local.Code() || str(s, semconv.NetworkLocalPort) != "40000" {
		t.Error(text(build(t, Config{}, p)))
	}
}

// TestFacts: what is known of a connection is on the spans that came after it was
// known, and changes with it.
func TestFacts(t *testing.T) {
	c := conn(stream.RoleClient)
	before, after, later := request(c, "200", l7.StatusOK), request(c, "200", l7.StatusOK), request(c, "200", l7.StatusOK)
	after.Facts = &stream.Facts{Attrs: []l7.Attr{{Key: "tls.protocol.version", Str: "1.2"}, {Key: "tls.established", Int: 1, Kind: l7.AttrBool}}}
	later.Facts = &stream.Facts{Attrs: []l7.Attr{{Key: "tls.protocol.version", Str: "1.3"}}}
	ss := spansOf(build(t, Config{}, before, after, later))
	if len(ss) != 3 {
		t.Fatalf("%d spans", len(ss))
	}
	for i, want := range []string{"", "1.2", "1.3"} {
		if got := str(ss[i], "tls.protocol.version"); got != want {
			t.Errorf("span %d: version %q, want %q", i, got, want)
		}
		if v, ok := ss[i].Attributes().Get("tls.established"); ok != (i == 1) || ok && !v.Bool() {
			t.Errorf("span %d: established %v", i, v)
		}
		if str(ss[i], "user_agent.original") != "curl/8" {
			t.Errorf("span %d: what the message says is gone", i)
		}
	}
}

func TestBatch(t *testing.T) {
	var sizes []int
	b := New(Config{MaxSpans: 3, MaxAge: 100}, func(td ptrace.Traces, n int) { sizes = append(sizes, n) })
	put := func() { link(b, request(conn(stream.RoleClient), "200", l7.StatusOK)) }
	for range 4 {
		put()
	}
	b.Tick(t0 + 9000 + 99)
	if len(sizes) != 1 || sizes[0] != 3 {
		t.Fatalf("batches %v, want one of 3", sizes)
	}
	b.Tick(t0 + 9000 + 100)
	b.Tick(t0 + 9000 + 900)
	b.Flush()
	if len(sizes) != 2 || sizes[1] != 1 {
		t.Fatalf("batches %v, want 3 and 1", sizes)
	}
}
