// Package plugins has real traffic go through the ebpf receiver, each of the
// example plugins, and trace completion.
package plugins

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/hopscope/hopscope/processor/tracecompletionprocessor"
	"github.com/hopscope/hopscope/processor/wasmparserprocessor"
	"github.com/hopscope/hopscope/receiver/ebpfreceiver"
	"github.com/hopscope/hopscope/test/rig"
)

const examples = "../../examples/plugins"

// seen is a span, as far as these tests look.
type seen struct {
	name, service, trace, code string
	kind                       ptrace.SpanKind
	attr                       map[string]any
}

func (s seen) text(key string) string {
	if v, ok := s.attr[key]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

// pipeline starts ebpf -> wasmparser -> tracecompletion. What it gives ends them
// and returns the spans.
func pipeline(t *testing.T, ports []uint16, unparsed []uint16, plugins []wasmparserprocessor.PluginConfig) func() []seen {
	t.Helper()
	ctx, host := context.Background(), componenttest.NewNopHost()
	sink := new(consumertest.TracesSink)
	tf := tracecompletionprocessor.NewFactory()
	completion, err := tf.CreateTraces(ctx, processortest.NewNopSettings(tf.Type()), tf.CreateDefaultConfig(), sink)
	if err != nil {
		t.Fatal(err)
	}
	wf := wasmparserprocessor.NewFactory()
	wc := wf.CreateDefaultConfig().(*wasmparserprocessor.Config)
	wc.Plugins = plugins
	for i := range wc.Plugins { // this is no test of the limits, and the machine may be busy
		wc.Plugins[i].Limits.CallTimeout, wc.Plugins[i].Limits.InitTimeout = 5*time.Second, 20*time.Second
	}
	parser, err := wf.CreateTraces(ctx, processortest.NewNopSettings(wf.Type()), wc, completion)
	if err != nil {
		t.Fatal(err)
	}
	rf := ebpfreceiver.NewFactory()
	rc := rf.CreateDefaultConfig().(*ebpfreceiver.Config)
	rc.Sockets.Include.Ports = ports
	rc.Sockets.MaxCapture = 16 << 10
	rc.Payload.MaxBytes = 16 << 10
	rc.Unparsed.Ports = unparsed
	receiver, err := rf.CreateTraces(ctx, receivertest.NewNopSettings(rf.Type()), rc, parser)
	if err != nil {
		t.Fatal(err)
	}
	all := []component.Component{completion, parser, receiver}
	for _, c := range all {
		if err := c.Start(ctx, host); err != nil {
			t.Fatal(err)
		}
	}
	return func() []seen {
		t.Helper()
		time.Sleep(500 * time.Millisecond) // what the kernel still has
		for i := len(all) - 1; i >= 0; i-- {
			if err := all[i].Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
		}
		return read(t, sink.AllTraces())
	}
}

func read(t *testing.T, all []ptrace.Traces) (out []seen) {
	t.Helper()
	for _, td := range all {
		for _, rs := range td.ResourceSpans().All() {
			service, _ := rs.Resource().Attributes().Get("service.name")
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					for k := range s.Attributes().All() {
						if strings.HasPrefix(k, "hopscope.payload.") {
							t.Errorf("%s: %s left wasmparser", s.Name(), k)
						}
					}
					out = append(out, seen{s.Name(), service.AsString(), s.TraceID().String(), s.Status().Code().String(), s.Kind(), plain(s.Attributes())})
				}
			}
		}
	}
	return out
}

func plain(m pcommon.Map) map[string]any {
	out := map[string]any{}
	for k, v := range m.All() {
		out[k] = v.AsString()
	}
	return out
}

func prepare(t *testing.T, n int) (ports []uint16, text []string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: BPF programs could not be loaded")
	}
	for range n {
		p, err := rig.Port()
		if err != nil {
			t.Fatal(err)
		}
		ports, text = append(ports, uint16(p)), append(text, strconv.Itoa(p))
	}
	return ports, text
}

func plugin(name string, match wasmparserprocessor.MatchConfig) []wasmparserprocessor.PluginConfig {
	return []wasmparserprocessor.PluginConfig{{Path: filepath.Join(examples, name, "plugin.wasm"), Match: match}}
}

// TestHTTPStatus: of three answers of nginx, all 200, one is an error; in another
// the word is far into the body.
func TestHTTPStatus(t *testing.T) {
	if err := rig.Missing("nginx"); err != nil {
		t.Skipf("%v (make test installs it as root on Debian)", err)
	}
	_, _ = prepare(t, 0)
	nginx, err := rig.Nginx(t.TempDir(), 1,
		`location /pay/good { return 200 '{"OPT_STATUS":"OK"}'; }`,
		`location /pay/bad { return 200 '{"OPT_STATUS":"FAIL","OPT_MESSAGE":"no money"}'; }`,
		`location /pay/long { return 200 '{"padding":"`+strings.Repeat("x", 3500)+`","OPT_STATUS":"FAIL","OPT_MESSAGE":"at the end"}'; }`)
	if err != nil {
		t.Fatal(err)
	}
	defer nginx.Stop()
	end := pipeline(t, []uint16{uint16(nginx.Port)}, nil, plugin("http_status_rewrite",
		wasmparserprocessor.MatchConfig{Protocols: []string{"http"}, PathPrefix: "/pay", Status: []string{"ok"}}))
	client(t, "shop", "http", strconv.Itoa(nginx.Port))
	spans := end()
	want := map[string]string{"/pay/good": "Unset ok ", "/pay/bad": "Error server_error FAIL", "/pay/long": "Error server_error FAIL"}
	n := 0
	for _, s := range spans {
		w, ok := want[s.text("url.path")]
		if !ok {
			continue
		}
		n++
		if got := s.code + " " + s.text("hopscope.response.status") + " " + s.text("error.type"); got != w {
			t.Errorf("%s of %s: %s, want %s", s.text("url.path"), s.service, got, w)
		}
	}
	if n != 6 {
		t.Errorf("%d spans, want three at both ends:\n%v", n, spans)
	}
}

