package wasmhost

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// corpus finds a file of the shared corpus, or skips and says what is missing.
func corpus(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("HOPSCOPE_CORPUS")
	if root == "" {
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for dir != "/" && root == "" {
			if c := filepath.Join(dir, "shared", "corpus"); exists(c) {
				root = c
			}
			dir = filepath.Dir(dir)
		}
	}
	if p := filepath.Join(root, name); exists(p) {
		return p
	}
	t.Skipf("corpus file %s is not here (HOPSCOPE_CORPUS)", name)
	return ""
}

func exists(p string) bool { _, err := os.Stat(p); return err == nil }

func deepflowPlugin(t testing.TB) []byte {
	t.Helper()
	f, err := os.Open(corpus(t, "deepflow/plugins/wasm_test.wasm.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func load(t testing.TB, wasm []byte, l Limits) (*Plugin, *Instance) {
	t.Helper()
	p, err := Load(t.Context(), wasm, Config{Limits: l, Log: func(_ int, s string) {
		if testing.Verbose() {
			t.Log("plugin: ", s)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	in, err := p.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p, in
}

func testCtx(l7 uint8, d Direction) ParseCtx {
	c := ParseCtx{Src: netip.MustParseAddrPort("1.2.3.4:12345"), Dst: netip.MustParseAddrPort("5.6.7.8:8080"), Transport: 6, L7: l7,
		Process: "test_wasm", Time: 12345678, FlowID: 1234567, Payload: 999, Direction: d}
	if d == ToClient {
		c.Src, c.Dst = c.Dst, c.Src
	}
	return c
}

func ptr[T any](v T) *T { return &v }

// TestDeepFlowPlugin: a plugin nobody here wrote, built in 2023, gives what its
// own test expects of it.
func TestDeepFlowPlugin(t *testing.T) {
	for _, guarded := range []bool{false, true} {
		p, in := load(t, deepflowPlugin(t), Limits{Guarded: guarded, Call: time.Second})
		if !p.Hooks.HTTPRequest || !p.Hooks.HTTPResponse || !p.Hooks.Payload || p.Hooks.Custom || p.Hooks.Span {
			t.Fatalf("hooks %+v", p.Hooks)
		}
		do := func(h Hook, m *Message) *Message {
			t.Helper()
			if err := in.Do(h, m); err != nil {
				t.Fatalf("%v: %v", h, err)
			}
			return m
		}
		check := func(what string, got, want []Info) {
			t.Helper()
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s\n got %s\nwant %s", what, dump(got), dump(want))
			}
		}

		kv := func(pairs ...string) (out []KeyVal) {
			for i := 0; i < len(pairs); i += 2 {
				out = append(out, KeyVal{pairs[i], pairs[i+1]})
			}
			return out
		}

		m := do(OnHTTPRequest, &Message{Ctx: testCtx(0, ToServer),
			Payload: []byte("POST /test?a=1&b=2&c=test HTTP/1.1\r\nUser-Agent: deepflow\r\nreferer: aaa.com\r\nHost: abc.com\r\nContent-Type: application/json\r\n\r\n"),
			Req:     &HTTPRequest{Path: "/test?a=1&b=2&c=test", Host: "abc.com", UserAgent: "deepflow", Referer: "aaa.com"}})
		check("request", m.Infos, []Info{{Dialect: L1,
			Req:   &Request{Type: "rewrite req type", Domain: "rewrite domain", Resource: "rewrite resource", Endpoint: "rewrite endpoint"},
			Trace: &Trace{TraceID: "aaa", SpanID: "bbb", ParentSpanID: "ccc"},
			Attrs: kv("q", "1", "b", "2", "c", "test", "empty", "")}})

		m = do(OnHTTPResponse, &Message{Ctx: testCtx(0, ToClient),
			Payload: []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 38\r\n\r\n{\"data\":{\"user_id\":123, \"name\":\"kkk\"}}"),
			Resp:    &HTTPResponse{Code: 200}})
		check("response", m.Infos, []Info{{Dialect: L1,
			Resp:  &Response{Status: ptr(StatusServerError), Code: ptr(int32(599)), Result: "rewrite result", Exception: "rewrite exception"},
			Attrs: kv("user_id", "123", "username", "kkk")}})

		unknown := []byte("\x0a\x06domain\x12\x08resource\x1a\x04type\x22\x08endpoint")
		m = do(CheckPayload, &Message{Ctx: testCtx(0, ToServer), Payload: unknown})
		if m.Number != 1 || m.Name != "test" || m.Dir != ToServer {
			t.Errorf("check_payload: %d %q %d", m.Number, m.Name, m.Dir)
		}
		m = do(ParsePayload, &Message{Ctx: testCtx(1, ToServer), Payload: unknown})
		req := &Request{Type: "type", Domain: "domain", Resource: "resource", Endpoint: "endpoint"}
		twice := func(i Info, v1, v3 string) []Info {
			i.Dialect, i.ReqLen, i.RespLen, i.RequestID, i.IsEnd = L1, ptr(uint32(999)), ptr(uint32(9999)), ptr(uint32(666)), ptr(true)
			i.Trace = &Trace{TraceID: "11111", SpanID: "22222", ParentSpanID: "33333"}
			j := i
			i.Attrs, j.Attrs = kv("k1", v1, "k2", "v2"), kv("k3", v3, "k4", "v4")
			return []Info{i, j}
		}
		check("parse request", m.Infos, twice(Info{Req: req}, "", "v3"))
		m = do(ParsePayload, &Message{Ctx: testCtx(1, ToClient), Payload: []byte("\x08\xe7\x07\x12\x06result")})
		check("parse response", m.Infos, twice(Info{Resp: &Response{Status: ptr(StatusOK), Code: ptr(int32(999)), Result: "result", Exception: "exception"}}, "v1", ""))
	}
}

// TestHostile: whatever a plugin does, the host goes on and says what it was.
func TestHostile(t *testing.T) {
	wasm, err := os.ReadFile("testdata/hostile.wasm")
	if err != nil {
		t.Fatal(err)
	}
	p, _ := load(t, wasm, Limits{Memory: 4 << 20})
	for _, c := range []struct {
		mode, what string
		want       error
		dead       bool
	}{
		{"l", "endless loop", ErrTimeout, true},
		{"m", "endless work", ErrTimeout, true},
		{"h", "endless calls", ErrTimeout, true},
		{"c", "endless calls of its own", ErrTimeout, true},
		{"d", "endless short loops", ErrTimeout, true},
		{"f", "endless memset", ErrTimeout, true},
		{"g", "memory hog", nil, false},
		{"t", "trap", ErrTrap, true},
		{"w", "wild pointer for payload", ErrPointer, false},
		{"p", "wild pointer for result", ErrPointer, false},
		{"H", "huge result", ErrResult, false},
		{"b", "cut result", ErrResult, false},
		{"j", "unknown dialect", ErrResult, false},
		{"r", "recursion", ErrTrap, true},
		{"a", "unknown action", ErrAction, false},
		{"x", "nothing wrong", nil, false},
	} {
		in, err := p.New(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m := &Message{Ctx: testCtx(0, ToServer), Payload: []byte(c.mode)}
		start := time.Now()
		err = in.Do(ParsePayload, m)
		took := time.Since(start)
		if c.mode == "r" && errors.Is(err, ErrTimeout) {
			err = ErrTrap // whichever is first
		}
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
		if in.Dead() != c.dead {
			t.Errorf("%s: dead %v", c.what, in.Dead())
		}
		if err != nil && m.Infos != nil {
			t.Errorf("%s: left a result", c.what)
		}
		if in.Memory() > 4<<20 {
			t.Errorf("%s: has %d bytes", c.what, in.Memory())
		}
		t.Logf("%-25s %8v  %v", c.what, took.Round(time.Microsecond), err)
		in.Close(t.Context())
	}
	in, err := p.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := &Message{Ctx: testCtx(0, ToServer), Payload: []byte("x")}
	if err := in.Do(ParsePayload, m); err != nil || len(m.Infos) != 1 || m.Infos[0].Protocol != "survived" {
		t.Errorf("after all: %v, %s", err, dump(m.Infos))
	}
}
