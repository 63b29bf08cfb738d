package flow

import (
	"net/netip"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/semconv"
)

// DefaultMaxPairs bounds the pairs that metrics are kept of: 2,000 pairs with
// four histograms each are 2 MB in memory and on the wire.
const DefaultMaxPairs = 2000

// pair is who talks to whom, and where that was seen: one connection is seen at
// several points, and only of one point counts add up. Clients' ports say
// nothing.
type pair struct {
	client, server netip.Addr
	port           uint16
	point          hop.Point
}

// bounds of the histograms, in nanoseconds: from a LAN's round trip to a
// time-out.
var bounds = [...]int64{50e3, 100e3, 250e3, 500e3, 1e6, 2.5e6, 5e6, 10e6, 25e6, 50e6, 100e6, 250e6, 500e6, 1e9, 2.5e9, 5e9, 10e9}

type histogram struct {
	counts [len(bounds) + 1]uint64
	n      uint64
	sum    int64
	max    int64
}

func (h *histogram) add(ns int64, n uint32) {
	if n == 0 || ns < 0 {
		return
	}
	i := 0
	for i < len(bounds) && ns > bounds[i] {
		i++
	}
	h.counts[i] += uint64(n)
	h.n += uint64(n)
	h.sum += ns * int64(n)
	h.max = max(h.max, ns)
}

// totals of one pair, since the start.
type totals struct {
	connect        [2]histogram
	srt            [2]histogram
	rtt, art, cit  histogram
	bytes, packets [2]uint64
	retransmits    [2]uint64
	zeroWindows    [2]uint64
	resets         [2]uint64
	closed         [closeTypes]uint64
}

// Metrics adds flow records up. One goroutine owns it.
type Metrics struct {
	max   int
	start int64
	pairs map[pair]*totals
	// other takes what is over the limit; Over counts it.
	other *totals
	Over  uint64
}

// NewMetrics keeps at most max pairs (0: DefaultMaxPairs), from start on.
func NewMetrics(max int, start int64) *Metrics {
	if max <= 0 {
		max = DefaultMaxPairs
	}
	return &Metrics{max: max, start: start, pairs: map[pair]*totals{}}
}

// Put adds r.
func (m *Metrics) Put(r *Record) {
	k := pair{r.Client.Addr(), r.Server.Addr(), r.Server.Port(), r.Point}
	t := m.pairs[k]
	if t == nil {
		if len(m.pairs) < m.max {
			t = &totals{}
			m.pairs[k] = t
		} else {
			if m.other == nil {
				m.other = &totals{}
			}
			m.Over++
			t = m.other
		}
	}
	for i := range r.Side {
		s := &r.Side[i]
		t.bytes[i] += s.Bytes
		if r.Process {
			t.bytes[i] += s.Payload
		}
		t.packets[i] += s.Packets
		t.retransmits[i] += uint64(s.Retransmits) + uint64(s.SYNRetransmits)
		t.zeroWindows[i] += uint64(s.ZeroWindows)
		t.resets[i] += uint64(s.Resets)
		t.srt[i].add(s.SRT.Mean(), s.SRT.Count)
	}
	if r.ConnectClient > 0 {
		t.connect[0].add(r.ConnectClient, 1)
	}
	if r.ConnectServer > 0 {
		t.connect[1].add(r.ConnectServer, 1)
	}
	if r.RTT > 0 {
		t.rtt.add(r.RTT, 1)
	}
	t.art.add(r.Side[1].ART.Mean(), r.Side[1].ART.Count)
	t.cit.add(r.CIT.Mean(), r.CIT.Count)
	if r.Last && r.Proto == packet.ProtoTCP {
		t.closed[r.Close]++
	}
}

// Collect is all metrics at now, cumulative.
func (m *Metrics) Collect(now int64) pmetric.Metrics {
	out := pmetric.NewMetrics()
	rm := out.ResourceMetrics().AppendEmpty()
	rm.SetSchemaUrl(semconv.SchemaURL)
	sm := rm.ScopeMetrics().AppendEmpty()
	sm.SetSchemaUrl(semconv.SchemaURL)
	sm.Scope().SetName(semconv.ScopeEBPF)
	w := writer{ms: sm.Metrics(), by: map[string]pmetric.Metric{}, start: pcommon.Timestamp(m.start), now: pcommon.Timestamp(now)}
	keys := make([]pair, 0, len(m.pairs))
	for k := range m.pairs {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b pair) int {
		if c := a.client.Compare(b.client); c != 0 {
			return c
		}
		if c := a.server.Compare(b.server); c != 0 {
			return c
		}
		if a.port != b.port {
			return int(a.port) - int(b.port)
		}
		return int(a.point) - int(b.point)
	})
	for _, k := range keys {
		w.pair(k, m.pairs[k])
	}
	if m.other != nil {
		w.pair(pair{}, m.other)
	}
	return out
}

