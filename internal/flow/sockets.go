package flow

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/stream"
)

// Counters is what the kernel has counted of a socket since it was made.
type Counters struct {
	Sent, Received uint64 // bytes of the streams; sent: as far as acknowledged
	SegsOut, SegsIn,
	Retransmits uint32
	// RTT is the smoothed round trip, MinRTT the shortest of late; nanoseconds,
	// 0: not measured.
	RTT, MinRTT int64
	Error       uint16 // errno that ended the connection
	Gone        bool   // the socket is no more
}

// Of errno, what ends connections; the numbers of Linux.
const (
	errPipe     = 32 // a reset, after the peer's end
	errReset    = 104
	errTimedOut = 110
)

// DefaultMaxSockets bounds the sockets that are remembered; at 200 bytes each,
// 13 MB.
const DefaultMaxSockets = 65536

// Sockets makes records of what the kernel counts of the sockets of processes.
// One goroutine owns it.
type Sockets struct {
	max   int
	next  func(*Record)
	byID  map[uint64]*socket
	out   Record
	swept int64
	// Over counts sockets that were not remembered, or not to their end.
	Over atomic.Uint64
}

// socket is what is remembered of one.
type socket struct {
	local, remote netip.AddrPort
	role          stream.Role
	sure          uint8
	v6            bool
	pid           uint32
	comm          string
	id            uint64
	start, since  int64
	heard         int64
	told          bool
	facts         *stream.Facts
	last          Counters
}

// NewSockets remembers at most max sockets (0: DefaultMaxSockets) and gives
// records to next.
func NewSockets(max int, next func(*Record)) *Sockets {
	if max <= 0 {
		max = DefaultMaxSockets
	}
	return &Sockets{max: max, next: next, byID: map[uint64]*socket{}}
}

// Opened remembers c, and names its flow, which spans then name too. It may be
// called again when c is better known.
func (s *Sockets) Opened(c *stream.Conn, now int64) {
	if c.Transport != l7.TCP || c.Family == stream.Unix {
		return
	}
	k := s.byID[c.ID]
	if k == nil {
		if len(s.byID) >= s.max && !s.room(now) {
			s.Over.Add(1)
			return
		}
		k = &socket{start: now, heard: now}
		if c.Opened != 0 {
			k.start = c.Opened
		}
		k.since = k.start
		k.id = socketFlow(c.ID, k.start)
		s.byID[c.ID] = k
	}
	c.FlowID = k.id
	k.local, k.remote, k.role, k.sure = c.A, c.B, c.Role, c.RoleConfidence
	k.v6, k.pid, k.comm = c.Family == stream.IPv6, c.Pid, c.Comm
}

// Learned takes what became known of c.
func (s *Sockets) Learned(c *stream.Conn) {
	if k := s.byID[c.ID]; k != nil {
		k.facts = c.Facts
	}
}

// socketFlow names the flow of a socket: cookies are used once while a kernel
// runs.
func socketFlow(sock uint64, start int64) uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], sock)
	binary.LittleEndian.PutUint64(b[8:], uint64(start))
	return max(xxhash.Sum64(b[:]), 1)
}

// Put makes the record of a socket at now: of what was counted since the one
// before.
func (s *Sockets) Put(id uint64, c *Counters, now int64) {
	k := s.byID[id]
	if k == nil {
		return
	}
	if k.heard = now; c.Gone {
		delete(s.byID, id)
	} else if c.SegsIn == k.last.SegsIn && c.SegsOut == k.last.SegsOut {
		return // silence is no news
	}
	r := &s.out
	*r = Record{ID: k.id, Client: k.local, Server: k.remote, Sure: k.sure, Proto: packet.ProtoTCP, V6: k.v6, Point: hop.ClientProcess,
		Process: true, PID: k.pid, Comm: k.comm, Start: k.start, Since: k.since, End: now, New: !k.told, Last: c.Gone, Close: CloseForced,
		RTT: c.RTT, MinRTT: c.MinRTT, Facts: k.facts}
	local := 0
	if k.role == stream.RoleServer {
		local, r.Client, r.Server, r.Point = 1, k.remote, k.local, hop.ServerProcess
	}
	me, peer := &r.Side[local], &r.Side[1-local]
	me.Payload, peer.Payload = c.Sent-k.last.Sent, c.Received-k.last.Received
	me.Packets, peer.Packets = uint64(c.SegsOut-k.last.SegsOut), uint64(c.SegsIn-k.last.SegsIn)
	me.Retransmits = c.Retransmits - k.last.Retransmits
	if c.Gone {
		r.Close = c.close(local == 1)
	}
	k.last, k.since, k.told = *c, now, true
	s.next(r)
}

// close is how the connection ended, as the kernel tells its process.
func (c *Counters) close(server bool) CloseType {
	switch c.Error {
	case 0:
		return CloseNormal
	case errTimedOut:
		return CloseTimeout
	case errReset, errPipe: // by the peer
		if server {
			return CloseClientReset
		}
		return CloseServerReset
	}
	return CloseOther
}

// lostAfter is when a socket that nothing was heard of is given up for room: its
// end was lost.
const lostAfter = 10 * 60e9

// room makes some, if it can.
func (s *Sockets) room(now int64) bool {
	if now-s.swept < 1e9 { // it takes a look at all of them
		return false
	}
	s.swept = now
	for id, k := range s.byID {
		if now-k.heard > lostAfter {
			s.Over.Add(1)
			delete(s.byID, id)
		}
	}
	return len(s.byID) < s.max
}
