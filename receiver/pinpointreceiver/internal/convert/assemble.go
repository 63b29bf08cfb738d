package convert

import (
	"cmp"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/wire"
)

// Waiting, in nanoseconds of the clock that Put and Tick are told.
const (
	// graceWait is what a span waits, after its PSpan, for asynchronous work, for
	// chunks that other calls carry, and for texts that are on their way (113 ms
	// was the longest lag measured).
	graceWait = 2e9
	// settleWait is what a span waits that seems to be complete: it cannot say
	// how many chunks it has, and calls that are made at once may be read in
	// another order.
	settleWait = 200e6
	// chunkWait is what chunks wait for their PSpan, which agents send last.
	chunkWait = 30e9
	// doneWait is how long it is remembered where the late pieces of a span go.
	doneWait = 60e9
	// DefaultMaxSpans and DefaultMaxEvents bound what waits in all: 200,000
	// events take some 60 MB.
	DefaultMaxSpans  = 50000
	DefaultMaxEvents = 200000
	// DefaultMaxBytes is for messages made to be large: one may have 4 MiB.
	DefaultMaxBytes = 256 << 20
)

// groupKey is one node of a transaction, as one agent reports it.
type groupKey struct {
	agent *Agent
	id    wire.TransactionID
	span  int64
}

// group is what came of one span.
type group struct {
	key    groupKey
	span   *wire.Span // nil: not yet, or gone
	brief  brief
	dup    []*wire.Span
	chunks []*wire.Span
	// spans, events and bytes are what it holds.
	spans, events int
	bytes         int64
	since         int64 // when the first piece came, or the PSpan
	// forget: the group was emitted; owners says where late asynchronous work
	// goes.
	emitted bool
	owners  map[int32]owner
}

// Assembler puts spans together: their pieces come in any order, and the span
// itself last.
type Assembler struct {
	next func(*group)
	free func(*wire.Span) // takes back what is done with
	all  map[groupKey]*group
	slab []group
	// Queues in order of time: groups without PSpan, with it, and emitted. A
	// group that went on is left in its old queue until its turn.
	waiting, ready, whole, done queue
	// What waits: groups, PSpans, events, bytes of their messages.
	open, spans, events int
	bytes               int64
	maxSpans, maxEvents int
	maxBytes            int64
	// Counters.
	Overflow, Late, Orphans, Duplicates uint64
}

// weight is how many spans come of s.
func weight(s *wire.Span) int {
	if s.Chunk {
		return len(s.Events)
	}
	return 1 + len(s.Events)
}

type queue struct {
	g    []*group
	head int
}

func (q *queue) push(g *group) {
	if q.head > 64 && q.head*2 > len(q.g) {
		n := copy(q.g, q.g[q.head:])
		clear(q.g[n:])
		q.g, q.head = q.g[:n], 0
	}
	q.g = append(q.g, g)
}

func (q *queue) front() *group {
	if q.head == len(q.g) {
		return nil
	}
	return q.g[q.head]
}

func (q *queue) pop() {
	q.g[q.head] = nil
	q.head++
}

func newAssembler(cfg Config, next func(*group), free func(*wire.Span)) *Assembler {
	return &Assembler{next: next, free: free, all: map[groupKey]*group{}, maxSpans: cmp.Or(max(cfg.MaxSpans, 0), DefaultMaxSpans),
		maxEvents: cmp.Or(max(cfg.MaxEvents, 0), DefaultMaxEvents), maxBytes: cmp.Or(max(cfg.MaxBytes, 0), DefaultMaxBytes)}
}

// hold counts s as held by g.
func (as *Assembler) hold(g *group, s *wire.Span) {
	n := weight(s) - len(s.Events)
	g.spans, g.events, g.bytes = g.spans+n, g.events+len(s.Events), g.bytes+int64(s.Size)
	as.spans, as.events, as.bytes = as.spans+n, as.events+len(s.Events), as.bytes+int64(s.Size)
}

