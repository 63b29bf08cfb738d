package stream

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"github.com/hopscope/hopscope/internal/event"
	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
)

// TableConfig is what a Table may be told. The zero value is usable.
type TableConfig struct {
	// MaxConns is how many connections are kept before the one that was silent
	// longest is given up. Zero: DefaultMaxConns.
	MaxConns int
	// Idle is how long a UDP pair of ends may be silent before it is given up,
	// in nanoseconds of event time. Zero: 60 s, as netfilter has it.
	Idle int64
	// Announce asks the kernel to tell again what a socket is. May be nil.
	Announce func(sock uint64)
	// Opened is told of every connection before its first chunk, and again when
	// it is better known; the second argument is nil for further peers of a UDP
	// socket. May be nil.
	Opened func(*Conn, *event.Open)
	// Wanted refuses pairs of ends of unconnected UDP sockets, which nobody could
	// judge before. Nil: all are wanted.
	Wanted func(local, remote netip.AddrPort) bool
	// Connecting is told when a thread begins to connect a socket, long before
	// there is a connection to speak of. May be nil.
	Connecting func(sock uint64, ctx *Ctx, now int64)
	// Handover is told when the goroutine of ctx hands a request to the goroutines
	// of a connection, or takes one over from them (serves).
	Handover func(sock uint64, stream uint32, serves bool, ctx *Ctx, now int64)
	// Lost is told what of a connection was not told: before the chunk after the
	// loss, or before the end. May be nil.
	Lost func(*Conn, *Lost)
}

// DefaultMaxConns: about 40 MB of connections, more than most nodes have.
const DefaultMaxConns = 65536

const defaultIdle = 60e9

// TableStats counts what a Table did. Anybody may read it.
type TableStats struct {
	Opened    atomic.Uint64 // connections made
	Evicted   atomic.Uint64 // given up for room
	Idle      atomic.Uint64 // UDP pairs given up for silence
	Unknown   atomic.Uint64 // data of sockets that nobody introduced
	NoPeer    atomic.Uint64 // datagrams without a peer, or with one that nobody wants
	LostCalls atomic.Uint64 // calls that the kernel says it did not tell
	Conns     atomic.Int64  // kept now
}

// Table turns the events of one shard into chunks of connections: it keeps what
// each socket is, and makes a connection of every pair of UDP ends. One
// goroutine owns it.
type Table struct {
	cfg    TableConfig
	next   func(*Chunk)
	stats  TableStats
	socks  map[uint64]*entry
	peers  map[peerKey]*entry
	newest *entry
	oldest *entry
	n      int
	offset int64 // unix time minus event time
	now    int64 // latest event time
	chunk  Chunk
	names  map[[16]byte]string
	recent recentSocks
}

// entry is a connection, or a UDP socket that talks to many (then conn only
// lends its facts to theirs and is never given on).
type entry struct {
	conn         *Conn
	newer, older *entry
	sock         uint64
	peer         peerKey
	many         bool           // an unconnected socket
	turns        [2]uint32      // lost ones that the kernel has told of,
	owed         [2]uint32      // and those that no peer was found for yet
	sole         netip.AddrPort // whom it sent to last,
	several      bool           // and whether to others, too
	used         int64
	sent         [2]uint64 // bytes of a UDP pair, by direction
	seq          [2]uint32 // made-up sequence numbers of a unix socket
	synth        bool      // seq holds
}

type peerKey struct {
	sock uint64
	addr netip.AddrPort
}

// maxNames bounds the interned process names; past it they are strings of
// their own.
const maxNames = 1024

// NewTable makes a table that gives chunks to next.
func NewTable(cfg TableConfig, next func(*Chunk)) *Table {
	if cfg.MaxConns == 0 {
		cfg.MaxConns = DefaultMaxConns
	}
	if cfg.Idle == 0 {
		cfg.Idle = defaultIdle
	}
	return &Table{cfg: cfg, next: next, socks: map[uint64]*entry{}, peers: map[peerKey]*entry{}, names: map[[16]byte]string{}}
}

// Stats is the table's counters.
func (t *Table) Stats() *TableStats { return &t.stats }

