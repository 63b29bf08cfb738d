package stream

import (
	"sync/atomic"
	"time"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/packet"
)

// AssemblerConfig is what an assembler may be told. The zero value is usable.
type AssemblerConfig struct {
	// MaxConns is how many connections are kept before the one that was silent
	// longest is given up. Zero: DefaultMaxFlows.
	MaxConns int
	// MaxHeld and MaxHeldConn bound the bytes that wait for missing ones, in
	// all and of one connection. Zero: the defaults.
	MaxHeld, MaxHeldConn int
	// HoleSegments and HoleWait bound the wait for bytes that their receiver
	// is known to have got: capture may have seen them in another order, or
	// not at all. Zero: the defaults.
	HoleSegments int
	HoleWait     time.Duration
	// LossWait bounds the wait for bytes that nobody has got yet: the sender
	// will send them again. Zero: DefaultLossWait.
	LossWait time.Duration
	// IdleTCP and IdleUDP are how long a silent connection is kept. Zero: the
	// defaults.
	IdleTCP, IdleUDP time.Duration
	// Place says where an interface lies on the path of a connection, whose
	// client's segments go that way over it, and what it is called. Nil: Rest.
	Place func(iface, sub uint32, client packet.Way) (hop.Point, string)
	// Observe sees every segment of a connection, before its bytes are passed
	// on. Closed is told when a connection is forgotten. Both may be nil.
	Observe func(*Conn, Dir, *packet.Segment)
	Closed  func(*Conn, int64)
	// Echo is told of ICMP echo requests and replies. May be nil.
	Echo func(c *Conn, reply bool, s *packet.Segment)
}

// Defaults and fixed limits of the assembler.
const (
	// DefaultMaxFlows: at 1.4 KB each (BenchmarkAssembler), 90 MiB.
	DefaultMaxFlows = 65536
	// DefaultMaxHeld is for all connections together.
	DefaultMaxHeld = 64 << 20
	// DefaultMaxHeldConn: a lost segment at 10 Gbit/s and 1 ms holds up 1.2 MB.
	DefaultMaxHeldConn = 1 << 20
	// maxHeldSegments bounds the queue of one direction.
	maxHeldSegments = 2048
	// DefaultHoleSegments: queues of a card deliver a few segments late, not
	// more of one connection.
	DefaultHoleSegments = 16
	// DefaultHoleWait is longer than any driver holds a frame back.
	DefaultHoleWait = 100 * time.Millisecond
	// DefaultLossWait covers four retransmission timeouts in a row (0.2, 0.4,
	// 0.8, 1.6 s), and ten when the round trip is short.
	DefaultLossWait = 4 * time.Second
	// DefaultIdleTCP is the idle time of the reference system.
	DefaultIdleTCP = 300 * time.Second
	// DefaultIdleUDP covers the slowest resolver's retries.
	DefaultIdleUDP = 30 * time.Second
	// openingWait: a SYN that nothing answers; Linux gives up after 127 s but
	// its third try is 7 s after the first.
	openingWait = 10 * time.Second
	// resetWait: what was sent before a reset may be seen after it.
	resetWait = 50 * time.Millisecond
	// closedWait: the last acknowledgements, and a FIN sent again.
	closedWait = 5 * time.Second
	// maxAhead is how far beyond what is known a segment may lie. A window is
	// at most 1 GiB, in practice 16 MiB (tcp_rmem); more is another connection
	// or damage, unless it goes on like that.
	maxAhead = 64 << 20
	// maxStrange segments in a row that are out of range are the truth.
	maxStrange = 4
)

// AssemblerStats counts what the assembler did and what it lost. Any goroutine
// may read it.
type AssemblerStats struct {
	Segments    atomic.Uint64 // segments taken
	Conns       atomic.Uint64 // connections made
	Live        atomic.Int64  // connections kept now
	Evicted     atomic.Uint64 // given up because of MaxConns
	Midstream   atomic.Uint64 // older than the capture
	Reused      atomic.Uint64 // ports used again before the old connection's end was seen
	Duplicate   atomic.Uint64 // segments that held nothing new
	Overlap     atomic.Uint64 // segments that held some bytes again
	OutOfOrder  atomic.Uint64 // segments that had to wait
	Holes       atomic.Uint64 // gaps given up
	HoleBytes   atomic.Uint64
	HeldFull    atomic.Uint64 // gaps given up early, because of MaxHeld or MaxHeldConn
	HeldBytes   atomic.Int64  // bytes waiting now
	Strange     atomic.Uint64 // segments whose sequence number fits nothing
	AfterClosed atomic.Uint64 // segments of a connection that was over
}

