package wasmparserprocessor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/processor/wasmparserprocessor/internal/metadata"
)

const (
	hostile = "../../internal/wasmhost/testdata/hostile.wasm"
)

func started(t testing.TB, plugins ...PluginConfig) (*parser, *consumertest.TracesSink) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.Plugins, cfg.Reload = plugins, 0
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	sink := new(consumertest.TracesSink)
	p := newParser(cfg, processortest.NewNopSettings(metadata.Type), sink)
	if err := p.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p, sink
}

// one makes a batch of one span as the receiver gives it.
func one(name, req, resp string) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr(semconv.ProcessExecutableName, "shop")
	s := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	s.SetName(name)
	s.SetKind(ptrace.SpanKindClient)
	a := s.Attributes()
	a.PutStr(semconv.NetworkLocalAddress, "1.2.3.4")
	a.PutInt(semconv.NetworkLocalPort, 12345)
	a.PutStr(semconv.NetworkPeerAddress, "5.6.7.8")
	a.PutInt(semconv.NetworkPeerPort, 8080)
	a.PutStr(semconv.CapturePoint, "c-p")
	if name != unparsed {
		a.PutStr(semconv.NetworkProtocolName, "http")
		a.PutStr(httpMethod, "POST")
		a.PutStr(urlPath, "/pay/1")
		a.PutInt(httpStatus, 200)
		a.PutStr(semconv.ResponseStatus, "ok")
	}
	a.PutEmptyBytes(semconv.PayloadRequest).FromRaw([]byte(req))
	if resp != "" {
		a.PutEmptyBytes(semconv.PayloadResponse).FromRaw([]byte(resp))
	}
	return td
}

func spanOf(td ptrace.Traces) ptrace.Span {
	return td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
}

// TestHostileBesideGood: whatever a plugin does, the spans go on, another plugin
// does its work on them, the failure is counted by its reason, and one that does
// not end is stopped within twice its time.
func TestHostileBesideGood(t *testing.T) {
	const limit = 20 * time.Millisecond
	p, sink := started(t,
		PluginConfig{Path: hostile, Limits: LimitsConfig{CallTimeout: limit, Failures: 1000, Memory: 4 << 20}},
		PluginConfig{Path: headC, Limits: LimitsConfig{CallTimeout: 5 * time.Second}})
	g := p.guests[0]
	want := map[string]uint64{}
	for _, c := range []struct{ mode, reason string }{
		{"l", "timeout"}, {"m", "timeout"}, {"h", "timeout"}, {"c", "timeout"}, {"f", "timeout"}, {"t", "trap"},
		{"w", "pointer"}, {"p", "pointer"}, {"H", "result"}, {"b", "result"}, {"j", "result"}, {"a", "action"}, {"g", ""}, {"x", ""},
	} {
		fastest := time.Hour
		tries := 1
		if c.reason == "timeout" {
			tries = 5 // others run on this machine too: the best of some counts
		}
		for range tries {
			sink.Reset()
			spent := g.spent.Load()
			if err := p.ConsumeTraces(t.Context(), one("POST /pay", "!"+c.mode+" HTTP/1.1\r\nA: b\r\n\r\n", "y")); err != nil {
				t.Fatal(err)
			}
			fastest = min(fastest, time.Duration(g.spent.Load()-spent))
			if c.reason != "" {
				want[c.reason]++
			}
			s := spanOf(sink.AllTraces()[0])
			wanted := int64(1)
			if c.reason == "" {
				wanted = 0 // it says that no other is to be asked
			}
			if n := integer(s.Attributes(), "app.fields"); s.Name() != "POST /pay" || n != wanted {
				t.Errorf("%s: %q, the other plugin found %d fields", c.mode, s.Name(), n)
			}
			if _, ok := s.Attributes().Get(semconv.PayloadRequest); ok {
				t.Errorf("%s: payload was sent on", c.mode)
			}
		}
		if c.reason == "timeout" {
			t.Logf("%s: stopped after %v", c.mode, fastest)
			if fastest < limit || fastest > 2*limit {
				t.Errorf("%s: stopped after %v, its time is %v", c.mode, fastest, limit)
			}
		}
	}
	for i, r := range reasons {
		if n := g.failed[i].Load(); n != want[r] {
			t.Errorf("%d failures by %s, want %d", n, r, want[r])
		}
	}
	// Recursion ends by whichever is first: its stack or its time.
	if err := p.ConsumeTraces(t.Context(), one("POST /pay", "!r", "y")); err != nil {
		t.Fatal(err)
	}
	total := uint64(0)
	for i := range reasons {
		total += g.failed[i].Load()
		if n := p.guests[1].failed[i].Load(); n != 0 {
			t.Errorf("the other plugin: %d failures by %s", n, reasons[i])
		}
	}
	for _, n := range want {
		total -= n
	}
	if total != 1 {
		t.Errorf("recursion: %d failures", total)
	}
}

// TestAside: a plugin that fails again and again is not asked for a while, and the
// status of the component says so until it answers.
func TestAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := &statusHost{Host: componenttest.NewNopHost()}
		p, sink := started(t, PluginConfig{Path: hostile, Limits: LimitsConfig{Failures: 3, Aside: time.Minute}})
		g := p.guests[0]
		g.host = host
		ask := func(payload string) {
			if err := p.ConsumeTraces(t.Context(), one("POST /pay", payload, "")); err != nil {
				t.Fatal(err)
			}
		}
		for range 5 {
			ask("!t")
		}
		// Each span is two calls, of which one answers; the third is one.
		if n := g.calls.Load(); n != 5 || sink.SpanCount() != 5 {
			t.Errorf("%d calls, %d spans", n, sink.SpanCount())
		}
		if len(host.events) != 1 || host.events[0].Status() != componentstatus.StatusRecoverableError || !strings.Contains(host.events[0].Err().Error(), "plugin hostile failed 3 times") {
			t.Errorf("events %v", host.events)
		}
		time.Sleep(time.Minute + time.Second)
		ask("fine")
		if n := g.calls.Load(); n != 7 || len(host.events) != 2 || host.events[1].Status() != componentstatus.StatusOK {
			t.Errorf("%d calls, events %v", n, host.events)
		}
	})
}

