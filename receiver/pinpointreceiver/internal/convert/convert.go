// Package convert turns what Pinpoint agents report into OpenTelemetry spans.
//
// Promise: the same messages give the same spans, whatever their order and
// whoever converts them; a parent that is in doubt is the next certain one
// above it, and the span says so.
package convert

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/wire"
)

// Config is what a converter may be told. The zero value is usable.
type Config struct {
	// Version is the build, the version of the scope.
	Version string
	// KeepLiterals: values are put back into statements.
	KeepLiterals bool
	// MaxBatch is how many spans are handed on at once. Zero: 4096.
	MaxBatch int
	// MaxSpans, MaxEvents and MaxBytes (of messages) bound what waits to be put
	// together. Zero: the defaults.
	MaxSpans, MaxEvents int
	MaxBytes            int64
}

const defaultMaxBatch = 4096

// Stats counts what was converted, in spans as they come out: a PSpan is one, and
// each of its events is. Taken is Spans + Events + BadVersion + Broken + Cut +
// Duplicates + Waiting. Read it from the goroutine of the converter.
type Stats struct {
	Taken         uint64 // read from messages
	Spans, Events uint64 // given on
	BadVersion    uint64 // of a version that nobody knows
	Broken        uint64 // that could not be decoded
	Cut           uint64 // more events than a message may have
	CutNotes      uint64 // annotations more than a span may have
	Duplicates    uint64 // sent again
	WaitingSpans  int    // PSpans, and spans of which only chunks are here
	Waiting       int    // PSpans and events
	WaitingBytes  int64  // of their messages
	Unreadable    uint64 // messages that could not be decoded
	Doubt         uint64 // spans whose parent is not certain
	UnknownText   uint64 // references to texts that are not known
	Points        uint64 // of metrics
	Overflow      uint64 // spans that could not wait any longer for want of room
	Late          uint64 // pieces that came after their span had gone
	Orphans       uint64 // spans of which only chunks came
	StatsAgain    uint64 // statistics that were sent again
	Unasked       uint64 // messages of methods that are nothing to convert
}

// Converter takes messages of agents and gives spans. One goroutine owns it.
type Converter struct {
	cfg    Config
	store  *Store
	next   func(td ptrace.Traces, spans int)
	asm    *Assembler
	tree   tree
	batch  ptrace.Traces
	spans  int
	scopes map[*Agent]ptrace.SpanSlice
	sql    map[string]*statement
	paths  *l7.Paths
	text   l7.Text
	stats  Stats
	// Metrics takes what agents measured; nil: nobody wants it.
	Metrics func(pmetric.Metrics)
}

// New makes a converter that hands batches to next.
func New(cfg Config, store *Store, next func(td ptrace.Traces, spans int)) *Converter {
	if cfg.MaxBatch <= 0 {
		cfg.MaxBatch = defaultMaxBatch
	}
	c := &Converter{cfg: cfg, store: store, next: next, batch: ptrace.NewTraces(), scopes: map[*Agent]ptrace.SpanSlice{},
		sql: map[string]*statement{}, paths: l7.DefaultPaths()}
	c.asm = newAssembler(cfg, c.group)
	return c
}

// Stats is the converter's counters.
func (c *Converter) Stats() Stats {
	s := c.stats
	as := c.asm
	s.Overflow, s.Late, s.Orphans, s.Duplicates = as.Overflow, as.Late, as.Orphans, as.Duplicates
	s.Broken, s.Cut, s.CutNotes = as.Broken, as.Cut, as.CutNotes
	s.WaitingSpans, s.Waiting, s.WaitingBytes = as.open, as.spans+as.events, as.bytes
	return s
}

// Put takes the message that a sent to the method path. now is a clock in
// nanoseconds that goes forward.
func (c *Converter) Put(a *Agent, path string, body []byte, now int64) {
	var err error
	switch path {
	case "/v1.Span/SendSpan", "/v1.Span/SendSpanBatch":
		err = wire.Pieces(body, strings.HasSuffix(path, "Batch"), func(p *wire.Piece) {
			n := uint64(weight(p))
			c.stats.Taken += n
			if p.Version != 1 {
				c.stats.BadVersion += n // upstream refuses them too
				return
			}
			c.asm.put(a, p, now)
		})
	case "/v1.Stat/SendAgentStat":
		err = c.statistics(a, body)
	case "/v1.Agent/RequestAgentInfo":
		var i wire.AgentInfo
		if i, err = wire.DecodeAgentInfo(body); err == nil {
			c.store.SetInfo(a, i)
		}
	case "/v1.Metadata/RequestApiMetaData":
		var m wire.Meta
		if m, err = wire.DecodeMeta(body, false); err == nil {
			c.store.AddAPI(a, m)
		}
	case "/v1.Metadata/RequestSqlMetaData":
		var m wire.Meta
		if m, err = wire.DecodeMeta(body, false); err == nil {
			c.store.AddSQL(a, m)
		}
	case "/v1.Metadata/RequestSqlUidMetaData":
		var m wire.Meta
		if m, err = wire.DecodeMeta(body, true); err == nil {
			c.store.AddUID(a, m)
		}
	case "/v1.Metadata/RequestStringMetaData":
		var m wire.Meta
		if m, err = wire.DecodeMeta(body, false); err == nil {
			c.store.AddString(a, m)
		}
	case "/v1.Metadata/RequestExceptionMetaData":
		var m wire.ExceptionMeta
		if m, err = wire.DecodeException(body); err == nil {
			c.store.AddException(a, &m)
		}
	default:
		c.stats.Unasked++
	}
	if err != nil {
		c.stats.Unreadable++
	}
}

