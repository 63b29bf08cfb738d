package tracecompletionprocessor

import (
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/table"
)

// TestReadPinpoint: a hop whose request carried Pinpoint's ids names the trace,
// the callee and the event that called as the pinpoint receiver does; a consumer
// is known by the span id that it shares with others.
func TestReadPinpoint(t *testing.T) {
	span := func(kind ptrace.SpanKind, attrs map[string]any) ptrace.Span {
		s := ptrace.NewSpan()
		s.SetKind(kind)
		s.SetSpanID([8]byte{1})
		if err := s.Attributes().FromRaw(attrs); err != nil {
			t.Fatal(err)
		}
		return s
	}
	var n table.Node
	read(&n, span(ptrace.SpanKindClient, map[string]any{"hopscope.propagation.format": "pinpoint", "hopscope.propagation.trace_id": "go-front-1^1795244932506^2",
		"hopscope.propagation.span_id": "8433734173727356949", "hopscope.propagation.parent_span_id": "8544579180966323725"}), origin{}, false)
	text := func(k hop.Key) string { return string(k.Hex(nil)) }
	trace := table.TraceID{0xea, 0xd5, 0x13, 0xc2, 0xad, 0x15, 0x91, 0xf3, 0x59, 0x3e, 0x7a, 0xd5, 0xf4, 0x62, 0x81, 0xdc}
	if n.Carried == nil || n.Carried.Trace != trace || uint64(n.Carried.Span) != 8433734173727356949 || !n.Carried.Own || text(n.Carried.Caller) != "2c7ffd1a20d060e7" {
		t.Errorf("%+v", n.Carried)
	}
	for op, want := range map[string]bool{"send": false, "settle": false, "receive": true, "process": true} {
		n = table.Node{}
		if read(&n, span(ptrace.SpanKindClient, map[string]any{"messaging.operation.type": op}), origin{}, false); n.Received != want {
			t.Errorf("%s: received %t", op, n.Received)
		}
	}
	n = table.Node{}
	read(&n, span(ptrace.SpanKindConsumer, map[string]any{"pinpoint.span_id": "-2"}), origin{}, false)
	if n.Rare == nil || text(n.Rare.Own) != "fffffffffffffffe" {
		t.Errorf("known as %+v", n.Rare)
	}
}
