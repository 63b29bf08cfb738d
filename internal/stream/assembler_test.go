package stream

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/packet"
)

var (
	client = netip.MustParseAddrPort("10.0.0.1:40000")
	server = netip.MustParseAddrPort("10.0.0.2:80")
)

// seg is a segment of the connection that the tests play, from the client if
// dir is FromA.
func seg(dir Dir, t int64, flags uint8, seq, ack uint32, payload string) packet.Segment {
	src, dst := client, server
	if dir == FromB {
		src, dst = dst, src
	}
	return packet.Segment{
		Time: t, Src: packet.FromNetip(src.Addr()), Dst: packet.FromNetip(dst.Addr()), SrcPort: src.Port(), DstPort: dst.Port(),
		Proto: packet.ProtoTCP, Flags: flags, Seq: seq, Ack: ack, Win: 1000, WinScale: -1,
		Len: uint32(len(payload)), Payload: []byte(payload),
	}
}

// maxBook is how much of a direction a sink keeps: holes of fuzzed streams are as
// long as sequence numbers go.
const maxBook = 1 << 20

// sink takes chunks down, checking what every chunk must keep.
type sink struct {
	t     *testing.T
	want  [2]string // what was sent, if known
	isn   [2]uint32
	got   [2][]byte // 0 where a hole is
	next  [2]uint64
	end   [2]bool
	time  [2]int64
	holes [2]uint64
	close int
	log   []string
}

func (k *sink) put(c *Chunk) {
	if c.Close {
		k.close++
		return
	}
	d := c.Dir
	if c.Pos < k.next[d] {
		k.t.Errorf("direction %d goes back from %d to %d", d, k.next[d], c.Pos)
		return
	}
	if c.Time < k.time[d] {
		k.t.Errorf("direction %d: time goes back", d)
	}
	k.time[d] = c.Time
	if k.end[d] && len(c.B) > 0 {
		k.t.Errorf("direction %d: bytes after its end", d)
	}
	k.holes[d] += c.Pos - k.next[d]
	if k.want[0] != "" {
		if c.Seq != k.isn[d]+1+uint32(c.Pos) {
			k.t.Errorf("direction %d at %d: seq %d, want %d", d, c.Pos, c.Seq, k.isn[d]+1+uint32(c.Pos))
		}
		if end := c.Pos + uint64(len(c.B)); end > uint64(len(k.want[d])) || k.want[d][c.Pos:end] != string(c.B) {
			k.t.Errorf("direction %d at %d: wrong bytes %q", d, c.Pos, c.B)
		}
		if c.HasOther && c.Other > k.next[d^1] && len(c.B) > 0 {
			k.t.Errorf("direction %d at %d: passed on before what it came after (%d, other at %d)", d, c.Pos, c.Other, k.next[d^1])
		}
	}
	if end := c.Pos + uint64(c.Wire); end <= maxBook {
		k.got[d] = append(k.got[d], make([]byte, c.Pos-uint64(len(k.got[d])))...)
		k.got[d] = append(k.got[d], c.B...)
		k.got[d] = append(k.got[d], make([]byte, end-uint64(len(k.got[d])))...)
	}
	k.next[d] = c.Pos + uint64(c.Wire)
	k.end[d] = k.end[d] || c.End
	k.log = append(k.log, fmt.Sprintf("%d@%d %s", d, c.Pos, c.B))
}

func assemble(t *testing.T, cfg AssemblerConfig, segs ...packet.Segment) (*sink, *Assembler) {
	k := &sink{t: t}
	a := NewAssembler(cfg, k.put)
	for i := range segs {
		a.Tick(segs[i].Time)
		a.Put(&segs[i])
	}
	return k, a
}

const (
	syn  = packet.SYN
	ack  = packet.ACK
	fin  = packet.FIN | packet.ACK
	rst  = packet.RST
	ms   = int64(time.Millisecond)
	sec  = int64(time.Second)
	cISN = 0xffffff00 // wraps after 255 bytes
	sISN = 5000
)

