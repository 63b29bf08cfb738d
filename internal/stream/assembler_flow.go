package stream

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/packet"
)

// flow is one connection as the assembler keeps it.
type flow struct {
	conn    Conn
	key     packet.Key
	swapped bool // A is the key's B
	closed  bool // it is over for those who read it
	syn     bool // a SYN or its answer was seen
	list    uint8
	touched int64
	older   *flow
	newer   *flow
	half    [2]half
	held    int // bytes in both queues
	seen    int // segments, of either direction
}

// Lists of flows by how long they may be silent, each in order of last use.
const (
	listTCP = iota
	listUDP
	listOpening
	listReset
	listClosed
	lists
)

type flowList struct {
	oldest, newest *flow
	limit          int64
}

func (l *flowList) push(f *flow) {
	f.older, f.newer = l.newest, nil
	if l.newest != nil {
		l.newest.newer = f
	} else {
		l.oldest = f
	}
	l.newest = f
}

func (l *flowList) remove(f *flow) {
	if f.older != nil {
		f.older.newer = f.newer
	} else {
		l.oldest = f.newer
	}
	if f.newer != nil {
		f.newer.older = f.older
	} else {
		l.newest = f.older
	}
	f.older, f.newer = nil, nil
}

// touchEvery is how exact the order of use is kept: moving a flow in its list
// costs more than all else that a segment in order needs.
const touchEvery = 1e9

func (a *Assembler) touch(f *flow, now int64) {
	if now-f.touched < touchEvery {
		return
	}
	f.touched = now
	l := &a.lists[f.list]
	if l.newest != f {
		l.remove(f)
		l.push(f)
	}
}

// move puts f in another list, as its newest.
func (a *Assembler) move(f *flow, list uint8) {
	if f.list == list {
		return
	}
	a.lists[f.list].remove(f)
	f.list, f.touched = list, a.now
	a.lists[list].push(f)
}

// open makes the flow of s.
func (a *Assembler) open(key packet.Key, swapped bool, s *packet.Segment) *flow {
	if len(a.flows) >= a.cfg.MaxConns {
		a.evict()
	}
	a.serial++
	f := &flow{key: key, swapped: swapped, touched: a.now}
	c := &f.conn
	c.ID, c.Source = a.serial, Packets
	c.Family = IPv6
	if s.Src.Is4() {
		c.Family = IPv4
	}
	role, sure := a.direct(s)
	a0, b0, way := s.SrcAddrPort(), s.DstAddrPort(), s.Way
	if role == RoleServer { // A is the client wherever that is known
		a0, b0, way = b0, a0, opposite(way)
		f.swapped = !swapped
		role = RoleClient
	}
	c.A, c.B, c.Role, c.RoleConfidence = a0, b0, role, sure
	c.way, c.iface, c.sub = way, s.Iface, s.SubIface
	c.VLAN = s.VLAN
	if s.Tunnel.Type != packet.NoTunnel {
		c.TunnelType, c.TunnelID = s.Tunnel.Type.String(), s.Tunnel.ID
	}
	c.FlowID = flowID(&key, s.Time)
	switch s.Proto {
	case packet.ProtoTCP:
		c.Transport = l7.TCP
		f.list = listTCP
		f.syn = s.Flags&packet.SYN != 0
		if f.syn {
			f.list = listOpening
			if s.Flags&packet.ACK == 0 {
				c.Began = s.Time
			}
		} else {
			c.Midstream = true
			a.stats.Midstream.Add(1)
		}
	case packet.ProtoUDP:
		c.Transport = l7.UDP
		c.Opened = s.Time
		f.list = listUDP
	default:
		f.list = listUDP
	}
	a.Settle(c)
	a.lists[f.list].push(f)
	a.flows[key] = f
	a.stats.Conns.Add(1)
	a.stats.Live.Add(1)
	return f
}

