package pinpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hopscope/hopscope/test/rig"
)

// jaegerEnv names a Jaeger v2 program; make test-e2e builds one and sets it.
const jaegerEnv = "HOPSCOPE_JAEGER"

const jaegerConfig = `
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {receivers: [otlp], exporters: [jaeger_storage_exporter]}
  telemetry: {metrics: {level: none}}
extensions:
  jaeger_query:
    storage: {traces: memory}
    http: {endpoint: 127.0.0.1:%[1]d}
    grpc: {endpoint: 127.0.0.1:%[2]d}
  jaeger_storage: {backends: {memory: {memory: {max_traces: 10000}}}}
receivers:
  otlp: {protocols: {grpc: {endpoint: 127.0.0.1:%[3]d}}}
exporters:
  jaeger_storage_exporter: {trace_storage: memory}
`

// jaeger starts a Jaeger and gives its query URL and its OTLP/gRPC address.
func jaeger(t *testing.T) (query, otlp string) {
	t.Helper()
	p := freePorts(t)
	config := filepath.Join(t.TempDir(), "jaeger.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, jaegerConfig, p.agent, p.stat, p.span), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := rig.Start(os.Getenv(jaegerEnv), "--config", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Stop() })
	query = fmt.Sprintf("http://127.0.0.1:%d", p.agent)
	if err := j.Until(30*time.Second, func() error {
		if err := rig.Listens(p.span); err != nil {
			return err
		}
		_, err := rig.Get(context.Background(), query+"/api/v3/services")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return query, fmt.Sprintf("127.0.0.1:%d", p.span)
}

// inJaeger: as Jaeger shows them, orders are one trace each over both
// applications, with no span whose parent is not there.
func inJaeger(t *testing.T, query string, last int) {
	t.Helper()
	type reference struct{ TraceID, SpanID string }
	type span struct {
		SpanID, OperationName, ProcessID string
		References                       []reference
		Warnings                         []string
		Tags                             []struct {
			Key   string
			Value any
		}
	}
	type answer struct {
		Data []struct {
			TraceID   string
			Spans     []span
			Processes map[string]struct{ ServiceName string }
		}
	}
	var a answer
	if err := rig.Until(20*time.Second, func() error {
		b, err := rig.Get(t.Context(), query+"/api/traces?limit=1000&lookback=1h&service="+backApp)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &a); err != nil {
			return err
		}
		for _, tr := range a.Data {
			for _, s := range tr.Spans {
				for _, tag := range s.Tags {
					if tag.Key == "url.path" && tag.Value == fmt.Sprintf("/order/%d", last) {
						return nil
					}
				}
			}
		}
		return fmt.Errorf("order %d is not among %d traces", last, len(a.Data))
	}); err != nil {
		t.Fatal(err)
	}
	whole := 0
	for _, tr := range a.Data {
		ids, paths, services := map[string]bool{}, map[string]bool{}, map[string]bool{}
		for _, s := range tr.Spans {
			ids[s.SpanID] = true
			services[tr.Processes[s.ProcessID].ServiceName] = true
			for _, tag := range s.Tags {
				if p, ok := tag.Value.(string); ok && tag.Key == "url.path" && strings.HasPrefix(p, "/order/") {
					paths[p] = true
				}
			}
		}
		if len(paths) > 1 {
			t.Errorf("trace %s: %d orders", tr.TraceID, len(paths))
		}
		number := -1
		for p := range paths {
			number, _ = strconv.Atoi(strings.TrimPrefix(p, "/order/"))
		}
		if number < 0 || number >= meanwhile {
			continue // under way while the collector was away
		}
		if !services[frontApp] || !services[backApp] {
			continue // the first ones, before agents were connected
		}
		whole++
		for _, s := range tr.Spans {
			for _, r := range s.References {
				if !ids[r.SpanID] {
					t.Errorf("trace %s: the parent of %s is not in the trace", tr.TraceID, s.OperationName)
				}
			}
			for _, w := range s.Warnings {
				if strings.HasPrefix(w, "clock skew adjustment disabled") {
					continue // agents' times are to the millisecond
				}
				t.Errorf("trace %s: Jaeger warns: %s", tr.TraceID, w)
			}
		}
	}
	t.Logf("Jaeger has %d orders over both applications", whole)
	if whole < 40 {
		t.Errorf("%d orders in Jaeger", whole)
	}
}
