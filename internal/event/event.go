// Package event is what the kernel side tells: Go twins of bpf/include/event.h,
// their decoding, and the format of recordings.
package event

import "structs"

// Kind tells what an event is about, and which part of Event holds.
type Kind uint8

// Kinds. Loss and Clock are made by the reader of the ring, so that recordings
// hold them too; they are about no socket, and every shard wants them.
const (
	KindOpen     Kind = 1  // a socket seen for the first time, or better known
	KindData     Kind = 2  // a call moved bytes on a stream
	KindDatagram Kind = 3  // a call moved one datagram
	KindClose    Kind = 4  // a direction or the connection ended
	KindExec     Kind = 5  // a process runs a new executable
	KindExit     Kind = 6  // a process is gone
	KindFork     Kind = 7  // a process began
	KindLoss     Kind = 8  // what did not fit the ring so far
	KindClock    Kind = 9  // how to turn event times into unix times
	KindConnect  Kind = 10 // a thread begins to connect the socket; the head is all
	KindHandover Kind = 11 // a goroutine and those of a connection hand a request over
	KindTCP      Kind = 12 // what the kernel has counted of a connection
	KindLost     Kind = 13 // what of a socket was not told so far
)

// Broadcast reports whether k is about no process: every shard wants it.
func (k Kind) Broadcast() bool { return k == KindLoss || k == KindClock }

func (k Kind) String() string {
	names := [...]string{"", "open", "data", "datagram", "close", "exec", "exit", "fork", "loss", "clock", "connect", "handover", "tcp", "lost"}
	if int(k) < len(names) && k != 0 {
		return names[k]
	}
	return "unknown"
}

// Dir is which way a call moved bytes.
type Dir uint8

// Directions.
const (
	Send Dir = 0
	Recv Dir = 1
)

// Role is which part the socket's process plays.
type Role uint8

// Roles.
const (
	RoleUnknown Role = 0
	RoleClient  Role = 1
	RoleServer  Role = 2
	roles            = 3
)

// Family is the address family.
type Family uint8

// Families.
const (
	Unix Family = 1
	IPv4 Family = 4
	IPv6 Family = 6
)

// Transport of a socket.
type Transport uint8

// Transports.
const (
	Stream Transport = 1 // TCP, unix stream
	UDP    Transport = 2
)

// OpenFlags say more about an opened socket.
type OpenFlags uint8

// Flags of Open.
const (
	Midstream OpenFlags = 1 // bytes went by before the first that capture saw
	Keyed     OpenFlags = 2 // FirstSend and FirstRecv hold
	Connected OpenFlags = 4 // Remote holds; else every datagram has its own peer
)

// DataFlags say more about moved bytes.
type DataFlags uint16

// Flags of Data.
const (
	NoBuffer DataFlags = 1  // sendfile, splice: no user buffer holds the bytes
	URing    DataFlags = 2  // moved by io_uring
	Fault    DataFlags = 4  // the buffer could not be read
	HasPeer  DataFlags = 8  // Peer holds
	Merged   DataFlags = 16 // several bulk calls told as one
)

// What ended.
type What uint8

// Ends.
const (
	Gone        What = 1 // the connection is gone
	SendEnded   What = 2 // this end sends no more
	RecvEnded   What = 3 // the peer sends no more, and all of it was read
	ResetByPeer What = 4 // a reset: nothing more moves
)

// Head begins every record. Twin of struct hs_head.
type Head struct {
	_    structs.HostLayout
	Time uint64 // CLOCK_MONOTONIC, ns
	Sock uint64 // socket cookie; 0 for processes
	Pid  uint32
	Tid  uint32
	Size uint32 // of the record
	Cpu  uint16 //nolint:revive // twin of cpu
	Kind Kind
	Pad  uint8
}

// Open is what a socket is. Twin of struct hs_open.
type Open struct {
	_          structs.HostLayout
	Opened     uint64 // CLOCK_MONOTONIC, ns; 0: before capture began
	PeerSock   uint64 // unix: the cookie of the other end, if it has one yet
	Cgroup     uint64
	Local      [16]byte // IPv4 as its first four bytes
	Remote     [16]byte
	Comm       [16]byte
	Netns      uint32
	FirstSend  uint32 // sequence number of the first byte of each direction
	FirstRecv  uint32
	PeerPid    uint32 // unix
	LocalPort  uint16
	RemotePort uint16
	Family     Family
	Transport  Transport
	Role       Role
	Flags      OpenFlags
}

