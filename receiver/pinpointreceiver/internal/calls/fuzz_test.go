package calls_test

import (
	"bytes"
	"net/netip"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
)

// conversation is what an agent sends: a stream with two messages, one of them
// over two frames, and a call.
func conversation() []byte {
	var b, hb bytes.Buffer
	b.WriteString(http2.ClientPreface)
	fr, e := http2.NewFramer(&b, nil), hpack.NewEncoder(&hb)
	head := func(id uint32, path string) {
		hb.Reset()
		for _, f := range [][2]string{{":method", "POST"}, {":path", path}, {"agentid", "a1"}, {"applicationname", "shop"}, {"starttime", "1795244932506"}, {"apikey", "secret"}} {
			e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: hb.Bytes(), EndHeaders: true})
	}
	fr.WriteSettings()
	head(1, "/v1.Span/SendSpan")
	fr.WriteData(1, false, []byte("\x00\x00\x00\x00\x06sp"))
	head(3, "/v1.Agent/RequestAgentInfo")
	fr.WriteData(3, true, []byte("\x00\x00\x00\x00\x02in"))
	fr.WriteData(1, false, []byte("an 1\x00\x00\x00\x00\x01x"))
	return b.Bytes()
}

func conn() *stream.Conn {
	return &stream.Conn{ID: 1, Transport: l7.TCP, A: netip.MustParseAddrPort("10.0.0.1:40000"), B: netip.MustParseAddrPort("10.0.0.2:9993"), Role: stream.RoleClient, RoleConfidence: 255}
}

// TestPieces: the same messages however the bytes are cut, and of an agent that
// is known by its headers; its key is nowhere.
func TestPieces(t *testing.T) {
	b := conversation()
	for n := 1; n <= len(b); n++ {
		var got []string
		s := calls.New([]uint16{9993}, func(m *calls.Message) {
			if m.Call.AgentID != "a1" || m.Call.StartTime != "1795244932506" || !m.Client {
				t.Fatalf("%+v", m.Call.Header)
			}
			got = append(got, m.Call.Path+" "+string(m.Body))
		})
		c := conn()
		for at := 0; at < len(b); at += n {
			p := bytes.Clone(b[at:min(len(b), at+n)])
			s.Put(&stream.Chunk{Conn: c, Dir: stream.FromA, Pos: uint64(at), Wire: uint32(len(p)), B: p})
			for i := range p {
				p[i] = 0xa5 // lent, and taken back
			}
		}
		if len(got) != 3 || got[0] != "/v1.Agent/RequestAgentInfo in" || got[1] != "/v1.Span/SendSpan span 1" || got[2] != "/v1.Span/SendSpan x" {
			t.Fatalf("in pieces of %d: %q", n, got)
		}
	}
}

// FuzzSniffer: bytes, holes and cuts of any kind; what is kept is bounded.
func FuzzSniffer(f *testing.F) {
	f.Add(conversation(), uint8(0))
	f.Add(conversation(), uint8(5))
	f.Fuzz(func(t *testing.T, b []byte, how uint8) {
		s := calls.New([]uint16{9993}, func(m *calls.Message) {
			if len(m.Body) > calls.MaxMessage {
				t.Fatalf("a message of %d bytes", len(m.Body))
			}
		})
		c := conn()
		c.Midstream = how&1 != 0
		pos := [2]uint64{}
		for i := 0; len(b) > 0; i++ {
			n := min(len(b), 1+int(b[0])%200)
			d := stream.Dir(i % 7 / 6) // mostly the agent's
			if how&4 != 0 && i%5 == 4 {
				pos[d] += uint64(b[0])
			}
			wire := n
			if how&8 != 0 && i%3 == 2 {
				wire += 50
			}
			s.Put(&stream.Chunk{Conn: c, Dir: d, Pos: pos[d], Wire: uint32(wire), B: b[:n]})
			pos[d] += uint64(wire)
			b = b[n:]
		}
		s.Put(&stream.Chunk{Conn: c, Close: true})
	})
}

// BenchmarkSniffer is an agent that sends spans of 1.5 KB on one stream.
func BenchmarkSniffer(b *testing.B) {
	var out bytes.Buffer
	fr := http2.NewFramer(&out, nil)
	body := append([]byte{0, 0, 0, 5, 220}, bytes.Repeat([]byte("s"), 1500)...)
	for range 10 {
		fr.WriteData(1, false, body)
	}
	data := out.Bytes()
	n := 0
	s := calls.New([]uint16{9993}, func(*calls.Message) { n++ })
	c := conn()
	head := conversation()
	s.Put(&stream.Chunk{Conn: c, Dir: stream.FromA, Wire: uint32(len(head)), B: head})
	pos := uint64(len(head))
	const segment = 1448
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var ch stream.Chunk
	for b.Loop() {
		for at := 0; at < len(data); at += segment {
			p := data[at:min(len(data), at+segment)]
			ch = stream.Chunk{Conn: c, Dir: stream.FromA, Pos: pos, Wire: uint32(len(p)), B: p}
			s.Put(&ch)
			pos += uint64(len(p))
		}
	}
	if n < 10*b.N {
		b.Fatalf("%d messages in %d rounds", n, b.N)
	}
}
