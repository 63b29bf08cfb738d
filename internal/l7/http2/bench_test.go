package http2_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/hopscope/hopscope/internal/l7"
	ours "github.com/hopscope/hopscope/internal/l7/http2"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// writer makes the bytes of one end.
type writer struct {
	buf, hbuf bytes.Buffer
	fr        *http2.Framer
	enc       *hpack.Encoder
}

func newWriter() *writer {
	w := &writer{}
	w.fr, w.enc = http2.NewFramer(&w.buf, nil), hpack.NewEncoder(&w.hbuf)
	return w
}

func (w *writer) headers(id uint32, end bool, kv ...string) {
	w.hbuf.Reset()
	for i := 0; i < len(kv); i += 2 {
		w.enc.WriteField(hpack.HeaderField{Name: kv[i], Value: kv[i+1]})
	}
	w.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: w.hbuf.Bytes(), EndHeaders: true, EndStream: end})
}

func (w *writer) take() []byte {
	b := bytes.Clone(w.buf.Bytes())
	w.buf.Reset()
	return b
}

// BenchmarkCall is one unary gRPC call from bytes to exchange: request headers
// with a deadline that is new each time, a message, the answer with its
// trailers, and a window update and a ping in between. Traced has a traceparent
// too, which is new each time.
func BenchmarkCall(b *testing.B) {
	b.Run("plain", func(b *testing.B) { call1(b) })
	b.Run("traced", func(b *testing.B) { call1(b, "traceparent") })
}

// BenchmarkRealCall is a unary call on a connection of grpc-go, as its two ends
// wrote it, after the first ones: all header fields are in the tables. With a
// deadline each call brings a new grpc-timeout. cpu-ns/call leaves out what
// others did on the machine.
func BenchmarkRealCall(b *testing.B) {
	b.Run("plain", func(b *testing.B) { realCalls(b, context.Background()) })
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	b.Run("deadline", func(b *testing.B) { realCalls(b, ctx) })
}

func realCalls(b *testing.B, ctx context.Context) {
	const first, calls = 100, 1000
	tp, cc, stop := grpcGo(b)
	defer stop()
	body, out := bytes.Repeat([]byte("m"), 60), []byte(nil)
	from := 0
	for i := range first + calls {
		if i == first {
			from = len(tp.chunks)
		}
		if err := cc.Invoke(ctx, "/shop.v1.Orders/Get", body, &out); err != nil {
			b.Fatal(err)
		}
	}
	tp.mu.Lock()
	defer tp.mu.Unlock()
	found := 0
	e := session.New(session.Config{Protocols: []*l7.Protocol{ours.Protocol}}, func(x *session.Exchange) {
		if x.Protocol != ours.GRPC || x.Req.Msg.Op != "shop.v1.Orders/Get" || x.Resp.Msg.Code != "OK" || x.Req.Msg.Domain == "" {
			b.Fatalf("%s %q %q", x.Protocol.Name, x.Req.Msg.Op, x.Resp.Msg.Code)
		}
		found++
	})
	var conn *stream.Conn
	var ch stream.Chunk
	now := int64(0)
	put := func(chunks []chunk) (bytes int) {
		for i := range chunks {
			c := &chunks[i]
			now += 1000
			ch = stream.Chunk{Conn: conn, Dir: stream.Dir(c.side), Pos: c.pos, Seq: uint32(c.pos), Wire: uint32(len(c.b)), Time: now, B: c.b}
			e.Put(&ch)
			bytes += len(c.b)
		}
		return bytes
	}
	b.ReportAllocs()
	before, rounds := cpu(), 0
	for b.Loop() {
		// One operation is all calls: the tables have to be those of the connection.
		b.StopTimer()
		spent := cpu()
		conn = &stream.Conn{ID: 1, Transport: l7.TCP, A: netip.MustParseAddrPort("10.0.0.1:40000"), B: netip.MustParseAddrPort("10.0.0.2:50051"),
			Role: stream.RoleClient, RoleConfidence: 255}
		put(tp.chunks[:from])
		found = 0
		before += cpu() - spent
		b.StartTimer()
		put(tp.chunks[from:])
		b.StopTimer()
		spent = cpu()
		if found != calls {
			b.Fatalf("%d calls found, %d made", found, calls)
		}
		e.Put(&stream.Chunk{Conn: conn, Close: true})
		before += cpu() - spent
		rounds++
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rounds*calls), "ns/call")
	b.ReportMetric(float64(cpu()-before)/float64(rounds*calls), "cpu-ns/call")
}

// cpu is the time that this process has computed, in nanoseconds.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func call1(b *testing.B, more ...string) {
	const calls = 2000
	c, s := newWriter(), newWriter()
	var in [2][][]byte
	c.buf.WriteString(http2.ClientPreface)
	c.fr.WriteSettings()
	s.fr.WriteSettings()
	msg := append([]byte{0, 0, 0, 0, 60}, bytes.Repeat([]byte("m"), 60)...)
	bytesPerCall := 0
	for i := range uint32(calls) {
		id := 2*i + 1
		kv := []string{":method", "POST", ":scheme", "http", ":path", "/shop.v1.Orders/Get", ":authority", "shop:50051", "content-type", "application/grpc",
			"user-agent", "grpc-go/1.81.1", "te", "trailers", "grpc-timeout", fmt.Sprintf("%du", 990000+i)}
		for _, k := range more {
			kv = append(kv, k, fmt.Sprintf("00-0af7651916cd43dd8448eb21%08x-b7ad6b71%08x-01", i, i))
		}
		c.headers(id, false, kv...)
		c.fr.WriteData(id, true, msg)
		s.fr.WriteWindowUpdate(0, 65)
		s.fr.WritePing(false, [8]byte{1})
		s.headers(id, false, ":status", "200", "content-type", "application/grpc")
		s.fr.WriteData(id, false, msg)
		s.headers(id, true, "grpc-status", "0", "grpc-message", "")
		in[0], in[1] = append(in[0], c.take()), append(in[1], s.take())
		bytesPerCall = len(in[0][i]) + len(in[1][i])
	}
	found := 0
	e := session.New(session.Config{Protocols: []*l7.Protocol{ours.Protocol}}, func(x *session.Exchange) {
		if x.Protocol != ours.GRPC || x.Resp.Msg.Code != "OK" {
			b.Fatalf("%s %q", x.Protocol.Name, x.Resp.Msg.Code)
		}
		found++
	})
	var conn *stream.Conn
	var pos [2]uint64
	i, want := calls, 0
	var ch stream.Chunk
	b.ReportAllocs()
	b.SetBytes(int64(bytesPerCall))
	for b.Loop() {
		if i == calls {
			if conn != nil {
				e.Put(&stream.Chunk{Conn: conn, Close: true})
			}
			i, pos = 0, [2]uint64{}
			conn = &stream.Conn{ID: 1, Transport: l7.TCP, A: netip.MustParseAddrPort("10.0.0.1:40000"), B: netip.MustParseAddrPort("10.0.0.2:50051"),
				Role: stream.RoleClient, RoleConfidence: 255}
		}
		for d := range in {
			p := in[d][i]
			ch = stream.Chunk{Conn: conn, Dir: stream.Dir(d), Pos: pos[d], Seq: uint32(pos[d]), Wire: uint32(len(p)), Time: int64(i), B: p}
			e.Put(&ch)
			pos[d] += uint64(len(p))
		}
		i++
		want++
	}
	if found != want {
		b.Fatalf("%d calls found, %d made", found, want)
	}
}
