// Package flow keeps a record of every connection: how much, how fast, how it was
// made and how it ended. From packets it is worked out (Tracker), of sockets the
// kernel's own counters say it (Sockets).
package flow

import (
	"net/netip"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/stream"
)

// Timing is a series of durations, in nanoseconds.
type Timing struct {
	Count    uint32
	Sum, Max int64
}

func (t *Timing) add(ns int64) {
	t.Count++
	t.Sum += ns
	t.Max = max(t.Max, ns)
}

// Mean is the mean, 0 if there are none.
func (t *Timing) Mean() int64 {
	if t.Count == 0 {
		return 0
	}
	return t.Sum / int64(t.Count)
}

// Side is what one end sent.
type Side struct {
	Packets, Bytes, Payload uint64 // Bytes: whole frames
	Flags                   uint8  // TCP flags seen
	SYN, SYNACK, FIN        uint32
	Retransmits             uint32 // segments whose bytes were seen before, or much later than what follows them
	SYNRetransmits          uint32 // SYN, or SYN-ACK, seen again
	OutOfOrder              uint32
	ZeroWindows             uint32
	Resets                  uint32
	// SRT: the other end's data to this end's acknowledgement without data.
	SRT Timing
	// ART: the other end's data to this end's data.
	ART Timing
}

// Record is a flow, or a minute of it. It is borrowed: valid until the call it
// was passed to returns.
type Record struct {
	ID             uint64
	Client, Server netip.AddrPort
	Sure           uint8 // confidence of who is the client, 255: certain
	Proto          uint8
	V6             bool
	Point          hop.Point
	Interface      string
	VLAN           uint16
	TunnelType     string
	TunnelID       uint32
	// Start is of the flow, Since of what this record counts, End of the last
	// segment; unix nanoseconds.
	Start, Since, End int64
	New, Last         bool // the first record of the flow, the last one
	Close             CloseType
	State             State
	Side              [2]Side // the client's, the server's
	// Connect: SYN to SYN-ACK is the server's part, SYN-ACK to ACK the
	// client's. 0: not seen.
	Connect, ConnectClient, ConnectServer int64
	// CIT: the server's last data, or the connection's making, to the client's
	// next data.
	CIT Timing
	// Process: it is what the kernel of one end counted, not what an interface
	// saw. Then Bytes of both sides are not known, retransmits of the other end
	// neither, and PID and Comm are whose the socket was.
	Process bool
	PID     uint32
	Comm    string
	// RTT is the kernel's smoothed round trip, MinRTT the shortest; 0: not known.
	RTT, MinRTT int64
	// Facts are what is known of the connection besides; nil: nothing.
	Facts *stream.Facts
	// ICMPType and ICMPCode of the last error about this flow.
	ICMPType, ICMPCode uint8
	ICMPErrors         uint32
}

// Limits of the timings, above which a value says nothing about the network:
// those of the reference system.
const (
	maxConnect = 30e9
	maxSRT     = 10e9
	maxART     = 30e9
	maxCIT     = 1800e9
)

// state is a flow in the making.
type state struct {
	Record
	*tcpState
	tcp      bool
	started  bool
	side     *[2]Side // Record.Side
	state    State
	icmp     uint32
	answered bool
	flipped  bool // Conn.A is the server
	ever     [2]life
	// UDP: who spoke last, and when the client asked.
	lastFrom uint8
	asked    int64
}

// life is what of a side decides how the flow ends, over all its records.
type life struct {
	packets             uint64
	rst, push, syn, sak bool
}

// tcpState is what only TCP needs.
type tcpState struct {
	syn, firstSYNACK, lastSYNACK, made int64
	seq                                [2]seqState
	// lastData is when each end last sent data; waiting: nothing has answered it.
	lastData [2]int64
	lastEnd  [2]uint32 // the sequence number after it
	waitSRT  [2]bool   // data of that end not acknowledged yet
	waitART  [2]bool   // data of that end not answered yet
	idle     bool      // the client is to speak next
	idleFrom int64
	rtt      int64
}

// seqState follows what one end has sent, to tell what is sent again.
type seqState struct {
	known bool
	high  uint32
	gaps  [8]gap // what was skipped, oldest first
	n     int
}

type gap struct {
	from, to uint32
	since    int64
}

// reordered bounds how much later a segment may come that the network only
// delayed: Wireshark's 3 ms; more only if the round trip is longer.
const reordered = 3e6

