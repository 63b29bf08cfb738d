package cause

import (
	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// record is an exchange from its first byte on: what the linking needs of it,
// before and after the engine is done with it.
type record struct {
	key         hop.Key
	lid         hop.Key
	span        hop.Key // of its hop in this process; 0: nobody asked yet
	trace       [16]byte
	traced      bool // trace holds; else it is of key's making
	provisional bool
	inbound     bool
	over        bool // the engine is done with it
	conn        *stream.Conn
	start       int64
	began       uint64 // order in the process
	task        *task  // that read the request, or sent it
	proc        *proc
	carried     uint64 // hash of the trace id that the request carries; 0 none
	request     uint64 // hash of its X-Request-ID; 0 none

	// Of an outbound exchange: who caused it, as far as each side of it tells.
	cause      *record // settled
	evidence   Evidence
	confidence Confidence
	before     *record // by what the thread did last before the request went out
	reused     bool    // which was an answer on the same connection
	mixed      bool    // the thread had read messages of several requests by then
	prev       *record // the call that was answered then
	after      *record // by what the thread did next after the answer came in
	alone      bool    // the only inbound exchange open when it began
	handed     bool    // waits for the answer that its thread will write

	// What it asks for, if its process may be a relay: a hash; and of what it was
	// answered.
	said, answer uint64
	same         *record // of an outbound one: the open request that says the same
	passed       int     // of an inbound one: how many calls said the same while no other request did

	stream      uint64     // which request of the connection, where they have numbers
	carriedSpan uint64     // hash of the span id that the request carries
	deps        []*record  // of an inbound one: outbound ones that may be its doing
	few         [2]*record // room for the first of deps
	answered    bool

	// shared: other records, or lists, may point to it, for as long as they like.
	// read is how often tasks do as what they read last. A record that is done,
	// that neither holds for, is used again.
	shared, done bool
	read         int32

	// Of an outbound one, if its thread acts in the order that it reads: the request
	// that led to it, and the call whose answer did.
	root, call *record
	era        int               // of the order that this is by
	company    bool              // others waited with what led to it
	closed     bool              // the answer to root was written about its answer
	learning   bool              // held until its process is known better
	held       *session.Exchange // the engine's, kept until the cause is settled
	heldSince  int64
}

// birth is what a connection was opened for.
type birth struct {
	in    *record
	mixed bool
	about unacted // by the order of reading
	order bool    // about holds
}

// proc is a process.
type proc struct {
	golang       bool
	gone         bool      // it ended, or runs something else
	open         []*record // inbound exchanges not over, oldest first
	began        uint64
	held         int
	plain, mixed trust
	order        order // in which it acts on what it reads
	relay        relay
	// births are the inbound exchanges that connections were opened for, until
	// their first use.
	births map[uint64]birth // by the socket's id
	// wanted are outbound exchanges by their X-Request-ID, where no inbound one
	// brought it.
	wanted map[uint64]*record
}

// Limits. Each has a counter in Stats.
const (
	// maxOpen bounds the inbound exchanges of a process among which a cause is
	// looked for.
	maxOpen = 4096
	// maxHeld bounds the outbound exchanges of a process that wait for their
	// cause to be settled.
	maxHeld = 4096
	// holdFor is how long one waits: long enough for the answer to the client
	// that follows it, short enough for a span to be on time.
	holdFor = int64(2e9)
	// tight is how soon after a thread read something its next call counts as
	// led to by it: an event loop's turn.
	tight = int64(20e6)
	// maxTasks bounds threads and goroutines remembered.
	maxTasks = 1 << 16
)

// Began takes note of an exchange whose request was recognised.
func (t *Tracker) Began(x *session.Exchange) {
	c := x.Conn
	if c.Source != stream.Sockets || x.Req.Ctx.Pid == 0 {
		return
	}
	client, known := c.ClientDir()
	if !known {
		return
	}
	now := x.Req.Start
	inbound := (client == stream.FromB) != (x.OneWay && x.FromServer)
	// Who reads a message is who read the end of its head: net/http of Go waits
	// for the first byte of a request in a goroutine that does no more than that.
	ctx := &x.Req.Ctx
	if inbound {
		ctx = &x.Req.Last
	}
	a := t.userOf(c, ctx, now)
	r := t.record()
	x.Track = r
	r.task, r.proc, r.conn, r.start = a, a.proc, c, now
	a.proc.began++
	r.began = a.proc.began
	l := &t.linked
	*l = Linked{Exchange: x}
	l.keys()
	r.key, r.lid = l.Key, l.LID
	r.inbound = inbound
	if x.Protocol.Pairing == l7.ByStream {
		r.stream = x.Req.Msg.Stream
	}
	r.identify(&x.Req.Msg.Trace)
	if r.inbound {
		t.inbound(r, a, x)
	} else {
		t.outbound(r, a, x)
	}
}

// identify reads the ids that the request carries.
func (r *record) identify(tr *l7.Trace) {
	r.carried, r.carriedSpan, r.request = hash(tr.TraceID), hash(tr.SpanID), hash(tr.RequestID)
	if tr.TraceID != "" {
		var l Linked
		if l.follow(tr) {
			r.trace, r.traced = l.TraceID, true
			return
		}
	}
	r.provisional = true
}

func (t *Tracker) inbound(r *record, a *task, x *session.Exchange) {
	p := a.proc
	for _, o := range a.open {
		if o.conn != r.conn {
			a.loops = true // it reads on before it has answered
		}
	}
	if a.flight > 0 {
		a.loops = true
	}
	if len(p.open) >= maxOpen {
		t.stats.OpenFull.Add(1)
		t.close(p.open[0])
	}
	p.open = append(p.open, r)
	a.open = append(a.open, r)
	p.asks(r, x)
	t.reads(a, r, false, r.start)
	t.sequence++
	a.syscall = t.sequence
	x.Req.Ctx.SyscallTraceID = a.syscall
}

// reads notes a message that the task read.
func (t *Tracker) reads(a *task, r *record, answer bool, now int64) {
	of := r
	if answer {
		if in := r.inboundCause(); in != nil {
			of = in
		}
	}
	switch {
	case a.acted:
		a.mixed, a.acted = false, false
	case a.of != nil && a.of != of:
		a.mixed = true
	}
	t.queued(a, r, answer, now)
	last, about := a.last, a.of
	r.read++
	of.read++
	a.of = of
	a.last, a.lastAnswer, a.lastTime = r, answer, now
	t.unread(last)
	t.unread(about)
}

// before is what the task did last tells of what it does now: the inbound
// exchange that the message belongs to that it has just read, and the outbound
// one that this answered, if it did.
func (a *task) before(now int64) (in, call *record) {
	if a.last == nil || now-a.lastTime > tight {
		return nil, nil
	}
	in = a.last
	if a.lastAnswer {
		call, in = in, in.inboundCause()
	}
	if in == nil || in.over {
		return nil, nil
	}
	return in, call
}

func (t *Tracker) outbound(r *record, a *task, x *session.Exchange) {
	p := a.proc
	a.acted = true
	x.Req.Ctx.SyscallTraceID = a.syscall
	defer t.passes(r, x)
	if !x.OneWay {
		if a.flight > 0 {
			a.loops = true
		}
		a.flight++
	}
	switch c, e := p.byIDs(r); {
	case c != nil:
		r.settle(c, e, Exact)
		return
	case e == Conflict:
		t.stats.Ambiguous.Add(1)
	}
	open := len(p.open)
	r.alone = open == 1
	switch {
	case p.golang:
		// Threads say nothing of goroutines.
		ctx := &x.Req.Ctx
		if h := t.asked(r); h != nil {
			ctx = h
			a = t.taskOf(h, r.start)
		}
		if in, f := t.ofGoroutine(a, ctx); in != nil {
			r.settle(in, SameGoroutine, f)
			return
		}
		t.awaited(r)
	case !a.loops && len(a.open) == 1:
		u, _ := t.acts(a, nil, r.start)
		t.unread(u.r)
		r.settle(a.open[0], SameThread, High)
		return
	default:
		b, born := p.births[r.conn.ID]
		about, order := b.about, b.order
		if !born {
			about, order = t.acts(a, nil, r.start)
		}
		if order {
			t.follows(r, about)
		}
		if !born {
			t.unread(about.r)
		}
		if b.in != nil && !b.in.over {
			r.before, r.mixed, r.evidence = b.in, b.mixed, SocketBirth // shared by its birth
		} else if r.before, r.prev = a.before(r.start); r.before != nil {
			r.evidence, r.mixed = SyscallTraceID, a.mixed
			r.before.shared = true
			if len(r.before.deps) >= maxHeld {
				r.prev = nil // a request that goes on and on
			}
			if r.prev != nil {
				r.prev.shared = true
				r.reused = r.prev.conn == r.conn
			}
		}
	}
	delete(p.births, r.conn.ID)
	if r.request != 0 && len(p.wanted) < maxHeld {
		p.wanted[r.request] = r
		r.shared = true
	}
	if r.before != nil && len(r.before.deps) < maxHeld {
		r.before.dep(r)
		r.shared = true
	}
	switch {
	case open == 0 && r.before == nil:
		// Nobody asked the process for anything: it acts by itself.
	case r.alone:
		r.settle(p.open[0], SoleOpen, Low)
	case r.before == nil && !a.loops && !p.golang && len(a.open) == 0:
		r.handed = true
		if len(a.handed) < maxHeld {
			a.handed = append(a.handed, r)
			r.shared = true
		}
	}
}

// inboundCause is the inbound exchange that led to r, as far as is known now.
func (r *record) inboundCause() *record {
	switch {
	case r.cause != nil:
		return r.cause
	case r.after != nil:
		return r.after
	}
	return r.before
}

// byIDs finds the open inbound exchange that carries what r carries. Conflict:
// there are several.
func (p *proc) byIDs(r *record) (*record, Evidence) {
	var found *record
	if r.carried != 0 {
		for _, o := range p.open {
			if o.carried == r.carried {
				if found != nil {
					found = nil
					break
				}
				found = o
			}
		}
		if found != nil {
			return found, PropagatedIDs
		}
	}
	if r.request == 0 {
		return nil, NoEvidence
	}
	for _, o := range p.open {
		if o.request == r.request {
			if found != nil {
				return nil, Conflict
			}
			found = o
		}
	}
	if found != nil {
		return found, RequestID
	}
	return nil, NoEvidence
}

func (r *record) settle(c *record, e Evidence, f Confidence) {
	r.cause, r.evidence, r.confidence = c, e, f
	c.shared = true
}

// Answered takes note of an answer that was recognised.
func (t *Tracker) Answered(x *session.Exchange) {
	r, _ := x.Track.(*record)
	if r == nil || x.Resp.Ctx.Pid == 0 {
		return
	}
	now := x.Resp.Start
	if r.proc.relay.asked != nil {
		r.answer = hash(x.Resp.Msg.Code) | 1
	}
	ctx := &x.Resp.Ctx
	if !r.inbound {
		ctx = &x.Resp.Last
	}
	a := t.userOf(x.Conn, ctx, now)
	if !r.inbound {
		r.landed()
		t.sequence++
		a.syscall = t.sequence
		x.Resp.Ctx.SyscallTraceID = a.syscall
		t.reads(a, r, true, now)
		return
	}
	x.Resp.Ctx.SyscallTraceID = a.syscall
	if id := hash(x.Resp.Msg.Trace.RequestID); id != 0 {
		// The gateway made the id: it sent it on, and tells the client.
		if o := r.proc.wanted[id]; o != nil && o.began > r.began {
			delete(r.proc.wanted, id)
			o.settle(r, RequestID, Exact)
			t.decide(o)
		}
	}
	if a.lastAnswer && !r.proc.golang && now-a.lastTime <= tight {
		if o := a.last; o.began > r.began && o.after == nil && o.cause == nil && !o.handed {
			o.after, o.mixed = r, o.mixed || a.mixed
			r.shared = true
			t.decide(o)
		}
	}
	a.acted = true
	if !r.proc.golang {
		if u, ok := t.acts(a, r, now); ok {
			t.closes(r, a, u)
			t.unread(u.r)
		}
	}
	if len(a.handed) == 0 {
		return
	}
	// A worker that took the request over writes the answer itself: what it
	// called since it wrote the last one, it called for this.
	for _, o := range a.handed {
		o.handed = false
		if o.cause == nil && o.began > r.began && !a.loops {
			o.settle(r, SameThread, High)
		}
		t.decide(o)
	}
	clear(a.handed)
	a.handed = a.handed[:0]
}

// Connecting takes note of a connection that the process of ctx opens.
func (t *Tracker) Connecting(sock uint64, ctx *stream.Ctx, now int64) {
	p := t.procs[ctx.Pid]
	if p == nil || len(p.open) == 0 {
		return // nobody asked it for anything
	}
	if p.golang {
		return // the thread says nothing, and the goroutine is one that dials
	}
	a := t.taskOf(ctx, now)
	var b birth
	if len(a.open) == 1 && !a.loops {
		b.in = a.open[0]
	} else {
		b.in, _ = a.before(now)
		b.mixed = a.mixed
	}
	a.acted = true
	if b.about, b.order = t.acts(a, nil, now); b.order {
		b.about.r.shared = true
		t.unread(b.about.r)
	}
	if b.in != nil && b.in.over {
		b.in = nil
	}
	if b.in == nil && !b.order {
		return
	}
	if len(p.births) >= maxOpen {
		clear(p.births)
	}
	p.births[sock] = b
	if b.in != nil {
		b.in.shared = true
	}
}
