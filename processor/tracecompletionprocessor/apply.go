package tracecompletionprocessor

import (
	"encoding/hex"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/table"
)

// apply writes a decision into the span it was made for.
func apply(span ptrace.Span, n *table.Node, d *table.Decision) {
	if n.App() {
		if d.Parent != n.Parent {
			span.SetParentSpanID(d.Parent.Bytes())
			b := d.Original.Bytes() // zeros: it was a root
			span.Attributes().PutStr(semconv.APMParentSpanID, hex.EncodeToString(b[:]))
		}
		return
	}
	if d.Trace != n.Trace {
		span.SetTraceID(pcommon.TraceID(d.Trace))
	}
	if d.Span != n.Span {
		span.SetSpanID(d.Span.Bytes())
	}
	if d.Parent != n.Parent {
		if d.Parent == 0 {
			span.SetParentSpanID(pcommon.SpanID{})
		} else {
			span.SetParentSpanID(d.Parent.Bytes())
		}
	}
	m := span.Attributes()
	if d.Shift != 0 {
		if _, done := m.Get(semconv.TimeRawStart); !done {
			m.PutInt(semconv.TimeRawStart, n.Start)
			span.SetStartTimestamp(pcommon.Timestamp(n.Start + d.Shift))
			span.SetEndTimestamp(pcommon.Timestamp(n.End + d.Shift))
		}
	}
	switch {
	case d.Provisional && !n.Provisional:
		m.PutBool(semconv.TraceProvisional, true)
	case !d.Provisional && n.Provisional:
		m.Remove(semconv.TraceProvisional)
	}
	m.PutInt(semconv.HopAdded, d.Added)
	switch {
	case d.Inconsistent:
		m.PutBool(semconv.HopInconsistent, true)
	case n.Inconsistent:
		m.Remove(semconv.HopInconsistent)
	}
	if d.Evidence != table.NoEvidence {
		m.PutStr(semconv.LinkEvidence, d.Evidence.String())
		m.PutStr(semconv.LinkConfidence, d.Evidence.Confidence())
	}
	if d.LinkTrace != (table.TraceID{}) {
		for _, l := range span.Links().All() {
			if l.TraceID() == pcommon.TraceID(d.LinkTrace) {
				return // completed before
			}
		}
		l := span.Links().AppendEmpty()
		l.SetTraceID(pcommon.TraceID(d.LinkTrace))
		l.SetSpanID(d.LinkSpan.Bytes())
	}
	if len(d.Folded) > 0 {
		points := m.PutEmptySlice(semconv.HopsPoint)
		starts := m.PutEmptySlice(semconv.HopsStart)
		durations := m.PutEmptySlice(semconv.HopsDuration)
		for _, f := range d.Folded {
			points.AppendEmpty().SetStr(f.Point.Code())
			starts.AppendEmpty().SetInt(f.Start - n.Start)
			durations.AppendEmpty().SetInt(f.End - f.Start)
		}
	}
}
