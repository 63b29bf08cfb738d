package ebpfreceiver

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/hopscope/hopscope/internal/event"
	"github.com/hopscope/hopscope/internal/flow"
	"github.com/hopscope/hopscope/internal/who"
)

// flowSink makes logs and metrics of the flow records of all shards and
// hands them on from a goroutine of its own.
type flowSink struct {
	mu        sync.Mutex
	logs      *flow.Logs    // nil: nobody wants them
	metrics   *flow.Metrics // likewise
	interval  int64
	collected int64
	toLogs    consumer.Logs
	toMetrics consumer.Metrics
	ch        chan func(context.Context) error
	done      chan struct{}

	records, full, refused atomic.Uint64
	uncounted              atomic.Uint64 // times that the kernel could not be asked
}

// flowQueue is how many batches may wait for the next component.
const flowQueue = 16

// newFlowSink is nil if nobody wants flow records.
func newFlowSink(cfg *PacketsConfig, host who.Host, version string, logs consumer.Logs, metrics consumer.Metrics, now int64) *flowSink {
	if logs == nil && metrics == nil {
		return nil
	}
	f := &flowSink{interval: int64(cfg.FlowInterval), collected: now, toLogs: logs, toMetrics: metrics,
		ch: make(chan func(context.Context) error, flowQueue), done: make(chan struct{})}
	if logs != nil {
		f.logs = flow.NewLogs(version, host.Name, host.ID, func(l plog.Logs, _ int) {
			f.send(func(ctx context.Context) error { return f.toLogs.ConsumeLogs(ctx, l) })
		})
	}
	if metrics != nil {
		f.metrics = flow.NewMetrics(cfg.FlowPairs, now)
	}
	return f
}

// send never waits.
func (f *flowSink) send(what func(context.Context) error) {
	select {
	case f.ch <- what:
	default:
		f.full.Add(1)
	}
}

// put takes a record, borrowed.
func (f *flowSink) put(r *flow.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records.Add(1)
	if f.logs != nil {
		f.logs.Put(r)
	}
	if f.metrics != nil {
		f.metrics.Put(r)
	}
}

func (f *flowSink) tick(now int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.logs != nil {
		f.logs.Tick(now)
	}
	if f.metrics != nil && now-f.collected >= f.interval {
		f.collect(now)
	}
}

func (f *flowSink) collect(now int64) {
	f.collected = now
	m := f.metrics.Collect(now)
	if m.DataPointCount() > 0 {
		f.send(func(ctx context.Context) error { return f.toMetrics.ConsumeMetrics(ctx, m) })
	}
}

// run hands on until stop; then the rest, as far as ctx allows.
func (f *flowSink) run(ctx context.Context) {
	defer close(f.done)
	for what := range f.ch {
		if ctx.Err() != nil || what(ctx) != nil {
			f.refused.Add(1)
		}
	}
}

// stop is called when nobody calls put any more.
func (f *flowSink) stop() {
	if f == nil {
		return
	}
	f.mu.Lock()
	if f.logs != nil {
		f.logs.Flush()
	}
	if f.metrics != nil {
		f.collect(time.Now().UnixNano())
	}
	f.mu.Unlock()
	close(f.ch)
}

// counters is what the kernel tells of a socket, as flow has it.
func counters(t *event.TCP) flow.Counters {
	const us = 1000
	return flow.Counters{Sent: t.Sent, Received: t.Received, SegsOut: t.SegsOut, SegsIn: t.SegsIn, Retransmits: t.Retransmits,
		RTT: int64(t.Srtt) * us, MinRTT: int64(min(t.RttMin, unmeasured)) % unmeasured * us, Error: t.Error, Gone: t.Gone != 0}
}

// unmeasured is what the kernel has for the shortest round trip before there was
// one.
const unmeasured = 1<<32 - 1
