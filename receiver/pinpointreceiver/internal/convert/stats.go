package convert

import (
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/wire"
)

// statistics turns what an agent measured into metrics: the names of the JVM's
// conventions for Java, else neutral ones, and Pinpoint's own where there is
// none.
func (c *Converter) statistics(a *Agent, body []byte) error {
	if c.Metrics == nil {
		return nil
	}
	hash := xxhash.Sum64(body)
	if slices.Contains(a.measured[:], hash) {
		c.stats.StatsAgain++ // sent to us, and seen on its way to another collector
		return nil
	}
	a.measured[a.next%len(a.measured)] = hash
	a.next++
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.SetSchemaUrl(semconv.SchemaURL)
	a.resource(rm.Resource().Attributes())
	sm := rm.ScopeMetrics().AppendEmpty()
	sm.Scope().SetName(semconv.ScopePinpoint)
	sm.Scope().SetVersion(c.cfg.Version)
	w := &metricWriter{out: sm.Metrics(), by: map[string]pmetric.Metric{}, java: a.java()}
	if err := wire.DecodeStats(body, w.stat, w.uri); err != nil {
		return err
	}
	if n := md.DataPointCount(); n > 0 {
		c.stats.Points += uint64(n)
		c.Metrics(md)
	}
	return nil
}

// java reports whether the agent's process is a JVM: every type is one's but
// those of other languages.
func (a *Agent) java() bool {
	typ := a.ServiceType
	if typ <= 0 {
		typ = a.Info.ServiceType
	}
	return language(typ) == "java"
}

// metricWriter writes the metrics of one message; points of one name go together.
type metricWriter struct {
	out  pmetric.MetricSlice
	by   map[string]pmetric.Metric
	java bool
}

func (w *metricWriter) metric(name, unit string, make func(pmetric.Metric)) pmetric.Metric {
	m, ok := w.by[name]
	if !ok {
		m = w.out.AppendEmpty()
		m.SetName(name)
		m.SetUnit(unit)
		make(m)
		w.by[name] = m
	}
	return m
}

func (w *metricWriter) gauge(name, unit string, t pcommon.Timestamp) pmetric.NumberDataPoint {
	m := w.metric(name, unit, func(m pmetric.Metric) { m.SetEmptyGauge() })
	p := m.Gauge().DataPoints().AppendEmpty()
	p.SetTimestamp(t)
	return p
}

// level is a sum that goes up and down: what there is now.
func (w *metricWriter) level(name, unit string, t pcommon.Timestamp, v int64) pmetric.NumberDataPoint {
	m := w.metric(name, unit, func(m pmetric.Metric) {
		m.SetEmptySum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	})
	p := m.Sum().DataPoints().AppendEmpty()
	p.SetTimestamp(t)
	p.SetIntValue(v)
	return p
}

// name is that of the JVM's convention, or ours for other runtimes.
func (w *metricWriter) name(jvm, other string) string {
	if w.java {
		return jvm
	}
	return other
}

var (
	transactionKinds = [...]string{"sampled_new", "sampled_continuation", "unsampled_new", "unsampled_continuation", "skipped_new", "skipped_continuation"}
	pools            = [...]string{"code_cache", "new", "old", "survivor", "permanent", "metaspace"}
	ages             = [...]string{"fast", "normal", "slow", "very_slow"}
)

