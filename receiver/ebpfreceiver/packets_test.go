package ebpfreceiver

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/hopscope/hopscope/receiver/ebpfreceiver/internal/metadata"
)

// capturedFile is a capture of 427 HTTP exchanges on 16 connections, one of
// which is not HTTP's.
func capturedFile(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if c := os.Getenv("HOPSCOPE_CORPUS"); c != "" {
		return filepath.Join(c, "packets/live/http1-keepalive.vlan.pcap.gz")
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		f := filepath.Join(dir, "shared/corpus/packets/live/http1-keepalive.vlan.pcap.gz")
		if _, err := os.Stat(f); err == nil {
			return f
		}
	}
	t.Skip("no corpus: neither HOPSCOPE_CORPUS nor ../shared/corpus is there")
	return ""
}

// TestCaptureFile: spans, flow records and their metrics of a capture come out
// of one receiver, all of them, with nobody's sockets captured.
func TestCaptureFile(t *testing.T) {
	f := NewFactory()
	cfg := f.CreateDefaultConfig().(*Config)
	cfg.Sockets.Mode = modeOff
	cfg.Packets.Mode = modeFile
	cfg.Packets.Files = []string{capturedFile(t)}
	cfg.Packets.Point = "c-nd"
	cfg.Batch.Queue = 1 // a file waits for room
	cfg.Batch.MaxSpans = 10
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	set := receivertest.NewNopSettings(metadata.Type)
	traces, logs, metrics := new(consumertest.TracesSink), new(consumertest.LogsSink), new(consumertest.MetricsSink)
	ctx := context.Background()
	a, err := f.CreateTraces(ctx, set, cfg, traces)
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.CreateLogs(ctx, set, cfg, logs)
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.CreateMetrics(ctx, set, cfg, metrics)
	if err != nil {
		t.Fatal(err)
	}
	host := componenttest.NewNopHost()
	for _, r := range []interface {
		Start(context.Context, component.Host) error
	}{a, b, c} {
		if err := r.Start(ctx, host); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); traces.SpanCount() < 427 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	for _, r := range []interface{ Shutdown(context.Context) error }{a, b, c} {
		if err := r.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	}
	if traces.SpanCount() != 427 || logs.LogRecordCount() != 17 || metrics.DataPointCount() == 0 {
		t.Errorf("%d spans, %d flow records, %d data points", traces.SpanCount(), logs.LogRecordCount(), metrics.DataPointCount())
	}
	s := traces.AllTraces()[0].ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	for k, want := range map[string]string{"hopscope.capture.point": "c-nd", "hopscope.signal.source": "packet", "network.protocol.name": "http"} {
		if v, ok := s.Attributes().Get(k); !ok || v.AsString() != want {
			t.Errorf("%s: %v", k, ok)
		}
	}
}
