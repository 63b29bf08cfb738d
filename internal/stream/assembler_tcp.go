package stream

import (
	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/packet"
)

// half is what one end has sent.
type half struct {
	// known: base is the sequence number of the first byte, from a SYN or from
	// the end's own first segment. expected: base is what the other end said it
	// waits for.
	known, expected, fromSYN bool
	// seen: this end's segments are captured at all.
	seen          bool
	hasFin, ended bool
	base          uint32
	next          uint64 // all before it is passed on
	top           uint64 // highest position seen
	acked         uint64 // the other end has got all before it
	// proven: it is known since segment provenBy of the flow, and that time, that
	// the other end has got all before it.
	proven   uint64
	provenBy int
	provenAt int64
	fin      uint64 // where the stream ends, if hasFin
	time     int64  // of the last chunk: time does not go back
	strange  int
	queue    []heldSegment // sorted by position, disjoint
	head     int           // queue[:head] is gone
}

// heldSegment waits for bytes before it, or for bytes of the other end that it
// came after.
type heldSegment struct {
	pos, dep uint64
	wire     uint32
	hasDep   bool
	time     int64
	b        []byte
}

// at is the position of seq, relative to what was passed on last: right across
// the wrap of sequence numbers.
func (h *half) at(seq uint32) int64 {
	return int64(h.next) + int64(int32(seq-(h.base+uint32(h.next))))
}

func (h *half) waiting() []heldSegment { return h.queue[h.head:] }

// fresh reports whether nothing of the stream was seen.
func (h *half) fresh() bool { return h.next == 0 && h.top == 0 }

func (a *Assembler) tcp(f *flow, d Dir, s *packet.Segment) {
	if s.Flags&packet.SYN != 0 {
		if f, d = a.opening(f, d, s); f == nil {
			return
		}
	}
	a.touch(f, s.Time)
	if f.closed {
		if f = a.late(f, d, s); f == nil {
			return
		}
		if d = FromA; f.conn.A != s.SrcAddrPort() {
			d = FromB
		}
	}
	a.observe(f, d, s)
	f.seen++
	if f.held > 0 {
		a.overdue(f, s.Time)
	}
	h, o := &f.half[d], &f.half[d^1]
	h.seen = true
	seq := s.Seq
	if s.Flags&packet.SYN != 0 {
		seq++ // it counts one; data in a SYN comes after it
	}
	if !h.known {
		h.start(seq, s, f.conn.Midstream)
	}
	var ack uint64
	hasAck := false
	if s.Flags&packet.ACK != 0 {
		if !o.known && !o.expected {
			o.base, o.expected = s.Ack, true
		}
		if o.known {
			if p := o.at(s.Ack); p >= 0 && (uint64(p) <= o.top+maxAhead) {
				ack, hasAck = uint64(p), true
				if o.hasFin && ack > o.fin {
					ack = o.fin // the FIN counts one
				}
				o.acked = max(o.acked, ack)
				if o.acked > o.next && o.proven <= o.next {
					o.proven, o.provenBy, o.provenAt = o.acked, f.seen, s.Time
				}
			}
			if f.list == listOpening && s.Flags&(packet.SYN|packet.RST) == 0 {
				f.conn.Opened = s.Time
				a.move(f, listTCP)
			}
		}
	}
	if s.Len > 0 || s.Flags&packet.FIN != 0 {
		a.data(f, d, seq, ack, hasAck, s)
	}
	if s.Flags&packet.RST != 0 && s.Flags&packet.SYN == 0 && f.list != listReset && !f.closed {
		if p := h.at(seq); p >= -1 && uint64(p+1) <= h.top+maxAhead {
			a.move(f, listReset)
		}
	}
	if h.ended && o.ended && f.held == 0 {
		a.finish(f)
	}
}

// start sets where the stream of h begins, from its own first segment.
func (h *half) start(seq uint32, s *packet.Segment, midstream bool) {
	h.known = true
	if h.expected && s.Flags&packet.SYN == 0 {
		// What the other end waited for when it first spoke tells where this
		// one is: a keep-alive or a probe lies one byte before; in a connection
		// seen from its SYN on, what lies between is missing.
		if (seq+1 == h.base && s.Len <= 1) || (!midstream && seq-h.base < maxAhead) {
			return
		}
	}
	h.base = seq
	h.fromSYN = h.fromSYN || s.Flags&packet.SYN != 0
}

// opening handles a segment with SYN. It returns the flow that the segment
// belongs to, nil if to none.
func (a *Assembler) opening(f *flow, d Dir, s *packet.Segment) (*flow, Dir) {
	h, o := &f.half[d], &f.half[d^1]
	answer := s.Flags&packet.ACK != 0
	switch {
	case h.known && h.base != s.Seq+1: // another first number
		switch {
		case answer && !f.closed && o.known && o.base == s.Ack && h.fresh():
			h.known, f.conn.Key.Known = false, false // a second answer; the last one counts
		case answer && !f.closed && o.fromSYN:
			a.stats.Strange.Add(1)
			a.observe(f, d, s)
			return nil, d
		default: // the ports are used again
			if !f.closed {
				a.stats.Reused.Add(1)
			}
			return a.again(f, s)
		}
	case f.closed && !h.known:
		return a.again(f, s)
	}
	client, sure := FromA, f.conn.Role == RoleClient && f.conn.RoleConfidence == sureSYN
	if from := d; answer != (from == FromB) && sure {
		// A SYN from the server's side: simultaneous open, or nonsense.
		a.stats.Strange.Add(1)
	} else if !sure {
		if client = d; answer {
			client = d ^ 1
		}
		f.conn.Role, f.conn.RoleConfidence = RoleClient, sureSYN
		if client == FromB {
			f.conn.Role = RoleServer
		}
		a.Settle(&f.conn)
	}
	if !h.known {
		h.base, h.known, h.fromSYN = s.Seq+1, true, true
	}
	h.fromSYN = true
	if answer && !o.known {
		o.base, o.known, o.fromSYN = s.Ack, true, true
	}
	if h.fromSYN && o.fromSYN && !f.conn.Key.Known {
		c, sv := &f.half[client], &f.half[client^1]
		f.conn.Key = hop.ConnKey{Client: c.base, Server: sv.base, Known: true}
	}
	return f, d
}

