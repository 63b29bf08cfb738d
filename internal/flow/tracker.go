package flow

import (
	"sync/atomic"

	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/stream"
)

// Config is what a tracker may be told. The zero value is usable.
type Config struct {
	// Every is how often a flow that goes on is reported, in nanoseconds. Zero:
	// a minute; negative: only at its end.
	Every int64
}

const defaultEvery = 60e9

// Stats counts what a tracker did. Any goroutine may read it.
type Stats struct {
	Records atomic.Uint64
	Flows   atomic.Int64
}

// Tracker keeps the records of the connections of one assembler: it is the
// assembler's observer. One goroutine owns it.
type Tracker struct {
	cfg     Config
	next    func(*Record)
	stats   Stats
	machine *machine
	live    map[*stream.Conn]*state
	out     Record
}

// New makes a tracker that gives records to next.
func New(cfg Config, next func(*Record)) *Tracker {
	if cfg.Every == 0 {
		cfg.Every = defaultEvery
	}
	return &Tracker{cfg: cfg, next: next, machine: newMachine(), live: map[*stream.Conn]*state{}}
}

// Stats is the tracker's counters.
func (t *Tracker) Stats() *Stats { return &t.stats }

// Observe takes one segment of c.
func (t *Tracker) Observe(c *stream.Conn, d stream.Dir, s *packet.Segment) {
	f, _ := c.Flow.(*state)
	if f == nil {
		f = t.open(c, s)
	}
	if s.Quoted.Proto != 0 { // an ICMP error about the flow, not of it
		f.icmp++
		f.ICMPErrors++
		f.ICMPType, f.ICMPCode = s.ICMPType, s.ICMPCode
		return
	}
	// Side 0 is the client, as far as it is known by now.
	if flip := c.Role == stream.RoleServer; flip != f.flipped {
		f.swap()
		f.flipped = flip
	}
	i := int(d)
	if f.flipped {
		i ^= 1
	}
	me := &f.side[i]
	me.Packets++
	me.Bytes += uint64(s.Wire)
	me.Payload += uint64(s.Len)
	f.End = max(f.End, s.Time)
	if f.tcp {
		f.tcpSegment(t.machine, i, s)
		return
	}
	f.datagram(i, s)
}

// swap exchanges what is kept by side.
func (f *state) swap() {
	f.side[0], f.side[1] = f.side[1], f.side[0]
	f.ever[0], f.ever[1] = f.ever[1], f.ever[0]
	f.lastFrom ^= 1
	t := f.tcpState
	if t == nil {
		return
	}
	t.seq[0], t.seq[1] = t.seq[1], t.seq[0]
	t.lastData[0], t.lastData[1] = t.lastData[1], t.lastData[0]
	t.lastEnd[0], t.lastEnd[1] = t.lastEnd[1], t.lastEnd[0]
	t.waitSRT[0], t.waitSRT[1] = t.waitSRT[1], t.waitSRT[0]
	t.waitART[0], t.waitART[1] = t.waitART[1], t.waitART[0]
}

func (t *Tracker) open(c *stream.Conn, s *packet.Segment) *state {
	f := &state{}
	f.side = &f.Side
	f.Start, f.Since, f.End, f.New = s.Time, s.Time, s.Time, true
	f.Proto = s.Proto
	if f.tcp = s.Proto == packet.ProtoTCP; f.tcp {
		f.tcpState = &tcpState{}
	}
	c.Flow = f
	t.live[c] = f
	t.stats.Flows.Add(1)
	return f
}

// datagram takes a packet that is not TCP, for the time of answers.
func (f *state) datagram(i int, s *packet.Segment) {
	if s.Len == 0 {
		return
	}
	if f.started && int(f.lastFrom) != i && f.asked != 0 {
		if d := s.Time - f.asked; d >= 0 && d <= maxART {
			f.side[i].ART.add(d)
		}
	}
	f.started, f.lastFrom, f.asked = true, uint8(i), s.Time
}

// Answered tells that an exchange of c succeeded: a client that resets after it
// is only in a hurry.
func (t *Tracker) Answered(c *stream.Conn) {
	if f, ok := c.Flow.(*state); ok {
		f.answered = true
	}
}

// Closed reports the end of c.
func (t *Tracker) Closed(c *stream.Conn, now int64) {
	f, ok := c.Flow.(*state)
	if !ok {
		return
	}
	c.Flow = nil
	delete(t.live, c)
	t.stats.Flows.Add(-1)
	f.Last = true
	t.report(c, f)
}

// Tick reports the flows whose minute is over at now.
func (t *Tracker) Tick(now int64) {
	if t.cfg.Every < 0 {
		return
	}
	for c, f := range t.live {
		if now-f.Since < t.cfg.Every {
			continue
		}
		if f.side[0].Packets+f.side[1].Packets > 0 { // silence is no news
			t.report(c, f)
		}
		f.Since = now
	}
}

// report passes a record on and starts the next.
func (t *Tracker) report(c *stream.Conn, f *state) {
	if flip := c.Role == stream.RoleServer; flip != f.flipped {
		f.swap()
		f.flipped = flip
	}
	f.State, f.Close = f.state, CloseForced
	if f.Last {
		f.Close = f.closeType()
	}
	r := &t.out
	*r = f.Record
	r.ID, r.Sure = c.FlowID, c.RoleConfidence
	r.Client, r.Server = c.A, c.B
	if f.flipped {
		r.Client, r.Server = c.B, c.A
	}
	r.Facts = c.Facts
	r.V6 = c.Family == stream.IPv6
	r.Point, r.Interface, r.VLAN = c.Point, c.Interface, c.VLAN
	r.TunnelType, r.TunnelID = c.TunnelType, c.TunnelID
	t.stats.Records.Add(1)
	t.next(r)
	f.Side = [2]Side{} // the next record counts from here
	f.New, f.CIT, f.ICMPErrors = false, Timing{}, 0
	f.Connect, f.ConnectClient, f.ConnectServer = 0, 0, 0
}
