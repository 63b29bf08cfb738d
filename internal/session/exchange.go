// Package session turns the ordered bytes of a connection into exchanges: it
// finds out which protocol a connection speaks, runs that protocol's parser
// over it, pairs answers with requests, and times out what is never answered.
//
// Promise: every request that a parser reads gives exactly one exchange, sooner
// or later; an answer is attached only to the request that it answers, and to
// none in doubt.
package session

import (
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// Incomplete says what an exchange lacks, as hopscope.incomplete has it.
type Incomplete uint8

// Reasons, the most specific wins.
const (
	Complete   Incomplete = iota
	LostEvents            // capture lost bytes that the answer may have been in
	Timeout               // no answer in time
	Midstream             // the connection was older than the capture
	Truncated             // the connection ended, or was cut, inside a message
)

func (i Incomplete) String() string {
	switch i {
	case LostEvents:
		return "lost_events"
	case Timeout:
		return "timeout"
	case Midstream:
		return "midstream"
	case Truncated:
		return "truncated"
	}
	return ""
}

// Half is one message of an exchange, as the wire had it.
type Half struct {
	Seen bool
	// Pos and Seq are the place of its first byte: stream offset, TCP sequence
	// number.
	Pos uint64
	Seq uint32
	// Start and End are when its first and its last byte were seen, unix
	// nanoseconds. First is when the first byte of a server's message was seen
	// (equal to Start; kept for messages that are continued).
	Start, End int64
	// Body is when the first byte of what continued the message was seen; 0 if
	// nothing did.
	Body int64
	// Bytes is its length on the wire; what was not captured counts.
	Bytes uint64
	// Parts counts the messages of a stream (gRPC), at least 1.
	Parts uint32
	// Ctx is who moved its first byte, Last who moved its last one.
	Ctx, Last stream.Ctx
	Msg       l7.Message
	// Payload is the head of the message, if the engine was told to keep it.
	Payload []byte
}

// Exchange is one request and its answer, at one capture point. It is borrowed:
// valid until the call it was passed to returns. Its strings are not borrowed.
type Exchange struct {
	Conn *stream.Conn
	// Protocol is what was spoken: the request's Message.As, or the
	// connection's.
	Protocol *l7.Protocol
	// OneWay: nothing answers. Then FromServer tells who sent it; the message
	// is in Req either way.
	OneWay, FromServer bool
	Req, Resp          Half
	Incomplete         Incomplete
	// Facts are those of the connection when the exchange was over.
	Facts *stream.Facts
	// Over is when the engine was done with it, unix nanoseconds: without an
	// answer, when it was given up.
	Over int64
	// Track is the state of the stage that links exchanges, from Began to its
	// end.
	Track any
	own   *pending
	kept  bool
}

// Keep lets the one that a complete exchange was given to hold it beyond the
// call, until it gives it to Engine.Recycle.
func (x *Exchange) Keep() { x.kept = true }

// pending is an exchange in the making.
type pending struct {
	Exchange
	// other is what the client had consumed of the server's stream when it sent
	// the request: its answer cannot start earlier.
	other    uint64
	hasOther bool
	reported bool // emitted already (timed out); kept so that its answer finds it
	reqOpen  bool // the request goes on
	respOpen bool // the answer goes on
	gaveUp   bool // the client gave it up: no answer is waited for
	holed    bool // its answer may have been lost by the capture: silence is no time-out
	keyed    bool // key names it among the session's streams
	key      uint64
}

// reset empties p but for the memory that it may use again. It writes no more
// pointers than it must, as Message.Reset has it.
func (p *pending) reset() {
	p.Req.reset()
	p.Resp.reset()
	x := &p.Exchange
	x.Conn, x.Protocol, x.own = nil, nil, nil
	if x.Track != nil {
		x.Track = nil
	}
	if x.Facts != nil {
		x.Facts = nil
	}
	x.OneWay, x.FromServer, x.kept = false, false, false
	x.Incomplete, x.Over = Complete, 0
	p.other, p.hasOther, p.key, p.keyed = 0, false, 0, false
	p.reported, p.reqOpen, p.respOpen, p.gaveUp, p.holed = false, false, false, false, false
}

func (f *Half) reset() {
	f.Seen = false
	f.Pos, f.Seq, f.Start, f.End, f.Body = 0, 0, 0, 0, 0
	f.Bytes, f.Parts = 0, 0
	f.Ctx, f.Last = stream.Ctx{}, stream.Ctx{}
	f.Msg.Reset()
	if f.Payload != nil {
		f.Payload = f.Payload[:0]
	}
}