// Tick emits spans that have waited long enough, and the batch.
func (c *Converter) Tick(now int64) {
	c.asm.tick(now)
	c.hand()
}

// Flush emits everything as it is.
func (c *Converter) Flush(now int64) {
	c.asm.flush(now)
	c.hand()
}

func (c *Converter) hand() {
	if c.spans == 0 {
		return
	}
	td, n := c.batch, c.spans
	c.batch, c.spans = ptrace.NewTraces(), 0
	clear(c.scopes)
	c.next(td, n)
}

// group writes the spans of g.
func (c *Converter) group(g *group) {
	a := g.key.agent
	tx := transactionID(g.key.id.AgentID, g.key.id.Start, g.key.id.Sequence)
	c.tree.ids.tx = tx
	w := spanWriter{c: c, a: a, out: c.scope(a), trace: traceID(tx), tx: tx}
	if g.span != nil || len(g.chunks) > 0 {
		c.one(&w, g, g.span, g.chunks, 0)
	}
	for i, d := range g.dup {
		c.one(&w, g, d, nil, int64(i+1))
	}
	if c.spans >= c.cfg.MaxBatch {
		c.hand()
	}
}

// one writes one PSpan with its events; salt tells it from others of one spanId.
func (c *Converter) one(w *spanWriter, g *group, s *wire.Span, chunks []*wire.Span, salt int64) {
	root := plain(g.key.span)
	t := &c.tree
	switch {
	case s != nil && consumer(s.ServiceType):
		root = t.ids.consumer(g.key.span, w.a.AgentID, w.a.Start)
	case salt > 0:
		root = t.ids.rule('D', g.key.span, s.Start, salt)
	}
	t.salt = salt
	t.build(g, s, chunks, root)
	if s != nil {
		w.span(s, root, t)
		c.spans++
		c.stats.Spans++
	}
	for i := range t.nodes {
		w.event(g, &t.nodes[i])
		if t.nodes[i].doubt {
			c.stats.Doubt++
		}
	}
	c.spans += len(t.nodes)
	c.stats.Events += uint64(len(t.nodes))
}

// scope is where a's spans of this batch go.
func (c *Converter) scope(a *Agent) ptrace.SpanSlice {
	if s, ok := c.scopes[a]; ok {
		return s
	}
	rs := c.batch.ResourceSpans().AppendEmpty()
	rs.SetSchemaUrl(semconv.SchemaURL)
	a.resource(rs.Resource().Attributes())
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName(semconv.ScopePinpoint)
	ss.Scope().SetVersion(c.cfg.Version)
	c.scopes[a] = ss.Spans()
	return ss.Spans()
}

// resource describes the agent's process, under the names that Pinpoint's own
// OTLP receiver understands.
func (a *Agent) resource(m pcommon.Map) {
	put := func(k, v string) {
		if v != "" {
			m.PutStr(k, v)
		}
	}
	put(semconv.ServiceName, a.Application)
	put(semconv.ServiceInstanceID, a.AgentID)
	put(semconv.ServiceNamespace, a.Service)
	put("pinpoint.serviceName", a.Service)
	put("pinpoint.applicationName", a.Application)
	put("pinpoint.agentId", a.AgentID)
	put("pinpoint.agentName", a.AgentName)
	if a.Start != 0 {
		m.PutInt("pinpoint.agentStartTime", a.Start)
	}
	put(semconv.PinpointAgentSource, a.Source)
	typ := a.ServiceType
	if typ <= 0 {
		typ = a.Info.ServiceType
	}
	if typ > 0 {
		m.PutInt("pinpoint.applicationType", int64(typ))
		put("telemetry.sdk.language", language(typ))
	}
	m.PutStr("telemetry.distro.name", "pinpoint")
	if !a.HasInfo {
		return
	}
	put("telemetry.distro.version", a.Info.AgentVersion)
	put(semconv.HostName, a.Info.Hostname)
	if a.Info.IP != "" {
		m.PutEmptySlice("host.ip").AppendEmpty().SetStr(a.Info.IP)
	}
	if a.Info.PID > 0 {
		m.PutInt(semconv.ProcessPID, int64(a.Info.PID))
	}
	put("process.runtime.version", a.Info.VMVersion)
	put(semconv.ProcessRuntimeName, language(typ))
}
