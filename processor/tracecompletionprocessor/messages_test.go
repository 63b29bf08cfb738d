package tracecompletionprocessor

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/table"
)

// messageSpan is one of a message with attributes key, value, key, value ...
func messageSpan(n byte, kind ptrace.SpanKind, attrs ...string) ptrace.Span {
	s := ptrace.NewSpan()
	s.SetTraceID(pcommon.TraceID{n})
	s.SetSpanID(pcommon.SpanID{n})
	s.SetKind(kind)
	for i := 0; i+1 < len(attrs); i += 2 {
		s.Attributes().PutStr(attrs[i], attrs[i+1])
	}
	return s
}

func TestMessages(t *testing.T) {
	const id, conv, dest, sys = "messaging.message.id", "messaging.message.conversation_id", "messaging.destination.name", "messaging.system"
	produced, consumed := ptrace.SpanKindProducer, ptrace.SpanKindConsumer
	node := &table.Node{Point: hop.ClientProcess}
	type want struct{ span, to int } // 0: no link
	for _, c := range []struct {
		name  string
		spans []ptrace.Span
		links []want
	}{
		{"by id", []ptrace.Span{messageSpan(1, produced, sys, "nats", id, "a"), messageSpan(2, consumed, sys, "nats", id, "a")}, []want{{2, 1}}},
		{"delivered before it is confirmed", []ptrace.Span{messageSpan(1, consumed, id, "a"), messageSpan(2, produced, id, "a")}, []want{{2, 1}}},
		{"two who get it", []ptrace.Span{messageSpan(1, produced, id, "a"), messageSpan(2, consumed, id, "a"), messageSpan(3, consumed, id, "a")}, []want{{2, 1}, {3, 1}}},
		{"another system", []ptrace.Span{messageSpan(1, produced, sys, "nats", id, "a"), messageSpan(2, consumed, sys, "mqtt", id, "a")}, nil},
		{"one id, two messages", []ptrace.Span{messageSpan(1, produced, id, "a"), messageSpan(2, produced, id, "a"), messageSpan(3, consumed, id, "a")}, nil},
		{"by correlation", []ptrace.Span{messageSpan(1, produced, dest, "q", conv, "c"), messageSpan(2, consumed, dest, "q", conv, "c")}, []want{{2, 1}}},
		{"the answer goes elsewhere", []ptrace.Span{messageSpan(1, produced, dest, "q", conv, "c"), messageSpan(2, consumed, dest, "answers", conv, "c")}, nil},
		{"by header", []ptrace.Span{messageSpan(1, produced, "hopscope.propagation.trace_id", "t", "hopscope.propagation.span_id", "s"),
			messageSpan(2, consumed, "hopscope.propagation.trace_id", "t", "hopscope.propagation.span_id", "s")}, []want{{2, 1}}},
		{"calls", []ptrace.Span{messageSpan(1, ptrace.SpanKindClient, id, "a"), messageSpan(2, ptrace.SpanKindServer, id, "a")}, nil},
	} {
		m := newMessages()
		got := map[want]bool{}
		for _, s := range c.spans {
			m.meet(s, node)
			m.meet(s, node) // again changes nothing
			for _, l := range s.Links().All() {
				to := l.SpanID()
				got[want{int(s.SpanID()[0]), int(to[0])}] = true
			}
		}
		for _, w := range c.links {
			if !got[w] {
				t.Errorf("%s: %d is not linked with %d", c.name, w.span, w.to)
			}
			delete(got, w)
		}
		if len(got) > 0 {
			t.Errorf("%s: linked too: %v", c.name, got)
		}
		if int(m.count.linked) != len(c.links) {
			t.Errorf("%s: %d links counted", c.name, m.count.linked)
		}
	}
}

func TestMessagesBounded(t *testing.T) {
	m := newMessages()
	node := &table.Node{Point: hop.ClientProcess}
	for i := range 2 * maxMessages {
		m.meet(messageSpan(1, ptrace.SpanKindProducer, "messaging.message.id", fmt.Sprint(i)), node)
	}
	if n := len(m.cur) + len(m.old); n > maxMessages || m.count.forgotten == 0 {
		t.Errorf("%d messages are remembered, %d forgotten", n, m.count.forgotten)
	}
}