// flowID names a flow for ever: the same capture gives the same ids.
func flowID(k *packet.Key, t int64) uint64 {
	var b [64]byte
	for i, v := range [...]uint64{k.A.Hi, k.A.Lo, k.B.Hi, k.B.Lo, uint64(k.Ports)<<32 | uint64(k.Tunnel), k.Proto, uint64(k.Iface)<<32 | uint64(k.Sub), uint64(t)} {
		binary.LittleEndian.PutUint64(b[i*8:], v)
	}
	return max(xxhash.Sum64(b[:]), 1)
}

// Role confidence by evidence. From 128 on content may not overrule it.
const (
	sureSYN   = 255
	surePort  = 90 // a well-known port against one that is not
	sureRange = 60 // a port that Linux gives to clients against one that it does not
	sureFirst = 30 // who spoke first, over UDP
)

// echoReply: of ICMP and ICMPv6 no other messages than echoes make flows.
func echoReply(s *packet.Segment) bool { return s.ICMPType == 0 || s.ICMPType == 129 }

// ephemeral is the first port that Linux gives to clients.
const ephemeral = 32768

// direct says which part the sender of s plays.
func (a *Assembler) direct(s *packet.Segment) (Role, uint8) {
	if s.Proto == packet.ProtoTCP && s.Flags&packet.SYN != 0 {
		if s.Flags&packet.ACK != 0 {
			return RoleServer, sureSYN
		}
		return RoleClient, sureSYN
	}
	if s.Proto != packet.ProtoTCP && s.Proto != packet.ProtoUDP {
		if echoReply(s) {
			return RoleServer, sureSYN
		}
		return RoleClient, sureSYN
	}
	switch src, dst := s.SrcPort, s.DstPort; {
	case dst < 1024 && src >= 1024:
		return RoleClient, surePort
	case src < 1024 && dst >= 1024:
		return RoleServer, surePort
	case dst < ephemeral && src >= ephemeral:
		return RoleClient, sureRange
	case src < ephemeral && dst >= ephemeral:
		return RoleServer, sureRange
	}
	if s.Proto == packet.ProtoUDP {
		return RoleClient, sureFirst
	}
	return RoleUnknown, 0
}

// evict gives up the flow that matters least: over already, never open, silent
// longest.
func (a *Assembler) evict() {
	for _, l := range [...]int{listClosed, listReset, listOpening, listUDP, listTCP} {
		if f := a.lists[l].oldest; f != nil {
			a.stats.Evicted.Add(1)
			a.forget(f)
			return
		}
	}
}

// finish ends f for those who read it. It stays in the table for its last
// segments.
func (a *Assembler) finish(f *flow) {
	if f.closed {
		return
	}
	for f.held > 0 {
		a.giveUp(f)
	}
	f.closed = true
	delete(a.waiting, f)
	if f.conn.Transport != 0 {
		c := &a.chunk
		*c = Chunk{Conn: &f.conn, Close: true, Time: max(f.half[0].time, f.half[1].time)}
		a.next(c)
	}
	a.move(f, listClosed)
}

// forget drops f.
func (a *Assembler) forget(f *flow) {
	a.finish(f)
	if a.cfg.Closed != nil {
		a.cfg.Closed(&f.conn, a.now)
	}
	a.lists[f.list].remove(f)
	delete(a.flows, f.key)
	if r := &a.recent[slot(&f.key)]; *r == f {
		*r = nil
	}
	a.stats.Live.Add(-1)
}

// Tick does what is due at now (unix nanoseconds, of the packets' clock).
func (a *Assembler) Tick(now int64) {
	a.now = max(a.now, now)
	for f := range a.waiting {
		a.overdue(f, a.now)
	}
	for i := range a.lists {
		l := &a.lists[i]
		for f := l.oldest; f != nil && a.now-f.touched > l.limit; f = l.oldest {
			if i == listReset {
				a.finish(f)
				continue
			}
			a.forget(f)
		}
	}
}

// Flush ends and forgets all connections, those first that were silent longest.
func (a *Assembler) Flush() {
	for i := range a.lists {
		for f := a.lists[i].oldest; f != nil; f = a.lists[i].oldest {
			a.forget(f)
		}
	}
}