// Unix turns event time into unix nanoseconds.
func (t *Table) Unix(event uint64) int64 { return int64(event) + t.offset }

// Put takes one event.
func (t *Table) Put(e *event.Event) {
	t.now = max(t.now, int64(e.Time))
	switch e.Kind {
	case event.KindData:
		t.data(e)
	case event.KindDatagram:
		t.datagram(e)
	case event.KindOpen:
		t.open(e)
	case event.KindClose:
		t.close(e)
	case event.KindConnect:
		if t.cfg.Connecting != nil {
			t.cfg.Connecting(e.Sock, &Ctx{Pid: e.Pid, Tid: e.Tid}, t.Unix(e.Time))
		}
	case event.KindHandover:
		if h := &e.Handover; t.cfg.Handover != nil {
			t.cfg.Handover(e.Sock, h.Stream, h.What == event.Serves, &Ctx{Pid: e.Pid, Tid: e.Tid, Goid: h.Goid, ParentGoid: h.Parent}, t.Unix(e.Time))
		}
	case event.KindLost:
		t.lost(e)
	case event.KindClock:
		t.offset = e.Clock.Offset
	}
}

func (t *Table) open(e *event.Event) {
	o := &e.Open
	s := t.socks[e.Sock]
	if s == nil {
		s = t.insert(&entry{sock: e.Sock, conn: &Conn{ID: e.Sock}})
		t.socks[e.Sock] = s
		t.stats.Opened.Add(1)
	}
	c := s.conn
	c.Source = Sockets
	c.Transport = l7.TCP
	if o.Transport == event.UDP {
		c.Transport = l7.UDP
	}
	c.Family = family(o.Family)
	c.A = addrPort(o.Family, &o.Local, o.LocalPort)
	c.B = addrPort(o.Family, &o.Remote, o.RemotePort)
	c.Pid, c.NetNS = e.Pid, o.Netns
	c.Comm = t.name(&o.Comm)
	c.Midstream = o.Flags&event.Midstream != 0
	if o.Opened != 0 {
		c.Opened = t.Unix(o.Opened)
	}
	s.many = o.Transport == event.UDP && o.Flags&event.Connected == 0
	s.role(o.Role)
	switch {
	case o.Family == event.Unix:
		s.unixKey(e)
	case o.Flags&event.Keyed != 0:
		switch o.Role {
		case event.RoleClient:
			c.Key = hop.ConnKey{Client: o.FirstSend, Server: o.FirstRecv, Known: true}
		case event.RoleServer:
			c.Key = hop.ConnKey{Client: o.FirstRecv, Server: o.FirstSend, Known: true}
		}
	}
	if t.cfg.Opened != nil && !s.many {
		t.cfg.Opened(c, o)
	}
}

// role takes what the kernel knows for certain; it never unlearns what content
// has taught.
func (s *entry) role(r event.Role) {
	if r == event.RoleUnknown || s.conn.RoleConfidence == 255 {
		return
	}
	s.conn.RoleConfidence = 255
	s.conn.Role = RoleClient
	if r == event.RoleServer {
		s.conn.Role = RoleServer
	}
}

// unixKey makes a key of the connecting end's cookie, which both ends of a unix
// socket can name: the bytes of such a socket have no sequence numbers.
func (s *entry) unixKey(e *event.Event) {
	client := uint64(0)
	switch e.Open.Role {
	case event.RoleClient:
		client = e.Sock
	case event.RoleServer:
		client = e.Open.PeerSock
	}
	if client == 0 || s.conn.Midstream {
		return
	}
	// A product with an odd constant is a permutation: distinct cookies keep
	// distinct keys (the constant is 2^64 divided by the golden ratio).
	k := client * 0x9e3779b97f4a7c15
	s.conn.Key = hop.ConnKey{Client: uint32(k), Server: uint32(k >> 32), Known: true}
	s.seq, s.synth = [2]uint32{uint32(k), uint32(k >> 32)}, true
	if e.Open.Role == event.RoleServer {
		s.seq[0], s.seq[1] = s.seq[1], s.seq[0]
	}
}

