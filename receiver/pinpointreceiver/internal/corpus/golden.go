package corpus

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Golden compares a readable form of spans with the one in the file path, which
// was looked at; update: it is written.
func Golden(t *testing.T, path string, tds []ptrace.Traces, update bool) {
	t.Helper()
	var lines []string
	for _, td := range tds {
		for _, rs := range td.ResourceSpans().All() {
			svc, _ := rs.Resource().Attributes().Get("service.name")
			for _, s := range rs.ScopeSpans().At(0).Spans().All() {
				var attrs []string
				for k, v := range s.Attributes().All() {
					if k == "pinpoint.transaction_id" || k == "hopscope.signal.source" || k == "exception.stacktrace" {
						continue
					}
					attrs = append(attrs, k+"="+v.AsString())
				}
				slices.Sort(attrs)
				line := fmt.Sprintf("%s %s %s %s %s %q %s", s.TraceID(), s.SpanID(), s.ParentSpanID(), svc.Str(), s.Kind(), s.Name(), s.Status().Code())
				lines = append(lines, line+"\n  "+strings.Join(attrs, "\n  ")+"\n")
			}
		}
	}
	slices.Sort(lines)
	got := strings.Join(lines, "")
	if update {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, got)
		z.Close()
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := io.ReadAll(z)
	if got != string(want) {
		g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				t.Fatalf("line %d of the golden:\n got %s\nwant %s", i+1, g[i], w[i])
			}
		}
		t.Fatalf("%d lines, the golden has %d", len(g), len(w))
	}
}
