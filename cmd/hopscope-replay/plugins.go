package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/internal/wasmhost"
	"github.com/hopscope/hopscope/processor/wasmparserprocessor"
)

// pluginOptions say which plugins the spans go through.
type pluginOptions struct {
	paths    list
	settings list
	payload  int
	ports    string
	timeout  time.Duration
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

// pluginRun is the wasmparser processor between the builder and the output.
type pluginRun struct {
	p      processor.Traces
	out    *bufio.Writer
	next   func(ptrace.Traces, int) // nil: changes are printed
	before map[pcommon.SpanID]ptrace.Span
	raw    session.Exchange
	limit  int
	ports  map[uint16]bool // of what is unparsed; empty: all

	changed, made int
}

// newPluginRun loads the plugins.
func newPluginRun(o pluginOptions, out *bufio.Writer, stderr io.Writer, next func(ptrace.Traces, int)) (*pluginRun, error) {
	r := &pluginRun{out: out, next: next, limit: o.payload, ports: map[uint16]bool{}}
	for _, p := range split(o.ports) {
		var n uint16
		if _, err := fmt.Sscan(p, &n); err != nil {
			return nil, fmt.Errorf("no port: %q", p)
		}
		r.ports[n] = true
	}
	f := wasmparserprocessor.NewFactory()
	cfg := f.CreateDefaultConfig().(*wasmparserprocessor.Config)
	cfg.Reload = 0
	settings := map[string]string{}
	for _, s := range o.settings {
		k, v, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("setting %q is not KEY=VALUE", s)
		}
		settings[k] = v
	}
	for _, path := range o.paths {
		cfg.Plugins = append(cfg.Plugins, wasmparserprocessor.PluginConfig{Path: path, Settings: settings,
			Limits: wasmparserprocessor.LimitsConfig{CallTimeout: o.timeout}})
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	sink, err := consumer.NewTraces(func(_ context.Context, td ptrace.Traces) error { r.take(td); return nil })
	if err != nil {
		return nil, err
	}
	set := processor.Settings{ID: component.NewID(f.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	// What plugins log is shown.
	set.Logger = zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "m"}), zapcore.AddSync(stderr), zapcore.DebugLevel))
	if r.p, err = f.CreateTraces(context.Background(), set, cfg, sink); err != nil {
		return nil, err
	}
	return r, r.p.Start(context.Background(), componenttest.NewNopHost())
}

// unparsed makes an exchange of what no protocol knows, for plugins.
func (r *pluginRun) unparsed(take func(*session.Exchange)) func(*stream.Chunk) bool {
	return func(c *stream.Chunk) bool {
		if len(r.ports) > 0 && !r.ports[c.Conn.A.Port()] && !r.ports[c.Conn.B.Port()] {
			return false
		}
		r.raw.Raw(c, r.limit)
		take(&r.raw)
		return true
	}
}

// put shows the plugins a batch.
func (r *pluginRun) put(td ptrace.Traces, _ int) {
	r.before = map[pcommon.SpanID]ptrace.Span{}
	if r.next == nil {
		copied := ptrace.NewTraces()
		td.CopyTo(copied)
		each(copied, func(s ptrace.Span) {
			if s.Name() != session.NameUnparsed {
				r.before[s.SpanID()] = s
			}
		})
	}
	_ = r.p.ConsumeTraces(context.Background(), td) // take gives no error
}

func (r *pluginRun) take(td ptrace.Traces) {
	if r.next != nil {
		r.next(td, td.SpanCount())
		return
	}
	each(td, func(s ptrace.Span) {
		was, known := r.before[s.SpanID()]
		if !known {
			was = ptrace.NewSpan()
		}
		lines := changes(was, s)
		if len(lines) == 0 {
			return
		}
		what := "changed"
		if !known {
			what = "found"
			r.made++
		} else {
			r.changed++
		}
		fmt.Fprintf(r.out, "%s %s, took %v\n", what, clean(s.Name()), (time.Duration(s.EndTimestamp()) - time.Duration(s.StartTimestamp())).Round(time.Microsecond))
		for _, l := range lines {
			fmt.Fprintf(r.out, "    %s\n", l)
		}
	})
}

