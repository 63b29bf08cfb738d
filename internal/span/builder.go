// Package span makes OTLP spans of linked exchanges: one hop, one span. What a
// span says is docs/attributes.md, line by line.
package span

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/cause"
	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/internal/who"
)

// Config is what a builder may be told. The zero value is usable.
type Config struct {
	// Version is the build, the version of the scope.
	Version string
	Host    who.Host
	// Process finds the process that moved a message; nil, or a nil result:
	// only what the connection itself says is known.
	Process func(pid uint32) *who.Process
	// MaxSpans is how many spans a batch has before it is handed on. Zero: 1024.
	MaxSpans int
	// MaxAge is how long a span may wait for its batch. Zero: 200 ms.
	MaxAge time.Duration
	// Names bounds how many names spans may have.
	Names Names
	// Payload adds the heads of both messages, for plugins.
	Payload bool
	// Lend: next only borrows a batch. It is done with it when it returns, and
	// the memory is used for the next one.
	Lend bool
}

const (
	defaultMaxSpans = 1024
	defaultMaxAge   = 200 * time.Millisecond
)

// Builder makes spans of the exchanges of one shard and groups them in batches,
// by process. One goroutine owns it.
type Builder struct {
	cfg   Config
	next  func(td ptrace.Traces, spans int)
	batch ptrace.Traces
	spans int
	// number tells batches apart, so that a connection can remember where its
	// process's spans go; since is when the batch in hand got its first span.
	number uint64
	since  int64
	// groups are the indices in spansOf.
	groups  map[groupKey]int
	spansOf []ptrace.SpanSlice
	list    []l7.Attr // of newPlace
	names   names
	// sayings are what exchanges said that say the same again.
	sayings sayings
	frames  [frameSlots]frame
	numbers numbers // of the span in hand
	text    l7.Text
	w       writer
	// What many spans have: hopscope.trace.provisional, hopscope.session.type,
	// hopscope.response.status.
	provisional shared
	types       [3]shared // of typeSession ...
	statuses    [l7.StatusServerError + 2]shared
}

// groupKey is what has a resource of its own: a process, or an interface.
type groupKey struct {
	proc  *who.Process
	iface string
	pid   uint32
}

// Indices of Builder.types.
const (
	typeSession = iota
	typeRequest
	typeResponse
)

// New makes a builder that hands batches to next.
func New(cfg Config, next func(td ptrace.Traces, spans int)) *Builder {
	if cfg.MaxSpans <= 0 {
		cfg.MaxSpans = defaultMaxSpans
	}
	if cfg.MaxAge <= 0 {
		cfg.MaxAge = defaultMaxAge
	}
	b := &Builder{cfg: cfg, next: next, batch: ptrace.NewTraces(), number: 1, groups: map[groupKey]int{}, w: newWriter(), names: newNames(cfg.Names)}
	if cfg.Lend {
		b.w.lend()
	}
	b.provisional = b.w.make([]l7.Attr{{Key: semconv.TraceProvisional, Int: 1, Kind: l7.AttrBool}})
	for i, t := range [...]string{typeSession: semconv.TypeSession, typeRequest: semconv.TypeRequest, typeResponse: semconv.TypeResponse} {
		b.types[i] = b.w.make([]l7.Attr{{Key: semconv.SessionType, Str: t}})
	}
	for i := range b.statuses {
		name := l7.Status(i).String()
		if i == timedOut {
			name = statusTimeout
		}
		b.statuses[i] = b.w.make([]l7.Attr{{Key: semconv.ResponseStatus, Str: name}})
	}
	return b
}

// Limited is how many spans have a name or a route that was cut to "*".
func (b *Builder) Limited() uint64 { return b.names.limited.Load() }

// Put makes the span of l.
func (b *Builder) Put(l *cause.Linked) {
	x := l.Exchange
	pl := b.place(x)
	if b.spans == 0 {
		b.since = x.Over
	}
	b.fill(b.w.span(&b.spansOf[pl.group]), l, pl)
	if b.spans++; b.spans >= b.cfg.MaxSpans {
		b.Flush()
	}
}

// Tick hands the batch on if it is old at now (unix nanoseconds).
func (b *Builder) Tick(now int64) {
	if b.spans > 0 && now-b.since >= int64(b.cfg.MaxAge) {
		b.Flush()
	}
}

// Flush hands the batch on.
func (b *Builder) Flush() {
	if b.spans == 0 {
		return
	}
	td, n := b.batch, b.spans
	b.batch, b.spans = ptrace.NewTraces(), 0
	b.number++
	clear(b.groups)
	clear(b.spansOf)
	b.spansOf = b.spansOf[:0]
	b.next(td, n)
	if b.cfg.Lend {
		b.w.back()
	}
}

// fill writes the span.
func (b *Builder) fill(s ptrace.Span, l *cause.Linked, pl *place) {
	x := l.Exchange
	point := pl.point
	s.SetTraceID(l.TraceID)
	s.SetSpanID(hop.SpanID(l.Key, point, b.cfg.Host.ID, x.Conn.Interface).Bytes())
	if l.Parent != 0 {
		s.SetParentSpanID(l.Parent.Bytes())
		if l.Remote {
			s.SetFlags(flagsRemote)
		}
	}
	name, route := pl.name(x, &b.names)
	s.SetName(name)
	s.SetKind(kind(x, point))
	s.SetStartTimestamp(pcommon.Timestamp(x.Req.Start))
	s.SetEndTimestamp(pcommon.Timestamp(max(end(x), x.Req.Start)))
	o := outcome(x, point)
	if o.failed {
		st := s.Status()
		st.SetCode(ptrace.StatusCodeError)
		st.SetMessage(o.message)
	}
	o.route = route
	b.attributes(s, l, pl, &o)
}

// flagsRemote is has_is_remote and is_remote of OTLP's span flags.
const flagsRemote = 0x300

// end is the last byte of the answer; without one, when the exchange was over.
func end(x *session.Exchange) int64 {
	switch {
	case x.Resp.Seen:
		return x.Resp.End
	case x.Over != 0 && !x.OneWay:
		return x.Over
	}
	return x.Req.End
}

// kind of the span: by side, and for messages by what is done with them. What a
// message is to its client is known where the side is not, too.
func kind(x *session.Exchange, p hop.Point) ptrace.SpanKind {
	if p.OfServer() {
		return ptrace.SpanKindServer
	}
	flow := x.Req.Msg.Flow
	if flow == l7.FlowCall {
		flow = x.Resp.Msg.Flow
	}
	switch flow {
	case l7.FlowPublish:
		return ptrace.SpanKindProducer
	case l7.FlowDeliver:
		return ptrace.SpanKindConsumer
	}
	if !p.OfClient() {
		return ptrace.SpanKindInternal
	}
	return ptrace.SpanKindClient
}

// pointOf is the capture point of c.
func pointOf(c *stream.Conn) hop.Point {
	switch {
	case c.Source == stream.Packets && c.Point != hop.Unknown:
		return c.Point
	case c.Source == stream.Packets || c.Role == stream.RoleUnknown:
		return hop.Local
	case c.Role == stream.RoleClient:
		return hop.ClientProcess
	}
	return hop.ServerProcess
}
