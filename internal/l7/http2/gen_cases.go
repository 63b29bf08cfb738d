//go:build ignore

// Writes the bytes of the cases in testdata with golang.org/x/net/http2; what is
// in them is left to `go test -update`.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// end is one side of a connection.
type end struct {
	dir  string
	buf  bytes.Buffer
	fr   *http2.Framer
	hbuf bytes.Buffer
	enc  *hpack.Encoder
}

type conn struct {
	out  strings.Builder
	c, s *end
}

func newConn(about string) *conn {
	x := &conn{}
	for line := range strings.SplitSeq(about, "\n") {
		if !strings.HasPrefix(line, "@") {
			line = "# " + line
		}
		x.out.WriteString(line + "\n")
	}
	mk := func(dir string) *end {
		e := &end{dir: dir}
		e.fr = http2.NewFramer(&e.buf, nil)
		e.fr.AllowIllegalWrites = true
		e.enc = hpack.NewEncoder(&e.hbuf)
		return e
	}
	x.c, x.s = mk(">"), mk("<")
	return x
}

// send writes what e has buffered as one chunk.
func (x *conn) send(e *end) {
	fmt.Fprintf(&x.out, "%s x\"%x\"\n", e.dir, e.buf.Bytes())
	e.buf.Reset()
}

func (e *end) block(kv ...string) []byte {
	e.hbuf.Reset()
	for i := 0; i < len(kv); i += 2 {
		e.enc.WriteField(hpack.HeaderField{Name: kv[i], Value: kv[i+1]})
	}
	return bytes.Clone(e.hbuf.Bytes())
}

func (e *end) headers(id uint32, end bool, kv ...string) *end {
	e.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: e.block(kv...), EndHeaders: true, EndStream: end})
	return e
}

func (e *end) data(id uint32, end bool, b string) *end { e.fr.WriteData(id, end, []byte(b)); return e }

func msg(b string) string {
	n := len(b)
	return string([]byte{0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + b
}

func (x *conn) write(name string) {
	path := "testdata/" + name + ".txt"
	want := ""
	if b, err := os.ReadFile(path); err == nil {
		_, want, _ = strings.Cut(string(b), "\n----\n")
	}
	if err := os.WriteFile(path, []byte(x.out.String()+"----\n"+want), 0o644); err != nil {
		log.Fatal(err)
	}
}

func (x *conn) open() {
	x.c.buf.WriteString(http2.ClientPreface)
	x.c.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}, http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: 8192})
	x.send(x.c)
	x.s.fr.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 16384})
	x.s.fr.WriteSettingsAck()
	x.send(x.s)
	x.c.fr.WriteSettingsAck()
}

func grpcReq(path string, more ...string) []string {
	return append([]string{":method", "POST", ":scheme", "http", ":path", path, ":authority", "shop:50051", "content-type", "application/grpc",
		"user-agent", "grpc-go/1.81.1", "te", "trailers"}, more...)
}

