package event

import (
	"encoding/binary"
	"errors"
	"unsafe"
)

// What Decode refuses.
var (
	ErrShort   = errors.New("event: record too short for its kind")
	ErrUnknown = errors.New("event: unknown kind")
)

// HeadSize is how many bytes a record has at least.
const HeadSize = int(unsafe.Sizeof(Head{}))

// MaxRecord bounds a record: the largest capture and every header in front.
const MaxRecord = 1 << 20

// sizes of the bodies, behind the head.
const (
	openSize  = int(unsafe.Sizeof(Open{}))
	dataSize  = int(unsafe.Sizeof(Data{}))
	peerSize  = int(unsafe.Sizeof(Peer{}))
	closeSize = int(unsafe.Sizeof(Close{}))
	procSize  = int(unsafe.Sizeof(Proc{}))
	lossSize  = int(unsafe.Sizeof(Loss{}))
	clockSize = int(unsafe.Sizeof(Clock{}))
	handSize  = int(unsafe.Sizeof(Handover{}))
	tcpSize   = int(unsafe.Sizeof(TCP{}))
	lostSize  = int(unsafe.Sizeof(Lost{}))
)

// PeekKind is the kind of a raw record, 0 if it has none.
func PeekKind(b []byte) Kind {
	if len(b) < HeadSize {
		return 0
	}
	return Kind(b[30])
}

// PeekSock is the socket cookie of a raw record.
func PeekSock(b []byte) uint64 {
	if len(b) < HeadSize {
		return 0
	}
	return binary.LittleEndian.Uint64(b[8:])
}

// PeekPid is the pid of a raw record: what a pipeline shards by.
func PeekPid(b []byte) uint32 {
	if len(b) < HeadSize {
		return 0
	}
	return binary.LittleEndian.Uint32(b[16:])
}

// Decode reads one record. e.Payload points into b.
func Decode(b []byte, e *Event) error {
	if len(b) < HeadSize {
		return ErrShort
	}
	le := binary.LittleEndian
	h := &e.Head
	h.Time, h.Sock = le.Uint64(b), le.Uint64(b[8:])
	h.Pid, h.Tid, h.Size = le.Uint32(b[16:]), le.Uint32(b[20:]), le.Uint32(b[24:])
	h.Cpu, h.Kind, h.Pad = le.Uint16(b[28:]), Kind(b[30]), b[31]
	e.Payload = nil
	if uint64(h.Size) > uint64(len(b)) || int(h.Size) < HeadSize {
		return ErrShort
	}
	b = b[HeadSize:h.Size]
	switch h.Kind {
	case KindData:
		if len(b) < dataSize {
			return ErrShort
		}
		return e.data(b, b[dataSize:])
	case KindDatagram:
		if len(b) < dataSize+peerSize {
			return ErrShort
		}
		p := b[dataSize:]
		copy(e.Peer.Addr[:], p)
		e.Peer.Port, e.Peer.Family = le.Uint16(p[16:]), Family(p[18])
		return e.data(b, p[peerSize:])
	case KindOpen:
		return e.open(b)
	case KindClose:
		if len(b) < closeSize {
			return ErrShort
		}
		e.Close = Close{Sent: le.Uint64(b), Received: le.Uint64(b[8:]), LostSend: le.Uint16(b[16:]),
			LostRecv: le.Uint16(b[18:]), What: What(b[20]), Role: Role(b[21])}
	case KindExec, KindExit, KindFork:
		if len(b) < procSize {
			return ErrShort
		}
		e.Proc = Proc{Cgroup: le.Uint64(b), Parent: le.Uint32(b[8:]), Netns: le.Uint32(b[12:])}
		copy(e.Proc.Comm[:], b[16:])
	case KindConnect:
	case KindHandover:
		if len(b) < handSize {
			return ErrShort
		}
		e.Handover = Handover{Goid: le.Uint64(b), Parent: le.Uint64(b[8:]), Stream: le.Uint32(b[16:]), What: HandoverWhat(b[20])}
	case KindTCP:
		if len(b) < tcpSize {
			return ErrShort
		}
		e.TCP = TCP{Sent: le.Uint64(b), Received: le.Uint64(b[8:]), Resent: le.Uint64(b[16:]), Srtt: le.Uint32(b[24:]), RttMin: le.Uint32(b[28:]),
			Retransmits: le.Uint32(b[32:]), SegsOut: le.Uint32(b[36:]), SegsIn: le.Uint32(b[40:]), Error: le.Uint16(b[44:]), Gone: b[46], Role: Role(b[47])}
		if e.TCP.Role >= roles {
			e.TCP.Role = RoleUnknown
		}
	case KindLost:
		if len(b) < lostSize {
			return ErrShort
		}
		e.Lost = Lost{At: [2]uint64{le.Uint64(b), le.Uint64(b[8:])}, Calls: [2]uint32{le.Uint32(b[16:]), le.Uint32(b[20:])},
			Turns: [2]uint32{le.Uint32(b[24:]), le.Uint32(b[28:])}, Role: Role(b[32])}
		if e.Lost.Role >= roles {
			e.Lost.Role = RoleUnknown
		}
	case KindLoss:
		if len(b) < lossSize {
			return ErrShort
		}
		for i := range e.Loss.Calls {
			e.Loss.Calls[i] = le.Uint64(b[8*i:])
			e.Loss.Turns[i] = le.Uint64(b[8*(i+len(e.Loss.Calls)):])
		}
		e.Loss.Other = le.Uint64(b[lossSize-8:])
	case KindClock:
		if len(b) < clockSize {
			return ErrShort
		}
		e.Clock.Offset = int64(le.Uint64(b))
	default:
		return ErrUnknown
	}
	return nil
}