func each(td ptrace.Traces, f func(ptrace.Span)) {
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				f(s)
			}
		}
	}
}

// changes are the differences between two versions of a span, a line each: what
// is new, what was changed, what is gone.
func changes(was, s ptrace.Span) (out []string) {
	diff := func(key, a, b string) {
		a, b = clean(a), clean(b)
		switch {
		case a == b:
		case a == "":
			out = append(out, fmt.Sprintf("+ %s: %s", key, b))
		case b == "":
			out = append(out, fmt.Sprintf("- %s: %s", key, a))
		default:
			out = append(out, fmt.Sprintf("~ %s: %s, was %s", key, b, a))
		}
	}
	if was.Name() != "" {
		diff("span.name", was.Name(), s.Name())
	}
	diff("span.status", status(was), status(s))
	diff("span.status_message", was.Status().Message(), s.Status().Message())
	keys := map[string]bool{}
	for k := range was.Attributes().All() {
		keys[k] = true
	}
	for k := range s.Attributes().All() {
		keys[k] = true
	}
	delete(keys, semconv.PayloadRequest) // which the processor takes away
	delete(keys, semconv.PayloadResponse)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if was.Name() == "" && !said(k) {
			continue
		}
		diff(k, value(was, k), value(s, k))
	}
	return out
}

// said tells what of an exchange that a plugin found is worth a line: not what
// the connection says anyway.
func said(key string) bool {
	if semconv.Capture(key) || key == semconv.SignalSource || key == semconv.RequestEnd || key == semconv.ResponseStart {
		return false
	}
	for _, p := range [...]string{"network.", "client.", "server."} {
		if strings.HasPrefix(key, p) {
			return key == semconv.NetworkProtocolName
		}
	}
	return true
}

func value(s ptrace.Span, key string) string {
	if v, ok := s.Attributes().Get(key); ok {
		return v.AsString()
	}
	return ""
}

func status(s ptrace.Span) string {
	if c := s.Status().Code(); c != ptrace.StatusCodeUnset {
		return strings.ToLower(c.String())
	}
	return ""
}

// hooks names what a plugin wants to be asked.
func hooks(h wasmhost.Hooks) string {
	var list []string
	for _, w := range [...]struct {
		is   bool
		name string
	}{{h.Span, "on_span"}, {h.HTTPRequest, "on_http_req"}, {h.HTTPResponse, "on_http_resp"}, {h.Payload, "check_payload, parse_payload"},
		{h.Custom && h.CustomAll, "on_custom_message (all)"}, {h.Custom && !h.CustomAll, fmt.Sprintf("on_custom_message (protocol %d)", h.CustomType)}} {
		if w.is {
			list = append(list, w.name)
		}
	}
	abi := "DeepFlow's ABI"
	if h.Version > 0 {
		abi = fmt.Sprintf("ABI version %d", h.Version)
	}
	return abi + ", hooks: " + strings.Join(list, ", ")
}

// show prints which hooks the plugins have.
func (r *pluginRun) show() {
	plugins, _ := wasmparserprocessor.Reports(r.p)
	for _, p := range plugins {
		fmt.Fprintf(r.out, "plugin %s: %s\n", p.Name, hooks(p.Hooks))
	}
}

// end flushes what plugins wait for, and prints what they cost and did.
func (r *pluginRun) end(w io.Writer) error {
	plugins, unparsed := wasmparserprocessor.Reports(r.p)
	err := r.p.Shutdown(context.Background())
	if err := r.out.Flush(); err != nil {
		return err
	}
	for _, p := range plugins {
		per := time.Duration(0)
		if p.Calls > 0 {
			per = p.Spent / time.Duration(p.Calls)
		}
		fmt.Fprintf(w, "plugin %s: %d calls, %d ns each, %d spans changed, %d KiB of memory\n", p.Name, p.Calls, per.Nanoseconds(), p.Changed, p.Memory>>10)
		for _, reason := range slices.Sorted(maps.Keys(p.Failed)) {
			fmt.Fprintf(w, "plugin %s: %d calls failed: %s\n", p.Name, p.Failed[reason], reason)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(unparsed)) {
		fmt.Fprintf(w, "unparsed messages: %d %s\n", unparsed[what], what)
	}
	return err
}
