package http2_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/hopscope/hopscope/internal/l7"
	ours "github.com/hopscope/hopscope/internal/l7/http2"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// tap records what both ends of a connection write, in order.
type tap struct {
	mu     sync.Mutex
	chunks []chunk
	pos    [2]uint64
}

type chunk struct {
	side l7.Side
	pos  uint64
	b    []byte
}

// tapped is one end; what it writes goes through the tap.
type tapped struct {
	net.Conn
	t *tap
}

func (c *tapped) add(side l7.Side, b []byte) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.t.chunks = append(c.t.chunks, chunk{side, c.t.pos[side], bytes.Clone(b)})
	c.t.pos[side] += uint64(len(b))
}

func (c *tapped) Write(b []byte) (int, error) {
	c.add(l7.Client, b)
	return c.Conn.Write(b)
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.add(l7.Server, b[:n])
	}
	return n, err
}

// play gives what the tap has from chunk from on to an engine.
func (t *tap) play(from int, drop func(i int) bool, f func(*session.Exchange)) *session.Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := session.New(session.Config{Protocols: []*l7.Protocol{ours.Protocol}}, f)
	conn := &stream.Conn{ID: 1, Transport: l7.TCP, A: netip.MustParseAddrPort("10.0.0.1:40000"), B: netip.MustParseAddrPort("10.0.0.2:50051"),
		Role: stream.RoleClient, RoleConfidence: 255, Midstream: from > 0}
	for i, c := range t.chunks[from:] {
		if drop != nil && drop(from+i) {
			continue
		}
		e.Put(&stream.Chunk{Conn: conn, Dir: stream.Dir(c.side), Pos: c.pos, Seq: uint32(c.pos), Wire: uint32(len(c.b)), Time: int64(1e18 + i), B: c.b})
	}
	e.Put(&stream.Chunk{Conn: conn, Close: true})
	return e.Stats()
}

// raw passes messages on as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)   { return v.([]byte), nil }
func (raw) Unmarshal(b []byte, v any) error { *v.(*[]byte) = bytes.Clone(b); return nil }
func (raw) Name() string                    { return "proto" }

var _ encoding.Codec = raw{}

// serve answers any method: Fail... fails with the code in its message, Watch...
// sends three messages, others echo.
func serve(_ any, s grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(s)
	var b []byte
	for {
		if err := s.RecvMsg(&b); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		switch {
		case strings.Contains(name, "/Fail"):
			return status.Error(codes.Code(len(b)), "as told: é")
		case strings.Contains(name, "/Watch"):
			for range 3 {
				if err := s.SendMsg(b); err != nil {
					return err
				}
			}
			return nil
		}
		if err := s.SendMsg(b); err != nil {
			return err
		}
	}
}

// grpcGo is a client of grpc-go and what it and its server say; stop ends them.
func grpcGo(t testing.TB) (*tap, *grpc.ClientConn, func()) {
	lis := bufconn.Listen(1 << 20)
	srv := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(serve))
	go srv.Serve(lis)
	tp := &tap{}
	cc, err := grpc.NewClient("passthrough:///shop", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			c, err := lis.DialContext(ctx)
			return &tapped{c, tp}, err
		}))
	if err != nil {
		t.Fatal(err)
	}
	return tp, cc, func() {
		cc.Close()
		srv.Stop()
	}
}

