package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// toFile is a configuration that captures the sockets of one port and writes the
// spans as OTLP JSON, a batch per line.
const toFile = `
receivers:
  ebpf:
    sockets:
      include: {ports: [%d]}
exporters:
  file: {path: %q, flush_interval: 50ms}
service:
  pipelines:
    traces: {receivers: [ebpf], exporters: [file]}
`

// onPort narrows an example to one port: other traffic of the host, a load test
// beside this one, must not bury what the test looks for.
func onPort(example string, port int) string {
	const mode = "      mode: auto\n"
	return strings.Replace(example, mode, fmt.Sprintf("%s      include: {ports: [%d]}\n", mode, port), 1)
}

// span is a span with what its resource says.
type span struct {
	ptrace.Span
	resource pcommon.Map
}

// str is an attribute of the span or of its resource as text; "" if there is none.
func (s span) str(name string) string {
	if v, ok := s.Attributes().Get(name); ok {
		return v.AsString()
	}
	if v, ok := s.resource.Get(name); ok {
		return v.AsString()
	}
	return ""
}

func (s span) String() string {
	return fmt.Sprintf("%s %s %v %v", s.Kind(), s.Name(), s.resource.AsRaw(), s.Attributes().AsRaw())
}

// spansIn reads what the file exporter has written so far. Its last line may be
// half written.
func spansIn(t *testing.T, path string) []span {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []span
	for r := bufio.NewReader(bytes.NewReader(b)); ; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return out
		}
		td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					out = append(out, span{s, rs.Resource().Attributes()})
				}
			}
		}
	}
}
