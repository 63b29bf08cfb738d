package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/groupbytraceprocessor"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/hopscope/hopscope/processor/tracecompletionprocessor"
)

// sink counts spans.
type sink struct{ spans atomic.Int64 }

func (*sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (s *sink) ConsumeTraces(_ context.Context, td ptrace.Traces) error {
	s.spans.Add(int64(td.SpanCount()))
	return nil
}

// all waits until want spans came. It gives up when none came for so long.
func (s *sink) all(want int64, idle time.Duration) {
	had, since := s.spans.Load(), time.Now()
	for had < want && time.Since(since) < idle {
		time.Sleep(20 * time.Millisecond)
		if n := s.spans.Load(); n != had {
			had, since = n, time.Now()
		}
	}
}

const (
	ours    = "tracecompletion"
	theirs  = "groupbytrace"
	nothing = "none"
)

// open opens what is measured. Both have room for more than is held at a time,
// and groupbytrace the one worker that it has by default: there is one core.
func open(what string, settle time.Duration, spans int, next consumer.Traces) (consumer.Traces, func() error, error) {
	var f processor.Factory
	var cfg component.Config
	switch what {
	case nothing:
		return next, func() error { return nil }, nil
	case ours:
		f = tracecompletionprocessor.NewFactory()
		c := f.CreateDefaultConfig().(*tracecompletionprocessor.Config)
		c.Settle, c.MaxSpans, c.MaxBytes = settle, max(c.MaxSpans, spans), 16<<30
		cfg = c
	case theirs:
		f = groupbytraceprocessor.NewFactory()
		c := f.CreateDefaultConfig().(*groupbytraceprocessor.Config)
		c.WaitDuration, c.NumTraces = settle, max(c.NumTraces, spans)
		cfg = c
	default:
		return nil, nil, fmt.Errorf("what is %q", what)
	}
	p, err := f.CreateTraces(context.Background(), processortest.NewNopSettings(f.Type()), cfg, next)
	if err != nil {
		return nil, nil, err
	}
	if err := p.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		return nil, nil, err
	}
	return p, func() error { return p.Shutdown(context.Background()) }, nil
}

// result is what a child process reports.
type result struct {
	Spans, Out int64
	Early      int64   // came out before all had come in
	CPU        float64 // seconds, of it all
	Heap       float64 // bytes a span, after a collection, with all of a round held
	Rates      []int64 // spans taken in by each fifth of the time
	Memory     []int64 // MB in use at the end of each
}

// measure is what a child does.
func measure(what string, n int, settle, length time.Duration, rate int, profile string) (r result, err error) {
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return r, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return r, err
		}
		defer pprof.StopCPUProfile()
	}
	if n > 0 {
		return hold(what, n, settle)
	}
	return flow(what, settle, length, rate)
}

func cpu() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// live is the memory that the last collection found in use, in MB: what a
// process has besides depends on when one looks.
func live() int64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() >> 20)
}

// late is how much later than it should a span may come out, at most.
const late = 10 * time.Second

// flow sends spans through for some time, at a rate (0: as many as go), and
// waits for the last ones.
func flow(what string, settle, length time.Duration, rate int) (r result, err error) {
	s := &sink{}
	next, end, err := open(what, settle, 1<<20, s)
	if err != nil {
		return r, err
	}
	g := newGenerator()
	began, from := time.Now(), cpu()
	r.Rates, r.Memory = make([]int64, 5), make([]int64, 5)
	at := 0
	for {
		since := time.Since(began)
		if since >= length {
			break
		}
		if rate > 0 {
			if ahead := time.Duration(r.Spans)*time.Second/time.Duration(rate) - since; ahead > 0 {
				time.Sleep(ahead)
			}
		}
		for _, td := range g.next() {
			n := int64(td.SpanCount())
			if err := next.ConsumeTraces(context.Background(), td); err != nil {
				return r, err
			}
			r.Spans += n
			r.Rates[min(4, int(5*since/length))] += n
		}
		if fifth := min(4, int(5*time.Since(began)/length)); fifth > at || fifth == 4 && time.Since(began) >= length {
			r.Memory[at] = live()
			at = fifth
		}
	}
	s.all(r.Spans, settle+late)
	r.CPU = cpu() - from
	if err := end(); err != nil {
		return r, err
	}
	r.Out = s.spans.Load()
	return r, nil
}

// atLeast is how many spans are taken in for a figure of cost: few at a time are
// taken in again and again.
const atLeast = 50_000

// hold takes n spans in before their time has come, measures, and waits for all
// to leave, as often as it takes.
func hold(what string, n int, wait time.Duration) (r result, err error) {
	if what == nothing {
		return alone(n)
	}
	s := &sink{}
	next, end, err := open(what, wait, 2*n, s)
	if err != nil {
		return r, err
	}
	g := newGenerator()
	before := heap()
	for {
		from, was := cpu(), r.Spans
		for r.Spans < was+int64(n) {
			for _, td := range g.next() {
				r.Spans += int64(td.SpanCount())
				if err := next.ConsumeTraces(context.Background(), td); err != nil {
					return r, err
				}
			}
		}
		idle() // groupbytrace takes in by a goroutine
		r.CPU += cpu() - from
		r.Early += s.spans.Load() - was
		if was == 0 {
			r.Heap = float64(heap()-before) / float64(r.Spans)
		}
		if wait >= time.Hour {
			break
		}
		from = cpu()
		s.all(r.Spans, wait+late)
		r.CPU += cpu() - from
		if r.Spans >= atLeast || s.spans.Load() < r.Spans {
			break
		}
	}
	if err := end(); err != nil {
		return r, err
	}
	r.Out = s.spans.Load()
	return r, nil
}

// alone makes at least n spans, and holds n of them as they are.
func alone(n int) (r result, err error) {
	g := newGenerator()
	from := cpu()
	for r.Spans < int64(max(n, atLeast)) {
		for _, td := range g.next() {
			r.Spans += int64(td.SpanCount())
		}
	}
	r.CPU, r.Out = cpu()-from, r.Spans
	var keep []ptrace.Traces
	before, held := heap(), 0
	for held < n {
		for _, td := range g.next() {
			keep = append(keep, td)
			held += td.SpanCount()
		}
	}
	r.Heap = float64(heap()-before) / float64(held)
	runtime.KeepAlive(keep)
	return r, nil
}

// heap is what is in use after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // it ends the sweeping of the one before
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// idle waits until the process has nothing more to do.
func idle() {
	for had := cpu(); ; {
		time.Sleep(100 * time.Millisecond)
		now := cpu()
		if now-had < 0.005 {
			return
		}
		had = now
	}
}