// again replaces f by a new connection between the same ends.
func (a *Assembler) again(f *flow, s *packet.Segment) (*flow, Dir) {
	a.forget(f)
	key, swapped := s.Key()
	f = a.open(key, swapped, s)
	a.recent[slot(&key)] = f
	d := FromA
	if swapped != f.swapped {
		d = FromB
	}
	h, o := &f.half[d], &f.half[d^1]
	if s.Flags&packet.SYN != 0 {
		h.base, h.known, h.fromSYN = s.Seq+1, true, true
		if s.Flags&packet.ACK != 0 {
			o.base, o.known, o.fromSYN = s.Ack, true, true
			f.conn.Key = hop.ConnKey{Client: o.base, Server: h.base, Known: true}
		}
	}
	return f, d
}

// late handles a segment of a connection that is over: its last words, or the
// first seen of a new one.
func (a *Assembler) late(f *flow, d Dir, s *packet.Segment) *flow {
	h := &f.half[d]
	p := h.at(s.Seq)
	if s.Len > 0 && s.Flags&(packet.RST|packet.SYN) == 0 && (p > int64(h.top)+maxAhead || p < int64(h.top)-maxAhead) {
		f, _ = a.again(f, s)
		return f
	}
	a.stats.AfterClosed.Add(1)
	a.observe(f, d, s)
	return nil
}

// data takes the payload of s, and its FIN.
func (a *Assembler) data(f *flow, d Dir, seq uint32, ack uint64, hasAck bool, s *packet.Segment) {
	h, o := &f.half[d], &f.half[d^1]
	at, n, b := h.at(seq), s.Len, s.Payload
	behind := at < int64(h.next)-maxAhead
	if behind || at > int64(max(h.top, h.acked))+maxAhead {
		if h.strange++; h.strange < maxStrange {
			a.stats.Strange.Add(1)
			return
		}
		if behind {
			at += 1 << 32 // more than half the number space was missed
		}
	}
	h.strange = 0
	if at+int64(n) < 0 {
		a.stats.Duplicate.Add(1)
		return
	}
	if s.Flags&packet.FIN != 0 && !h.hasFin && at+int64(n) >= int64(h.next) {
		h.fin, h.hasFin = uint64(at+int64(n)), true
	}
	if skip := int64(h.next) - at; skip > 0 && n > 0 {
		if skip >= int64(n) {
			a.stats.Duplicate.Add(1)
			n, b, at = 0, nil, int64(h.next)
		} else {
			a.stats.Overlap.Add(1)
			n -= uint32(skip)
			b = b[min(skip, int64(len(b))):]
			at = int64(h.next)
		}
	}
	pos := uint64(max(at, 0))
	if h.hasFin && pos+uint64(n) > h.fin { // what comes after an end is nobody's
		a.stats.Strange.Add(1)
		n = uint32(h.fin - min(pos, h.fin))
		b = b[:min(int(n), len(b))]
	}
	h.top = max(h.top, pos+uint64(n))
	if n > 0 {
		if pos == h.next && h.head == len(h.queue) && (!hasAck || ack <= o.next || !o.seen) {
			a.pass(f, d, pos, n, b, s.Time, ack, hasAck)
		} else {
			a.hold(f, h, heldSegment{pos: pos, dep: ack, wire: n, hasDep: hasAck, time: s.Time}, b)
		}
	}
	if f.held > 0 {
		a.pump(f)
	}
	a.fin(f, d, s.Time)
}

// pass gives bytes to the next stage.
func (a *Assembler) pass(f *flow, d Dir, pos uint64, n uint32, b []byte, time int64, ack uint64, hasAck bool) {
	h := &f.half[d]
	h.time = max(h.time, time)
	h.next = pos + uint64(n)
	// Field by field: a Chunk at once would be built elsewhere and copied. Of Ctx
	// packets say nothing.
	c := &a.chunk
	c.Conn, c.Dir, c.Pos, c.Seq, c.Wire, c.Other, c.HasOther = &f.conn, d, pos, h.base+uint32(pos), n, ack, hasAck
	c.Lost, c.End, c.Close, c.Time, c.B = false, false, false, h.time, b
	if h.hasFin && h.next >= h.fin && !h.ended {
		h.ended, c.End = true, true
	}
	a.next(c)
}

// fin passes the end of a direction on, if it came without bytes.
func (a *Assembler) fin(f *flow, d Dir, time int64) {
	h := &f.half[d]
	if !h.hasFin || h.ended || h.next < h.fin {
		return
	}
	h.ended = true
	h.time = max(h.time, time)
	c := &a.chunk
	*c = Chunk{Conn: &f.conn, Dir: d, Pos: h.next, Seq: h.base + uint32(h.next), Time: h.time, End: true}
	a.next(c)
}
