package pinpoint

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hopscope/hopscope/test/rig"
)

// jaeger starts a Jaeger and gives its query URL and its OTLP/gRPC address.
func jaeger(t *testing.T) (query, otlp string) {
	t.Helper()
	j, err := rig.StartJaeger(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Stop() })
	return j.Query, j.OTLP
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