// TestGRPC is a real client and server: every call is found as they had it, from
// the start, and from the middle.
func TestGRPC(t *testing.T) {
	tp, cc, stop := grpcGo(t)
	defer stop()
	want := map[string]int{}
	expect := func(method string, c codes.Code, sent, got int) {
		want[fmt.Sprintf("%s %d %d/%d", method, c, sent, got)]++
	}
	ctx := context.Background()
	var out []byte
	big := bytes.Repeat([]byte("big"), 100_000)
	for i := range 60 {
		body := bytes.Repeat([]byte("x"), 1+i%16)
		switch i % 5 {
		case 0:
			if err := cc.Invoke(ctx, "/shop.v1.Orders/Get", body, &out); err != nil {
				t.Fatal(err)
			}
			expect("shop.v1.Orders/Get", codes.OK, 1, 1)
		case 1:
			err := cc.Invoke(ctx, "/shop.v1.Orders/FailIt", body, &out)
			expect("shop.v1.Orders/FailIt", status.Code(err), 1, 0)
		case 2:
			if err := cc.Invoke(ctx, "/shop.v1.Orders/Put", big, &out, grpc.UseCompressor("gzip")); err != nil {
				t.Fatal(err)
			}
			expect("shop.v1.Orders/Put", codes.OK, 1, 1)
		case 3:
			if err := cc.Invoke(ctx, "/shop.v1.Orders/Big", big, &out); err != nil {
				t.Fatal(err)
			}
			expect("shop.v1.Orders/Big", codes.OK, 1, 1)
		case 4:
			s, err := cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/shop.v1.Feed/Watch")
			if err != nil {
				t.Fatal(err)
			}
			s.SendMsg(body)
			s.CloseSend()
			n := 0
			for s.RecvMsg(&out) == nil {
				n++
			}
			expect("shop.v1.Feed/Watch", codes.OK, 1, n)
		}
	}
	stop()
	found := map[string]int{}
	tp.play(0, nil, func(x *session.Exchange) { found[call(x)]++ })
	for k, n := range want {
		if found[k] != n {
			t.Errorf("%s: found %d, made %d", k, found[k], n)
		}
	}
	for k, n := range found {
		if want[k] != n {
			t.Errorf("%s: found %d, made %d", k, n, want[k])
		}
	}

	// From the middle, and with chunks missing: less, but nothing that is not so.
	total := len(tp.chunks)
	for _, c := range []struct {
		from int
		drop func(int) bool
		name string
	}{
		{total / 2, nil, "from the middle"},
		{0, func(i int) bool { return i > 20 && i%23 == 0 }, "with holes"},
	} {
		left, whole, seen := map[string]int{}, 0, 0
		for k, n := range want {
			left[k] = n
		}
		tp.play(c.from, c.drop, func(x *session.Exchange) {
			k := call(x)
			if x.Protocol == ours.GRPC {
				seen++
			}
			if strings.Contains(k, "?") || x.Protocol != ours.GRPC {
				return // not all of it is known
			}
			if left[k]--; left[k] < 0 {
				t.Errorf("%s: invented %s", c.name, k)
			}
			whole++
		})
		t.Logf("%s: %d calls, %d of them whole", c.name, seen, whole)
		// In the middle grpc-go names the method by a table entry for good.
		if seen < 20 || c.from == 0 && whole == 0 {
			t.Errorf("%s: %d calls, %d of them whole", c.name, seen, whole)
		}
	}
}

// call is what the truth has of a call; ? where the exchange does not tell.
func call(x *session.Exchange) string {
	sent, got, code := "?", "?", "?"
	for _, h := range []*session.Half{&x.Req, &x.Resp} {
		for _, a := range h.Msg.Attrs {
			switch a.Key {
			case "hopscope.rpc.request.messages":
				sent = fmt.Sprint(a.Int)
			case "hopscope.rpc.response.messages":
				got = fmt.Sprint(a.Int)
			case "rpc.grpc.status_code":
				code = fmt.Sprint(a.Int)
			}
		}
	}
	op := x.Req.Msg.Op
	if op == "" {
		op = "?"
	}
	return fmt.Sprintf("%s %s %s/%s", op, code, sent, got)
}

// TestNetHTTP is net/http's client and server without TLS, many requests at once.
func TestNetHTTP(t *testing.T) {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	lis := bufconn.Listen(1 << 20)
	srv := &http.Server{Protocols: &p, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		var code int
		fmt.Sscanf(r.URL.Path, "/status/%d", &code)
		w.Header().Set("X-Request-Id", r.Header.Get("X-Request-Id"))
		w.WriteHeader(code)
		if code != 204 {
			fmt.Fprint(w, strings.Repeat("body ", 1000))
		}
	})}
	go srv.Serve(lis)
	defer srv.Close()
	tp := &tap{}
	tr := &http.Transport{Protocols: &p, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := lis.DialContext(ctx)
		return &tapped{c, tp}, err
	}}
	want := map[string]int{}
	do := func(method string, code, i int) {
		req, _ := http.NewRequest(method, fmt.Sprintf("http://shop/status/%d?secret=%d", code, i), strings.NewReader(strings.Repeat("q", i*100)))
		req.Header.Set("X-Request-Id", fmt.Sprintf("%s-%d-%d", method, code, i))
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	do("GET", 200, 0) // one connection, made by one
	want["GET /status/200 200 GET-200-0"]++
	var wg sync.WaitGroup
	for i, code := range []int{200, 204, 302, 404, 500, 503} {
		for _, m := range []string{"GET", "POST", "DELETE"} {
			for k := range 5 {
				want[fmt.Sprintf("%s /status/%d %d %s-%d-%d", m, code, code, m, code, i*10+k)]++
				wg.Go(func() { do(m, code, i*10+k) })
			}
		}
	}
	wg.Wait()
	tr.CloseIdleConnections()
	srv.Close()
	found := map[string]int{}
	tp.play(0, nil, func(x *session.Exchange) {
		if x.Protocol != ours.HTTP || x.Req.Msg.Version != "2" || x.Req.Msg.Domain != "shop" || x.Req.Msg.Trace.RequestID != x.Resp.Msg.Trace.RequestID {
			t.Errorf("%+v", x.Req.Msg)
		}
		found[fmt.Sprintf("%s %s %s %s", x.Req.Msg.Op, x.Req.Msg.Target, x.Resp.Msg.Code, x.Req.Msg.Trace.RequestID)]++
	})
	for k, n := range want {
		if found[k] != n {
			t.Errorf("%s: found %d, made %d", k, found[k], n)
		}
	}
	if len(found) != len(want) {
		t.Errorf("%d kinds found, %d made", len(found), len(want))
	}
}