// joined wants the spans of both services, each at both ends, in one trace, and
// those of another number in another one.
func joined(t *testing.T, spans []seen, protocol, idAttr string, check func(seen)) {
	t.Helper()
	traces := map[string]map[string]bool{}
	ends := map[string]int{}
	for _, s := range spans {
		if s.text("network.protocol.name") != protocol {
			continue
		}
		id := s.text(idAttr)
		if traces[id] == nil {
			traces[id] = map[string]bool{}
		}
		traces[id][s.trace] = true
		ends[id+" "+s.service]++
		check(s)
	}
	for _, id := range []string{"tx-1001", "tx-1002"} {
		if len(traces[id]) != 1 {
			t.Errorf("%s: %d traces", id, len(traces[id]))
		}
	}
	for k := range traces["tx-1001"] {
		if traces["tx-1002"][k] {
			t.Error("two transactions are one trace")
		}
	}
	for _, w := range []string{"tx-1001 shop", "tx-1001 orders", "tx-1001 orders-worker", "tx-1001 stock", "tx-1002 shop", "tx-1002 orders"} {
		if ends[w] != 1 {
			t.Errorf("%d spans of %s, want 1: %v", ends[w], w, ends)
		}
	}
}

// business has transaction 1001 go through orders and, from another process and
// without any header, through stock; 1002 only through orders.
func business(t *testing.T, kind string, port []string) {
	server(t, "orders", kind, port[0])
	server(t, "stock", kind, port[1])
	client(t, "shop", kind, port[0], "tx-1001")
	client(t, "orders-worker", kind, port[1], "tx-1001")
	client(t, "shop", kind, port[0], "tx-1002")
}

func TestGRPCBusinessID(t *testing.T) {
	ports, text := prepare(t, 2)
	end := pipeline(t, ports, nil, plugin("grpc_business_id", wasmparserprocessor.MatchConfig{Protocols: []string{"grpc"}}))
	business(t, "grpc", text)
	joined(t, end(), "grpc", "app.transaction", func(s seen) {
		if s.name != "shop.Orders/Create" {
			t.Errorf("name %q", s.name)
		}
	})
}

func TestDubboIDs(t *testing.T) {
	ports, text := prepare(t, 2)
	end := pipeline(t, ports, nil, plugin("dubbo_ids", wasmparserprocessor.MatchConfig{Protocols: []string{"dubbo"}}))
	business(t, "dubbo", text)
	joined(t, end(), "dubbo", "hopscope.propagation.trace_id", func(s seen) {
		if got, want := s.text("hopscope.request_id.request"), "r-"+s.text("hopscope.propagation.trace_id"); got != want || s.text("app.entry_id") != "e-7" {
			t.Errorf("%s: request id %q, entry id %q", s.service, got, s.text("app.entry_id"))
		}
	})
}

// TestPrivateProtocol: pipelined, cut in odd places, answered backwards: every
// exchange is there at both ends, under one key, and what it says is right.
func TestPrivateProtocol(t *testing.T) {
	ports, text := prepare(t, 1)
	end := pipeline(t, ports, ports, plugin("private_protocol", wasmparserprocessor.MatchConfig{Ports: ports}))
	server(t, "store", "kv", text[0])
	client(t, "shop", "kv", text[0])
	ops, status := []string{"get", "put", "delete"}, []string{"ok", "client_error", "server_error"}
	byKey := map[string][]seen{}
	for _, s := range end() {
		if s.text("network.protocol.name") == "kv" {
			byKey[s.text("kv.key")] = append(byKey[s.text("kv.key")], s)
		}
	}
	for id := range kvRounds * kvPipe {
		key := fmt.Sprintf("key/%d", id)
		both := byKey[key]
		if len(both) != 2 {
			t.Errorf("%s: %d spans, want one of each end", key, len(both))
			continue
		}
		for _, s := range both {
			if s.name != ops[id%kvPipe] || s.text("hopscope.response.status") != status[id%3] || s.text("hopscope.session.type") != "session" ||
				s.text("hopscope.incomplete") != "" || (s.code == "Error") != (id%3 == 2 || id%3 == 1 && s.kind == ptrace.SpanKindClient) {
				t.Errorf("%s: %+v", key, s)
			}
		}
		a, b := both[0], both[1]
		if a.service == b.service || a.kind == b.kind || a.trace != b.trace {
			t.Errorf("%s: both ends are not one trace: %s %v %s, %s %v %s", key, a.service, a.kind, a.trace, b.service, b.kind, b.trace)
		}
		for _, k := range []string{"hopscope.exchange.lid", "hopscope.exchange.xid"} {
			if a.text(k) == "" || a.text(k) != b.text(k) {
				t.Errorf("%s: %s is %q and %q", key, k, a.text(k), b.text(k))
			}
		}
	}
}
