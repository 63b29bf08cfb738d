// Package calls reads the gRPC calls of Pinpoint agents from connections that
// somebody else has: chunks go in, messages come out, in the order that they
// were sent.
//
// Promise: a message is whole or not reported; a header that is not known is
// empty, never guessed.
package calls

import (
	"sync/atomic"
	"time"

	"github.com/hopscope/hopscope/internal/h2"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// Limits.
const (
	// MaxMessage is what every agent and collector takes at most.
	MaxMessage = 4 << 20
	// MaxStreams bounds the calls of one connection that are open at once:
	// agents have at most ten span batches in flight, a command stream, a ping.
	MaxStreams = 1024
	// HoleWait and HoleSegments are for the assembler that feeds a sniffer: agents
	// report in the background, so that waiting for a segment costs nothing, and
	// a hole costs the header table for good.
	HoleWait     = 5 * time.Second
	HoleSegments = 512
	// MaxValue bounds a header: names of applications are 254 bytes at most.
	MaxValue = 512
)

// Header is what a call's headers say of the agent. Empty: not said, or not
// known (Partial).
type Header struct {
	Path            string
	AgentID         string
	AgentName       string
	ApplicationName string
	ServiceName     string
	StartTime       string
	ServiceType     string
	ProtocolVersion string
	SocketID        string
	Encoding        string
	// Partial: some headers stand in a part of the header table that was filled
	// before anybody looked.
	Partial bool
}

// Call is one stream.
type Call struct {
	Stream uint32
	Header
	// Late: its headers were not seen at all.
	Late bool
	side [2]assembly
}

// Message is one message of a call. Body is borrowed.
type Message struct {
	Conn   *stream.Conn
	Call   *Call
	Client bool // sent by the agent
	Time   int64
	Body   []byte
}

// Stats counts what was read and lost. Any goroutine may read it.
type Stats struct {
	Conns      atomic.Uint64 // connections read
	Late       atomic.Uint64 // of these, older than we are
	Calls      atomic.Uint64
	Messages   atomic.Uint64
	Lost       atomic.Uint64 // messages of which a part was not captured
	Oversize   atomic.Uint64 // messages longer than MaxMessage
	Corrupt    atomic.Uint64 // messages that could not be unpacked
	Streams    atomic.Uint64 // calls given up for MaxStreams
	Headers    atomic.Uint64 // header blocks over the limits, or malformed
	Blind      atomic.Uint64 // calls whose headers were not seen
	Partial    atomic.Uint64 // calls whose headers were not all known
	LostPlaces atomic.Uint64 // times that the place in a connection was lost
}

// Sniffer reads connections. One goroutine owns it.
type Sniffer struct {
	ports map[uint16]bool
	next  func(*Message)
	// Closed is told of connections that are over. May be nil.
	Closed func(*stream.Conn)
	stats  Stats
	msg    Message
	gz     inflater
}

// New reads connections to the given server ports and gives messages to next.
func New(ports []uint16, next func(*Message)) *Sniffer {
	s := &Sniffer{ports: map[uint16]bool{}, next: next}
	for _, p := range ports {
		s.ports[p] = true
	}
	return s
}

// Stats is the sniffer's counters.
func (s *Sniffer) Stats() *Stats { return &s.stats }

// conn is one connection.
type conn struct {
	s     *Sniffer
	c     *stream.Conn
	dir   stream.Dir // of the agent
	half  [2]half
	calls map[uint32]*Call
	now   int64
}

// half is one direction; its index is l7.Client or l7.Server.
type half struct {
	conn    *conn
	client  bool
	started bool
	next    uint64
	r       *h2.Reader
	fresh   bool // the next piece begins a frame
	refused uint64
}

// Put reads a chunk.
func (s *Sniffer) Put(c *stream.Chunk) {
	k, ok := c.Conn.Session.(*conn)
	if !ok {
		if c.Close || c.Conn.Session != nil {
			return
		}
		if k = s.open(c.Conn); k == nil {
			c.Conn.Session = ignored{}
			return
		}
		c.Conn.Session = k
	}
	if c.Close {
		c.Conn.Session = nil
		if s.Closed != nil {
			s.Closed(c.Conn)
		}
		return
	}
	k.put(c)
}

// ignored marks connections that are none of ours.
type ignored struct{}

// open decides whether the connection is one of an agent with a collector.
func (s *Sniffer) open(c *stream.Conn) *conn {
	if c.Transport != l7.TCP {
		return nil
	}
	// A port of the list is better evidence than the first speaker.
	dir := stream.FromA
	switch {
	case s.ports[c.B.Port()] && !s.ports[c.A.Port()]:
	case s.ports[c.A.Port()] && !s.ports[c.B.Port()]:
		dir = stream.FromB
	case s.ports[c.A.Port()]:
		if d, ok := c.ClientDir(); ok {
			dir = d
		}
	default:
		return nil
	}
	s.stats.Conns.Add(1)
	if c.Midstream {
		s.stats.Late.Add(1)
	}
	k := &conn{s: s, c: c, dir: dir, calls: map[uint32]*Call{}}
	for i := range k.half {
		k.half[i] = half{conn: k, client: i == int(l7.Client), fresh: true}
		k.half[i].r = h2.NewReader(k.half[i].client, !c.Midstream, tags, &k.half[i])
	}
	return k
}

func (k *conn) put(c *stream.Chunk) {
	side := l7.Server
	if c.Dir == k.dir {
		side = l7.Client
	}
	h := &k.half[side]
	k.now = c.Time
	if !h.started {
		h.started = true
		if k.c.Midstream {
			h.next = c.Pos
		}
	}
	b, wire := c.B, uint64(max(int(c.Wire), len(c.B)))
	switch {
	case c.Pos < h.next:
		d := h.next - c.Pos
		if d >= wire {
			return
		}
		b, wire = b[min(d, uint64(len(b))):], wire-d
	case c.Pos > h.next:
		h.r.Missing(c.Pos - h.next)
		h.next = c.Pos
	}
	h.next += wire
	h.r.Put(b)
	h.r.Missing(wire - uint64(len(b)))
	if n := h.r.Refused; n != h.refused {
		k.s.stats.Headers.Add(n - h.refused)
		h.refused = n
	}
}

// call is the call of a stream; one that was opened unseen is made.
func (k *conn) call(id uint32) *Call {
	if c := k.calls[id]; c != nil {
		return c
	}
	c := k.make(id)
	c.Late = true
	// Where its messages begin is not known.
	c.side[0].lost, c.side[1].lost = true, true
	k.s.stats.Blind.Add(1)
	return c
}

func (k *conn) make(id uint32) *Call {
	if len(k.calls) >= MaxStreams {
		oldest := ^uint32(0)
		for id := range k.calls {
			oldest = min(oldest, id)
		}
		delete(k.calls, oldest)
		k.s.stats.Streams.Add(1)
	}
	c := &Call{Stream: id}
	k.calls[id] = c
	k.s.stats.Calls.Add(1)
	return c
}

// Lost implements h2.Handler: what of open messages is missing is not known.
func (h *half) Lost() {
	h.conn.s.stats.LostPlaces.Add(1)
	for _, c := range h.conn.calls {
		c.side[h.side()].lose(h.conn.s)
	}
	h.fresh = true
}

func (h *half) side() l7.Side {
	if h.client {
		return l7.Client
	}
	return l7.Server
}

// Control implements h2.Handler.
func (h *half) Control(f h2.Frame, _ []byte) {
	if f.Type == h2.RSTStream {
		delete(h.conn.calls, f.Stream)
	}
}

// Headers implements h2.Handler.
func (h *half) Headers(f h2.Frame, d *h2.Decoder) {
	k := h.conn
	if f.Type == h2.PushPromise {
		return
	}
	c := k.calls[f.Stream]
	if h.client && c == nil {
		c = k.make(f.Stream)
		c.read(d)
		if d.Err() != nil {
			c.Partial = true
		}
		if c.Partial {
			k.s.stats.Partial.Add(1)
		}
	} else if c != nil && !h.client {
		for fd := (h2.Field{}); d.Next(&fd); {
			if fd.Tag == tagEncoding && fd.ValueKnown {
				c.side[l7.Server].encoding = keep(&fd)
			}
		}
	}
	if f.EndStream() && !h.client {
		delete(k.calls, f.Stream)
	}
}

// Data implements h2.Handler.
func (h *half) Data(f h2.Frame, b []byte, missing int, last bool) {
	fresh := h.fresh
	h.fresh = last
	c := h.conn.call(f.Stream)
	a := &c.side[h.side()]
	if fresh && a.lost && missing == 0 && begins(f, b) {
		*a = assembly{encoding: a.encoding}
	}
	if missing > 0 {
		a.missing(h.conn.s, missing)
	}
	a.put(h, c, b)
	if last && f.EndStream() && !h.client {
		delete(h.conn.calls, f.Stream)
	}
}
