package tracecompletionprocessor

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/metadata"
)

// FuzzConsume: spans come from anybody. Whatever they say, each of them leaves or
// is counted, and of what is forgotten nothing stays.
func FuzzConsume(f *testing.F) {
	var m ptrace.ProtoMarshaler
	all := ptrace.NewTraces()
	for _, td := range request(7, time.Unix(1e9, 0)) {
		b, err := m.MarshalTraces(td)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		td.ResourceSpans().MoveAndAppendTo(all.ResourceSpans())
	}
	b, err := m.MarshalTraces(all)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(b)
		if err != nil {
			return
		}
		n := td.SpanCount()
		again := ptrace.NewTraces()
		td.CopyTo(again)
		sink := new(consumertest.TracesSink)
		p, err := newCompletion(createDefaultConfig().(*Config), processortest.NewNopSettings(metadata.Type), sink)
		if err != nil {
			t.Fatal(err)
		}
		for _, td := range []ptrace.Traces{td, again} {
			if err := p.ConsumeTraces(context.Background(), td); err != nil {
				t.Fatal(err)
			}
		}
		p.flush(context.Background(), 1<<62)
		if got := sink.SpanCount() + int(p.dupes.Load()+p.folded.Load()); got != 2*n {
			t.Errorf("%d spans in, %d out or counted", 2*n, got)
		}
		p.forget(1 << 62)
		if s := p.table.Stats(); s.Held != 0 || p.known != 0 || p.spans != 0 {
			t.Errorf("%d nodes held, %d known, %d waiting", s.Held, p.known, p.spans)
		}
	})
}