func (e *Event) data(b, payload []byte) error {
	le := binary.LittleEndian
	d := &e.Data
	d.Pos, d.Other, d.Goid = le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:])
	d.Parent = le.Uint64(b[24:])
	d.Seq, d.Wire, d.Captured, d.CapSeq = le.Uint32(b[32:]), le.Uint32(b[36:]), le.Uint32(b[40:]), le.Uint32(b[44:])
	d.LostSend, d.LostRecv = le.Uint16(b[48:]), le.Uint16(b[50:])
	d.Dir, d.Role, d.Flags = Dir(b[52]&1), Role(b[53]), DataFlags(le.Uint16(b[54:]))
	if d.Role >= roles {
		d.Role = RoleUnknown
	}
	if uint64(d.Captured) > uint64(len(payload)) {
		return ErrShort
	}
	e.Payload = payload[:d.Captured]
	return nil
}

func (e *Event) open(b []byte) error {
	if len(b) < openSize {
		return ErrShort
	}
	le := binary.LittleEndian
	o := &e.Open
	o.Opened, o.PeerSock, o.Cgroup = le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:])
	copy(o.Local[:], b[24:])
	copy(o.Remote[:], b[40:])
	copy(o.Comm[:], b[56:])
	o.Netns, o.FirstSend, o.FirstRecv, o.PeerPid = le.Uint32(b[72:]), le.Uint32(b[76:]), le.Uint32(b[80:]), le.Uint32(b[84:])
	o.LocalPort, o.RemotePort = le.Uint16(b[88:]), le.Uint16(b[90:])
	o.Family, o.Transport, o.Role, o.Flags = Family(b[92]), Transport(b[93]), Role(b[94]), OpenFlags(b[95])
	if o.Role >= roles {
		o.Role = RoleUnknown
	}
	e.Payload = b[openSize:]
	return nil
}

// PeekGone reports whether a raw record tells that a connection is gone.
func PeekGone(b []byte) bool {
	return PeekKind(b) == KindClose && len(b) > HeadSize+20 && What(b[HeadSize+20]) == Gone
}