// over: more waits than may.
func (as *Assembler) over() bool {
	return len(as.all) > as.maxSpans || as.events > as.maxEvents || as.bytes > as.maxBytes
}

// put takes a piece of a span of a.
func (as *Assembler) put(a *Agent, s *wire.Span, now int64) {
	id := s.ID
	if id.AgentID = id.Agent(a.AgentID); id.AgentID == a.AgentID {
		id.AgentID = a.AgentID // the one that is kept anyway
	}
	k := groupKey{a, id, s.SpanID}
	g := as.all[k]
	if g != nil && g.emitted {
		as.late(g, s)
		return
	}
	if g == nil {
		// What is remembered must not hold on to the message.
		if s.ID.AgentID != "" && s.ID.AgentID != a.AgentID {
			k.id.AgentID = strings.Clone(k.id.AgentID)
		}
		g = as.group()
		g.key, g.since = k, now
		as.all[k] = g
		as.open++
		if s.Chunk {
			as.waiting.push(g)
		}
	}
	switch {
	case s.Chunk:
		g.chunks = append(g.chunks, s)
	case g.span == nil:
		g.span, g.brief, g.since = s, briefOf(s), now
		as.ready.push(g)
		as.whole.push(g)
	case g.brief == briefOf(s):
		as.Duplicates += uint64(weight(s)) // sent again
		as.free(s)
		return
	default:
		// Consumers of one message, and calls tried again, share a spanId.
		g.dup = append(g.dup, s)
	}
	as.hold(g, s)
	if g.span != nil && now-g.since >= settleWait && g.complete() {
		as.emit(g, now)
	}
	for as.over() && as.shrink(now) {
	}
}

// brief tells a PSpan from others of its id, also when it is gone.
type brief struct {
	start, parent, elapsed int64
	events, service        int32
	rpc                    uint64
}

func briefOf(s *wire.Span) brief {
	return brief{start: s.Start, parent: s.Parent, elapsed: int64(s.Elapsed), events: int32(len(s.Events)), service: s.ServiceType,
		rpc: xxhash.Sum64String(s.RPC)}
}

// late takes a piece of a span that was emitted.
func (as *Assembler) late(g *group, s *wire.Span) {
	as.Late++
	l := &group{key: g.key, owners: g.owners, span: nil, emitted: true}
	if s.Chunk {
		l.chunks = []*wire.Span{s}
	} else if g.brief == briefOf(s) {
		as.Late--
		as.Duplicates += uint64(weight(s))
		as.free(s)
		return
	} else {
		l.span = s
		if g.brief == (brief{}) {
			g.brief = briefOf(s)
		}
	}
	as.next(l)
	as.free(s)
}

// group is an empty one. They are made a slab at a time: those of one time are
// forgotten at one time too.
func (as *Assembler) group() *group {
	if len(as.slab) == 0 {
		as.slab = make([]group, slabSize)
	}
	g := &as.slab[0]
	as.slab = as.slab[1:]
	return g
}

const slabSize = 32

// shrink makes room: spans that went are forgotten first, as long as it is their
// number that is too high. It reports whether there was anything to do.
func (as *Assembler) shrink(now int64) bool {
	if len(as.all) > as.maxSpans {
		if g := as.done.front(); g != nil {
			as.done.pop()
			delete(as.all, g.key)
			return true
		}
	}
	for _, q := range []*queue{&as.waiting, &as.whole} {
		for g := q.front(); g != nil; g = q.front() {
			q.pop()
			if !g.emitted && (q == &as.whole || g.span == nil) {
				as.Overflow++
				as.emit(g, now)
				return true
			}
		}
	}
	return false
}

// emit gives g on and remembers where its late pieces go.
func (as *Assembler) emit(g *group, now int64) {
	as.open--
	as.spans, as.events, as.bytes = as.spans-g.spans, as.events-g.events, as.bytes-g.bytes
	if g.span == nil {
		as.Orphans++
	}
	as.next(g)
	if g.span != nil {
		as.free(g.span)
	}
	for _, s := range g.chunks {
		as.free(s)
	}
	for _, s := range g.dup {
		as.free(s)
	}
	g.emitted, g.chunks, g.dup, g.spans, g.events, g.bytes = true, nil, nil, 0, 0, 0
	g.span = nil // its bytes go; brief stays
	g.since = now
	as.done.push(g)
}

