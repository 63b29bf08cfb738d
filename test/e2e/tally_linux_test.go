package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/hopscope/hopscope/receiver/ebpfreceiver"
)

// tally runs the receiver in this process, captures one port, and counts spans
// instead of keeping them: these tests make hundreds of thousands. (This process
// is not captured; what talks has to be another one.)
type tally struct {
	t    *testing.T
	tel  *componenttest.Telemetry
	recv receiver.Traces
	mu   sync.Mutex
	n    map[string]int // "Client GET 200", ...
	odd  []string       // the first few that are not complete
	key  func(ptrace.Span) string
	// exchangesLost is what the receiver says, read before it stops.
	exchangesLost int64
}

// count starts to count. key says what spans are counted by, besides their kind.
func count(t *testing.T, key func(ptrace.Span) string, more func(*ebpfreceiver.Config), ports ...uint16) *tally {
	t.Helper()
	c := &tally{t: t, tel: componenttest.NewTelemetry(), n: map[string]int{}, key: key}
	f := ebpfreceiver.NewFactory()
	cfg := f.CreateDefaultConfig().(*ebpfreceiver.Config)
	cfg.Sockets.Include.Ports = ports
	if more != nil {
		more(cfg)
	}
	next, err := consumer.NewTraces(c.consume)
	if err != nil {
		t.Fatal(err)
	}
	set := receivertest.NewNopSettings(f.Type())
	set.TelemetrySettings = c.tel.NewTelemetrySettings()
	if c.recv, err = f.CreateTraces(context.Background(), set, cfg, next); err != nil {
		t.Fatal(err)
	}
	if err := c.recv.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *tally) consume(_ context.Context, td ptrace.Traces) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				c.n[s.Kind().String()+" "+c.key(s)]++
				if v, ok := s.Attributes().Get("hopscope.incomplete"); ok && len(c.odd) < 5 {
					c.odd = append(c.odd, fmt.Sprintf("%s %s %s %v", s.Kind(), s.Name(), v.Str(), s.Attributes().AsRaw()))
				}
			}
		}
	}
	return nil
}

// total is how many spans a kind has so far, of all keys with that prefix.
func (c *tally) total(prefix string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, v := range c.n {
		if strings.HasPrefix(k, prefix) {
			n += v
		}
	}
	return n
}

// settle waits until no span has come for a second.
func (c *tally) settle() {
	for last := -1; ; time.Sleep(time.Second) {
		n := c.total("")
		if n == last {
			return
		}
		last = n
	}
}

// stop ends capture, which reports what is still open.
func (c *tally) stop() {
	if err := c.recv.Shutdown(context.Background()); err != nil {
		c.t.Error(err)
	}
}

// metric adds up a metric of the receiver's, by its one attribute or "".
func (c *tally) metric(name string) (out map[string]int64) {
	c.t.Helper()
	m, err := c.tel.GetMetric("otelcol_receiver_ebpf_" + name)
	if err != nil {
		c.t.Fatal(err)
	}
	out = map[string]int64{}
	var points []metricdata.DataPoint[int64]
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		points = d.DataPoints
	case metricdata.Gauge[int64]:
		points = d.DataPoints
	}
	for _, p := range points {
		var k []string
		for _, a := range p.Attributes.ToSlice() {
			k = append(k, a.Value.AsString())
		}
		out[strings.Join(k, " ")] += p.Value
	}
	return out
}

// lost is the receiver's own count of what it lost, empty if nothing.
func (c *tally) lost() map[string]int64 {
	out := c.metric("dropped")
	maps.DeleteFunc(out, func(_ string, n int64) bool { return n == 0 })
	return out
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(c.n)) {
		fmt.Fprintf(&b, "%8d %s\n", c.n[k], k)
	}
	for _, o := range c.odd {
		fmt.Fprintf(&b, "incomplete: %s\n", o)
	}
	return b.String()
}

// byCode is method and status code.
func byCode(s ptrace.Span) string {
	return attr(s, "http.request.method") + " " + attr(s, "http.response.status_code")
}

func attr(s ptrace.Span, k string) string {
	v, ok := s.Attributes().Get(k)
	if !ok || v.Type() == pcommon.ValueTypeEmpty {
		return "-"
	}
	return v.AsString()
}
