package tracecompletionprocessor

import (
	"sync"

	"github.com/cespare/xxhash/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/table"
)

// messages links the spans of those who hand a message to a broker and of those
// who get it. Who comes second carries the link: a broker may deliver a message
// before it confirms it.
//
// It is a cache of two generations: what was not met while half of maxMessages
// others were is forgotten.
type messages struct {
	mu       sync.Mutex // protects all below
	cur, old map[uint64]*message
	count    messageStats
}

// messageStats counts: cumulative.
type messageStats struct {
	linked    uint64 // spans
	ambiguous uint64 // messages whose id others have too
	forgotten uint64 // messages
}

const (
	// maxMessages bounds the messages remembered: some 100 bytes each.
	maxMessages = 1 << 17
	// maxTakers bounds the consumers remembered of a message whose producer was
	// not seen yet.
	maxTakers = 4
)

// message is who handed it over and who took it.
type message struct {
	from  place
	takes [maxTakers]place
	n     int
	clash bool // several handed one over under this id
}

// place is a span.
type place struct {
	trace pcommon.TraceID
	span  pcommon.SpanID
}

func newMessages() *messages {
	return &messages{cur: map[uint64]*message{}, old: map[uint64]*message{}}
}

func (m *messages) stats() messageStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}

// meet links span, which has its final ids, if it is of a message.
func (m *messages) meet(span ptrace.Span, n *table.Node) {
	kind := span.Kind()
	if kind != ptrace.SpanKindProducer && kind != ptrace.SpanKindConsumer || n.Point != hop.ClientProcess {
		return
	}
	at := place{span.TraceID(), span.SpanID()}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range messageKeys(span.Attributes()) {
		if k == 0 {
			continue
		}
		e := m.find(k)
		if kind == ptrace.SpanKindConsumer {
			switch {
			case e.clash:
				m.count.ambiguous++
				continue // another of its ids may tell
			case e.from != place{}:
				m.link(span, e.from)
				return
			case e.n < maxTakers:
				e.takes[e.n] = at
				e.n++
			}
			continue
		}
		if e.from != (place{}) && e.from != at {
			e.clash = true
			continue
		}
		e.from = at
		for _, p := range e.takes[:e.n] {
			m.link(span, p)
		}
		e.n = 0
	}
}

// link adds a link to a span, once. A link to it from before its trace was known
// is put right.
func (m *messages) link(span ptrace.Span, to place) {
	for _, l := range span.Links().All() {
		if l.SpanID() == to.span {
			l.SetTraceID(to.trace)
			return
		}
	}
	l := span.Links().AppendEmpty()
	l.SetTraceID(to.trace)
	l.SetSpanID(to.span)
	m.count.linked++
}

func (m *messages) find(key uint64) *message {
	if e := m.cur[key]; e != nil {
		return e
	}
	e := m.old[key]
	if e == nil {
		e = &message{}
	} else {
		delete(m.old, key)
	}
	if len(m.cur) >= maxMessages/2 {
		m.count.forgotten += uint64(len(m.old))
		m.old, m.cur = m.cur, map[uint64]*message{}
	}
	m.cur[key] = e
	return e
}

// messageKeys are what a message is known by at both ends: its id, its correlation
// id at its destination, the span that its headers name. 0: it has none.
func messageKeys(attrs pcommon.Map) (keys [3]uint64) {
	str := func(k string) string {
		if v, ok := attrs.Get(k); ok && v.Type() == pcommon.ValueTypeStr {
			return v.Str()
		}
		return ""
	}
	system := str("messaging.system")
	if id := str("messaging.message.id"); id != "" {
		keys[0] = messageKey("id", system, id)
	}
	if id := str("messaging.message.conversation_id"); id != "" {
		if dest := str("messaging.destination.name"); dest != "" {
			keys[1] = messageKey("conversation", system, dest, id)
		}
	}
	if id := str(semconv.PropagationSpanID); id != "" {
		keys[2] = messageKey("propagated", str(semconv.PropagationFormat), str(semconv.PropagationTraceID), id)
	}
	return keys
}

func messageKey(parts ...string) uint64 {
	var d xxhash.Digest
	d.Reset()
	for _, p := range parts {
		_, _ = d.WriteString(p)
		_, _ = d.Write([]byte{0})
	}
	return d.Sum64() | 1
}
