package convert

import (
	"cmp"
	"slices"
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

// group is what came of one span. Its pieces stay as they came until it goes:
// undecoded they are a quarter as large, and nothing for the collector of
// garbage to look at.
type group struct {
	key    groupKey
	pieces []piece
	// hashes are those of all pieces there ever were, to know one that is sent
	// again.
	hashes []uint64
	// spans, events and bytes are what it holds.
	spans, events int
	bytes         int64
	since         int64 // when the first piece came, or the PSpan
	asked         bool  // it waits in ready
	// emitted: it went; owners says where late asynchronous work goes.
	emitted bool
	owners  map[int32]owner

	// Room for what nearly all have: one piece.
	onePiece [1]piece
	oneHash  [1]uint64

	// The pieces decoded, while it goes.
	span   *wire.Span // nil: it did not come
	dup    []*wire.Span
	chunks []*wire.Span
}

type piece struct {
	raw    string
	chunk  bool
	events int32
}

// Assembler puts spans together: their pieces come in any order, and the span
// itself last.
type Assembler struct {
	next func(*group)
	dec  wire.Decoder
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
	Overflow, Late, Orphans, Duplicates, Broken, Cut, CutNotes uint64
}

// weight is how many spans come of p.
func weight(p *wire.Piece) int {
	if p.Chunk {
		return p.Events
	}
	return 1 + p.Events
}

func (p *piece) weight() int {
	if p.chunk {
		return int(p.events)
	}
	return 1 + int(p.events)
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

func newAssembler(cfg Config, next func(*group)) *Assembler {
	return &Assembler{next: next, all: map[groupKey]*group{}, maxSpans: cmp.Or(max(cfg.MaxSpans, 0), DefaultMaxSpans),
		maxEvents: cmp.Or(max(cfg.MaxEvents, 0), DefaultMaxEvents), maxBytes: cmp.Or(max(cfg.MaxBytes, 0), DefaultMaxBytes)}
}

// pieceBytes is what a piece takes besides its bytes.
const pieceBytes = 64

// hold makes p, of which nothing is lent, a piece of g.
func (as *Assembler) hold(g *group, p piece) {
	n := p.weight() - int(p.events)
	size := int64(len(p.raw)) + pieceBytes
	g.spans, g.events, g.bytes = g.spans+n, g.events+int(p.events), g.bytes+size
	as.spans, as.events, as.bytes = as.spans+n, as.events+int(p.events), as.bytes+size
	g.pieces = append(g.pieces, p)
}

// over: more waits than may.
func (as *Assembler) over() bool {
	return len(as.all) > as.maxSpans || as.events > as.maxEvents || as.bytes > as.maxBytes
}

// put takes a piece of a span of a.
func (as *Assembler) put(a *Agent, p *wire.Piece, now int64) {
	id := p.ID
	if id.AgentID = id.Agent(a.AgentID); id.AgentID == a.AgentID {
		id.AgentID = a.AgentID // the one that is kept anyway
	}
	k := groupKey{a, id, p.SpanID}
	g := as.all[k]
	if g == nil {
		if id.AgentID != a.AgentID {
			k.id.AgentID = strings.Clone(id.AgentID)
		}
		g = as.group()
		g.key, g.since = k, now
		g.pieces, g.hashes = g.onePiece[:0], g.oneHash[:0]
		as.all[k] = g
		as.open++
		if p.Chunk {
			as.waiting.push(g)
		}
	}
	hash := xxhash.Sum64String(p.Raw)
	if slices.Contains(g.hashes, hash) {
		as.Duplicates += uint64(weight(p)) // sent again
		return
	}
	if len(g.hashes) < maxHashes {
		g.hashes = append(g.hashes, hash)
	}
	x := piece{raw: strings.Clone(p.Raw), chunk: p.Chunk, events: int32(p.Events)}
	if g.emitted {
		as.late(g, x)
		return
	}
	if !p.Chunk && g.spans == 0 {
		g.since = now
		as.whole.push(g)
		as.ask(g)
	}
	as.hold(g, x)
	if g.spans > 0 && now-g.since >= settleWait {
		as.ask(g) // this may have been the last
	}
	for as.over() && as.shrink(now) {
	}
}

// maxHashes bounds the pieces of one span that are known again: agents make one
// of 20 events, and 5000 events in all.
const maxHashes = 512

func (as *Assembler) ask(g *group) {
	if !g.asked {
		g.asked = true
		as.ready.push(g)
	}
}

// late takes a piece of a span that was emitted.
func (as *Assembler) late(g *group, p piece) {
	as.Late++
	l := &group{key: g.key, owners: g.owners, pieces: []piece{p}, emitted: true}
	as.decode(l)
	as.account(l)
	as.next(l)
	as.release(l)
}

// decode decodes the pieces of g.
func (as *Assembler) decode(g *group) {
	for i := range g.pieces {
		p := &g.pieces[i]
		s := as.dec.Span(p.raw, p.chunk)
		switch {
		case s == nil:
		case p.chunk:
			g.chunks = append(g.chunks, s)
		case g.span == nil:
			g.span = s
		default:
			// Consumers of one message, and calls tried again, share a spanId.
			g.dup = append(g.dup, s)
		}
	}
}

// release gives back what decode made.
func (as *Assembler) release(g *group) {
	if g.span != nil {
		as.dec.Free(g.span)
	}
	for _, list := range [][]*wire.Span{g.chunks, g.dup} {
		for _, s := range list {
			as.dec.Free(s)
		}
	}
	g.span, g.chunks, g.dup = nil, nil, nil
}

// account counts what of g's pieces will not be given on.
func (as *Assembler) account(g *group) {
	weights := 0
	for i := range g.pieces {
		weights += g.pieces[i].weight()
	}
	one := func(s *wire.Span) {
		if !s.Chunk {
			weights--
		}
		weights -= len(s.Events) + s.Cut
		as.Cut += uint64(s.Cut)
		as.CutNotes += uint64(s.CutNotes)
	}
	if g.span != nil {
		one(g.span)
	}
	for _, list := range [][]*wire.Span{g.chunks, g.dup} {
		for _, s := range list {
			one(s)
		}
	}
	as.Broken += uint64(max(weights, 0))
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
			if !g.emitted && (q == &as.whole || g.spans == 0) {
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
	as.decode(g)
	as.emitDecoded(g, now)
}

func (as *Assembler) emitDecoded(g *group, now int64) {
	as.open--
	as.spans, as.events, as.bytes = as.spans-g.spans, as.events-g.events, as.bytes-g.bytes
	if g.span == nil {
		as.Orphans++
	}
	as.account(g)
	as.next(g)
	as.release(g)
	g.emitted, g.pieces, g.onePiece, g.spans, g.events, g.bytes = true, nil, [1]piece{}, 0, 0, 0
	g.since = now
	as.done.push(g)
}

// tick emits what has waited long enough at now.
func (as *Assembler) tick(now int64) {
	for g := as.ready.front(); g != nil && (g.emitted || now-g.since >= settleWait); g = as.ready.front() {
		as.ready.pop()
		g.asked = false
		if g.emitted {
			continue
		}
		if as.decode(g); g.complete() {
			as.emitDecoded(g, now)
		} else {
			as.release(g)
		}
	}
	for g := as.whole.front(); g != nil && (g.emitted || now-g.since >= graceWait); g = as.whole.front() {
		as.whole.pop()
		if !g.emitted {
			as.emit(g, now)
		}
	}
	for g := as.waiting.front(); g != nil && (g.emitted || g.spans > 0 || now-g.since >= chunkWait); g = as.waiting.front() {
		as.waiting.pop()
		if !g.emitted && g.spans == 0 {
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
	if g.span == nil || len(g.dup) > 0 {
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