// sent takes a segment with data and tells what it was.
func (q *seqState) sent(seq, n uint32, now, rtt int64) (again, late bool) {
	end := seq + n
	if !q.known {
		q.known, q.high = true, end
		return false, false
	}
	if d := int32(seq - q.high); d >= 0 {
		if d > 0 && d < 1<<30 {
			if q.n == len(q.gaps) {
				copy(q.gaps[:], q.gaps[1:])
				q.n--
			}
			q.gaps[q.n] = gap{q.high, seq, now}
			q.n++
		}
		q.high = end
		return false, false
	}
	for i := 0; i < q.n; i++ {
		g := &q.gaps[i]
		if int32(seq-g.from) < 0 || int32(end-g.to) > 0 {
			continue
		}
		late = now-g.since <= max(reordered, rtt/2)
		if q.fill(i, seq, end); int32(end-q.high) > 0 {
			q.high = end
		}
		return !late, late
	}
	if int32(end-q.high) > 0 {
		q.high = end
	}
	return true, false
}

// fill takes [from, to) out of gap i.
func (q *seqState) fill(i int, from, to uint32) {
	g := q.gaps[i]
	switch {
	case g.from == from && g.to == to:
		copy(q.gaps[i:], q.gaps[i+1:q.n])
		q.n--
	case g.from == from:
		q.gaps[i].from = to
	case g.to == to:
		q.gaps[i].to = from
	default:
		q.gaps[i].to = from
		if q.n < len(q.gaps) {
			q.gaps[q.n] = gap{to, g.to, g.since}
			q.n++
		}
	}
}

// tcpSegment updates what s, of side i, says.
func (f *state) tcpSegment(m *machine, i int, s *packet.Segment) {
	me := &f.side[i]
	t := f.tcpState
	now := s.Time
	me.Flags |= s.Flags
	e := &f.ever[i]
	e.packets++
	e.push = e.push || s.Flags&packet.PSH != 0
	f.state = m.step(f.state, i == 1, s.Flags)
	switch {
	case s.Flags&packet.RST != 0:
		me.Resets++
		e.rst = true
		return
	case s.Flags&(packet.SYN|packet.ACK) == packet.SYN:
		if me.SYN++; e.syn {
			me.SYNRetransmits++
		}
		e.syn = true
		if t.syn == 0 {
			t.syn = now
		}
		return
	case s.Flags&packet.SYN != 0:
		if me.SYNACK++; e.sak {
			me.SYNRetransmits++
		}
		e.sak = true
		if t.firstSYNACK == 0 {
			t.firstSYNACK = now
			if d := now - t.syn; t.syn != 0 && d >= 0 && d <= maxConnect {
				f.ConnectServer = d
			}
		}
		t.lastSYNACK = now
		return
	}
	if s.Win == 0 {
		me.ZeroWindows++
	}
	if s.Flags&packet.FIN != 0 {
		me.FIN++
	}
	if t.made == 0 && i == 0 && s.Flags&packet.ACK != 0 && t.lastSYNACK != 0 {
		t.made = now
		if d := now - t.lastSYNACK; d >= 0 && d <= maxConnect {
			f.ConnectClient = d
		}
		if d := now - t.syn; t.syn != 0 && d >= 0 && d <= maxConnect {
			f.Connect, t.rtt = d, d
		}
		t.idle, t.idleFrom = true, now
	}
	if s.Len == 0 {
		f.acknowledged(i, s)
		return
	}
	again, late := t.seq[i].sent(s.Seq, s.Len, now, t.rtt)
	switch {
	case again && s.Len == 1: // a keep-alive's byte, or a window probe's
		return
	case again:
		me.Retransmits++
		return
	case late:
		me.OutOfOrder++
	}
	f.spoke(i, s)
}

// acknowledged takes an acknowledgement without data from side i.
func (f *state) acknowledged(i int, s *packet.Segment) {
	t := f.tcpState
	if t.waitSRT[i^1] && s.Flags&packet.ACK != 0 && int32(s.Ack-t.lastEnd[i^1]) >= 0 {
		t.waitSRT[i^1] = false
		if d := s.Time - t.lastData[i^1]; d >= 0 && d <= maxSRT {
			f.side[i].SRT.add(d)
		}
	}
}

// spoke takes new data from side i.
func (f *state) spoke(i int, s *packet.Segment) {
	t := f.tcpState
	if t.waitART[i^1] {
		t.waitART[i^1] = false
		if d := s.Time - t.lastData[i^1]; d >= 0 && d <= maxART {
			f.side[i].ART.add(d)
		}
	}
	t.waitSRT[i^1] = false // it was acknowledged with data
	if i == 0 {
		if t.idle && s.Len > 1 {
			t.idle = false
			if d := s.Time - t.idleFrom; d >= 0 && d <= maxCIT {
				f.CIT.add(d)
			}
		}
	} else {
		t.idle, t.idleFrom = true, s.Time
	}
	t.lastData[i], t.lastEnd[i] = s.Time, s.Seq+s.Len
	t.waitSRT[i], t.waitART[i] = true, true
}
