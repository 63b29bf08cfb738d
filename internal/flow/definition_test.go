package flow

import (
	"io"
	"math"
	"testing"

	"github.com/hopscope/hopscope/internal/packet"
)

// seen is a packet of a capture as the reference system's definitions need it.
type seen struct {
	at         int64
	fromServer bool
	flags      uint8
	seq, ack   uint32
	n          uint32
	again      bool // all its bytes were seen before
}

// definition is how the reference system's table of metrics is read. The zero
// value is as we have it.
type definition struct {
	// again: bytes sent again are data too.
	again bool
	// every: each data packet is waited for to be acknowledged, not only the last
	// that one end sends before the other one speaks.
	every bool
}

// theirs is the table taken by its words.
var theirs = definition{again: true, every: true}

// measured are the times of a flow; those of an end are the client's, then the
// server's. Zero: none.
type measured struct {
	connect, connectClient, connectServer int64
	srt, art                              [2]Timing
	cit                                   Timing
}

// packets are those of a capture of one flow. The client is who sent the SYN, or
// was answered; where neither was seen, who spoke first.
func packets(t testing.TB, path string) (list []seen) {
	t.Helper()
	f, err := packet.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var d packet.Decoder
	var fr packet.Frame
	var s packet.Segment
	var first packet.Segment
	ends := [2]map[uint32]bool{{}, {}} // bytes by their number: captures are small
	for {
		err := f.Next(&fr)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if d.Decode(&fr, &s) != packet.OK {
			continue
		}
		if first.Proto == 0 {
			first = s
		}
		p := seen{at: s.Time, flags: s.Flags, seq: s.Seq, ack: s.Ack, n: s.Len}
		p.fromServer = s.Src != first.Src || s.SrcPort != first.SrcPort
		i := 0
		if p.fromServer {
			i = 1
		}
		p.again = p.n > 0 && s.Proto == packet.ProtoTCP
		for k := range p.n {
			if !ends[i][p.seq+k] {
				p.again, ends[i][p.seq+k] = false, true
			}
		}
		list = append(list, p)
	}
	if first.Flags&(packet.SYN|packet.ACK) == packet.SYN|packet.ACK {
		for i := range list {
			list[i].fromServer = !list[i].fromServer
		}
	}
	return list
}

// measure is the table of metrics, row by row: each looks at the whole capture
// for itself, and knows nothing of a state machine.
func (def definition) measure(list []seen) (m measured) {
	find := func(from int, is func(*seen) bool) int {
		for i := from; i < len(list); i++ {
			if is(&list[i]) {
				return i
			}
		}
		return -1
	}
	within := func(from, to int, limit int64) int64 {
		if from < 0 || to < 0 || list[to].at < list[from].at || list[to].at-list[from].at > limit {
			return 0
		}
		return list[to].at - list[from].at
	}
	// The handshake: the client's ACK ends it.
	isSYN := func(p *seen) bool { return p.flags&(packet.SYN|packet.ACK) == packet.SYN }
	isSYNACK := func(p *seen) bool { return p.flags&(packet.SYN|packet.ACK) == packet.SYN|packet.ACK }
	syn, synack := find(0, isSYN), find(0, isSYNACK)
	made := -1
	if synack >= 0 {
		made = find(synack, func(p *seen) bool { return !p.fromServer && p.flags&(packet.SYN|packet.ACK) == packet.ACK })
	}
	last := -1
	for i := 0; i < made; i++ {
		if isSYNACK(&list[i]) {
			last = i
		}
	}
	m.connectServer = within(syn, synack, maxConnect)
	if made >= 0 {
		m.connectClient = within(last, made, maxConnect)
		m.connect = within(syn, made, maxConnect)
	}
	data := func(p *seen) bool { return p.n > 0 && p.flags&packet.SYN == 0 && (def.again || !p.again) }
	for i := range list {
		p := &list[i]
		if !data(p) {
			continue
		}
		mine, other := 0, 1
		if p.fromServer {
			mine, other = 1, 0
		}
		next := find(i+1, func(q *seen) bool { return data(q) })
		// SRT: this packet to the other end's acknowledgement of it, if that says
		// nothing else.
		if def.every || next < 0 || list[next].fromServer != p.fromServer {
			ack := find(i+1, func(q *seen) bool {
				return q.fromServer != p.fromServer && q.flags&packet.ACK != 0 && int32(q.ack-(p.seq+p.n)) >= 0
			})
			if ack >= 0 && list[ack].n == 0 {
				if d := within(i, ack, maxSRT); d > 0 {
					m.srt[other].add(d)
				}
			}
		}
		// ART: data to the first data the other way.
		if next >= 0 && list[next].fromServer != p.fromServer {
			if d := within(i, next, maxART); d > 0 {
				m.art[other].add(d)
			}
		}
		// CIT: the client's data, after the server's or the handshake.
		if mine == 0 && p.n > 1 {
			since := -1
			for k := range i {
				if data(&list[k]) || k == made {
					since = k
				}
			}
			if since >= 0 && (since == made || list[since].fromServer) {
				if d := within(since, i, maxCIT); d > 0 {
					m.cit.add(d)
				}
			}
		}
	}
	return m
}

// near: within a microsecond, of as many values.
func near(a, b Timing) bool {
	return a.Count == b.Count && math.Abs(float64(a.Sum-b.Sum)) <= 1000 && math.Abs(float64(a.Max-b.Max)) <= 1000
}
