package session_test

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
	"github.com/hopscope/hopscope/internal/l7/protocols"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// What a control byte of FuzzEngine says of its chunk.
const (
	fromB   = 1 << iota
	hole    // bytes are missing before it
	cut     // capture kept a part
	again   // it begins before the last one ended
	closing // the connection is gone behind it
	late    // the clock is asked for what is overdue
	ofOther // two bits: which connection
)

// FuzzEngine feeds an engine of all protocols with chunks of several connections,
// in turns: with holes, cut, sent again, after their end. It must not panic, must
// keep its bound of open exchanges, must give on what it said had begun, once, and
// must count what was cut where anything was, and only there. Seeds are a case or
// two of each protocol, and more requests than may be open.
func FuzzEngine(f *testing.F) {
	for _, p := range protocols.All() {
		folder := p.Folder
		if folder == "" {
			folder = p.Name
		}
		cases, err := l7test.Load(filepath.Join("..", "l7", folder, "testdata"))
		if err != nil || len(cases) == 0 {
			f.Fatalf("%s: no cases: %v", p.Name, err)
		}
		for i, c := range cases[:min(len(cases), 2)] {
			var b []byte
			for k, ch := range c.Chunks {
				for rest := ch.B; len(rest) > 0; {
					n := min(len(rest), 255)
					ctl := byte(ch.Side)
					if i == 1 && k%5 == 4 { // the second case: not all is there
						ctl |= cut
					}
					b = append(append(b, ctl, byte(n)), rest[:n]...)
					rest = rest[n:]
				}
			}
			f.Add(b)
		}
	}
	// More requests without answers than may be open.
	var many []byte
	for range 100 {
		const one = "*1\r\n$4\r\nPING\r\n"
		many = append(append(many, 0, byte(len(one))), one...)
	}
	f.Add(many)
	const conns, pending = 4, 8
	f.Fuzz(func(t *testing.T, in []byte) {
		open := map[*session.Exchange]bool{}
		given := uint64(0)
		e := session.New(session.Config{Protocols: protocols.All(), MaxPending: pending, MaxLooks: 64,
			Began: func(x *session.Exchange) { open[x] = true },
		}, func(x *session.Exchange) {
			given++
			if !x.Req.Seen {
				t.Fatalf("an exchange without a request: %s", l7test.Format(x))
			}
			if x.Protocol == nil || x.Conn == nil {
				t.Fatalf("an exchange of nobody: %s", l7test.Format(x))
			}
			if !open[x] {
				t.Fatalf("given on again, or never begun: %s", l7test.Format(x))
			}
			delete(open, x)
		})
		var conn [conns]*stream.Conn
		var pos [conns][2]uint64
		now, chunks, cuts, holes := int64(1e18), uint64(0), uint64(0), uint64(0)
		buf := make([]byte, 0, 256)
		for len(in) >= 2 && chunks < 2048 {
			ctl, n := in[0], min(int(in[1]), len(in)-2)
			k := int(ctl/ofOther) % conns
			if conn[k] == nil {
				conn[k] = &stream.Conn{ID: uint64(chunks + 1), Transport: l7.TCP, Role: stream.RoleClient, RoleConfidence: 255,
					A: netip.MustParseAddrPort("10.0.0.1:40000"), B: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.2"), uint16(1000+k))}
				pos[k] = [2]uint64{}
			}
			d, side := stream.FromA, 0
			if ctl&fromB != 0 {
				d, side = stream.FromB, 1
			}
			at := pos[k][side]
			if ctl&hole != 0 {
				at += uint64(in[1]) * 7
				holes++
			}
			if ctl&again != 0 {
				at -= min(at, uint64(n/2))
			}
			buf = append(buf[:0], in[2:2+n]...)
			c := &stream.Chunk{Conn: conn[k], Dir: d, Pos: at, Seq: uint32(at), Wire: uint32(n), Time: now,
				Other: pos[k][1-side], HasOther: true, B: buf}
			if ctl&cut != 0 {
				c.Wire += 1000
				cuts++
			}
			e.Put(c)
			chunks++
			pos[k][side] = max(pos[k][side], at+uint64(c.Wire))
			for i := range buf { // what was lent is taken back
				buf[i] = 0xa5
			}
			if len(open) > conns*(pending+4) {
				t.Fatalf("%d exchanges are open, with room for %d on each of %d connections", len(open), pending, conns)
			}
			now += int64(time.Millisecond)
			if ctl&late != 0 {
				now += int64(30 * time.Second)
				e.Tick(now)
			}
			if ctl&closing != 0 {
				e.Put(&stream.Chunk{Conn: conn[k], Close: true, Time: now}) // no chunk to count
				conn[k] = nil
			}
			in = in[2+n:]
		}
		e.Flush()
		if len(open) > 0 {
			t.Fatalf("%d exchanges began and were never given on", len(open))
		}
		s := e.Stats()
		if got := s.Chunks.Load(); got != chunks {
			t.Errorf("%d chunks are counted, %d were put", got, chunks)
		}
		if got := s.Cut.Load(); got > cuts {
			t.Errorf("%d cuts are counted, %d chunks were cut", got, cuts)
		}
		if got := s.Holes.Load(); got > holes+cuts {
			t.Errorf("%d holes are counted, there were %d and %d chunks were cut", got, holes, cuts)
		}
		total := uint64(0)
		for i := range s.PerProto {
			total += s.PerProto[i].Exchanges.Load()
			if s.PerProto[i].Panics.Load() > 0 {
				t.Errorf("%s: a panic", s.PerProto[i].Name)
			}
		}
		if total != given {
			t.Errorf("%d exchanges are counted, %d were given on", total, given)
		}
	})
}