func handshake() []packet.Segment {
	return []packet.Segment{
		seg(FromA, 0, syn, cISN, 0, ""), seg(FromB, 1*ms, syn|ack, sISN, cISN+1, ""), seg(FromA, 2*ms, ack, cISN+1, sISN+1, ""),
	}
}

func with(first []packet.Segment, more ...packet.Segment) []packet.Segment {
	return append(first[:len(first):len(first)], more...)
}

func TestAssembler(t *testing.T) {
	c, s := func(n uint32) uint32 { return cISN + 1 + n }, func(n uint32) uint32 { return sISN + 1 + n }
	for name, x := range map[string]struct {
		segs  []packet.Segment
		c, s  string // \x00: missing
		close int
		check func(*testing.T, *Assembler)
	}{
		"in order": {with(handshake(), seg(FromA, 3*ms, ack, c(0), s(0), "hello"), seg(FromB, 4*ms, ack, s(0), c(5), "world"),
			seg(FromA, 5*ms, fin, c(5), s(5), ""), seg(FromB, 6*ms, fin, s(5), c(6), "")), "hello", "world", 1, nil},
		"out of order":              {with(handshake(), seg(FromA, 4*ms, ack, c(3), s(0), "lo"), seg(FromA, 5*ms, ack, c(0), s(0), "hel")), "hello", "", 0, nil},
		"retransmit, other content": {with(handshake(), seg(FromA, 4*ms, ack, c(0), s(0), "hel"), seg(FromA, 5*ms, ack, c(0), s(0), "XXXlo")), "hello", "", 0, nil},
		"overlap in the queue": {with(handshake(), seg(FromA, 4*ms, ack, c(3), s(0), "lo"), seg(FromA, 4*ms, ack, c(1), s(0), "elXX wor"),
			seg(FromA, 5*ms, ack, c(0), s(0), "h")), "hello wor", "", 0, nil},
		"keep-alive": {with(handshake(), seg(FromA, 3*ms, ack, c(0), s(0), "hello"), seg(FromA, sec, ack, c(4), s(0), "\x01"),
			seg(FromA, 2*sec, ack, c(5), s(0), "!")), "hello!", "", 0, nil},
		"window probe": {with(handshake(), seg(FromA, 3*ms, ack, c(0), s(0), "hello"), seg(FromA, sec, ack, c(4), s(0), ""),
			seg(FromA, 2*sec, ack, c(5), s(0), "!")), "hello!", "", 0, nil},
		"hole, acknowledged": {with(handshake(), seg(FromA, 4*ms, ack, c(3), s(0), "lo"), seg(FromB, 5*ms, ack, s(0), c(5), "answer"),
			seg(FromA, 300*ms, ack, c(5), s(6), "!")), "\x00\x00\x00lo!", "answer", 0, nil},
		"hole, one way, in time": {with(handshake(), seg(FromA, 4*ms, ack, c(3), s(0), "lo"), seg(FromA, 5*sec, ack, c(5), s(0), "!")),
			"\x00\x00\x00lo!", "", 0, nil},
		"request lost, answer comes": {with(handshake(), seg(FromB, 5*ms, ack, s(0), c(5), "answer"), seg(FromA, 300*ms, ack, c(5), s(6), "again"),
			seg(FromB, 301*ms, ack, s(6), c(10), "more")), "\x00\x00\x00\x00\x00again", "answermore", 0, nil},
		"answer seen before the request": {with(handshake(), seg(FromB, 5*ms, ack, s(0), c(5), "answer"), seg(FromA, 6*ms, ack, c(0), s(0), "hello")),
			"hello", "answer", 0, nil},
		"mid-stream": {[]packet.Segment{seg(FromB, 1, ack, s(100), c(50), "tail"), seg(FromA, 2, ack, c(50), s(104), "next")}, "next", "tail", 0,
			func(t *testing.T, a *Assembler) {
				for _, f := range a.flows {
					if c := f.conn; !c.Midstream || c.Key.Known || c.A != client || c.RoleConfidence >= 128 {
						t.Errorf("%+v", c)
					}
				}
			}},
		"half open, SYN-ACK not seen": {[]packet.Segment{handshake()[0], handshake()[2], seg(FromA, 3*ms, ack, c(0), s(0), "hello"), seg(FromB, 4*ms, ack, s(0), c(5), "world")},
			"hello", "world", 0, nil},
		"SYN not seen": {[]packet.Segment{handshake()[1], handshake()[2], seg(FromA, 3*ms, ack, c(0), s(0), "hello")}, "hello", "", 0,
			func(t *testing.T, a *Assembler) {
				for _, f := range a.flows {
					if c := f.conn; c.A != client || c.Role != RoleClient || c.RoleConfidence != 255 || !c.Key.Known {
						t.Errorf("%+v", c)
					}
				}
			}},
		"SYN after its answer": {[]packet.Segment{handshake()[1], handshake()[0], handshake()[2], seg(FromA, 3*ms, ack, c(0), s(0), "hello")}, "hello", "", 0, nil},
		"fast open":            {[]packet.Segment{seg(FromA, 0, syn, cISN, 0, "hello"), seg(FromB, ms, syn|ack, sISN, cISN+6, ""), seg(FromA, 2*ms, ack, c(5), s(0), "!")}, "hello!", "", 0, nil},
		"port reuse":           {with(handshake(), seg(FromA, 3*ms, ack, c(0), s(0), "hello"), seg(FromA, sec, syn, 77, 0, "")), "hello", "", 1, nil},
		"SYN twice":            {with(handshake()[:1], with(handshake(), seg(FromA, 3*ms, ack, c(0), s(0), "hello"))...), "hello", "", 0, nil},
		"reset": {with(handshake(), seg(FromA, 3*ms, ack, c(0), s(0), "hello"), seg(FromB, 4*ms, rst, s(0), 0, ""), seg(FromB, 10*ms, ack, s(0), c(5), "late"),
			seg(FromA, sec, ack, c(5), s(0), "gone")), "hello", "late", 1, nil},
		"reset from elsewhere": {with(handshake(), seg(FromA, 3*ms, ack, c(0), s(0), "hello"), seg(FromB, 4*ms, rst, s(0x40000000), 0, ""),
			seg(FromA, sec, ack, c(5), s(0), "!")), "hello!", "", 0, nil},
		"FIN before the data": {with(handshake(), seg(FromA, 3*ms, fin, c(5), s(0), ""), seg(FromA, 4*ms, ack, c(0), s(0), "hello")), "hello", "", 0, nil},
		"stray segment":       {with(handshake(), seg(FromA, 3*ms, ack, c(0x20000000), s(0), "stray"), seg(FromA, 4*ms, ack, c(0), s(0), "hello")), "hello", "", 0, nil},
		"only the server's side": {[]packet.Segment{handshake()[1], seg(FromB, 2*ms, ack, s(0), c(5), "one"), seg(FromB, 3*ms, ack, s(3), c(10), "two")},
			"", "onetwo", 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			k, a := assemble(t, AssemblerConfig{}, x.segs...)
			if string(k.got[0]) != x.c || string(k.got[1]) != x.s || k.close != x.close {
				t.Errorf("client %q server %q close %d\nwant   %q        %q       %d\n%q", k.got[0], k.got[1], k.close, x.c, x.s, x.close, k.log)
			}
			if x.check != nil {
				x.check(t, a)
			}
			a.Flush()
			if n := a.stats.Live.Load(); n != 0 || len(a.flows) != 0 || a.held != 0 || len(a.waiting) != 0 {
				t.Errorf("left after Flush: %d flows, %d bytes, %d waiting", n, a.held, len(a.waiting))
			}
		})
	}
}

