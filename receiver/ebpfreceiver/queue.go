package ebpfreceiver

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// batch is spans on their way out.
type batch struct {
	td    ptrace.Traces
	spans int
}

// queue hands batches to the next component from one goroutine of its own, so
// that a slow one never holds up the reading of the ring.
type queue struct {
	ch   chan batch
	done chan struct{}
	next consumer.Traces

	emitted, full, refused atomic.Uint64 // spans
}

func newQueue(size int, next consumer.Traces) *queue {
	return &queue{ch: make(chan batch, size), done: make(chan struct{}), next: next}
}

// put never waits.
func (q *queue) put(td ptrace.Traces, spans int) {
	select {
	case q.ch <- batch{td, spans}:
	default:
		q.full.Add(uint64(spans))
	}
}

// wait waits for room, for those who can: files do not run away.
func (q *queue) wait(ctx context.Context) func(ptrace.Traces, int) {
	return func(td ptrace.Traces, spans int) {
		select {
		case q.ch <- batch{td, spans}:
		case <-ctx.Done():
			q.put(td, spans)
		}
	}
}

// run hands batches on until the queue is closed and empty, or ctx is over;
// then the rest is dropped, and counted.
func (q *queue) run(ctx context.Context) {
	defer close(q.done)
	for b := range q.ch {
		if q.next == nil {
			continue // only flow records are wanted
		}
		if ctx.Err() != nil || q.next.ConsumeTraces(ctx, b.td) != nil {
			q.refused.Add(uint64(b.spans))
			continue
		}
		q.emitted.Add(uint64(b.spans))
	}
}
