// Package cause says which exchange led to which other one, and so what trace
// an exchange belongs to and which span is its parent.
//
// It rests on the ids that messages carry, on who read and sent them in what
// order, and on what they say (docs/causality.md). An exchange without any of
// that stands alone, in a trace of its own.
package cause

import (
	"strconv"
	"sync/atomic"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
)

// Evidence is what a link rests on, as hopscope.link.evidence has it.
type Evidence uint8

// Evidence, from the strongest on.
const (
	NoEvidence     Evidence = iota
	PropagatedIDs           // the message carries the trace and the parent
	RequestID               // inbound and outbound carry one X-Request-ID
	SameGoroutine           // the goroutine that read the request made the call
	SameThread              // so did the thread, which does one thing at a time
	SyscallTraceID          // adjacent calls of a thread
	SameRequest             // the call says what only this request said
	SocketBirth             // the connection was opened for it
	SoleOpen                // nothing else was open in the process
	Conflict                // several candidates; never told
)

var evidenceNames = [...]string{
	PropagatedIDs: "propagated_ids", RequestID: "x_request_id", SameGoroutine: "goroutine", SameThread: "thread",
	SyscallTraceID: "syscall_trace_id", SameRequest: "same_request", SocketBirth: "socket_birth", SoleOpen: "sole_open", Conflict: "",
}

func (e Evidence) String() string { return evidenceNames[e] }

// Confidence is how sure a link is, as hopscope.link.confidence has it.
type Confidence uint8

// Degrees of confidence.
const (
	NoConfidence Confidence = iota
	Low
	Medium
	High
	Exact
)

func (c Confidence) String() string {
	switch c {
	case Low:
		return "low"
	case Medium:
		return "medium"
	case High:
		return "high"
	case Exact:
		return "exact"
	}
	return ""
}

// Linked is an exchange and its place in a trace. It is borrowed like its
// Exchange.
type Linked struct {
	Exchange *session.Exchange
	// XID and LID are its keys, zero where they are not known. Key is the one
	// that its span id is made of: the one known first.
	XID, LID, Key hop.Key
	TraceID       [16]byte
	// Provisional: the trace id is ours, nobody propagated it.
	Provisional bool
	// Parent is the parent span; zero: none. Remote: it is not one of ours.
	Parent     hop.Key
	Remote     bool
	Evidence   Evidence
	Confidence Confidence
}

// Config is what the tracker may be told.
type Config struct {
	// Host is the id of this host, as span ids have it.
	Host string
	// Recycle takes back exchanges that were kept. Nil: none is kept, and links
	// that need to see what comes after are not made.
	Recycle func(*session.Exchange)
	// Golang tells which processes are of Go. May be nil.
	Golang func(pid uint32) bool
}

// Stats counts what the tracker did. Any goroutine may read it.
type Stats struct {
	// Links made, by evidence.
	Links [Conflict + 1]atomic.Uint64
	// Unlinked outbound exchanges while something was open in their process.
	Unlinked  atomic.Uint64
	Ambiguous atomic.Uint64 // links not made because two requests were in question
	OpenFull  atomic.Uint64 // inbound exchanges forgotten for maxOpen
	HeldFull  atomic.Uint64 // outbound exchanges not held for maxHeld
	TasksFull atomic.Uint64 // times that all threads were forgotten for maxTasks
	// HandedFull are handovers of goroutines forgotten for maxHanded.
	HandedFull atomic.Uint64
	Held       atomic.Int64
}

// Tracker links the exchanges of one shard. One goroutine owns it.
type Tracker struct {
	cfg      Config
	next     func(*Linked)
	stats    Stats
	linked   Linked
	procs    map[uint32]*proc
	tasks    map[taskKey]*task
	lastKey  taskKey
	lastTask *task
	held     []*record // oldest first; settled ones have no exchange any more
	sequence uint64
	free     []*record
	handed   map[handKey]hand // who asks, until the request is seen
}

// New makes a tracker that gives linked exchanges to next.
func New(cfg Config, next func(*Linked)) *Tracker {
	return &Tracker{cfg: cfg, next: next, procs: map[uint32]*proc{}, tasks: map[taskKey]*task{}, handed: map[handKey]hand{}}
}

// NewTracker makes a tracker that links by what messages carry only.
func NewTracker(next func(*Linked)) *Tracker { return New(Config{}, next) }

// Stats is the tracker's counters.
func (t *Tracker) Stats() *Stats { return &t.stats }

// Put links x and passes it on, at once or, where the cause is not settled yet,
// within two seconds.
func (t *Tracker) Put(x *session.Exchange) {
	r, _ := x.Track.(*record)
	switch {
	case r == nil:
		t.emit(nil, x)
	case r.inbound:
		t.close(r)
		t.emit(r, x)
		t.over(r)
	default:
		t.landed(r, x)
	}
}

// keys finds what makes the exchange recognisable elsewhere.
func (l *Linked) keys() {
	x := l.Exchange
	c := x.Conn
	switch {
	case c.Transport == l7.UDP, c.Transport == 0: // ICMP: its id stands where ports do
		if c.A.IsValid() && x.Protocol.Pairing == l7.ByStream {
			l.XID = hop.DNS(messageID(&x.Req.Msg), x.Req.Msg.Target, clientPort(x))
		}
		l.Key = l.XID
	case c.A.IsValid(): // TCP; unix sockets have no addresses, and no sequence numbers
		if l.LID == 0 {
			l.LID = hop.LID(c.Key, x.Req.Pos)
		}
		if x.Req.Seen && x.Resp.Seen {
			l.XID = hop.XID(x.Req.Seq, x.Resp.Seq)
		}
		if l.Key = l.LID; x.OneWay && x.FromServer && l.LID != 0 {
			// Its place is in the server's stream, where a request of the client
			// may have the same offset.
			l.LID = 0
			l.Key = hop.Private(uint64(hop.LID(c.Key, 0)), ^x.Req.Pos, 0)
		}
		if l.Key == 0 {
			l.Key = l.XID
		}
	}
	if l.Key == 0 {
		at := x.Req.Pos
		if x.OneWay && x.FromServer {
			at = ^at
		}
		l.Key = hop.Private(c.ID, at, x.Req.Start)
	}
}

// follow continues the trace of tr; false if tr names none.
func (l *Linked) follow(tr *l7.Trace) bool {
	if tr == nil {
		return false
	}
	id, ok := hop.ForeignTrace(tr.Format, tr.TraceID)
	if !ok {
		return false
	}
	l.TraceID = id
	if p := hop.ForeignCaller(tr.Format, tr.TraceID, tr.SpanID); p != 0 {
		l.Parent, l.Remote = p, true
		l.Evidence, l.Confidence = PropagatedIDs, Exact
	}
	return true
}

// carried are the ids that x is part of: the request's, or, where the broker
// hands a message out, those of the message.
func carried(x *session.Exchange) *l7.Trace {
	if x.Req.Msg.Trace.TraceID != "" {
		return &x.Req.Msg.Trace
	}
	if x.Resp.Msg.Trace.TraceID != "" && x.Resp.Msg.Flow == l7.FlowDeliver {
		return &x.Resp.Msg.Trace
	}
	return nil
}

func messageID(m *l7.Message) uint16 {
	if n, err := strconv.ParseUint(m.Session, 0, 16); err == nil {
		return uint16(n)
	}
	return uint16(m.Stream)
}

func clientPort(x *session.Exchange) uint16 {
	c := x.Conn
	if d, ok := c.ClientDir(); ok && d == 1 {
		return c.B.Port()
	}
	return c.A.Port()
}
