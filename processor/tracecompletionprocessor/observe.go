package tracecompletionprocessor

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/metadata"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/skew"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/table"
)

// clock is how far the clock of one host is ahead of another one's.
type clock struct {
	from, to string
	skew.Offset
}

// maxClocks bounds the pairs of hosts that are told.
const maxClocks = 1000

// clocks are the offsets known, of hosts whose names are.
func (p *completion) clocks() []clock {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []clock
	for _, s := range p.table.Skews() {
		from, to := p.names.hostName(s.A), p.names.hostName(s.B)
		if from != "" && to != "" && len(out) < maxClocks {
			out = append(out, clock{from, to, s.Offset})
		}
	}
	return out
}

// observe registers what the processor tells of itself.
func (p *completion) observe() (*metadata.TelemetryBuilder, error) {
	tb, err := metadata.NewTelemetryBuilder(p.set)
	if err != nil {
		return nil, err
	}
	plain := func(f func() int64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(f())
			return nil
		}
	}
	by := func(key string, f func() map[string]uint64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			for k, v := range f() {
				o.Observe(int64(v), metric.WithAttributes(attribute.String(key, k)))
			}
			return nil
		}
	}
	stats := func() table.Stats {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.table.Stats()
	}
	offsets := func(f func(skew.Offset) int64) metric.Float64Callback {
		return func(_ context.Context, o metric.Float64Observer) error {
			for _, c := range p.clocks() {
				o.Observe(float64(f(c.Offset))/1e9, metric.WithAttributes(attribute.String("from", c.from), attribute.String("to", c.to)))
			}
			return nil
		}
	}
	return tb, errors.Join(
		tb.RegisterProcessorTracecompletionClockOffsetCallback(offsets(func(o skew.Offset) int64 { return o.Nanos })),
		tb.RegisterProcessorTracecompletionClockOffsetErrorCallback(offsets(func(o skew.Offset) int64 { return o.Spread })),
		tb.RegisterProcessorTracecompletionHeldCallback(plain(func() int64 {
			p.mu.Lock()
			defer p.mu.Unlock()
			return int64(p.spans)
		})),
		tb.RegisterProcessorTracecompletionKnownCallback(plain(func() int64 { return int64(stats().Held) })),
		tb.RegisterProcessorTracecompletionSpansReceivedCallback(plain(func() int64 { return int64(p.received.Load()) })),
		tb.RegisterProcessorTracecompletionSpansSentCallback(plain(func() int64 { return int64(p.forwarded.Load()) })),
		tb.RegisterProcessorTracecompletionSpansEarlyCallback(plain(func() int64 { return int64(p.early.Load()) })),
		tb.RegisterProcessorTracecompletionSpansLateCallback(plain(func() int64 { return int64(stats().Late) })),
		tb.RegisterProcessorTracecompletionSpansDroppedCallback(by("reason", func() map[string]uint64 {
			return map[string]uint64{"duplicate": p.dupes.Load(), "folded": p.folded.Load(), "refused": p.failed.Load()}
		})),
		tb.RegisterProcessorTracecompletionLinksCallback(by("evidence", func() map[string]uint64 {
			s := stats()
			return map[string]uint64{
				table.ByPropagation.String(): s.Links[table.ByPropagation],
				table.ByRequestID.String():   s.Links[table.ByRequestID],
				table.BySyscall.String():     s.Links[table.BySyscall] + s.Links[table.BySyscallOneSide],
				"message":                    p.messages.stats().linked,
			}
		})),
		tb.RegisterProcessorTracecompletionRefusedCallback(by("reason", func() map[string]uint64 {
			s := stats()
			return map[string]uint64{"two_traces": s.RefusedTwoTraces, "max_spans": s.RefusedSpans, "max_duration": s.RefusedDuration,
				"max_siblings": s.RefusedSiblings, "ambiguous": s.Ambiguous, "sent_apart": s.Apart, "message_ambiguous": p.messages.stats().ambiguous, "message_forgotten": p.messages.stats().forgotten}
		})),
		tb.RegisterProcessorTracecompletionLinkOperationsCallback(by("result", func() map[string]uint64 {
			if p.links == nil {
				return nil
			}
			s := p.links.Stats()
			return map[string]uint64{"put": s.Puts, "put_error": s.PutErrors, "put_dropped": s.PutDropped,
				"get": s.Gets, "hit": s.Hits, "get_error": s.GetErrors, "get_late": p.lookupErrors.Load(), "chained": p.chained.Load()}
		})),
	)
}
