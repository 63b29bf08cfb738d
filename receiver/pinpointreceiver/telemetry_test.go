package pinpointreceiver

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/corpus"
	meta "github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/metadata"
)

// told are the receiver's own metrics: name, then name{value,...}.
func told(t *testing.T, tel *componenttest.Telemetry) map[string]int64 {
	out := map[string]int64{}
	var rm metricdata.ResourceMetrics
	if err := tel.Reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			name := strings.TrimPrefix(m.Name, "otelcol_receiver_pinpoint_")
			add := func(points []metricdata.DataPoint[int64]) {
				for _, p := range points {
					var vs []string
					for _, kv := range p.Attributes.ToSlice() {
						vs = append(vs, kv.Value.String())
					}
					out[name] += p.Value
					out[fmt.Sprintf("%s{%s}", name, strings.Join(vs, ","))] = p.Value
				}
			}
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				add(d.DataPoints)
			case metricdata.Gauge[int64]:
				add(d.DataPoints)
			}
		}
	}
	return out
}

// TestTelemetry: what goes in comes out or is counted as lost, also of captures
// that are damaged.
func TestTelemetry(t *testing.T) {
	dir := corpus.Dir(t)
	for _, file := range []string{"01-go-batch/capture.pcap", "05-mid-connection/capture.pcap", "07-reconnect/capture.pcap", "12-python-c-agent/capture.pcap",
		"16-derived-damage/02-lost-6pct.pcap", "16-derived-damage/02-snaplen200.pcap", "16-derived-damage/sll2-kernel-drops.pcap"} {
		t.Run(file, func(t *testing.T) {
			tel := componenttest.NewTelemetry()
			defer tel.Shutdown(context.Background())
			set := receivertest.NewNopSettings(meta.Type)
			set.TelemetrySettings = tel.NewTelemetrySettings()
			sink := new(consumertest.TracesSink)
			r := newReceiver(set, config(t, map[string]any{"sniff": map[string]any{"files": []string{filepath.Join(dir, file)}, "processes": false}}), sink)
			if err := r.Start(t.Context(), componenttest.NewNopHost()); err != nil {
				t.Fatal(err)
			}
			<-r.sniffer.read
			m := told(t, tel)
			if err := r.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			if n := int64(sink.SpanCount()); n != m["converted"] {
				t.Errorf("%d spans came, %d are told", n, m["converted"])
			}
			lost := m["dropped{bad_version,span}"] + m["dropped{duplicate,span}"] + m["dropped{over_limit,span}"] + m["dropped{unreadable,span}"]
			if m["decoded"] != m["converted"]+lost+m["waiting"] || m["waiting"] != 0 {
				t.Errorf("%d decoded, %d converted, %d lost, %d wait", m["decoded"], m["converted"], lost, m["waiting"])
			}
			client := int64(0)
			corpus.Sniff(t, filepath.Join(dir, file), func(m *calls.Message) {
				if m.Client {
					client++
				}
			})
			if n := m["received"] + m["dropped{unidentified,agent}"] + m["dropped{unknown_method,agent}"]; n != client {
				t.Errorf("%d messages of agents, %d are told: %v", client, n, m)
			}
			if strings.HasPrefix(file, "16") && m["dropped{hole,stream}"]+m["dropped{message_hole,call}"] == 0 {
				t.Errorf("a damaged capture, and no loss: %v", m)
			}
			if m["metadata"] == 0 && strings.HasPrefix(file, "0") && !strings.HasPrefix(file, "05") || m["agents"] == 0 && m["received"] > 0 {
				t.Errorf("nothing is remembered: %v", m)
			}
			t.Log(m)
		})
	}
}
