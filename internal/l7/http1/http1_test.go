package http1

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
)

func TestProtocol(t *testing.T) { l7test.Run(t, Protocol) }

func FuzzParse(f *testing.F) { l7test.Fuzz(f, Protocol) }

// FuzzAgain: a head that was read before is read as if it was new, whatever
// follows it.
func FuzzAgain(f *testing.F) {
	for _, s := range []string{string(benchReq), string(benchRes), "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x-y-z-and-more\r\n\r\n", "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"GET / HTTP/1.1\nHost: some.where.example\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n\n"} {
		f.Add(s, "", false)
		f.Add(s, "HEAD", true)
	}
	f.Fuzz(func(t *testing.T, s, method string, end bool) {
		for _, side := range []l7.Side{l7.Client, l7.Server} {
			read := func(text *l7.Text, s string) (int, l7.Message, parser, error) {
				m := l7.Message{Text: text}
				p := Protocol.New(l7.DefaultOptions()).(*parser)
				n, err := p.Parse(side, l7.Window{B: []byte(s), End: end, Req: &l7.Message{Op: method}}, &m)
				m.Text, m.Head, p.opt = nil, nil, nil
				if len(m.Attrs) == 0 {
					m.Attrs = nil
				}
				return n, m, *p, err
			}
			if len(s) == 0 {
				return
			}
			warm := new(l7.Text)
			for range 3 {
				read(warm, s)
			}
			for _, s := range []string{s, s[:len(s)-1] + "x", s[:len(s)/2] + "y" + s[len(s)/2+1-len(s)%2:], s} {
				n, m, p, err := read(new(l7.Text), s)
				n2, m2, p2, err2 := read(warm, s)
				if n != n2 || err != err2 || !reflect.DeepEqual(p, p2) || !reflect.DeepEqual(m, m2) {
					t.Fatalf("%q\nnew   %d %v %+v %+v\nagain %d %v %+v %+v", s, n, err, m, p, n2, err2, m2, p2)
				}
			}
		}
	})
}

// TestAgain: heads that repeat are known, and known ones give way.
func TestAgain(t *testing.T) {
	text := new(l7.Text)
	known := func(b []byte) bool {
		_, ok := text.Head(l7.Client, b)
		p, m := Protocol.New(l7.DefaultOptions()), l7.Message{Text: text}
		if n, err := p.Parse(l7.Client, l7.Window{B: b}, &m); n != len(b) || err != nil {
			t.Fatal(n, err)
		}
		return ok
	}
	other := bytes.Replace(benchReq, []byte("wrk"), []byte("abc"), 1) // the same slot
	for i, want := range []bool{false, true, true, true} {
		if got := known(benchReq); got != want {
			t.Errorf("%d: known %v", i, got)
		}
	}
	last := false
	for range 64 {
		last = known(other)
	}
	if !last {
		t.Error("a head that is no longer seen keeps its slot")
	}
}

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		head string
		want l7.Verdict
	}{
		{"GET / HTTP/1.1\r\n", l7.Request},
		{"GET / HTTP/1.1", l7.Request},
		{"GET /a.gif HT", l7.Request},
		{"GET /a.gif H", l7.More},
		{"GET /a.gif HX", l7.No},
		{"FOO /a.gif HT", l7.No},
		{"GE", l7.More},
		{"GET /a b HTTP/1.1\r\n", l7.Request},
		{"GET / HTTP/2.0\r\n", l7.No},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", l7.No},
		{"OPTIONS rtsp://h/ RTSP/1.0\r\n", l7.No},
		{"INVITE sip:a@b SIP/2.0\r\n", l7.No},
		{"FOO /x HTTP/1.1\r\n", l7.Request},
		{"FOO /x", l7.No},
		{"HTTP/1.1 200 OK\r\n", l7.Response},
		{"HTTP/1.1 200", l7.Response},
		{"HTTP/1", l7.More},
		{"HTTP/1.1 2x0 OK", l7.No},
		{"HTTP/1.7 200 OK", l7.No},
		{"\x16\x03\x01\x02\x00", l7.No},
		{"get key\r\n", l7.No},
		{"*1\r\n$4\r\nPING\r\n", l7.No},
		{"", l7.No},
	} {
		if got := detect([]byte(c.head)); got != c.want {
			t.Errorf("%q: %d, want %d", c.head, got, c.want)
		}
	}
}

