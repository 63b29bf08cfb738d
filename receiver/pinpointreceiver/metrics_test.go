package pinpointreceiver

import (
	"context"
	"encoding/json"
	"math"
	"path/filepath"
	"strconv"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/convert"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/corpus"
	meta "github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/metadata"
)

// TestMetrics: both pipelines get what is theirs from one receiver, and the
// measurements of a capture are those of its truth.
func TestMetrics(t *testing.T) {
	dir := filepath.Join(corpus.Dir(t), "01-go-batch")
	cfg := config(t, map[string]any{"sniff": map[string]any{"files": []string{filepath.Join(dir, "capture.pcap")}}})
	f, set := NewFactory(), receivertest.NewNopSettings(meta.Type)
	spans, points := new(consumertest.TracesSink), new(consumertest.MetricsSink)
	tr, err := f.CreateTraces(t.Context(), set, cfg, spans)
	if err != nil {
		t.Fatal(err)
	}
	mr, err := f.CreateMetrics(t.Context(), set, cfg, points)
	if err != nil {
		t.Fatal(err)
	}
	r := tr.(*pinpointReceiver)
	if mr.(*pinpointReceiver) != r {
		t.Fatal("two receivers of one configuration")
	}
	for range 2 { // once for each pipeline
		if err := r.Start(t.Context(), componenttest.NewNopHost()); err != nil {
			t.Fatal(err)
		}
	}
	<-r.sniffer.read
	for range 2 {
		if err := r.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if spans.SpanCount() != 197 {
		t.Errorf("%d spans", spans.SpanCount())
	}

	type stat struct {
		GC struct{ JvmMemoryHeapUsed string } `json:"gc"`
		TX struct {
			SampledNewCount string
		} `json:"transaction"`
	}
	heaps, requests, uris := map[int64]int{}, int64(0), int64(0)
	for _, l := range corpus.Read(t, filepath.Join(dir, "truth.jsonl")) {
		if l.Type != "v1.PStatMessage" {
			continue
		}
		var m struct {
			AgentStat      *stat
			AgentStatBatch struct{ AgentStat []stat }
			AgentUriStat   struct {
				EachUriStat []struct {
					TotalHistogram struct{ Histogram []int64 }
				}
			}
		}
		if err := json.Unmarshal(l.JSON, &m); err != nil {
			t.Fatal(err)
		}
		all := m.AgentStatBatch.AgentStat
		if m.AgentStat != nil {
			all = append(all, *m.AgentStat)
		}
		for _, s := range all {
			if v, _ := strconv.ParseInt(s.GC.JvmMemoryHeapUsed, 10, 64); v > 0 {
				heaps[v]++
			}
			v, _ := strconv.ParseInt(s.TX.SampledNewCount, 10, 64)
			requests += v
		}
		for _, u := range m.AgentUriStat.EachUriStat {
			for _, n := range u.TotalHistogram.Histogram {
				uris += n
			}
		}
	}
	if len(heaps) == 0 || requests == 0 || uris == 0 {
		t.Fatalf("the truth has %d heaps, %d requests, %d calls of URIs", len(heaps), requests, uris)
	}
	for _, md := range points.AllMetrics() {
		for _, rm := range md.ResourceMetrics().All() {
			for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
				switch m.Name() {
				case "pinpoint.memory.used":
					for _, p := range m.Sum().DataPoints().All() {
						if k, _ := p.Attributes().Get("jvm.memory.type"); k.Str() == "heap" {
							heaps[p.IntValue()]--
						}
					}
				case "pinpoint.transaction.count":
					if m.Sum().AggregationTemporality() != pmetric.AggregationTemporalityDelta {
						t.Error("transactions are counts of an interval")
					}
					for _, p := range m.Sum().DataPoints().All() {
						if k, _ := p.Attributes().Get("pinpoint.transaction.kind"); k.Str() == "sampled_new" {
							requests -= p.IntValue()
						}
					}
				case "pinpoint.uri.duration":
					for _, p := range m.Histogram().DataPoints().All() {
						if k, _ := p.Attributes().Get("pinpoint.uri.outcome"); k.Str() == "all" {
							uris -= int64(p.Count())
						}
						n := uint64(0)
						for _, c := range p.BucketCounts().AsRaw() {
							n += c
						}
						if n != p.Count() || p.BucketCounts().Len() != p.ExplicitBounds().Len()+1 {
							t.Errorf("histogram of %d with %d in its buckets", p.Count(), n)
						}
					}
				case "jvm.memory.used":
					t.Error("no agent of this capture is a JVM")
				}
			}
		}
	}
	for v, n := range heaps {
		if n != 0 {
			t.Errorf("heap of %d bytes: %d times too few", v, n)
		}
	}
	if requests != 0 || uris != 0 {
		t.Errorf("%d requests, %d calls of URIs are missing", requests, uris)
	}
}

// TestJVM: what a Java agent measures has the names of the JVM's conventions, and
// nothing that it could not tell.
func TestJVM(t *testing.T) {
	sub := func(b []byte, n protowire.Number, v []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
	}
	num := func(b []byte, n protowire.Number, v int64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
	}
	dbl := func(b []byte, n protowire.Number, v float64) []byte {
		return protowire.AppendFixed64(protowire.AppendTag(b, n, protowire.Fixed64Type), math.Float64bits(v))
	}
	gc := num(num(num(num(num(num(num(nil, 1, 2), 2, 100<<20), 3, 512<<20), 4, 60<<20), 5, -1), 6, 3), 7, 250)
	stat := sub(num(num(nil, 1, 1795244935000), 2, 5000), 3, gc)
	stat = sub(stat, 4, dbl(dbl(nil, 1, 0.25), 2, 0.5))
	var got pmetric.Metrics
	cfg := defaultConfig()
	k := newCore(cfg, "")
	k.conv.Metrics = func(md pmetric.Metrics) { got = md }
	k.put(sent, &convert.Identity{AgentID: "a", Application: "shop", Start: 1, ServiceType: 1010, Protocol: "100"}, sendStat, sub(nil, 1, stat), 1)
	if got == (pmetric.Metrics{}) {
		t.Fatal("no metrics")
	}
	values := map[string]string{}
	for _, m := range got.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
		var points pmetric.NumberDataPointSlice
		if m.Type() == pmetric.MetricTypeGauge {
			points = m.Gauge().DataPoints()
		} else {
			points = m.Sum().DataPoints()
		}
		for _, p := range points.All() {
			kind := ""
			if k, ok := p.Attributes().Get("jvm.memory.type"); ok {
				kind = " " + k.Str()
			}
			v := strconv.FormatInt(p.IntValue(), 10)
			if p.ValueType() == pmetric.NumberDataPointValueTypeDouble {
				v = strconv.FormatFloat(p.DoubleValue(), 'g', -1, 64)
			}
			values[m.Name()+kind] = v + " " + m.Unit()
		}
	}
	for name, want := range map[string]string{
		"jvm.memory.used heap": "104857600 By", "jvm.memory.limit heap": "536870912 By", "jvm.memory.used non_heap": "62914560 By", "jvm.memory.limit non_heap": "",
		"jvm.cpu.recent_utilization": "0.25 1", "system.cpu.utilization": "0.5 1", "pinpoint.jvm.gc.count": "3 {collection}", "pinpoint.jvm.gc.time": "250 ms",
	} {
		if values[name] != want {
			t.Errorf("%s: %q, want %q", name, values[name], want)
		}
	}
	k.close(0)
}