// writer adds data points to metrics, which it makes when they are needed.
type writer struct {
	ms         pmetric.MetricSlice
	by         map[string]pmetric.Metric
	start, now pcommon.Timestamp
	k          pair
}

var ends = [2]string{"client", "server"}

func (w *writer) pair(k pair, t *totals) {
	w.k = k
	for i, end := range ends {
		w.histogram(semconv.MetricConnect, semconv.TCPEnd, end, &t.connect[i])
		w.histogram(semconv.MetricSRT, semconv.TCPEnd, end, &t.srt[i])
		w.sum(semconv.MetricBytes, "By", semconv.TCPEnd, end, t.bytes[i])
		w.sum(semconv.MetricPackets, "{packet}", semconv.TCPEnd, end, t.packets[i])
		w.sum(semconv.MetricRetransmits, "{segment}", semconv.TCPEnd, end, t.retransmits[i])
		w.sum(semconv.MetricZeroWindows, "{segment}", semconv.TCPEnd, end, t.zeroWindows[i])
		w.sum(semconv.MetricResets, "{segment}", semconv.TCPEnd, end, t.resets[i])
	}
	w.histogram(semconv.MetricRTT, "", "", &t.rtt)
	w.histogram(semconv.MetricART, "", "", &t.art)
	w.histogram(semconv.MetricCIT, "", "", &t.cit)
	for c, n := range t.closed {
		w.sum(semconv.MetricFlows, "{flow}", semconv.FlowClose, CloseType(c).String(), n)
		if CloseType(c).Connecting() {
			w.sum(semconv.MetricFailures, "{connection}", semconv.TCPConnectFailure, CloseType(c).String(), n)
		}
	}
}

func (w *writer) metric(name, unit string) (pmetric.Metric, bool) {
	if m, ok := w.by[name]; ok {
		return m, false
	}
	m := w.ms.AppendEmpty()
	m.SetName(strings.Clone(name))
	m.SetUnit(unit)
	w.by[name] = m
	return m, true
}

func (w *writer) attributes(m pcommon.Map, key, value string) {
	if w.k.client.IsValid() {
		m.PutStr(semconv.ClientAddress, w.k.client.String())
		m.PutStr(semconv.ServerAddress, w.k.server.String())
		m.PutInt(semconv.ServerPort, int64(w.k.port))
		m.PutStr(semconv.CapturePoint, w.k.point.Code())
	} else {
		m.PutStr(semconv.ClientAddress, "other")
		m.PutStr(semconv.ServerAddress, "other")
	}
	if key != "" {
		m.PutStr(key, value)
	}
}

func (w *writer) sum(name, unit, key, value string, v uint64) {
	if v == 0 {
		return
	}
	m, fresh := w.metric(name, unit)
	if fresh {
		s := m.SetEmptySum()
		s.SetIsMonotonic(true)
		s.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	}
	p := m.Sum().DataPoints().AppendEmpty()
	p.SetStartTimestamp(w.start)
	p.SetTimestamp(w.now)
	p.SetIntValue(int64(v))
	w.attributes(p.Attributes(), key, value)
}

func (w *writer) histogram(name, key, value string, h *histogram) {
	if h.n == 0 {
		return
	}
	m, fresh := w.metric(name, "s")
	if fresh {
		m.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	}
	p := m.Histogram().DataPoints().AppendEmpty()
	p.SetStartTimestamp(w.start)
	p.SetTimestamp(w.now)
	p.SetCount(h.n)
	p.SetSum(float64(h.sum) / 1e9)
	p.SetMax(float64(h.max) / 1e9)
	p.ExplicitBounds().EnsureCapacity(len(bounds))
	for _, b := range bounds {
		p.ExplicitBounds().Append(float64(b) / 1e9)
	}
	p.BucketCounts().FromRaw(h.counts[:])
	w.attributes(p.Attributes(), key, value)
}
