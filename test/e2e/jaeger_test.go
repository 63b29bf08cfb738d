package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/hopscope/hopscope/test/rig"
)

// jaeger starts a Jaeger and gives its query URL and its OTLP/gRPC address.
func jaeger(t *testing.T) (query, otlp string) {
	t.Helper()
	if os.Getenv(rig.JaegerEnv) == "" {
		t.Skipf("%s is not set: make test-e2e builds Jaeger and sets it", rig.JaegerEnv)
	}
	j, err := rig.StartJaeger(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Stop() })
	return j.Query, j.OTLP
}

// TestJaeger sends a trace over OTLP through the jaeger example and asks it back
// through Jaeger's query API: ids, parents, kinds, attributes and times survive.
func TestJaeger(t *testing.T) {
	bin := binary(t)
	query, otlp := jaeger(t)
	port, err := rig.Port()
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(filepath.Join(root, "examples", "jaeger", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := string(example)
	if os.Geteuid() != 0 {
		// Without privileges the ebpf receiver refuses to start; what is tested
		// here is the way to Jaeger.
		config = strings.Replace(config, "receivers: [ebpf, otlp]", "receivers: [otlp]", 1)
	}
	t.Setenv("JAEGER_OTLP", otlp)
	t.Setenv("HOPSCOPE_OTLP_PORT", fmt.Sprint(port))
	c, err := rig.StartCollector(bin, t.TempDir(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() })

	sent := twoSpans()
	post(t, fmt.Sprintf("http://127.0.0.1:%d/v1/traces", port), sent)

	client := sent.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	var got ptrace.Traces
	err = rig.Until(30*time.Second, func() error {
		body, err := rig.Get(context.Background(), query+"/api/v3/traces/"+client.TraceID().String())
		if err != nil {
			return err
		}
		// The answer is OTLP JSON in an envelope.
		var envelope struct{ Result json.RawMessage }
		if err := json.Unmarshal(body, &envelope); err != nil {
			return err
		}
		got, err = (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(envelope.Result)
		if err == nil && got.SpanCount() < sent.SpanCount() {
			err = fmt.Errorf("%d of %d spans", got.SpanCount(), sent.SpanCount())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want, have := described(sent), described(got)
	if len(have) != len(want) {
		t.Fatalf("sent %d spans, Jaeger has %d", len(want), len(have))
	}
	for id, w := range want {
		if have[id] != w {
			t.Errorf("span %s\n sent %s\n has  %s", id, w, have[id])
		}
	}
}

// twoSpans is a client and a server span of one exchange, as our receiver makes
// them, with ids of this moment.
func twoSpans() ptrace.Traces {
	now := time.Now()
	var trace pcommon.TraceID
	copy(trace[:], fmt.Appendf(nil, "%016x", now.UnixNano()))
	td := ptrace.NewTraces()
	var parent pcommon.SpanID
	for i, service := range []string{"curl", "nginx"} {
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("service.name", service)
		rs.Resource().Attributes().PutInt("process.pid", int64(1000+i))
		ss := rs.ScopeSpans().AppendEmpty()
		ss.Scope().SetName("hopscope/ebpf")
		span := ss.Spans().AppendEmpty()
		span.SetTraceID(trace)
		span.SetSpanID(pcommon.SpanID{1, 2, 3, 4, 5, 6, 7, byte(1 + i)})
		span.SetParentSpanID(parent)
		parent = span.SpanID()
		span.SetName("GET")
		span.SetKind(ptrace.SpanKindClient - ptrace.SpanKind(i))
		span.SetStartTimestamp(pcommon.NewTimestampFromTime(now.Add(time.Duration(i) * time.Millisecond)))
		span.SetEndTimestamp(pcommon.NewTimestampFromTime(now.Add(time.Duration(10-i) * time.Millisecond)))
		span.Attributes().PutStr("url.path", "/orders/12")
		span.Attributes().PutInt("http.response.status_code", 503)
		span.Attributes().PutStr("hopscope.exchange.xid", "0123456789abcdef")
		span.Status().SetCode(ptrace.StatusCodeError)
	}
	return td
}

// described maps a span's id to what must survive the way.
func described(td ptrace.Traces) map[string]string {
	out := map[string]string{}
	for _, rs := range td.ResourceSpans().All() {
		service, _ := rs.Resource().Attributes().Get("service.name")
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				attrs, _ := json.Marshal(s.Attributes().AsRaw())
				out[s.SpanID().String()] = fmt.Sprintf("%s %s %s %s parent %q %d-%d %s %s", service.Str(), ss.Scope().Name(),
					s.Name(), s.Kind(), s.ParentSpanID(), s.StartTimestamp(), s.EndTimestamp(), s.Status().Code(), attrs)
			}
		}
	}
	return out
}

func post(t *testing.T, url string, td ptrace.Traces) {
	t.Helper()
	body, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(url, "application/x-protobuf", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: %s: %s", url, resp.Status, text)
	}
}

// TestJaegerCaptured: what was captured here is found in Jaeger under the names of
// both processes.
func TestJaegerCaptured(t *testing.T) {
	bin := binary(t)
	asRoot(t)
	installed(t, "nginx", "curl")
	query, otlp := jaeger(t)
	nginx, err := rig.Nginx(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer nginx.Stop()
	port, err := rig.Port()
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(filepath.Join(root, "examples", "jaeger", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("JAEGER_OTLP", otlp)
	t.Setenv("HOPSCOPE_OTLP_PORT", fmt.Sprint(port))
	c, err := rig.StartCollector(bin, t.TempDir(), onPort(string(example), nginx.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	path := fmt.Sprintf("/captured/%d", time.Now().UnixNano())
	if out, err := exec.Command("curl", "-s", nginx.URL(path)).CombinedOutput(); err != nil {
		t.Fatalf("curl: %v\n%s", err, out)
	}
	for _, service := range []string{"curl", "nginx"} {
		err := rig.Until(20*time.Second, func() error {
			body, err := rig.Get(context.Background(), query+"/api/traces?limit=100&service="+service)
			if err != nil {
				return err
			}
			var answer struct {
				Data []struct {
					Spans []struct {
						Tags []struct {
							Key   string
							Value any
						}
					}
				}
			}
			if err := json.Unmarshal(body, &answer); err != nil {
				return err
			}
			for _, trace := range answer.Data {
				for _, s := range trace.Spans {
					for _, tag := range s.Tags {
						if tag.Key == "url.path" && tag.Value == path {
							return nil
						}
					}
				}
			}
			return fmt.Errorf("no span of %s with the path %s in %d traces", service, path, len(answer.Data))
		})
		if err != nil {
			t.Error(err)
		}
	}
}