// Data is one call that moved bytes. Twin of struct hs_data.
type Data struct {
	_        structs.HostLayout
	Pos      uint64 // offset of the first byte in its direction's stream
	Other    uint64 // offset that the other direction was at
	Goid     uint64 // goroutine; 0: not Go
	Parent   uint64 // the goroutine that started it; 0: not known
	Seq      uint32 // TCP sequence number of the first byte
	Wire     uint32 // bytes moved
	Captured uint32 // len(Event.Payload)
	CapSeq   uint32 // numbers the calls on the socket
	LostSend uint16 // calls on this socket not told before this one
	LostRecv uint16
	Dir      Dir
	Role     Role // as far as known by now
	Flags    DataFlags
}

// Peer is the other end of a datagram. Twin of struct hs_peer.
type Peer struct {
	_      structs.HostLayout
	Addr   [16]byte
	Port   uint16
	Family Family
	Pad    [5]uint8
}

// Close is an end. Twin of struct hs_close.
type Close struct {
	_        structs.HostLayout
	Sent     uint64 // stream bytes of each direction in the socket's life
	Received uint64
	LostSend uint16
	LostRecv uint16
	What     What
	Role     Role
	Pad      [2]uint8
}

// Proc is a process event. Twin of struct hs_proc.
type Proc struct {
	_      structs.HostLayout
	Cgroup uint64
	Parent uint32
	Netns  uint32
	Comm   [16]byte
}

// Lost is what of a socket was not told, since it was met. Twin of struct
// hs_lost. It comes before what is told next, and before the end.
type Lost struct {
	_     structs.HostLayout
	At    [2]uint64 // where both streams are, by direction: bytes before were told, or lost
	Calls [2]uint32
	Turns [2]uint32 // of these, calls that began to speak; each datagram does
	Role  Role      // which of Loss's they are in
	Pad   [7]uint8
}

// Loss counts calls that did not fit the ring since capture began, over all
// CPUs. Twin of struct hs_loss.
type Loss struct {
	_     structs.HostLayout
	Calls [2 * roles]uint64 // see At
	Turns [2 * roles]uint64 // of these, calls that began to speak
	Other uint64            // records that were not data
}

// At is the index of a direction and role in Calls and Turns.
func At(d Dir, r Role) int { return int(d)*roles + int(r) }

// Requests is how many lost calls began a client's message: where the ends take
// turns, so many exchanges were not seen there.
func (l *Loss) Requests() uint64 {
	return l.Turns[At(Send, RoleClient)] + l.Turns[At(Recv, RoleServer)]
}

// Total is all lost calls.
func (l *Loss) Total() (n uint64) {
	for _, c := range l.Calls {
		n += c
	}
	return n
}

// Clock turns event times into unix times. Twin of struct hs_clock.
type Clock struct {
	_      structs.HostLayout
	Offset int64 // unix time minus CLOCK_MONOTONIC, ns
}

// HandoverWhat is what a goroutine has to do with a request.
type HandoverWhat uint8

// Whats.
const (
	Asks   HandoverWhat = 1 // what is sent next on the socket is for it
	Serves HandoverWhat = 2 // it serves what was received
)

// Handover tells that a goroutine hands a request to the goroutines of a
// connection, or takes one over from them. Twin of struct hs_handover.
type Handover struct {
	_      structs.HostLayout
	Goid   uint64
	Parent uint64 // the goroutine that started it; 0: not known
	Stream uint32 // which request of the connection, where they have numbers
	What   HandoverWhat
	Pad    [3]uint8
}

// TCP is what the kernel has counted of a TCP socket since it was made. Twin of
// struct hs_tcp.
type TCP struct {
	_           structs.HostLayout
	Sent        uint64 // bytes that the peer has acknowledged
	Received    uint64
	Resent      uint64 // bytes sent again
	Srtt        uint32 // smoothed round trip, us; 0: none was measured
	RttMin      uint32 // us
	Retransmits uint32 // segments sent again
	SegsOut     uint32
	SegsIn      uint32
	Error       uint16 // errno that ended the connection
	Gone        uint8  // 1: the socket is gone
	Role        Role
}

// Event is one decoded record. Of the bodies the one that Kind names holds; the
// others are what earlier events left. Payload is borrowed from the bytes
// given to Decode.
type Event struct {
	Head
	Open  Open
	Data  Data
	Peer  Peer // KindDatagram, if Data.Flags has HasPeer
	Close Close
	Proc  Proc
	Loss  Loss
	Clock Clock
	// Handover holds with KindHandover.
	Handover Handover
	TCP      TCP    // KindTCP
	Lost     Lost   // KindLost
	Payload  []byte // Data: captured bytes; Open: path of a unix socket
}