func (w *metricWriter) stat(s *wire.Stat) {
	t := pcommon.Timestamp(s.Time * ms)
	if s.Has&wire.HasGC != 0 {
		used, limit := w.name("jvm.memory.used", "pinpoint.memory.used"), w.name("jvm.memory.limit", "pinpoint.memory.limit")
		for _, x := range []struct {
			kind      string
			used, max int64
		}{{"heap", s.HeapUsed, s.HeapMax}, {"non_heap", s.NonHeapUsed, s.NonHeapMax}} {
			if x.used > 0 {
				w.level(used, "By", t, x.used).Attributes().PutStr("jvm.memory.type", x.kind)
			}
			if x.max > 0 { // -1: none
				w.level(limit, "By", t, x.max).Attributes().PutStr("jvm.memory.type", x.kind)
			}
		}
		if w.java {
			w.collections(t, "old", s.GCOldCount, s.GCOldTime)
		}
	}
	if s.Has&wire.HasGCDetail != 0 {
		w.collections(t, "new", s.GCNewCount, s.GCNewTime)
		for i, v := range s.Pools {
			if v > 0 {
				p := w.gauge("pinpoint.jvm.memory.pool.utilization", "1", t)
				p.SetDoubleValue(v)
				p.Attributes().PutStr("jvm.memory.pool.name", pools[i])
			}
		}
	}
	if s.Has&wire.HasCPU != 0 {
		w.gauge(w.name("jvm.cpu.recent_utilization", "process.cpu.utilization"), "1", t).SetDoubleValue(s.CPUProcess)
		if s.CPUSystem > 0 {
			w.gauge("system.cpu.utilization", "1", t).SetDoubleValue(s.CPUSystem)
		}
	}
	if s.Has&wire.HasTransactions != 0 {
		m := w.metric("pinpoint.transaction.count", "{transaction}", func(m pmetric.Metric) {
			sum := m.SetEmptySum()
			sum.SetIsMonotonic(true)
			sum.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		})
		for i, v := range s.Transactions {
			p := m.Sum().DataPoints().AppendEmpty()
			p.SetStartTimestamp(pcommon.Timestamp((s.Time - s.Interval) * ms))
			p.SetTimestamp(t)
			p.SetIntValue(v)
			p.Attributes().PutStr("pinpoint.transaction.kind", transactionKinds[i])
		}
	}
	for i, v := range s.Active {
		if i < len(ages) {
			p := w.gauge("pinpoint.active_trace.count", "{transaction}", t)
			p.SetIntValue(int64(v))
			p.Attributes().PutStr("pinpoint.active_trace.age", ages[i])
		}
	}
	if s.Has&wire.HasResponse != 0 {
		w.gauge("pinpoint.response_time.average", "ms", t).SetIntValue(s.RespAvg)
		w.gauge("pinpoint.response_time.max", "ms", t).SetIntValue(s.RespMax)
	}
	for i := range s.Sources {
		d := &s.Sources[i]
		for _, x := range []struct {
			name string
			v    int32
		}{{"db.client.connection.count", d.Active}, {"db.client.connection.max", d.MaxActive}} {
			m := w.level(x.name, "{connection}", t, int64(x.v)).Attributes()
			m.PutStr("db.client.connection.pool.name", first(d.Database, "pool")+"-"+strconv.Itoa(int(d.ID)))
			put(m, "db.system.name", dbSystem(d.ServiceType))
			if x.name == "db.client.connection.count" {
				m.PutStr("db.client.connection.state", "used")
			}
		}
	}
	if s.Has&wire.HasDeadlock != 0 {
		w.gauge("pinpoint.deadlock.count", "{deadlock}", t).SetIntValue(s.Deadlocks)
	}
	if s.Has&wire.HasFiles != 0 && s.OpenFiles >= 0 {
		w.level(w.name("jvm.file_descriptor.count", "process.open_file_descriptor.count"), "{file_descriptor}", t, s.OpenFiles)
	}
	if s.Has&wire.HasThreads != 0 {
		w.level(w.name("jvm.thread.count", "process.thread.count"), "{thread}", t, s.Threads)
	}
	if s.Has&wire.HasClasses != 0 && w.java {
		w.level("jvm.class.count", "{class}", t, s.Loaded)
	}
	if s.Has&wire.HasBuffers != 0 && w.java {
		for _, x := range []struct {
			pool    string
			n, used int64
		}{{"direct", s.DirectCount, s.DirectUsed}, {"mapped", s.MappedCount, s.MappedUsed}} {
			if x.n >= 0 {
				w.level("jvm.buffer.count", "{buffer}", t, x.n).Attributes().PutStr("jvm.buffer.pool.name", x.pool)
				w.level("jvm.buffer.memory.used", "By", t, x.used).Attributes().PutStr("jvm.buffer.pool.name", x.pool)
			}
		}
	}
}

// collections are counts and times as the agent has them: durations of single
// collections, which the convention wants, cannot be had from them.
func (w *metricWriter) collections(t pcommon.Timestamp, generation string, n, took int64) {
	if n < 0 {
		return // the agent could not tell
	}
	p := w.gauge("pinpoint.jvm.gc.count", "{collection}", t)
	p.SetIntValue(n)
	p.Attributes().PutStr("pinpoint.jvm.gc.generation", generation)
	p = w.gauge("pinpoint.jvm.gc.time", "ms", t)
	p.SetIntValue(took)
	p.Attributes().PutStr("pinpoint.jvm.gc.generation", generation)
}

// uriInterval is what one URI statistic covers, in ms.
const uriInterval = 30000

// uriBounds are the limits of its buckets, of version 0, in ms.
var uriBounds = []float64{100, 300, 500, 1000, 3000, 5000, 8000}

func (w *metricWriter) uri(u *wire.URIStat) {
	if u.BucketVersion != 0 {
		return // of other buckets nobody knows the limits
	}
	for _, x := range []struct {
		outcome string
		h       *wire.Histogram
	}{{"all", &u.Total}, {"failed", &u.Failed}} {
		if len(x.h.Buckets) != len(uriBounds)+1 {
			continue
		}
		m := w.metric("pinpoint.uri.duration", "ms", func(m pmetric.Metric) {
			m.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		})
		p := m.Histogram().DataPoints().AppendEmpty()
		p.SetStartTimestamp(pcommon.Timestamp(u.Time * ms))
		p.SetTimestamp(pcommon.Timestamp((u.Time + uriInterval) * ms))
		p.ExplicitBounds().FromRaw(uriBounds)
		n := uint64(0)
		for _, v := range x.h.Buckets {
			p.BucketCounts().Append(uint64(max(v, 0)))
			n += uint64(max(v, 0))
		}
		p.SetCount(n)
		p.SetSum(float64(x.h.Total))
		p.SetMax(float64(x.h.Max))
		p.Attributes().PutStr("url.template", u.URI)
		p.Attributes().PutStr("pinpoint.uri.outcome", x.outcome)
	}
}
