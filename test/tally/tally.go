// Package tally runs the eBPF receiver in the process of a test and counts its
// spans.
package tally

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
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/hopscope/hopscope/receiver/ebpfreceiver"
)

// Tally runs the receiver in this process and counts spans instead of keeping
// them: tests make hundreds of thousands. (This process is not captured; what
// talks has to be another one.)
type Tally struct {
	t    *testing.T
	tel  *componenttest.Telemetry
	recv receiver.Traces
	mu   sync.Mutex
	n    map[string]int
	odd  []string // the first few that are not complete
	key  func(ptrace.Span) string
}

// Count starts to count. key says what spans are counted by; configure may be
// nil.
func Count(t *testing.T, key func(ptrace.Span) string, configure func(*ebpfreceiver.Config)) *Tally {
	t.Helper()
	return CountFlows(t, key, nil, configure)
}

// CountFlows counts flow records, too, by flowKey if that is not nil.
func CountFlows(t *testing.T, key func(ptrace.Span) string, flowKey func(plog.LogRecord) string, configure func(*ebpfreceiver.Config)) *Tally {
	t.Helper()
	c := &Tally{t: t, tel: componenttest.NewTelemetry(), n: map[string]int{}, key: key}
	f := ebpfreceiver.NewFactory()
	cfg := f.CreateDefaultConfig().(*ebpfreceiver.Config)
	if configure != nil {
		configure(cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
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
	if flowKey != nil {
		logs, err := consumer.NewLogs(func(_ context.Context, l plog.Logs) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, rl := range l.ResourceLogs().All() {
				for _, sl := range rl.ScopeLogs().All() {
					for _, r := range sl.LogRecords().All() {
						c.n[flowKey(r)]++
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.CreateLogs(context.Background(), set, cfg, logs); err != nil { // the same receiver
			t.Fatal(err)
		}
	}
	if err := c.recv.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	return c
}

// Roomy has a ring that holds a whole run: the load of tests takes all of the
// machine, and they are about counts without loss.
func Roomy(c *ebpfreceiver.Config) {
	c.Sockets.RingSize = 256 << 20
	c.Batch.Queue = 1 << 12
}

func (c *Tally) consume(_ context.Context, td ptrace.Traces) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				c.n[c.key(s)]++
				if v, ok := s.Attributes().Get("hopscope.incomplete"); ok && len(c.odd) < 5 {
					c.odd = append(c.odd, fmt.Sprintf("%s %s %s %v", s.Kind(), s.Name(), v.Str(), s.Attributes().AsRaw()))
				}
			}
		}
	}
	return nil
}

// Total is how many spans there are so far of all keys with that prefix.
func (c *Tally) Total(prefix string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, v := range c.n {
		if strings.HasPrefix(k, prefix) {
			n += v
		}
	}
	return n
}

// Settle waits until no span has come for a second.
func (c *Tally) Settle() {
	for last := -1; ; time.Sleep(time.Second) {
		n := c.Total("")
		if n == last {
			return
		}
		last = n
	}
}

// Stop ends capture, which reports what is still open.
func (c *Tally) Stop() {
	if err := c.recv.Shutdown(context.Background()); err != nil {
		c.t.Error(err)
	}
}

// Metric adds up a metric of the receiver's, by its one attribute or "".
func (c *Tally) Metric(name string) (out map[string]int64) {
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

// Lost is the receiver's own count of what it lost, empty if nothing.
func (c *Tally) Lost() map[string]int64 {
	out := c.Metric("dropped")
	maps.DeleteFunc(out, func(_ string, n int64) bool { return n == 0 })
	return out
}

// String lists the counts, and what was not complete.
func (c *Tally) String() string {
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

// Attr is an attribute as text; "-" if it is not there.
func Attr(s ptrace.Span, k string) string {
	v, ok := s.Attributes().Get(k)
	if !ok || v.Type() == pcommon.ValueTypeEmpty {
		return "-"
	}
	return v.AsString()
}
