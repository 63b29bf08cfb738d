// Package stream turns what capture sees of one connection, system calls or
// segments, into the bytes that each end sent, in order.
//
// A hole is never hidden: it is a jump of Chunk.Pos.
package stream

import (
	"net/netip"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/packet"
)

// Source is what saw a connection.
type Source uint8

// Sources.
const (
	Sockets Source = iota // socket hooks, in the process
	Packets               // packets on an interface
)

// Role is which part an end plays.
type Role uint8

// Roles. Unknown until somebody has evidence.
const (
	RoleUnknown Role = iota
	RoleClient
	RoleServer
)

// Dir is the direction of bytes, as seen from Conn.A.
type Dir uint8

// Directions.
const (
	FromA Dir = 0 // sent by Conn.A: the local end for sockets
	FromB Dir = 1 // sent by Conn.B: the peer
)

// Family is the address family; Unix sockets have no addresses.
type Family uint8

// Families.
const (
	IPv4 Family = iota
	IPv6
	Unix
)

// Conn is one connection at one capture point: a socket of a process, or a
// flow on an interface. For UDP it is a pair of ends.
//
// The stage that made it owns it; later stages keep their state in Session.
type Conn struct {
	// ID is unique in this run of the collector. For sockets it is the
	// kernel's socket cookie (with the peer mixed in for UDP).
	ID        uint64
	Source    Source
	Transport l7.Transport
	Family    Family
	// A and B are the ends. For sockets A is the process's own, B its peer.
	// For packets A is the client if Role says so, else the first speaker.
	A, B netip.AddrPort
	// Role is the part that A plays, with the confidence of the evidence from 0
	// (a guess by port) to 255 (a SYN, a connect, an accept).
	Role           Role
	RoleConfidence uint8
	// Key is known when both first sequence numbers are.
	Key hop.ConnKey
	// Midstream: the connection is older than the capture.
	Midstream bool
	// Opened is when it was established, Began when the client first asked for
	// it (packets), unix nanoseconds; 0 if not seen.
	Opened, Began int64

	// Pid is the process that last used the socket. 0 for packets.
	Pid  uint32
	Comm string // its kernel name, when first seen
	// NetNS is the inode of the network namespace.
	NetNS uint32

	// Point and Interface say where packets were seen; sockets get their point
	// from Role.
	Point     hop.Point
	Interface string
	// Tunnel is the outer encapsulation, if any: its type and id.
	TunnelType string
	TunnelID   uint32
	VLAN       uint16
	// FlowID joins the spans of a connection with its flow record.
	FlowID uint64
	// Packets: the interface, and which way A's segments go over it.
	iface, sub uint32
	way        packet.Way

	// Facts are what a protocol has found out about the connection itself
	// (l7.Protocol.OfConn), nil until then. Shared, and never changed.
	Facts *Facts

	// Session is the state of the stage that parses. Nobody else touches it.
	Session any
	// Flow is the state of the stage that keeps flow records.
	Flow any
	// Track is the state of the stage that links exchanges.
	Track any
	// Spans is the state of the stage that makes spans.
	Spans any
}

// Facts are attributes of a connection, of the semantic conventions, each at most
// once.
type Facts struct{ Attrs []l7.Attr }

// ClientDir is the direction of the client's bytes; ok is false while the role
// is unknown.
func (c *Conn) ClientDir() (d Dir, ok bool) {
	switch c.Role {
	case RoleClient:
		return FromA, true
	case RoleServer:
		return FromB, true
	}
	return FromA, false
}

// Ctx is who moved bytes, and when in kernel order. Zero for packets but for
// Stamp.
type Ctx struct {
	Pid, Tid uint32
	Goid     uint64 // goroutine, 0 = not Go
	// ParentGoid is the goroutine that started it, 0 = unknown.
	ParentGoid uint64
	// Stamp numbers the calls of one process shard in kernel order.
	Stamp uint64
	// SyscallTraceID links adjacent calls of one thread; 0 = none.
	SyscallTraceID uint64
	// CapSeq numbers the calls on one socket.
	CapSeq uint32
}

// Lost is what the kernel did not tell of a connection, since it said so last.
type Lost struct {
	Turns   [2]uint32 // calls that began to speak, by Dir
	At      [2]uint64 // where the streams were, by Dir: what lies before was told, or lost
	Counted bool      // Turns are in event.Loss by role
}

// Chunk is bytes that one end sent, at one point of its stream. B is borrowed:
// it is valid until the call that it was passed to returns.
type Chunk struct {
	Conn *Conn
	Dir  Dir
	// Pos is the offset of the first byte in its direction's stream, where the
	// parser reads (plaintext for TLS hooks).
	Pos uint64
	// Seq is the TCP sequence number of that place; of it the exchange key is
	// made.
	Seq uint32
	// Wire is how many bytes were moved; B holds the first len(B) of them, the
	// rest was not captured.
	Wire uint32
	// Other, if HasOther: every byte of the other direction before it had been
	// consumed by the end that the chunk was seen at (TCP's ack number).
	Other    uint64
	HasOther bool
	// Lost: capture lost bytes or calls of this connection before this chunk.
	Lost bool
	// End: the direction ends after B.
	End bool
	// Close: the connection is gone; B is empty. Dir means nothing.
	Close bool
	Time  int64 // unix nanoseconds
	Ctx   Ctx
	B     []byte
}
