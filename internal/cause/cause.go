// Package cause says which exchange led to which other one, and so what trace
// an exchange belongs to and which span is its parent.
//
// What it rests on so far: the ids that a message carries. An exchange without
// any stands alone, in a trace of its own.
package cause

import (
	"strconv"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
)

// Evidence is what a link rests on, as hopscope.link.evidence has it.
type Evidence uint8

// Evidence, from the strongest on.
const (
	NoEvidence    Evidence = iota
	PropagatedIDs          // the message carries the trace and the parent
)

func (e Evidence) String() string {
	if e == PropagatedIDs {
		return "propagated_ids"
	}
	return ""
}

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

// Tracker links the exchanges of one shard. One goroutine owns it.
type Tracker struct {
	next   func(*Linked)
	linked Linked
}

// NewTracker makes a tracker that gives linked exchanges to next.
func NewTracker(next func(*Linked)) *Tracker { return &Tracker{next: next} }

// Put links x and passes it on.
func (t *Tracker) Put(x *session.Exchange) {
	l := &t.linked
	*l = Linked{Exchange: x}
	l.keys()
	if !l.follow(carried(x)) {
		l.Provisional = true
		l.TraceID = hop.TraceID(l.Key)
	}
	t.next(l)
}

// keys finds what makes the exchange recognisable elsewhere.
func (l *Linked) keys() {
	x := l.Exchange
	c := x.Conn
	switch {
	case c.Transport == l7.UDP:
		if c.A.IsValid() && x.Protocol.Pairing == l7.ByStream {
			l.XID = hop.DNS(messageID(&x.Req.Msg), x.Req.Msg.Target, clientPort(x))
		}
		l.Key = l.XID
	case c.A.IsValid(): // TCP; unix sockets have no addresses, and no sequence numbers
		l.LID = hop.LID(c.Key, x.Req.Pos)
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
	span := tr.SpanID
	if tr.Format == l7.FormatPinpoint {
		span = tr.ParentSpanID // SpanID is the callee's own
	}
	if p := hop.ForeignSpan(tr.Format, span); p != 0 {
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
