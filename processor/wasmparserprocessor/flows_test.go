package wasmparserprocessor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/wasmhost"
)

const testdata = "../../internal/wasmhost/testdata/"

// from is a span of a connection of its own.
func from(port int, payload string) ptrace.Traces {
	td := one("POST /pay", payload, "")
	spanOf(td).Attributes().PutInt(semconv.NetworkLocalPort, int64(port))
	return td
}

// TestState: what a plugin keeps is kept with the connection, not by a call that
// failed, and of the connection used longest ago it is forgotten first.
func TestState(t *testing.T) {
	p, sink := started(t, PluginConfig{Path: testdata + "state.wasm", Limits: LimitsConfig{CallTimeout: 5 * time.Second}})
	p.guests[0].states.max = 2
	var got []int64
	for _, c := range []struct {
		port    int
		payload string
	}{{1, "x"}, {2, "x"}, {1, "x"}, {1, "!"}, {1, "x"}, {2, "x"}, {3, "x"}, {1, "x"}, {3, "x"}} {
		sink.Reset()
		give(t, p, from(c.port, c.payload))
		got = append(got, integer(spanOf(sink.AllTraces()[0]).Attributes(), "app.count"))
	}
	if want := []int64{1, 1, 2, 0, 3, 2, 1, 1, 2}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counts %v, want %v", got, want)
	}
}

// TestAffinity: all calls about one connection see one memory.
func TestAffinity(t *testing.T) {
	p, sink := started(t, PluginConfig{Path: testdata + "affinity.wasm", Limits: LimitsConfig{CallTimeout: 5 * time.Second}})
	l := p.guests[0].now.Load()
	l.pins = make([]pin, 4)
	last := map[int]int64{}
	for i := range 400 {
		sink.Reset()
		port := i % 10
		give(t, p, from(port, "x"))
		n := integer(spanOf(sink.AllTraces()[0]).Attributes(), "app.calls")
		if n <= last[port] {
			t.Fatalf("connection %d: call %d after call %d", port, n, last[port])
		}
		last[port] = n
	}
	var total int64
	for _, n := range last {
		total = max(total, n)
	}
	used := 0
	for i := range l.pins {
		if l.pins[i].in != nil {
			used++
		}
	}
	if used < 2 || total > 400-40 {
		t.Errorf("%d instances were used, the last call of one was its %d.", used, total)
	}
}

// TestDeepFlowSDK: a plugin in the shape of DeepFlow's SDK, built with the stock
// compiler: HTTP hooks, and a session of a request and a response, each of which it
// tells of in two parts.
func TestDeepFlowSDK(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a plugin")
	}
	p, sink := started(t, PluginConfig{Path: built(t, testdata+"dfgo"), Limits: LimitsConfig{CallTimeout: 5 * time.Second, InitTimeout: 20 * time.Second}})
	k := &talk{}
	give(t, p, k.say(wasmhost.ToServer, "Q 7 why"))
	give(t, p, k.say(wasmhost.ToServer, "Q 8 how"))
	give(t, p, k.say(wasmhost.ToClient, "A 8 so"))
	give(t, p, k.say(wasmhost.ToClient, "A 7 because"))
	give(t, p, one("POST /pay", "x", "y"))
	var spans []ptrace.Span
	for _, td := range sink.AllTraces() {
		spans = append(spans, spanOf(td))
	}
	if len(spans) != 3 || p.sessions[outcomePaired].Load() != 2 {
		t.Fatalf("%d spans, %d sessions", len(spans), p.sessions[outcomePaired].Load())
	}
	for i, want := range []map[string]string{
		{"app.Q": "how", "app.A": "so", semconv.SessionRequestID: "8"},
		{"app.Q": "why", "app.A": "because", semconv.SessionRequestID: "7"},
	} {
		want[semconv.NetworkProtocolName], want[semconv.ResponseStatus], want[semconv.SessionType] = "qa", "client_error", semconv.TypeSession
		want[semconv.ExceptionMessage] = "no"
		has(t, spans[i], want)
		if spans[i].Name() != "ask it" || spans[i].Status().Code() != ptrace.StatusCodeError {
			t.Errorf("%q, %v", spans[i].Name(), spans[i].Status().Code())
		}
	}
	has(t, spans[2], map[string]string{semconv.PropagationTraceID: "/pay/1", semconv.PropagationFormat: formatCustom, "app.who": "shop 1.2.3.4:12345 8080 ",
		httpStatus: "599", semconv.ResponseStatus: "server_error", semconv.ExceptionMessage: "so it says"})
}

func has(t *testing.T, s ptrace.Span, want map[string]string) {
	t.Helper()
	for key, v := range want {
		if got := text(s.Attributes(), key); got != v {
			t.Errorf("%s: %s is %q, want %q", s.Name(), key, got, v)
		}
	}
}

// built is a plugin of stock Go.
func built(t testing.TB, dir string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "built.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, dir)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	return out
}

// TestCustomMessages: they are raised for the protocols that DeepFlow raises them
// for, with what it says of each.
func TestCustomMessages(t *testing.T) {
	for _, c := range []struct {
		protocol string
		hooks    wasmhost.Hooks
		want     string
	}{
		{"nats", wasmhost.Hooks{Custom: true, CustomType: 104}, "104 \x0a\x04subj\x12\x05reply\x1a\x05hello"},
		{"nats", wasmhost.Hooks{Custom: true, CustomType: 40}, ""},
		{"nats", wasmhost.Hooks{Custom: true, CustomAll: true, CustomType: 40}, "104 \x0a\x04subj\x12\x05reply\x1a\x05hello"},
		{"dubbo", wasmhost.Hooks{Custom: true, CustomType: 40}, "40 "},
		{"rocketmq", wasmhost.Hooks{Custom: true, CustomAll: true}, "107 "},
		{"zmtp", wasmhost.Hooks{Custom: true, CustomType: 106}, "106 \x12\x19PUB subj reply 5\r\nhello\r\n"},
		{"kafka", wasmhost.Hooks{Custom: true, CustomAll: true}, ""},
		{"dubbo", wasmhost.Hooks{Custom: true, CustomPoint: 1, CustomType: 40}, ""},
	} {
		s := spanOf(one("publish", "PUB subj reply 5\r\nhello\r\n", ""))
		a := s.Attributes()
		a.PutStr(semconv.NetworkProtocolName, c.protocol)
		a.PutStr(messagingDestination, "subj")
		a.PutStr(messagingConversation, "reply")
		got := ""
		if h, m, ok := customMessage(s, "shop", wasmhost.ToServer, c.hooks); ok {
			got = fmt.Sprintf("%d %s", m.Custom.TypeCode, m.Custom.Proto)
			if h != wasmhost.OnCustomMessage || m.Ctx.L7 != 0 || !strings.HasPrefix(string(m.Payload), "PUB") {
				t.Errorf("%s: %v, %+v", c.protocol, h, m)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.protocol, got, c.want)
		}
	}
}
