// Command completion measures what completing traces costs, next to
// groupbytrace, which only groups them, in the same run and on the same spans:
//
//	go run . [-seconds 20] [-settle 5s] [-held 10000,100000,1000000]
//
// Each figure is taken in a process of its own, on one core (GOMAXPROCS=1), and
// the cost of making the spans, measured the same way, is taken off.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
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

// sink counts spans, or keeps them.
type sink struct {
	spans atomic.Int64
	keep  []ptrace.Traces
	hold  bool
}

func (*sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (s *sink) ConsumeTraces(_ context.Context, td ptrace.Traces) error {
	s.spans.Add(int64(td.SpanCount()))
	if s.hold {
		s.keep = append(s.keep, td)
	}
	return nil
}

const (
	ours    = "tracecompletion"
	theirs  = "groupbytrace"
	nothing = "none"
)

// open opens what is measured.
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
	CPU        float64 // seconds, of it all
	Wall       float64
	Heap       uint64  // bytes, after a collection, with all spans held
	Rates      []int64 // spans taken in by each fifth of the time
	Memory     []int64 // MB in use at the end of each
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

// flow sends spans through for some time, at a rate (0: as many as go).
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
	r.CPU, r.Wall = cpu()-from, time.Since(began).Seconds()
	if err := end(); err != nil {
		return r, err
	}
	r.Out = s.spans.Load()
	return r, nil
}

// hold takes n spans in and lets none go, measures, and lets all go.
func hold(what string, n int) (r result, err error) {
	s := &sink{hold: what == nothing}
	next, end, err := open(what, time.Hour, 2*n, s)
	if err != nil {
		return r, err
	}
	g := newGenerator()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began, from := time.Now(), cpu()
	for r.Spans < int64(n) {
		for _, td := range g.next() {
			r.Spans += int64(td.SpanCount())
			if err := next.ConsumeTraces(context.Background(), td); err != nil {
				return r, err
			}
		}
	}
	if what == theirs {
		time.Sleep(time.Second) // it takes in by a goroutine
	}
	mid := cpu()
	runtime.GC()
	debug.FreeOSMemory()
	runtime.ReadMemStats(&after)
	r.Heap = after.HeapAlloc - before.HeapAlloc
	out := cpu()
	if err := end(); err != nil {
		return r, err
	}
	r.CPU, r.Wall = mid-from+cpu()-out, time.Since(began).Seconds()
	r.Out = s.spans.Load()
	return r, nil
}

// child runs one measurement in a process of its own.
func child(args ...string) (r result, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	c := exec.Command(self, args...)
	c.Env = append(os.Environ(), "GOMAXPROCS=1")
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return r, fmt.Errorf("%v: %w", args, err)
	}
	return r, json.Unmarshal(out, &r)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "completion:", err)
		os.Exit(1)
	}
}

func run() error {
	what := flag.String("what", "", "measure this alone, and print JSON")
	settle := flag.Duration("settle", 5*time.Second, "how long spans wait")
	seconds := flag.Int("seconds", 20, "length of a measurement of flow")
	rate := flag.Int("rate", 0, "spans per second of the flow; 0: as many as go")
	held := flag.String("held", "10000,100000,1000000", "numbers of spans to hold; empty: none")
	n := flag.Int("n", 0, "hold so many spans")
	flag.Parse()
	if *what != "" {
		var r result
		var err error
		if *n > 0 {
			r, err = hold(*what, *n)
		} else {
			r, err = flow(*what, *settle, time.Duration(*seconds)*time.Second, *rate)
		}
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	if *held != "" {
		fmt.Printf("%-16s %10s %12s %12s %14s %12s\n", "held", "spans", "us a span", "bytes a span", "without pdata", "all came out")
		for _, f := range strings.Split(*held, ",") {
			base, err := child("-what", nothing, "-n", f)
			if err != nil {
				return err
			}
			perPdata := float64(base.Heap) / float64(base.Spans)
			for _, w := range []string{ours, theirs} {
				r, err := child("-what", w, "-n", f)
				if err != nil {
					return err
				}
				per := float64(r.Heap) / float64(r.Spans)
				fmt.Printf("%-16s %10d %12.2f %12.0f %14.0f %12v\n", w, r.Spans, 1e6*(r.CPU/float64(r.Spans)-base.CPU/float64(base.Spans)), per, per-perPdata, r.Out == r.Spans)
			}
		}
	}
	fmt.Printf("\n%-16s %12s %12s %14s %12s  %s\n", "flow, "+settle.String(), "spans/s", "us a span", "spans/s a core", "all came out", "spans and MB of memory, by fifths of the time")
	base := 0.0
	for _, w := range []string{nothing, ours, theirs} {
		r, err := child("-what", w, "-settle", settle.String(), "-seconds", strconv.Itoa(*seconds), "-rate", strconv.Itoa(*rate))
		if err != nil {
			return err
		}
		per := r.CPU / float64(r.Spans)
		if w == nothing {
			base = per
			fmt.Printf("%-16s %12.0f %12.2f\n", "(making spans)", float64(r.Spans)/r.Wall, per*1e6)
			continue
		}
		fmt.Printf("%-16s %12.0f %12.2f %14.0f %12v  %v %v\n", w, float64(r.Spans)/r.Wall, (per-base)*1e6, 1/(per-base), r.Out == r.Spans, r.Rates, r.Memory)
	}
	return nil
}