func (t *Table) data(e *event.Event) {
	d := &e.Data
	lost := d.LostSend | d.LostRecv
	if lost != 0 {
		t.stats.LostCalls.Add(uint64(d.LostSend) + uint64(d.LostRecv))
	}
	s := t.sock(e.Sock)
	if s == nil {
		t.unknown(e.Sock)
		return
	}
	if s.many { // stream bytes on a socket that has no connection: not of the kernel's making
		t.stats.NoPeer.Add(1)
		return
	}
	t.touch(s)
	if e.Pid != 0 {
		s.conn.Pid = e.Pid
	}
	c := t.fill(e, s.conn)
	c.Pos, c.Seq = d.Pos, d.Seq
	if s.synth {
		c.Seq = s.seq[d.Dir] + uint32(d.Pos)
	}
	c.Other, c.HasOther = d.Other, true
	c.Lost = lost != 0
	t.next(c)
}

// fill sets what stream and datagram have in common, and nothing else.
func (t *Table) fill(e *event.Event, conn *Conn) *Chunk {
	c, d := &t.chunk, &e.Data
	// Field by field: a Chunk at once would be built elsewhere and copied.
	c.Conn, c.Dir, c.Wire, c.Time, c.B = conn, Dir(d.Dir), d.Wire, t.Unix(e.Time), e.Payload
	c.Pos, c.Seq, c.Other, c.HasOther = 0, 0, 0, false
	c.Lost, c.End, c.Close = false, false, false
	x := &c.Ctx
	x.Pid, x.Tid, x.Goid, x.ParentGoid, x.CapSeq = e.Pid, e.Tid, d.Goid, d.Parent, d.CapSeq
	x.Stamp, x.SyscallTraceID = 0, 0
	return c
}

func (t *Table) unknown(sock uint64) {
	t.stats.Unknown.Add(1)
	if t.cfg.Announce != nil {
		t.cfg.Announce(sock)
	}
}

func (t *Table) datagram(e *event.Event) {
	d := &e.Data
	if n := uint64(d.LostSend) + uint64(d.LostRecv); n > 0 {
		t.stats.LostCalls.Add(n)
	}
	s := t.sock(e.Sock)
	if s == nil {
		t.unknown(e.Sock)
		return
	}
	t.touch(s)
	if s.many {
		sock := s
		if s = t.peer(s, e); s == nil {
			t.stats.NoPeer.Add(1)
			return
		}
		t.touch(s)
		if sock.owed != [2]uint32{} {
			t.tellLost(s.conn, &Lost{Turns: sock.owed})
			sock.owed = [2]uint32{}
		}
	}
	if e.Pid != 0 {
		s.conn.Pid = e.Pid
	}
	c := t.fill(e, s.conn)
	c.Pos, c.Seq = s.sent[d.Dir], uint32(s.sent[d.Dir])
	c.Other, c.HasOther = s.sent[d.Dir^1], true
	c.Lost = d.LostSend|d.LostRecv != 0
	s.sent[d.Dir] += uint64(d.Wire)
	t.next(c)
}

// peer is the connection that a datagram of an unconnected socket belongs to.
// A process that does not ask from where a datagram comes (recvfrom without an
// address) has it from the one it sent to, if it sent to no other.
func (t *Table) peer(sock *entry, e *event.Event) *entry {
	if e.Data.Flags&event.HasPeer == 0 {
		if e.Data.Dir != event.Recv || sock.several {
			return nil
		}
		return t.peers[peerKey{sock: sock.sock, addr: sock.sole}]
	}
	addr := addrPort(e.Peer.Family, &e.Peer.Addr, e.Peer.Port)
	if t.cfg.Wanted != nil && !t.cfg.Wanted(sock.conn.A, addr) {
		return nil
	}
	if e.Data.Dir == event.Send && addr != sock.sole {
		sock.several = sock.several || sock.sole.IsValid()
		sock.sole = addr
	}
	return t.pair(sock, addr)
}