// The key of a connection comes from the first numbers; both taps have it.
func TestConnKey(t *testing.T) {
	var key hop.ConnKey
	a := NewAssembler(AssemblerConfig{}, func(c *Chunk) { key = c.Conn.Key })
	for _, s := range with(handshake(), seg(FromA, 3*ms, ack, cISN+1, sISN+1, "x")) {
		a.Put(&s)
	}
	if want := (hop.ConnKey{Client: 0xffffff01, Server: sISN + 1, Known: true}); key != want {
		t.Errorf("%+v, want %+v", key, want)
	}
}

// script is a dialogue and the segments that carried it.
type script struct {
	sent [2]string
	segs []packet.Segment
}

// dialogue has the two ends speak in turns, sometimes at once.
func dialogue(rng *rand.Rand, mss int) script {
	var sc script
	sc.segs = handshake()
	isn := [2]uint32{cISN, sISN}
	t := 3 * ms
	var seen [2]int // how much of the other end's each has got
	for turn := range 4 + rng.IntN(8) {
		d := Dir(turn & 1)
		n := 1 + rng.IntN(4*mss)
		for n > 0 {
			k := 1 + rng.IntN(min(n, mss))
			b := make([]byte, k)
			for i := range b {
				b[i] = byte('a' + rng.IntN(26))
			}
			at := uint32(len(sc.sent[d]))
			sc.segs = append(sc.segs, seg(d, t, ack, isn[d]+1+at, isn[d^1]+1+uint32(seen[d]), string(b)))
			sc.sent[d] += string(b)
			n -= k
			t += ms / 10
			if rng.IntN(3) == 0 { // the other end acknowledges now and then
				seen[d^1] = len(sc.sent[d])
				sc.segs = append(sc.segs, seg(d^1, t, ack, isn[d^1]+1+uint32(len(sc.sent[d^1])), isn[d]+1+uint32(seen[d^1]), ""))
			}
		}
		seen[d^1] = len(sc.sent[d])
		t += ms
	}
	return sc
}

