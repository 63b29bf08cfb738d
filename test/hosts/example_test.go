package hosts

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/test/demo"
	"github.com/hopscope/hopscope/test/rig"
)

// TestExample runs examples/hosts as it is, but for addresses: two agents, two
// gateways, Redis, a backend. What two hosts saw of a request, without headers,
// is one trace, and is sampled as one: all of it is kept, or nothing.
func TestExample(t *testing.T) {
	bin, err := rig.Binary()
	if err != nil {
		t.Skip(err)
	}
	if err := rig.Missing("redis-server"); err != nil {
		t.Skip(err)
	}
	t.Setenv("HOPSCOPE_SETTLE", "1s")
	t.Setenv("HOPSCOPE_DECISION_WAIT", "2s")
	redis, err := rig.Redis(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(redis.Kill)
	t.Setenv("REDIS", redis.Addr())
	port := func() string {
		p, err := rig.Port()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("127.0.0.1:%d", p)
	}
	collector := func(config string) *rig.Collector {
		c, err := rig.StartCollector(bin, t.TempDir(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Stop() })
		return c
	}
	example := func(name string) string {
		b, err := os.ReadFile(filepath.Join("..", "..", "examples", "hosts", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	file := filepath.Join(t.TempDir(), "spans.json")
	backend := port()
	collector(fmt.Sprintf(`
receivers: {otlp: {protocols: {grpc: {endpoint: %q}}}}
exporters: {file: {path: %q, flush_interval: 50ms}}
service: {pipelines: {traces: {receivers: [otlp], exporters: [file]}}}
`, backend, file))
	t.Setenv("HOPSCOPE_BACKEND", backend)
	var gateways []string
	for range 2 {
		at := port()
		t.Setenv("HOPSCOPE_LISTEN", at)
		collector(example("gateway.yaml"))
		gateways = append(gateways, at)
	}
	// One machine has one address by that name, and no second port; what is
	// captured is the matter of other tests.
	text := example("agent.yaml")
	from := strings.Index(text, "      dns:\n")
	to := strings.Index(text, "\nextensions:")
	if from < 0 || to < from || !strings.Contains(text, "receivers: [ebpf, otlp]") {
		t.Fatal("the example is not what this test knows")
	}
	text = text[:from] + fmt.Sprintf("      static: {hostnames: [%q, %q]}\n", gateways[0], gateways[1]) + text[to:]
	text = strings.Replace(text, "receivers: [ebpf, otlp]", "receivers: [otlp]", 1)
	var agents [2]ptraceotlp.GRPCClient
	for i := range agents {
		at := port()
		_, p, _ := strings.Cut(at, ":")
		t.Setenv("HOPSCOPE_OTLP_PORT", p)
		collector(text)
		conn, err := grpc.NewClient("passthrough:///localhost:"+p, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		agents[i] = ptraceotlp.NewGRPCClient(conn)
	}

	const requests, errorEvery, perRequest = 200, 4, 5
	for k := range requests {
		for i, td := range partsOf(k, k%errorEvery == 0) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			if _, err := agents[i].Export(ctx, ptraceotlp.NewExportRequestFromTraces(td)); err != nil {
				t.Fatal(err)
			}
			cancel()
		}
	}
	var traces []*demo.Trace
	err = rig.Until(30*time.Second, func() error {
		var err error
		traces, err = demo.Read(file)
		if err == nil && len(traces) < requests/errorEvery {
			err = fmt.Errorf("%d traces", len(traces))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if traces, err = demo.Read(file); err != nil {
		t.Fatal(err)
	}
	failed, others := 0, 0
	for _, tr := range traces {
		k := nonce(tr.Spans[0])
		for _, s := range tr.Spans {
			if nonce(s) != k {
				t.Errorf("requests %d and %d are one trace", k, nonce(s))
			}
		}
		if len(tr.Spans) != perRequest || len(tr.Roots) != 1 || len(tr.Lost) != 0 {
			t.Errorf("request %d: %d spans of %d, %d roots, %d without their parent\n%s", k, len(tr.Spans), perRequest, len(tr.Roots), len(tr.Lost), shape(tr))
		}
		if (k-1)%errorEvery == 0 {
			failed++
		} else {
			others++
		}
	}
	t.Logf("%d traces with an error and %d of %d others are kept, all of them whole", failed, others, requests-requests/errorEvery)
	if failed != requests/errorEvery || others == 0 || others > (requests-requests/errorEvery)/3 {
		t.Errorf("want %d with an error, and about a tenth of the others", requests/errorEvery)
	}
}

// partsOf is what two hosts see of request k: a calls b, which calls another
// process there, which may fail.
func partsOf(k int, fails bool) [2]ptrace.Traces {
	out := [2]ptrace.Traces{ptrace.NewTraces(), ptrace.NewTraces()}
	begin := time.Now()
	lid := func(call int) hop.Key {
		return hop.LID(hop.ConnKey{Client: uint32(k), Server: uint32(call), Known: true}, 0)
	}
	add := func(host, pid, call, cause int, p hop.Point) ptrace.Span {
		rs := out[host].ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr(semconv.HostName, fmt.Sprint("host-", host))
		rs.Resource().Attributes().PutInt(semconv.ProcessPID, int64(pid))
		rs.Resource().Attributes().PutStr(semconv.ServiceName, fmt.Sprint("service-", pid))
		ss := rs.ScopeSpans().AppendEmpty()
		ss.Scope().SetName(semconv.ScopeEBPF)
		s := ss.Spans().AppendEmpty()
		s.SetName("GET")
		s.SetStartTimestamp(pcommon.NewTimestampFromTime(begin.Add(time.Duration(call) * time.Millisecond)))
		s.SetEndTimestamp(pcommon.NewTimestampFromTime(begin.Add(time.Duration(20-call) * time.Millisecond)))
		s.SetSpanID(hop.SpanID(lid(call), p, fmt.Sprint(host), "").Bytes())
		root := call
		m := s.Attributes()
		if cause != 0 {
			root = cause
			s.SetParentSpanID(hop.SpanID(lid(cause), hop.ServerProcess, fmt.Sprint(host), "").Bytes())
			m.PutStr(semconv.LinkEvidence, "thread")
		}
		s.SetTraceID(pcommon.TraceID(hop.TraceID(lid(root))))
		b := lid(call).Bytes()
		m.PutStr(semconv.ExchangeLID, hex.EncodeToString(b[:]))
		m.PutStr(semconv.CapturePoint, p.Code())
		m.PutBool(semconv.TraceProvisional, true)
		m.PutStr("url.path", fmt.Sprint("/orders/", k+1))
		return s
	}
	add(0, 1, 1, 0, hop.ServerProcess)
	add(0, 1, 2, 1, hop.ClientProcess)
	add(1, 2, 2, 0, hop.ServerProcess)
	add(1, 2, 3, 2, hop.ClientProcess)
	if s := add(1, 3, 3, 0, hop.ServerProcess); fails {
		s.Status().SetCode(ptrace.StatusCodeError)
	}
	return out
}
