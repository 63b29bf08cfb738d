package wasmparserprocessor

import (
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

// TestStatusRewrite builds the example with the stock compiler and asks it.
func TestStatusRewrite(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a plugin")
	}
	path := built(t, "../../examples/plugins/http_status_rewrite")
	// The machine that runs tests may be busy: this is no test of the limit.
	p, sink := started(t, PluginConfig{Path: path, Settings: map[string]string{"ok": "FINE"}, Limits: LimitsConfig{CallTimeout: 5 * time.Second, InitTimeout: 20 * time.Second}})
	for _, body := range []string{`{"OPT_STATUS":"FAIL","OPT_MESSAGE":"no money"}`, `{"OPT_STATUS":"FINE"}`, `{"OPT_STATUS":"FA`} {
		if err := p.ConsumeTraces(t.Context(), one("POST /pay", "x", "HTTP/1.1 200 OK\r\n\r\n"+body)); err != nil {
			t.Fatal(err)
		}
	}
	for i, td := range sink.AllTraces() {
		s := spanOf(td)
		failed := s.Status().Code() == ptrace.StatusCodeError
		if failed != (i == 0) {
			t.Errorf("%d: failed %v", i, failed)
		}
		if failed && (s.Status().Message() != "no money" || text(s.Attributes(), "error.type") != "FAIL") {
			t.Errorf("%q %v", s.Status().Message(), s.Attributes().AsRaw())
		}
	}
	g := p.guests[0]
	if g.calls.Load() != 3 || g.changed.Load() != 1 {
		t.Errorf("%d calls, %d changed", g.calls.Load(), g.changed.Load())
	}
	for i := range reasons {
		if n := g.failed[i].Load(); n != 0 {
			t.Errorf("%d failures by %s", n, reasons[i])
		}
	}
}