// pair is the connection of an unconnected UDP socket and one peer.
func (t *Table) pair(sock *entry, peer netip.AddrPort) *entry {
	k := peerKey{sock: sock.sock, addr: peer}
	if s := t.peers[k]; s != nil {
		return s
	}
	c := *sock.conn
	c.B, c.Session, c.Track, c.Spans = peer, nil, nil, nil
	c.ID = mix(sock.sock, peer)
	s := t.insert(&entry{sock: sock.sock, peer: k, conn: &c})
	t.peers[k] = s
	t.stats.Opened.Add(1)
	if t.cfg.Opened != nil {
		t.cfg.Opened(&c, nil)
	}
	return s
}

// mix makes an id of a socket and a peer.
func mix(sock uint64, p netip.AddrPort) uint64 {
	a := p.Addr().As16()
	h := sock * 0x9e3779b97f4a7c15
	for _, w := range [...]uint64{binary.LittleEndian.Uint64(a[:]), binary.LittleEndian.Uint64(a[8:]), uint64(p.Port())} {
		h = (h ^ w) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return h
}

func (t *Table) close(e *event.Event) {
	if n := uint64(e.Close.LostSend) + uint64(e.Close.LostRecv); n > 0 {
		t.stats.LostCalls.Add(n)
	}
	s := t.sock(e.Sock)
	if s == nil {
		return
	}
	c := &t.chunk
	*c = Chunk{Conn: s.conn, Time: t.Unix(e.Time), Lost: e.Close.LostSend|e.Close.LostRecv != 0}
	switch e.Close.What {
	case event.SendEnded:
		c.Dir, c.End, c.Pos = FromA, true, e.Close.Sent
		t.next(c)
	case event.RecvEnded:
		c.Dir, c.End, c.Pos = FromB, true, e.Close.Received
		t.next(c)
	case event.Gone:
		t.drop(s, t.Unix(e.Time))
	}
}

// lost takes what of a socket was not told. Of one with many peers nobody knows
// whose it was: it goes to the next that is heard of.
func (t *Table) lost(e *event.Event) {
	s := t.sock(e.Sock)
	if s == nil {
		return
	}
	l := Lost{At: e.Lost.At, Counted: e.Lost.Role != event.RoleUnknown}
	for d, n := range e.Lost.Turns {
		l.Turns[d] = n - s.turns[d]
	}
	s.turns = e.Lost.Turns
	if s.many {
		s.owed[0] += l.Turns[0]
		s.owed[1] += l.Turns[1]
		return
	}
	t.tellLost(s.conn, &l)
}

func (t *Table) tellLost(c *Conn, l *Lost) {
	if t.cfg.Lost != nil {
		t.cfg.Lost(c, l)
	}
}

// Muteable tells which socket to mute when nobody reads c any more; ok is false
// if the socket serves other connections too.
func (t *Table) Muteable(c *Conn) (sock uint64, ok bool) {
	s := t.socks[c.ID]
	return c.ID, s != nil && !s.many
}

// Tick gives up UDP pairs that were silent too long.
func (t *Table) Tick() {
	for s := t.oldest; s != nil && t.now-s.used > t.cfg.Idle; {
		up := s.newer
		if s.peer.sock != 0 || s.conn.Transport == l7.UDP {
			t.stats.Idle.Add(1)
			t.drop(s, t.Unix(uint64(t.now)))
		}
		s = up
	}
}

// Flush closes every connection.
func (t *Table) Flush() {
	for t.oldest != nil {
		t.drop(t.oldest, t.Unix(uint64(t.now)))
	}
}

// name interns process names: there are few.
func (t *Table) name(comm *[16]byte) string {
	if n, ok := t.names[*comm]; ok {
		return n
	}
	b := comm[:]
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	n := string(b)
	if len(t.names) < maxNames {
		t.names[*comm] = n
	}
	return n
}

func family(f event.Family) Family {
	switch f {
	case event.IPv4:
		return IPv4
	case event.IPv6:
		return IPv6
	}
	return Unix
}

// addrPort is an end; IPv4 in IPv6 is told as what is on the wire, IPv4.
func addrPort(f event.Family, a *[16]byte, port uint16) netip.AddrPort {
	switch f {
	case event.IPv4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[:4])), port)
	case event.IPv6:
		return netip.AddrPortFrom(netip.AddrFrom16(*a).Unmap(), port)
	}
	return netip.AddrPort{}
}