// tick emits what has waited long enough at now.
func (as *Assembler) tick(now int64) {
	for g := as.ready.front(); g != nil && (g.emitted || now-g.since >= settleWait); g = as.ready.front() {
		as.ready.pop()
		if !g.emitted && g.complete() {
			as.emit(g, now)
		}
	}
	for g := as.whole.front(); g != nil && (g.emitted || now-g.since >= graceWait); g = as.whole.front() {
		as.whole.pop()
		if !g.emitted {
			as.emit(g, now)
		}
	}
	for g := as.waiting.front(); g != nil && (g.emitted || g.span != nil || now-g.since >= chunkWait); g = as.waiting.front() {
		as.waiting.pop()
		if !g.emitted && g.span == nil {
			as.emit(g, now)
		}
	}
	for g := as.done.front(); g != nil && now-g.since >= doneWait; g = as.done.front() {
		as.done.pop()
		delete(as.all, g.key)
	}
}

// flush emits all.
func (as *Assembler) flush(now int64) {
	for _, q := range []*queue{&as.waiting, &as.whole} {
		for g := q.front(); g != nil; g = q.front() {
			q.pop()
			if !g.emitted {
				as.emit(g, now)
			}
		}
	}
	clear(as.all)
	as.done, as.ready = queue{}, queue{}
}

// complete reports whether nothing more is to be expected: every number from 0
// on is there, every piece of asynchronous work has begun and ended, and the
// agent's texts are known.
func (g *group) complete() bool {
	if len(g.dup) > 0 {
		return false
	}
	top, n := int32(-1), 0
	sync := func(s *wire.Span) {
		for i := range s.Events {
			top = max(top, s.Events[i].Sequence)
			n++
		}
	}
	sync(g.span)
	for _, c := range g.chunks {
		if !c.Async {
			sync(c)
		}
	}
	if int(top)+1 != n {
		return false
	}
	if !g.asyncEnded(g.span) || !g.known(g.span) {
		return false
	}
	for _, c := range g.chunks {
		if !g.asyncEnded(c) || !g.known(c) {
			return false
		}
	}
	return true
}

// asyncEnded: the work that s's events began is here, down to its first event,
// which ends last.
func (g *group) asyncEnded(s *wire.Span) bool {
	for i := range s.Events {
		id := s.Events[i].AsyncEvent
		if id == 0 {
			continue
		}
		found := false
		for _, c := range g.chunks {
			if c.Async && c.AsyncID == id {
				for j := range c.Events {
					found = found || c.Events[j].Sequence == 0
				}
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// known: the texts that s refers to.
func (g *group) known(s *wire.Span) bool {
	a := g.key.agent
	if s.APIID != 0 && !has(a.apis, s.APIID) {
		return false
	}
	for i := range s.Events {
		e := &s.Events[i]
		if e.APIID != 0 && !has(a.apis, e.APIID) || e.Exception != nil && e.Exception.ID != 0 && !has(a.strings, e.Exception.ID) {
			return false
		}
		for j := range e.Annotations {
			switch x := &e.Annotations[j]; x.Key {
			case keySQLID:
				if x.Kind == wire.IntStringString && x.N[0] != 0 && !has(a.sqls, int32(x.N[0])) {
					return false
				}
			case keySQLUID:
				if _, ok := a.uids[x.B]; !ok {
					return false
				}
			case keyExceptionChain:
				// Its stack travels on another connection.
				return len(a.exceptions[exceptionKey{transactionID(g.key.id.AgentID, g.key.id.Start, g.key.id.Sequence), g.key.span, x.N[0]}]) > 0
			}
		}
	}
	return true
}

func has(m map[int32]wire.Meta, id int32) bool {
	_, ok := m[id]
	return ok
}
