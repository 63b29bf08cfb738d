package event

import "encoding/binary"

// Append writes e as the kernel would, behind b: for what the reader of the
// ring makes itself, for recordings, and for tests.
func (e *Event) Append(b []byte) []byte {
	le := binary.LittleEndian
	start := len(b)
	b = le.AppendUint64(b, e.Time)
	b = le.AppendUint64(b, e.Sock)
	b = le.AppendUint32(b, e.Pid)
	b = le.AppendUint32(b, e.Tid)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint16(b, e.Cpu)
	b = append(b, byte(e.Kind), 0)
	switch e.Kind {
	case KindData:
		b = e.appendData(b)
		b = append(b, e.Payload...)
	case KindDatagram:
		b = e.appendData(b)
		b = append(b, e.Peer.Addr[:]...)
		b = le.AppendUint16(b, e.Peer.Port)
		b = append(b, byte(e.Peer.Family), 0, 0, 0, 0, 0)
		b = append(b, e.Payload...)
	case KindOpen:
		b = e.appendOpen(b)
		b = append(b, e.Payload...)
	case KindClose:
		c := &e.Close
		b = le.AppendUint64(b, c.Sent)
		b = le.AppendUint64(b, c.Received)
		b = le.AppendUint16(b, c.LostSend)
		b = le.AppendUint16(b, c.LostRecv)
		b = append(b, byte(c.What), byte(c.Role), 0, 0)
	case KindExec, KindExit, KindFork:
		b = le.AppendUint64(b, e.Proc.Cgroup)
		b = le.AppendUint32(b, e.Proc.Parent)
		b = le.AppendUint32(b, e.Proc.Netns)
		b = append(b, e.Proc.Comm[:]...)
	case KindHandover:
		h := &e.Handover
		b = le.AppendUint64(b, h.Goid)
		b = le.AppendUint64(b, h.Parent)
		b = le.AppendUint32(b, h.Stream)
		b = append(b, byte(h.What), 0, 0, 0)
	case KindTCP:
		c := &e.TCP
		b = le.AppendUint64(b, c.Sent)
		b = le.AppendUint64(b, c.Received)
		b = le.AppendUint64(b, c.Resent)
		for _, n := range [...]uint32{c.Srtt, c.RttMin, c.Retransmits, c.SegsOut, c.SegsIn} {
			b = le.AppendUint32(b, n)
		}
		b = le.AppendUint16(b, c.Error)
		b = append(b, c.Gone, byte(c.Role))
	case KindLost:
		l := &e.Lost
		b = le.AppendUint64(le.AppendUint64(b, l.At[0]), l.At[1])
		for _, n := range [...]uint32{l.Calls[0], l.Calls[1], l.Turns[0], l.Turns[1]} {
			b = le.AppendUint32(b, n)
		}
		b = append(b, byte(l.Role), 0, 0, 0, 0, 0, 0, 0)
	case KindLoss:
		for _, n := range e.Loss.Calls {
			b = le.AppendUint64(b, n)
		}
		for _, n := range e.Loss.Turns {
			b = le.AppendUint64(b, n)
		}
		b = le.AppendUint64(b, e.Loss.Other)
	case KindClock:
		b = le.AppendUint64(b, uint64(e.Clock.Offset))
	}
	le.PutUint32(b[start+24:], uint32(len(b)-start))
	return b
}

func (e *Event) appendData(b []byte) []byte {
	le := binary.LittleEndian
	d := &e.Data
	b = le.AppendUint64(b, d.Pos)
	b = le.AppendUint64(b, d.Other)
	b = le.AppendUint64(b, d.Goid)
	b = le.AppendUint64(b, d.Parent)
	b = le.AppendUint32(b, d.Seq)
	b = le.AppendUint32(b, d.Wire)
	b = le.AppendUint32(b, uint32(len(e.Payload)))
	b = le.AppendUint32(b, d.CapSeq)
	b = le.AppendUint16(b, d.LostSend)
	b = le.AppendUint16(b, d.LostRecv)
	b = append(b, byte(d.Dir), byte(d.Role))
	return le.AppendUint16(b, uint16(d.Flags))
}

func (e *Event) appendOpen(b []byte) []byte {
	le := binary.LittleEndian
	o := &e.Open
	b = le.AppendUint64(b, o.Opened)
	b = le.AppendUint64(b, o.PeerSock)
	b = le.AppendUint64(b, o.Cgroup)
	b = append(b, o.Local[:]...)
	b = append(b, o.Remote[:]...)
	b = append(b, o.Comm[:]...)
	b = le.AppendUint32(b, o.Netns)
	b = le.AppendUint32(b, o.FirstSend)
	b = le.AppendUint32(b, o.FirstRecv)
	b = le.AppendUint32(b, o.PeerPid)
	b = le.AppendUint16(b, o.LocalPort)
	b = le.AppendUint16(b, o.RemotePort)
	return append(b, byte(o.Family), byte(o.Transport), byte(o.Role), byte(o.Flags))
}