func main() {
	x := newConn("Prior knowledge: preface, a GET with a query, a POST with a body, an error; two streams at once.")
	x.open()
	x.c.headers(1, true, ":method", "GET", ":scheme", "http", ":path", "/orders/4711?user=bob&page=2", ":authority", "shop.example:8080", "user-agent", "curl/8.1", "accept", "*/*")
	x.send(x.c)
	x.c.headers(3, false, ":method", "POST", ":scheme", "http", ":path", "/orders", ":authority", "shop.example:8080", "content-length", "10", "content-type", "application/json",
		"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-request-id", "req-7", "authorization", "Bearer s3cret")
	x.c.data(3, false, "{\"a\":")
	x.send(x.c)
	x.s.headers(1, false, ":status", "200", "content-type", "text/html", "content-length", "11").data(1, true, "hello world")
	x.send(x.s)
	x.c.data(3, true, "true}")
	x.send(x.c)
	x.s.headers(3, false, ":status", "503", "x-request-id", "req-7").data(3, false, "sorry")
	x.s.fr.WritePing(false, [8]byte{1})
	x.s.data(3, true, "")
	x.send(x.s)
	x.c.headers(5, true, ":method", "GET", ":scheme", "http", ":path", "/missing", ":authority", "shop.example:8080")
	x.send(x.c)
	x.s.headers(5, true, ":status", "404")
	x.send(x.s)
	x.write("prior_knowledge")

	x = newConn("gRPC: a unary call, one with an error in its trailers, one that is answered by trailers only.")
	x.open()
	x.c.headers(1, false, grpcReq("/shop.v1.Orders/Get", "grpc-timeout", "999m", "sw8", "1-dHJhY2U=-c2Vn-3-c3Zj-aW5z-L2E=-Yjo4MA==")...).data(1, true, msg("order-4711"))
	x.send(x.c)
	x.s.fr.WriteWindowUpdate(0, 15)
	x.s.headers(1, false, ":status", "200", "content-type", "application/grpc").data(1, false, msg("the order")).headers(1, true, "grpc-status", "0", "grpc-message", "")
	x.send(x.s)
	x.c.headers(3, false, grpcReq("/shop.v1.Orders/Get", "grpc-timeout", "5S")...).data(3, true, msg("x"))
	x.c.headers(5, false, grpcReq("/shop.v1.Orders/Pay")...).data(5, true, msg(""))
	x.send(x.c)
	x.s.headers(3, false, ":status", "200", "content-type", "application/grpc").headers(3, true, "grpc-status", "5", "grpc-message", "no such order: 100%25")
	x.send(x.s)
	x.s.headers(5, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "13", "grpc-message", "boom")
	x.send(x.s)
	x.write("grpc_unary")

	x = newConn("gRPC streams: messages over several frames, several in one frame, a prefix cut in two; both ways at once.")
	x.open()
	x.c.headers(1, false, grpcReq("/shop.v1.Feed/Watch", "grpc-encoding", "gzip")...)
	x.send(x.c)
	x.s.headers(1, false, ":status", "200", "content-type", "application/grpc+proto")
	x.send(x.s)
	a := msg("first message of the client")
	x.c.data(1, false, a[:3])
	x.send(x.c)
	x.c.data(1, false, a[3:20])
	x.send(x.c)
	x.s.data(1, false, msg("one")+msg("two")+msg("three"))
	x.send(x.s)
	x.c.data(1, false, a[20:]+"\x01\x00\x00\x00\x03abc")
	x.c.fr.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, []byte("\x04"+msg("padded")+"\x00\x00\x00\x00"))
	x.send(x.c)
	x.c.data(1, true, "")
	x.send(x.c)
	x.s.data(1, false, msg("four")).headers(1, true, "grpc-status", "0")
	x.send(x.s)
	x.write("grpc_stream")

	x = newConn("Streams that end early: the client cancels, the server resets, the server goes away.")
	x.open()
	for i := range uint32(5) {
		x.c.headers(2*i+1, false, grpcReq(fmt.Sprintf("/shop.v1.Orders/Op%d", i))...)
	}
	x.c.headers(11, true, ":method", "GET", ":scheme", "http", ":path", "/late", ":authority", "shop")
	x.send(x.c)
	x.s.headers(1, false, ":status", "200", "content-type", "application/grpc").data(1, false, msg("part"))
	x.send(x.s)
	x.c.fr.WriteRSTStream(1, http2.ErrCodeCancel)
	x.send(x.c)
	x.s.fr.WriteRSTStream(3, http2.ErrCodeRefusedStream)
	x.s.fr.WriteGoAway(1<<31-1, http2.ErrCodeNo, []byte("max_age"))
	x.send(x.s)
	x.s.fr.WriteGoAway(5, http2.ErrCodeNo, []byte("max_age"))
	x.send(x.s)
	x.c.fr.WriteRSTStream(5, http2.ErrCodeCancel)
	x.c.fr.WriteGoAway(0, http2.ErrCodeNo, nil)
	x.send(x.c)
	x.write("reset")

	x = newConn("Header blocks in many frames, padded, with priority; interim answers; trailers of plain HTTP; a push that nobody asked for; frames that nobody knows.")
	x.open()
	b := x.c.block(":method", "PUT", ":scheme", "http", ":path", "/files/a.txt", ":authority", "files", "expect", "100-continue", "cookie", "id=s3cret")
	x.c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:7], PadLength: 9, Priority: http2.PriorityParam{StreamDep: 0, Weight: 200}})
	x.c.fr.WriteContinuation(1, false, b[7:20])
	x.c.fr.WriteContinuation(1, false, nil)
	x.c.fr.WriteContinuation(1, true, b[20:])
	x.c.fr.WritePriority(1, http2.PriorityParam{Weight: 3})
	x.send(x.c)
	x.s.headers(1, false, ":status", "100")
	x.s.fr.WriteRawFrame(0x10, 0, 0, []byte("\x00\x00\x00\x01u=1"))
	x.send(x.s)
	x.c.data(1, false, "content").headers(1, true, "x-checksum", "abcd")
	x.send(x.c)
	x.s.fr.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true, BlockFragment: x.s.block(":method", "GET", ":scheme", "http", ":path", "/style.css", ":authority", "files")})
	x.s.headers(2, false, ":status", "200", "x-pushed", "1").data(2, true, "body{}")
	x.s.headers(1, false, ":status", "201", "x-pushed", "1").data(1, false, "done").headers(1, true, "x-trailer", "t")
	x.send(x.s)
	x.write("blocks")

	x = newConn("Triple is gRPC with headers of its own; events; a WebSocket in a stream.")
	x.open()
	x.c.headers(1, false, grpcReq("/org.apache.dubbo.Greeter/hello", "tri-service-version", "1.0.0", "tri-consumer-appname", "front")...).data(1, true, msg("hi"))
	x.c.headers(3, true, ":method", "GET", ":scheme", "http", ":path", "/events", ":authority", "shop", "accept", "text/event-stream")
	x.c.headers(5, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/chat", ":authority", "shop")
	x.send(x.c)
	x.s.headers(1, false, ":status", "200", "content-type", "application/grpc+proto").data(1, false, msg("hello")).headers(1, true, "grpc-status", "0")
	x.s.headers(3, false, ":status", "200", "content-type", "text/event-stream")
	x.s.headers(5, false, ":status", "200")
	x.send(x.s)
	x.s.data(3, false, "data: 1\n\n")
	x.send(x.s)
	x.c.data(5, false, "\x81\x82....")
	x.send(x.c)
	x.s.data(5, false, "\x81\x02hi").data(3, true, "data: 2\n\n")
	x.send(x.s)
	x.c.data(5, true, "\x88")
	x.send(x.c)
	x.s.data(5, true, "\x88")
	x.send(x.s)
	x.write("on_top")

	x = newConn("@ optional truncated\nA proxy's answer to a gRPC call. Where the request's headers are cut, all that is known is HTTP: POST and 503.")
	x.open()
	x.c.headers(7, false, grpcReq("/shop.v1.Orders/Get")...).data(7, true, msg("x"))
	x.send(x.c)
	x.s.headers(7, false, ":status", "503", "content-type", "text/plain").data(7, true, "no healthy upstream")
	x.send(x.s)
	x.write("proxy_answer")

	// What came before the capture is dropped: its tables are not.
	x = newConn("@ midstream\n@ optional cut\nPicked up late: header tables are unknown. What can't be told is left out; literals, stream and timing are there; gRPC is recognised by its messages.")
	for _, r := range []int{0, 1} {
		x.c.headers(1, false, grpcReq("/shop.v1.Orders/Get", "grpc-timeout", "1S")...)
		x.s.headers(1, false, ":status", "200", "content-type", "application/grpc").headers(1, true, "grpc-status", "0", "grpc-message", "")
		_ = r
	}
	x.c.headers(1, true, ":method", "GET", ":scheme", "http", ":path", "/a", ":authority", "shop:50051")
	x.c.buf.Reset()
	x.s.buf.Reset()
	x.c.headers(101, false, grpcReq("/shop.v1.Orders/Get", "grpc-timeout", "2S")...).data(101, true, msg("one"))
	x.send(x.c)
	x.s.headers(101, false, ":status", "200", "content-type", "application/grpc").data(101, false, msg("1")).headers(101, true, "grpc-status", "0", "grpc-message", "")
	x.send(x.s)
	x.c.headers(103, true, ":method", "GET", ":scheme", "http", ":path", "/a", ":authority", "shop:50051")
	x.c.headers(105, false, ":method", "POST", ":scheme", "http", ":path", "/a", ":authority", "shop:50051").data(105, true, "a=b&c=d")
	x.c.headers(107, false, grpcReq("/shop.v1.Orders/New", "grpc-timeout", "2S")...).data(107, true, msg("two"))
	x.send(x.c)
	x.s.headers(103, true, ":status", "200").headers(105, true, ":status", "500")
	x.s.headers(107, false, ":status", "200", "content-type", "application/grpc").headers(107, true, "grpc-status", "9", "grpc-message", "not now")
	x.send(x.s)
	x.write("midstream")
}
