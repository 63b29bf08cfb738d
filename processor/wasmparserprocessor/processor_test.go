package wasmparserprocessor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

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

// TestHostileBesideGood: every kind of failure leaves the spans as they were, is
// counted, puts the plugin aside in the end, and does not touch the other plugin.
func TestHostileBesideGood(t *testing.T) {
	p, sink := started(t,
		PluginConfig{Path: hostile, Limits: LimitsConfig{Failures: 6, Memory: 4 << 20}, Match: MatchConfig{Ports: []uint16{8080}}},
		PluginConfig{Path: hostile, Match: MatchConfig{Ports: []uint16{1}}})
	// check_payload of this plugin says no, so its hooks are called by hand.
	g := p.guests[0]
	b := batch{p: p, ctx: t.Context(), held: make([]held, 2)}
	b.held[0].l = g.ready(timeZero())
	for _, mode := range []string{"l", "t", "p", "H", "a"} {
		td := one(unparsed, mode, "")
		m := messageFor(spanOf(td), mode)
		if b.call(0, "", parsePayload, m) || m.Infos != nil {
			t.Errorf("%q: did not fail", mode)
		}
	}
	for i, want := range []uint64{1, 1, 1, 1, 1} {
		if got := g.failed[i].Load(); got != want {
			t.Errorf("failures by %s: %d, want %d", reasons[i], got, want)
		}
	}
	if g.asideUntil.Load() != 0 {
		t.Error("put aside too early")
	}
	b.call(0, "", parsePayload, messageFor(spanOf(one(unparsed, "t", "")), "t"))
	if g.asideUntil.Load() == 0 || g.ready(timeNow()) != nil {
		t.Error("was not put aside")
	}
	b.close()
	if p.guests[1].calls.Load() != 0 {
		t.Error("the other plugin was asked")
	}
	if err := p.ConsumeTraces(t.Context(), one("POST /pay", "x", "y")); err != nil {
		t.Fatal(err)
	}
	s := spanOf(sink.AllTraces()[0])
	if _, ok := s.Attributes().Get(semconv.PayloadRequest); ok {
		t.Error("payload was sent on")
	}
	if s.Name() != "POST /pay" || g.calls.Load() != 6 {
		t.Errorf("%q, %d calls", s.Name(), g.calls.Load())
	}
}

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

// TestReload: under load, with a good and a broken new file, no span is lost or
// doubled.
func TestReload(t *testing.T) {
	good, err := os.ReadFile(hostile)
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
	p, sink := started(t, PluginConfig{Path: path})
	const workers, each = 4, 300
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if err := p.ConsumeTraces(context.Background(), one("POST /pay", strings.Repeat("x", 100), "y")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 6 {
		if i%2 == 0 {
			write(append(append([]byte{}, good...), 0, 2, 1, byte('a'+i))) // one more custom section
		} else {
			write([]byte("broken"))
		}
		p.reload()
	}
	wg.Wait()
	g := p.guests[0]
	if sink.SpanCount() != workers*each || g.reloaded.Load() != 3 || g.refused.Load() != 3 {
		t.Errorf("%d spans, %d reloads, %d refused", sink.SpanCount(), g.reloaded.Load(), g.refused.Load())
	}
	if n := g.calls.Load(); n != 2*workers*each {
		t.Errorf("%d calls, want %d: one per hook and span", n, 2*workers*each)
	}
	for i := range reasons {
		if n := g.failed[i].Load(); n != 0 {
			t.Errorf("%d failures by %s", n, reasons[i])
		}
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

// BenchmarkUnmatched is what a span costs that no plugin is asked about.
func BenchmarkUnmatched(b *testing.B) {
	s := spanOf(one("POST /pay", "", ""))
	m := MatchConfig{Protocols: []string{"mysql"}}
	b.ReportAllocs()
	for b.Loop() {
		if m.fits(s, "shop") {
			b.Fatal("fits")
		}
	}
}
