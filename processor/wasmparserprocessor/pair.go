package wasmparserprocessor

import (
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/wasmhost"
)

// outcome is how an exchange of unparsed messages ended.
type outcome int

const (
	outcomePaired  outcome = iota
	outcomeOneWay          // nobody answers
	outcomeTimeout         // no answer in time
	outcomeLost            // its answer may be among what was not captured, or its id came again
	outcomeLimit           // too much of something was open
	outcomeEnd             // the collector stops
	outcomes
)

var outcomeNames = [outcomes]string{"paired", "one_way", "timeout", "lost_events", "limit", "shutdown"}

// incomplete is hopscope.incomplete.
var incomplete = [outcomes]string{outcomeTimeout: "timeout", outcomeLost: "lost_events", outcomeLimit: "truncated", outcomeEnd: "truncated"}

// maxWaiting bounds what may wait for an answer on one connection.
const maxWaiting = 4096

// pair gives a message to the exchange that it belongs to. s is its span, say
// writes what the plugin says of it. isEnd is DeepFlow's: messages of one id are
// parts of one session until both ends have come.
func (b *batch) pair(f *flow, s ptrace.Span, kind wasmhost.PartKind, id string, isEnd *bool, say func(ptrace.Span)) {
	switch kind {
	case wasmhost.PartOneWay:
		say(s)
		b.emit(f, &exchange{span: s}, outcomeOneWay)
	case wasmhost.PartResponse:
		b.answered(f, s, id, isEnd, say)
	default:
		b.asked(f, s, id, isEnd, say)
	}
}

func (b *batch) asked(f *flow, s ptrace.Span, id string, isEnd *bool, say func(ptrace.Span)) {
	t := b.p.flows
	if x := f.byID[id]; id != "" && x != nil {
		if isEnd != nil || !x.reqEnd {
			say(x.span) // one more part of it
			x.reqEnd = x.reqEnd || isEnd == nil || *isEnd
			x.span.SetEndTimestamp(max(x.span.EndTimestamp(), s.EndTimestamp()))
			b.done(f, x)
			return
		}
		f.drop(t, x)
		b.emit(f, x, outcomeLost)
	}
	say(s)
	x := &exchange{span: s, id: id, since: b.now, reqEnd: isEnd == nil || *isEnd}
	if len(f.fifo)+len(f.byID) >= maxWaiting {
		for _, old := range f.drain(t) {
			b.emit(f, old, outcomeLimit)
		}
		f.unsure = true
	}
	t.open++
	if id == "" {
		f.fifo = append(f.fifo, x)
		return
	}
	if f.byID == nil {
		f.byID = map[string]*exchange{}
	}
	f.byID[id] = x
}

func (b *batch) answered(f *flow, s ptrace.Span, id string, isEnd *bool, say func(ptrace.Span)) {
	x := f.byID[id]
	if id == "" {
		if x = nil; len(f.fifo) > 0 && !f.unsure {
			x = f.fifo[0]
		}
	}
	if x == nil {
		b.p.drop(dropOrphan, 1)
		return
	}
	answer(x.span, s)
	say(x.span)
	x.answered = true
	x.respEnd = isEnd == nil || *isEnd
	b.done(f, x)
}

// done emits x if both of its messages are whole.
func (b *batch) done(f *flow, x *exchange) {
	if x.reqEnd && x.respEnd {
		f.drop(b.p.flows, x)
		b.emit(f, x, outcomePaired)
	}
}

// drop takes x out of those that wait.
func (f *flow) drop(t *flows, x *exchange) {
	t.open--
	if x.id != "" {
		delete(f.byID, x.id)
		return
	}
	for i := range f.fifo { // the first one, nearly always
		if f.fifo[i] == x {
			f.fifo = append(f.fifo[:i], f.fifo[i+1:]...)
			return
		}
	}
}

// late emits what waited for too long.
func (b *batch) late(f *flow) {
	t := b.p.flows
	for len(f.fifo) > 0 && b.now.Sub(f.fifo[0].since) >= t.cfg.Timeout {
		x := f.fifo[0]
		f.drop(t, x)
		f.unsure = true // it may still come
		b.emit(f, x, outcomeTimeout)
	}
	for _, x := range f.byID {
		if b.now.Sub(x.since) >= t.cfg.Timeout {
			f.drop(t, x)
			b.emit(f, x, outcomeTimeout)
		}
	}
}

// emit gives the span of an exchange to whoever comes next.
func (b *batch) emit(f *flow, x *exchange, how outcome) {
	s := x.span
	b.p.sessions[how].Add(1)
	b.p.guests[f.guest].changed.Add(1)
	if why := incomplete[how]; why != "" {
		s.Attributes().PutStr(semconv.Incomplete, why)
	}
	if how == outcomeTimeout && !x.answered {
		s.SetEndTimestamp(s.EndTimestamp() + pcommon.Timestamp(b.p.flows.cfg.Timeout))
		s.Status().SetCode(ptrace.StatusCodeError)
		s.Attributes().PutStr(semconv.ResponseStatus, statusTimeout)
		s.Attributes().PutStr(semconv.ErrorType, statusTimeout)
	}
	bare(s)
	to, ok := b.spans[f]
	if !ok {
		rs := b.made.ResourceSpans().AppendEmpty()
		f.resource.CopyTo(rs.Resource())
		rs.SetSchemaUrl(semconv.SchemaURL)
		ss := rs.ScopeSpans().AppendEmpty()
		f.scope.CopyTo(ss.Scope())
		ss.SetSchemaUrl(semconv.SchemaURL)
		to = ss.Spans()
		if b.spans == nil {
			b.spans = map[*flow]ptrace.SpanSlice{}
		}
		b.spans[f] = to
	}
	s.MoveTo(to.AppendEmpty())
}

const statusTimeout = "timeout"

func number32(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