// Whatever is done to the segments, wrong bytes never come out, holes are
// visible, and what was not lost arrives.
func TestMangled(t *testing.T) {
	for round := range 3000 {
		rng := rand.New(rand.NewPCG(uint64(round), 7))
		sc := dialogue(rng, 200)
		segs := sc.segs
		lost := [2][]bool{make([]bool, len(sc.sent[0])), make([]bool, len(sc.sent[1]))}
		for d := range lost {
			for i := range lost[d] {
				lost[d][i] = true
			}
		}
		drop, dup, displace, cut := rng.IntN(3)*rng.IntN(10), rng.IntN(3)*10, rng.IntN(5), rng.IntN(2)*rng.IntN(20)
		type slot struct {
			s   packet.Segment
			key int
		}
		var out []slot
		for i, s := range segs {
			if i >= 3 && rng.IntN(100) < drop {
				continue
			}
			if s.Len > 1 && rng.IntN(100) < cut { // cut in two at another place
				k := 1 + rng.IntN(int(s.Len)-1)
				a, b := s, s
				a.Payload, a.Len = s.Payload[:k], uint32(k)
				b.Payload, b.Len, b.Seq = s.Payload[k:], s.Len-uint32(k), s.Seq+uint32(k)
				out = append(out, slot{b, i + displace/2}, slot{a, i})
				continue
			}
			key := i
			if i >= 3 && displace > 0 {
				key += rng.IntN(displace + 1)
			}
			out = append(out, slot{s, key})
			if rng.IntN(100) < dup {
				if rng.IntN(2) == 0 && s.Len > 0 { // sent again, with other content
					s.Payload = make([]byte, s.Len)
					copy(s.Payload, segs[i].Payload)
				}
				out = append(out, slot{s, key + 1 + rng.IntN(8)})
			}
		}
		for i := 1; i < len(out); i++ { // stable insertion sort by key
			for j := i; j > 0 && out[j].key < out[j-1].key; j-- {
				out[j], out[j-1] = out[j-1], out[j]
			}
		}
		k := &sink{t: t, want: sc.sent, isn: [2]uint32{cISN, sISN}}
		a := NewAssembler(AssemblerConfig{}, k.put)
		now := int64(0)
		for _, o := range out {
			s := o.s
			now = max(now+1000, s.Time)
			s.Time = now
			d := FromA
			if s.SrcPort == server.Port() {
				d = FromB
			}
			if s.Len > 0 {
				at := s.Seq - [2]uint32{cISN, sISN}[d] - 1
				for i := range s.Len {
					lost[d][at+i] = false
				}
			}
			a.Tick(now)
			a.Put(&s)
		}
		a.Tick(now + 10*sec)
		a.Flush()
		for d := range lost {
			for i, l := range lost[d] {
				switch got := i < len(k.got[d]) && k.got[d][i] != 0; {
				case got && l:
					t.Errorf("round %d: direction %d byte %d was never seen, and came out", round, d, i)
				case !got && !l:
					t.Fatalf("round %d: direction %d byte %d was seen, and did not come out (drop %d dup %d displace %d cut %d)", round, d, i, drop, dup, displace, cut)
				}
			}
		}
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
}

// Limits hold whatever comes.
func TestAssemblerLimits(t *testing.T) {
	cfg := AssemblerConfig{MaxConns: 100, MaxHeld: 1 << 20, MaxHeldConn: 100 << 10}
	k := 0
	a := NewAssembler(cfg, func(*Chunk) { k++ })
	body := string(make([]byte, 1000))
	for i := range 200000 {
		s := seg(FromA, int64(i)*1000, ack, uint32(2*i)*1000, 1, body)
		s.SrcPort = uint16(i % 300)
		a.Put(&s)
		if a.held > cfg.MaxHeld || len(a.flows) > cfg.MaxConns {
			t.Fatalf("%d bytes of %d flows", a.held, len(a.flows))
		}
	}
	if a.stats.Evicted.Load() == 0 {
		t.Error("nothing evicted")
	}
	one := NewAssembler(cfg, func(*Chunk) { k++ })
	for i := range 5000 {
		s := seg(FromA, int64(i)*1000, ack, uint32(2*i)*1000, 1, body)
		one.Put(&s)
		if one.held > cfg.MaxHeldConn {
			t.Fatalf("%d bytes held", one.held)
		}
	}
	if one.stats.HeldFull.Load() == 0 || one.stats.Holes.Load() == 0 {
		t.Error("nothing given up")
	}
}

func FuzzAssembler(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00\x12\x00\x00\x00\x10\x05\x03\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k := &sink{t: t}
		a := NewAssembler(AssemblerConfig{MaxHeldConn: 4096, MaxHeld: 8192, MaxConns: 3}, k.put)
		now := int64(0)
		body := "0123456789abcdefghijklmnopqrstuvwxyz"
		var last *Conn
		for len(b) >= 6 {
			now += int64(b[5]) * ms
			s := seg(Dir(b[0]>>7), now, b[0]&0x3f, uint32(b[1])<<(b[5]&24), uint32(b[2]), body[:b[3]%37])
			s.SrcPort += uint16(b[4] & 1)
			a.Tick(now)
			a.next = func(c *Chunk) {
				if c.Conn != last { // several connections: each its own book
					last = c.Conn
					k = &sink{t: t}
					if c.Conn.Track == nil {
						c.Conn.Track = k
					}
					k = c.Conn.Track.(*sink)
				}
				k.put(c)
			}
			a.Put(&s)
			b = b[6:]
		}
		a.Flush()
		if a.held != 0 || len(a.flows) != 0 || len(a.waiting) != 0 {
			t.Fatal("left after Flush")
		}
	})
}

func BenchmarkAssembler(b *testing.B) {
	req, resp := string(make([]byte, 120)), string(make([]byte, 300))
	b.Run("in order", func(b *testing.B) {
		a := NewAssembler(AssemblerConfig{}, func(*Chunk) {})
		for _, s := range handshake() {
			a.Put(&s)
		}
		q, r := seg(FromA, 0, ack, cISN+1, sISN+1, req), seg(FromB, 0, ack, sISN+1, cISN+1, resp)
		b.ReportAllocs()
		for b.Loop() {
			q.Ack = r.Seq
			a.Put(&q)
			q.Seq += q.Len
			r.Ack = q.Seq
			a.Put(&r)
			r.Seq += r.Len
		}
		b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds(), "segments/s")
	})
	b.Run("connections", func(b *testing.B) {
		a := NewAssembler(AssemblerConfig{}, func(*Chunk) {})
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			for _, s := range handshake() {
				if i++; s.SrcPort == 40000 {
					s.SrcPort = uint16(i / 3)
				} else {
					s.DstPort = uint16(i / 3)
				}
				a.Put(&s)
			}
		}
	})
}