// Assembler turns segments into connections and chunks, in the order that their
// bytes were sent: nothing that one end said is passed on before what the other
// end had said to it. One goroutine owns it.
//
// Promise: the bytes it passes on are those that were sent, where it says they
// lie; what is missing is a jump of Chunk.Pos.
type Assembler struct {
	cfg   AssemblerConfig
	next  func(*Chunk)
	stats AssemblerStats
	flows map[packet.Key]*flow
	// recent are the flows of the last segments, each at slot(key): a look into the
	// table costs more than all else that a segment in order needs.
	recent [recentFlows]*flow
	lists  [lists]flowList
	// waiting are the flows that hold segments.
	waiting map[*flow]struct{}
	held    int
	bufs    [][]byte
	now     int64
	serial  uint64
	chunk   Chunk
}

// NewAssembler makes an assembler that gives chunks to next.
func NewAssembler(cfg AssemblerConfig, next func(*Chunk)) *Assembler {
	def := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	num := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	num(&cfg.MaxConns, DefaultMaxFlows)
	num(&cfg.MaxHeld, DefaultMaxHeld)
	num(&cfg.MaxHeldConn, DefaultMaxHeldConn)
	num(&cfg.HoleSegments, DefaultHoleSegments)
	def(&cfg.HoleWait, DefaultHoleWait)
	def(&cfg.LossWait, DefaultLossWait)
	def(&cfg.IdleTCP, DefaultIdleTCP)
	def(&cfg.IdleUDP, DefaultIdleUDP)
	if cfg.Place == nil {
		cfg.Place = func(uint32, uint32, packet.Way) (hop.Point, string) { return hop.Rest, "" }
	}
	a := &Assembler{cfg: cfg, next: next, flows: map[packet.Key]*flow{}, waiting: map[*flow]struct{}{}}
	a.lists[listTCP].limit = int64(cfg.IdleTCP)
	a.lists[listUDP].limit = int64(cfg.IdleUDP)
	a.lists[listOpening].limit = int64(openingWait)
	a.lists[listReset].limit = int64(resetWait)
	a.lists[listClosed].limit = int64(closedWait)
	return a
}

// Stats is the assembler's counters.
func (a *Assembler) Stats() *AssemblerStats { return &a.stats }

// Put takes one segment.
func (a *Assembler) Put(s *packet.Segment) {
	a.stats.Segments.Add(1)
	a.now = max(a.now, s.Time)
	if s.Quoted.Proto != 0 {
		a.quoted(s)
		return
	}
	key, swapped := s.Key()
	r := &a.recent[slot(&key)]
	f := *r
	if f == nil || f.key != key {
		if f = a.flows[key]; f == nil {
			f = a.open(key, swapped, s)
		}
		*r = f
	}
	d := FromA
	if swapped != f.swapped {
		d = FromB
	}
	switch s.Proto {
	case packet.ProtoTCP:
		a.tcp(f, d, s)
	case packet.ProtoUDP:
		a.touch(f, s.Time)
		a.observe(f, d, s)
		a.datagram(f, d, s)
	default:
		a.touch(f, s.Time)
		a.observe(f, d, s)
		if a.cfg.Echo != nil {
			a.cfg.Echo(&f.conn, echoReply(s), s)
		}
	}
}

// recentFlows is a power of two.
const recentFlows = 256

// slot is where among the recent flows that of k would be. Ports and the last
// words of the addresses differ where anything does; the constant is 2^32
// divided by the golden ratio.
func slot(k *packet.Key) uint32 {
	return (k.Ports ^ k.Ports>>16 ^ uint32(k.A.Lo^k.B.Lo)) * 0x9e3779b9 >> 24
}

func (a *Assembler) observe(f *flow, d Dir, s *packet.Segment) {
	if a.cfg.Observe != nil {
		a.cfg.Observe(&f.conn, d, s)
	}
}

// quoted passes an ICMP error to the connection that it is about. It goes the
// other way than the packet that caused it.
func (a *Assembler) quoted(s *packet.Segment) {
	key, swapped := s.QuotedKey()
	f := a.flows[key]
	if f == nil {
		return
	}
	d := FromB
	if swapped != f.swapped {
		d = FromA
	}
	a.observe(f, d, s)
}

// datagram passes a UDP payload on. Positions count payload bytes.
func (a *Assembler) datagram(f *flow, d Dir, s *packet.Segment) {
	if s.Len == 0 {
		return
	}
	h := &f.half[d]
	c := &a.chunk
	c.Conn, c.Dir, c.Pos, c.Seq, c.Wire, c.Other, c.HasOther = &f.conn, d, h.next, 0, s.Len, 0, false
	c.Lost, c.End, c.Close, c.Time, c.B = false, false, false, s.Time, s.Payload
	h.next += uint64(s.Len)
	a.next(c)
}

// Settle works out Point again after somebody else has found out who the
// client is.
func (a *Assembler) Settle(c *Conn) {
	if c.Source != Packets {
		return
	}
	way := c.way
	if c.Role == RoleServer {
		way = opposite(way)
	}
	c.Point, c.Interface = a.cfg.Place(c.iface, c.sub, way)
}

func opposite(w packet.Way) packet.Way {
	switch w {
	case packet.WayIn:
		return packet.WayOut
	case packet.WayOut:
		return packet.WayIn
	}
	return w
}
