package http2_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/net/http2"

	"github.com/hopscope/hopscope/internal/l7"
	ours "github.com/hopscope/hopscope/internal/l7/http2"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// TestRepeat: calls whose headers are all in the table are what they say, also
// when the table moves on and the same bytes come to mean something else, and when
// its size changes.
func TestRepeat(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	c, s := newWriter(), newWriter()
	c.buf.WriteString(http2.ClientPreface)
	c.fr.WriteSettings()
	s.fr.WriteSettings()
	var want, got []string
	e := session.New(session.Config{Protocols: []*l7.Protocol{ours.Protocol}}, func(x *session.Exchange) {
		agent, enc, code := "", "", int64(-1)
		for _, a := range append(x.Req.Msg.Attrs, x.Resp.Msg.Attrs...) {
			switch a.Key {
			case "user_agent.original":
				agent = a.Str
			case "hopscope.rpc.compression":
				enc = a.Str
			case "rpc.grpc.status_code":
				code = a.Int
			}
		}
		got = append(got, fmt.Sprint(x.Protocol.Name, " ", x.Req.Msg.Op, " ", x.Req.Msg.Domain, " ", agent, " ", enc, " ", x.Req.Msg.Session, " ", x.Req.Bytes, " ", code))
	})
	conn := &stream.Conn{ID: 1, Transport: l7.TCP, Role: stream.RoleClient, RoleConfidence: 255}
	var pos [2]uint64
	put := func(d stream.Dir, b []byte) int {
		e.Put(&stream.Chunk{Conn: conn, Dir: d, Pos: pos[d], Wire: uint32(len(b)), B: b, Time: 1})
		pos[d] += uint64(len(b))
		return len(b)
	}
	put(stream.FromA, c.take())
	repeated := 0
	last := ""
	for i := range 3000 {
		id := uint32(2*i + 1)
		method := fmt.Sprint("shop.v1.Orders/M", r.IntN(3)*r.IntN(2))
		agent, enc := fmt.Sprint("agent", r.IntN(50)/48), "identity"
		kv := []string{":method", "POST", ":scheme", "http", ":path", "/" + method, ":authority", "shop:50051", "content-type", "application/grpc", "user-agent", agent}
		if r.IntN(2) == 0 {
			enc = "gzip"
		}
		kv = append(kv, "grpc-encoding", enc)
		switch r.IntN(60) {
		case 0: // older entries get other numbers
			kv = append(kv, "x-new", fmt.Sprint(i))
		case 1:
			c.enc.SetMaxDynamicTableSize(uint32(r.IntN(3) * 200))
		case 2:
			c.enc.SetMaxDynamicTableSize(4096)
		}
		c.headers(id, false, kv...)
		head := c.take()
		if string(head[9:]) == last {
			repeated++
		}
		last = string(head[9:])
		n := put(stream.FromA, head)
		c.fr.WriteData(id, true, []byte{1, 0, 0, 0, 1, 'x'})
		n += put(stream.FromA, c.take())
		s.headers(id, false, ":status", "200", "content-type", "application/grpc")
		s.fr.WriteData(id, false, []byte{0, 0, 0, 0, 1, 'x'})
		code := r.IntN(20) / 18 * r.IntN(17)
		switch trailers := []string{"grpc-status", fmt.Sprint(code)}; {
		case code == 0 && r.IntN(40) == 0:
			s.headers(id, true, append(trailers, "x-load", fmt.Sprint(i))...)
		case code != 0 && r.IntN(2) == 0:
			s.headers(id, true, append(trailers, "grpc-message", "no")...)
		default:
			s.headers(id, true, trailers...)
		}
		put(stream.FromB, s.take())
		want = append(want, fmt.Sprint("grpc ", method, " shop:50051 ", agent, " ", enc, " ", id, " ", n, " ", code))
	}
	if len(got) != len(want) {
		t.Fatalf("%d calls, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("call %d: %q, want %q", i, got[i], want[i])
		}
	}
	if repeated < 300 {
		t.Errorf("only %d calls repeat the one before: this test shows little", repeated)
	}
}

// TestRepeatShifted: after one more entry the same bytes name the neighbours of
// what they named before.
func TestRepeatShifted(t *testing.T) {
	c := newWriter()
	c.buf.WriteString(http2.ClientPreface)
	c.fr.WriteSettings()
	const post, plain, proto = "\x83", "application/grpc", "application/grpc+proto"
	path := func(p string) string { return string([]byte{0x44, byte(len(p))}) + p }       // and enter it
	kind := func(v string) string { return string([]byte{0x5f, byte(len(v))}) + v }       // likewise
	once := func(v string) string { return string([]byte{0x0f, 0x10, byte(len(v))}) + v } // do not
	var want, began []string
	for i, call := range []struct{ block, op string }{
		{post + path("/s/One") + once(plain), "s/One"},
		{post + path("/s/Two") + once(plain), "s/Two"},
		{post + "\xbf" + kind(plain), "s/One"},
		{post + "\xbf" + kind(proto), "s/Two"},
		{post + "\xc1\xbf", "s/One"},
		{post + "\xc1\xbf", "s/One"},
		{post + "\xc1\xbf" + "\x40\x01x\x01y", "s/One"},
		{post + "\xc1\xbf", "s/Two"},
	} {
		c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: []byte(call.block), EndHeaders: true, EndStream: true})
		want = append(want, call.op)
	}
	conn := &stream.Conn{ID: 1, Transport: l7.TCP, Role: stream.RoleClient, RoleConfidence: 255}
	b := c.take()
	e := session.New(session.Config{Protocols: []*l7.Protocol{ours.Protocol}, Began: func(x *session.Exchange) { began = append(began, x.Req.Msg.Op) }},
		func(*session.Exchange) {})
	e.Put(&stream.Chunk{Conn: conn, Wire: uint32(len(b)), B: b, Time: 1})
	if fmt.Sprint(began) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", began, want)
	}
}

// TestAnswerShifted is TestRepeatShifted of trailers.
func TestAnswerShifted(t *testing.T) {
	c, s := newWriter(), newWriter()
	c.buf.WriteString(http2.ClientPreface)
	c.fr.WriteSettings()
	status := func(v string) string { return "\x40\x0bgrpc-status" + string([]byte{byte(len(v))}) + v } // and enter it
	var want, got []string
	for i, answer := range []struct{ block, code string }{
		{status("5"), "NOT_FOUND"},
		{status("0"), "OK"},
		{"\xbf", "NOT_FOUND"},
		{"\xbf", "NOT_FOUND"},
		{"\xbe" + "\x40\x01x\x01y", "OK"},
		{"\xbf", "OK"},
	} {
		id := uint32(2*i + 1)
		c.headers(id, true, ":method", "POST", ":path", "/s/One", "content-type", "application/grpc")
		s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte("\x88"), EndHeaders: true})
		s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte(answer.block), EndHeaders: true, EndStream: true})
		want = append(want, answer.code)
	}
	e := session.New(session.Config{Protocols: []*l7.Protocol{ours.Protocol}}, func(x *session.Exchange) { got = append(got, x.Resp.Msg.Code) })
	conn := &stream.Conn{ID: 1, Transport: l7.TCP, Role: stream.RoleClient, RoleConfidence: 255}
	for d, b := range [][]byte{c.take(), s.take()} {
		e.Put(&stream.Chunk{Conn: conn, Dir: stream.Dir(d), Wire: uint32(len(b)), B: b, Time: 1})
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}
}