type statusHost struct {
	component.Host
	events []*componentstatus.Event
}

func (h *statusHost) Report(e *componentstatus.Event) { h.events = append(h.events, e) }

// TestUnparsedDropped: what no plugin knows does not leave, and is counted.
func TestUnparsedDropped(t *testing.T) {
	p, sink := started(t, PluginConfig{Path: hostile})
	if err := p.ConsumeTraces(t.Context(), one(unparsed, "hello", "")); err != nil {
		t.Fatal(err)
	}
	p.send(p.end())
	if sink.SpanCount() != 0 || p.dropped[dropUnknown].Load() != 1 || p.guests[0].calls.Load() != 1 {
		t.Errorf("%d spans, %d dropped, %d calls", sink.SpanCount(), p.dropped[dropUnknown].Load(), p.guests[0].calls.Load())
	}
}

// TestMatch: a span that does not fit costs no call.
func TestMatch(t *testing.T) {
	s := spanOf(one("POST /pay", "", ""))
	for _, c := range []struct {
		m    MatchConfig
		want bool
	}{
		{MatchConfig{}, true},
		{MatchConfig{Protocols: []string{"http"}, Ports: []uint16{8080}, Processes: []string{"shop"}, Methods: []string{"POST"}, PathPrefix: "/pay", Status: []string{"ok"}}, true},
		{MatchConfig{Protocols: []string{"mysql"}}, false},
		{MatchConfig{Ports: []uint16{12345}}, false},
		{MatchConfig{Processes: []string{"nginx"}}, false},
		{MatchConfig{Methods: []string{"GET"}}, false},
		{MatchConfig{PathPrefix: "/x"}, false},
		{MatchConfig{Status: []string{"server_error"}}, false},
	} {
		if got := c.m.fits(s, "shop"); got != c.want {
			t.Errorf("%+v: %v", c.m, got)
		}
	}
}

// TestReload: under load, with good and broken new files, no span is lost, doubled
// or left out by the plugin; one of DeepFlow's, whose flows stay with an instance,
// and one of ours.
func TestReload(t *testing.T) {
	for _, file := range []string{hostile, headC} {
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "p.wasm")
		write := func(b []byte) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Error(err)
			}
		}
		write(good)
		p, sink := started(t, PluginConfig{Path: path, Limits: LimitsConfig{CallTimeout: 5 * time.Second, InitTimeout: 20 * time.Second}})
		const workers, reloads = 4, 12
		var wg sync.WaitGroup
		stop := make(chan struct{})
		var sent [workers]int
		for w := range workers {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					td := one("POST /pay", "POST /pay HTTP/1.1\r\nX-Order: 1\r\n\r\n", "y")
					spanOf(td).SetSpanID([8]byte{byte(w), byte(sent[w] >> 16), byte(sent[w] >> 8), byte(sent[w]), 1})
					if err := p.ConsumeTraces(context.Background(), td); err != nil {
						t.Error(err)
					}
					sent[w]++
				}
			})
		}
		for i := range reloads {
			if i%2 == 0 {
				write(append(append([]byte{}, good...), 0, 2, 1, byte('a'+i))) // one more custom section
			} else {
				write([]byte("broken"))
			}
			p.reload()
		}
		close(stop)
		wg.Wait()
		total := 0
		for _, n := range sent {
			total += n
		}
		seen := map[[8]byte]int{}
		for _, td := range sink.AllTraces() {
			s := spanOf(td)
			seen[s.SpanID()]++
			if _, ok := s.Attributes().Get("app.order"); ok != (file == headC) {
				t.Fatal("a span was left out")
			}
		}
		g := p.guests[0]
		if sink.SpanCount() != total || len(seen) != total || g.reloaded.Load() != reloads/2 || g.refused.Load() != reloads/2 {
			t.Errorf("%d spans sent, %d came, %d of them different; %d reloads, %d refused", total, sink.SpanCount(), len(seen), g.reloaded.Load(), g.refused.Load())
		}
		each := uint64(1)
		if file == hostile {
			each = 2 // hooks
		}
		if n := g.calls.Load(); n != each*uint64(total) {
			t.Errorf("%d calls for %d spans", n, total)
		}
		for i := range reasons {
			if n := g.failed[i].Load(); n != 0 {
				t.Errorf("%d failures by %s", n, reasons[i])
			}
		}
		t.Logf("%d spans through %d versions of %s", total, reloads/2+1, filepath.Base(file))
	}
}

// TestConfig: what is wrong is said by its key.
func TestConfig(t *testing.T) {
	c := &Config{Reload: -1, Plugins: []PluginConfig{{SHA256: "x", Limits: LimitsConfig{Memory: 1}}}}
	err := c.Validate()
	for _, want := range []string{"reload:", "plugins::0::path:", "plugins::0::sha256:", "plugins::0::limits::memory:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	pinned := &Config{Plugins: []PluginConfig{{Path: hostile, SHA256: strings.Repeat("0", 64)}}}
	p := newParser(pinned, processortest.NewNopSettings(metadata.Type), consumertest.NewNop())
	if err := p.Start(t.Context(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "sha256") {
		t.Errorf("a file that is not the pinned one: %v", err)
	}
}
