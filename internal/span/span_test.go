package span

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/cause"
	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/internal/who"
)

var (
	httpProto = &l7.Protocol{Name: "http", Transport: l7.TCP, Keys: l7.Keys{
		Op: "http.request.method", Target: "url.path", Route: "http.route",
		Code: "http.response.status_code", CodeInt: true, Domain: "server.address",
	}}
	dnsProto = &l7.Protocol{Name: "dns", Transport: l7.UDP, Pairing: l7.ByStream, Keys: l7.Keys{
		Op: "dns.question.type", Target: "dns.question.name", Code: "dns.response_code",
	}}
	mysqlProto = &l7.Protocol{Name: "mysql", Transport: l7.TCP,
		Attrs: []l7.Attr{{Key: "db.system.name", Str: "mysql"}},
		Keys:  l7.Keys{Op: "db.operation.name", Target: "db.query.text", Route: "db.collection.name", Code: "db.response.status_code", Domain: "db.namespace"}}
)

const t0 = 1_700_000_000_000_000_000

// conn is one end of a connection from 10.0.0.1:40000 to 10.0.0.2:80.
func conn(role stream.Role) *stream.Conn {
	c := &stream.Conn{ID: 7, Transport: l7.TCP, Role: role, RoleConfidence: 255, Pid: 100, Comm: "curl",
		A: netip.MustParseAddrPort("10.0.0.1:40000"), B: netip.MustParseAddrPort("10.0.0.2:80"),
		Key: hop.ConnKey{Client: 1000, Server: 2000, Known: true}, FlowID: 0xabc}
	if role == stream.RoleServer {
		c.A, c.B, c.Pid, c.Comm = c.B, c.A, 200, "nginx"
	}
	return c
}

// request is a GET that is answered with code.
func request(c *stream.Conn, code string, st l7.Status) *session.Exchange {
	x := &session.Exchange{Conn: c, Protocol: httpProto}
	x.Req = session.Half{Seen: true, Pos: 10, Seq: 1010, Start: t0, End: t0 + 1000, Bytes: 80, Parts: 1,
		Ctx: stream.Ctx{Pid: c.Pid, Tid: c.Pid + 1, Goid: 5, SyscallTraceID: 77, CapSeq: 1},
		Msg: l7.Message{Op: "GET", Target: "/orders/4711", Route: "/orders/{id}", Domain: "shop.example:8080", Version: "1.1",
			Attrs: []l7.Attr{{Key: "user_agent.original", Str: "curl/8"}, {Key: "http.request.header.x", Str: "a", Kind: l7.AttrList}, {Key: "http.request.header.x", Str: "b", Kind: l7.AttrList}}}}
	x.Resp = session.Half{Seen: true, Pos: 20, Seq: 2020, Start: t0 + 5000, End: t0 + 9000, Bytes: 900, Parts: 1,
		Ctx: stream.Ctx{Pid: c.Pid, Tid: c.Pid + 1, CapSeq: 2},
		Msg: l7.Message{Type: l7.TypeResponse, Status: st, Code: code, Attrs: []l7.Attr{{Key: "http.response.body.size", Int: 600, Kind: l7.AttrInt}}}}
	x.Over = t0 + 9000
	return x
}

// build passes exchanges through tracker and builder.
func build(t testing.TB, cfg Config, xs ...*session.Exchange) ptrace.Traces {
	t.Helper()
	out := ptrace.NewTraces()
	b := New(cfg, func(td ptrace.Traces, n int) {
		if td.SpanCount() != n {
			t.Errorf("batch of %d spans says %d", td.SpanCount(), n)
		}
		td.ResourceSpans().MoveAndAppendTo(out.ResourceSpans())
	})
	tr := cause.NewTracker(b.Put)
	for _, x := range xs {
		tr.Put(x)
	}
	b.Flush()
	return out
}

// text prints spans for comparison, attributes sorted.
func text(td ptrace.Traces) string {
	var s strings.Builder
	attrs := func(indent string, m pcommon.Map) {
		var lines []string
		for k, v := range m.All() {
			lines = append(lines, fmt.Sprintf("%s%s %s=%s\n", indent, v.Type(), k, v.AsString()))
		}
		slices.Sort(lines)
		s.WriteString(strings.Join(lines, ""))
	}
	for _, rs := range td.ResourceSpans().All() {
		s.WriteString("resource\n")
		attrs("  ", rs.Resource().Attributes())
		for _, ss := range rs.ScopeSpans().All() {
			for _, sp := range ss.Spans().All() {
				fmt.Fprintf(&s, "span %q %s %s trace %s id %s parent %s +%d..+%d %s %q\n", sp.Name(), ss.Scope().Name(), sp.Kind(), sp.TraceID(), sp.SpanID(), sp.ParentSpanID(),
					sp.StartTimestamp()-t0, sp.EndTimestamp()-t0, sp.Status().Code(), sp.Status().Message())
				attrs("  ", sp.Attributes())
			}
		}
	}
	return s.String()
}

func spansOf(td ptrace.Traces) (out []ptrace.Span) {
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				out = append(out, s)
			}
		}
	}
	return out
}

func str(s ptrace.Span, key string) string {
	if v, ok := s.Attributes().Get(key); ok {
		return v.AsString()
	}
	return ""
}

func TestSpan(t *testing.T) { golden(t, "http.golden", both(t)) }

// both is the text of the two ends of a request that failed.
func both(t *testing.T) string {
	procs := map[uint32]*who.Process{200: {PID: 200, Executable: "nginx", Path: "/usr/sbin/nginx", Service: "shop", Source: "systemd", Instance: "h:200:1", Container: "c0ffee"}}
	cfg := Config{Version: "v9", Host: who.Host{Name: "node", ID: "h1"}, Process: func(pid uint32) *who.Process { return procs[pid] }}
	return text(build(t, cfg, request(conn(stream.RoleClient), "404", l7.StatusClientError), request(conn(stream.RoleServer), "404", l7.StatusClientError)))
}

// diff marks the lines that only one of the two has.
func diff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var s strings.Builder
	for _, l := range w {
		if !slices.Contains(g, l) {
			fmt.Fprintf(&s, "- %s\n", l)
		}
	}
	for _, l := range g {
		if !slices.Contains(w, l) {
			fmt.Fprintf(&s, "+ %s\n", l)
		}
	}
	if s.Len() == 0 {
		return "the order differs:\n" + got
	}
	return s.String()
}

// update rewrites the golden files.
var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, file, got string) {
	t.Helper()
	file = filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n%s", file, diff(string(want), got))
	}
}

func link(b *Builder, x *session.Exchange) { cause.NewTracker(b.Put).Put(x) }

func hostOf(id string) who.Host { return who.Host{Name: id, ID: id} }