// TestCutLine: of a request line that is cut behind the URL the URL is told, of
// one that is cut in it the method.
func TestCutLine(t *testing.T) {
	long := "/" + strings.Repeat("x", surely)
	for line, target := range map[string]string{"GET /images/box.gif HTT": "/images/box.gif", "GET " + long: ""} {
		m := l7.Message{Text: new(l7.Text)}
		n, err := Protocol.New(l7.DefaultOptions()).Parse(l7.Client, l7.Window{B: []byte(line), End: true}, &m)
		if n != len(line) || err != nil || m.Op != "GET" || m.Target != target {
			t.Errorf("%.30s: %d, %v, %s %q", line, n, err, m.Op, m.Target)
		}
	}
}

// TestHeaders: only what is allowed becomes an attribute, and credentials never.
func TestHeaders(t *testing.T) {
	o := l7.DefaultOptions()
	o.RequestHeaders = map[string]bool{"x-tenant": true, "authorization": true}
	o.ResponseHeaders = map[string]bool{"set-cookie": true, "etag": true}
	p := Protocol.New(o)
	m := l7.Message{Text: new(l7.Text)}
	req := []byte("GET / HTTP/1.1\r\nX-Tenant: t1\r\nX-Other: x\r\nAuthorization: Bearer secret\r\n\r\n")
	if n, err := p.Parse(l7.Client, l7.Window{B: req}, &m); n != len(req) || err != nil {
		t.Fatal(n, err)
	}
	want := []l7.Attr{
		{Key: "http.request.header.x-tenant", Str: "t1", Kind: l7.AttrList},
		{Key: "http.request.header.authorization", Str: "REDACTED", Kind: l7.AttrList},
	}
	if len(m.Attrs) != len(want) || m.Attrs[0] != want[0] || m.Attrs[1] != want[1] {
		t.Errorf("request: %+v", m.Attrs)
	}
	m.Reset()
	resp := []byte("HTTP/1.1 204 No Content\r\nETag: \"1\"\r\nSet-Cookie: sid=secret\r\n\r\n")
	if n, err := p.Parse(l7.Server, l7.Window{B: resp}, &m); n != len(resp) || err != nil {
		t.Fatal(n, err)
	}
	if len(m.Attrs) != 2 || m.Attrs[0].Str != `"1"` || m.Attrs[1].Str != "REDACTED" {
		t.Errorf("response: %+v", m.Attrs)
	}
}

var (
	benchReq = []byte("GET /api/item?id=3 HTTP/1.1\r\nHost: 10.77.0.2:8080\r\nUser-Agent: wrk/4.2\r\nAccept: */*\r\n\r\n")
	benchRes = []byte("HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\nhello, world")
)

func BenchmarkRequest(b *testing.B)  { benchmark(b, l7.Client, benchReq, 17) }
func BenchmarkResponse(b *testing.B) { benchmark(b, l7.Server, benchRes, 65) }

// BenchmarkAgain reads what was read before.
func BenchmarkAgain(b *testing.B) { benchmark(b, l7.Server, benchRes, -1) }

// benchmark reads msg, which has another digit at differs each time.
func benchmark(b *testing.B, side l7.Side, msg []byte, differs int) {
	p := Protocol.New(l7.DefaultOptions())
	m := l7.Message{Text: new(l7.Text)}
	msg = bytes.Clone(msg)
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Reset()
		if differs >= 0 {
			msg[differs] = '0' + byte(i%10)
		}
		if n, err := p.Parse(side, l7.Window{B: msg}, &m); n != len(msg) || err != nil {
			b.Fatal(n, err)
		}
	}
}
