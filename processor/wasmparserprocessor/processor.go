package wasmparserprocessor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.uber.org/zap"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/wasmhost"
	"github.com/hopscope/hopscope/processor/wasmparserprocessor/internal/metadata"
)

type parser struct {
	cfg    *Config
	log    *zap.Logger
	set    component.TelemetrySettings
	next   consumer.Traces
	guests []*guest
	cache  wazero.CompilationCache
	tb     *metadata.TelemetryBuilder

	flows    *flows
	dropped  [drops]atomic.Uint64
	sessions [outcomes]atomic.Uint64
	stop     chan struct{}
	running  sync.WaitGroup
}

// Why an unparsed message became nothing.
const (
	dropUnknown = iota // no plugin knows it
	dropOrphan         // an answer whose request was not seen
	dropTooLong        // unparsed::max_message is smaller
	dropAside          // the plugin that knows it can't be asked now
	dropEmpty          // it came without payload
	drops
)

var dropNames = [drops]string{"unknown", "orphan", "too_long", "aside", "empty"}

func (p *parser) drop(why int, n uint64) { p.dropped[why].Add(n) }

func newParser(cfg *Config, set processor.Settings, next consumer.Traces) *parser {
	return &parser{cfg: cfg, log: set.Logger, set: set.TelemetrySettings, next: next, flows: newFlows(cfg.Unparsed)}
}

// Capabilities: spans are changed in place.
func (p *parser) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

// Start loads all plugins; one that does not load is an error: the user names it.
func (p *parser) Start(ctx context.Context, host component.Host) error {
	p.cache = wazero.NewCompilationCache()
	for i := range p.cfg.Plugins {
		g := newGuest(&p.cfg.Plugins[i], p.log, p.cache)
		for _, other := range p.guests {
			if other.name == g.name { // names tell counters apart
				g.name = fmt.Sprintf("%s#%d", g.name, i)
			}
		}
		g.host, g.states = host, newStates(p.cfg.Unparsed.MaxFlows)
		if _, err := g.load(context.WithoutCancel(ctx)); err != nil {
			return errors.Join(err, p.close(ctx))
		}
		p.guests = append(p.guests, g)
	}
	var err error
	if p.tb, err = p.observe(); err != nil {
		return errors.Join(err, p.close(ctx))
	}
	if len(p.guests) > 0 {
		p.stop = make(chan struct{})
		if p.cfg.Reload > 0 {
			p.running.Go(func() { p.every(p.cfg.Reload, p.reload) })
		}
		p.running.Go(func() { p.every(expireEvery, p.expired) })
	}
	return nil
}

// Shutdown frees the plugins.
func (p *parser) Shutdown(ctx context.Context) error {
	if p.stop != nil {
		close(p.stop)
		p.running.Wait()
		p.stop = nil
		p.send(p.end())
	}
	if p.tb != nil {
		p.tb.Shutdown()
	}
	return p.close(ctx)
}

func (p *parser) close(ctx context.Context) error {
	for _, g := range p.guests {
		if l := g.now.Swap(nil); l != nil {
			l.retire(ctx)
		}
	}
	p.guests = nil
	if p.cache == nil {
		return nil
	}
	return p.cache.Close(ctx)
}

// expireEvery is how finely time-outs of unparsed messages are looked at.
const expireEvery = time.Second

// every calls f until the end.
func (p *parser) every(d time.Duration, f func()) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			f()
		}
	}
}

func (p *parser) expired() { p.send(p.expire(time.Now())) }

// send passes on what did not come with a batch.
func (p *parser) send(td ptrace.Traces) {
	if td.SpanCount() == 0 {
		return
	}
	if err := p.next.ConsumeTraces(context.Background(), td); err != nil {
		p.log.Warn("spans were refused", zap.Int("spans", td.SpanCount()), zap.Error(err))
	}
}

// reload takes changed files.
func (p *parser) reload() {
	for _, g := range p.guests {
		switch changed, err := g.load(context.Background()); {
		case err != nil:
			g.refused.Add(1)
			g.log.Warn("changed plugin is not taken, the former one goes on", zap.Error(err))
		case changed:
			g.reloaded.Add(1)
			g.log.Info("plugin was reloaded")
		}
	}
}

// ConsumeTraces asks the plugins about each span.
func (p *parser) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	b := batch{p: p, ctx: context.WithoutCancel(ctx), now: time.Now(), held: make([]held, len(p.guests)), made: ptrace.NewTraces()}
	for i, g := range p.guests {
		b.held[i].l = g.ready(b.now)
	}
	for _, rs := range td.ResourceSpans().All() {
		b.resource = rs.Resource()
		b.exec, b.host = text(b.resource.Attributes(), semconv.ProcessExecutableName), text(b.resource.Attributes(), semconv.HostID)
		for _, ss := range rs.ScopeSpans().All() {
			b.scope = ss.Scope()
			ss.Spans().RemoveIf(b.span)
		}
	}
	b.close()
	if b.locked { // resources may have lost all their spans
		td.ResourceSpans().RemoveIf(empty)
	}
	b.made.ResourceSpans().MoveAndAppendTo(td.ResourceSpans())
	if td.ResourceSpans().Len() == 0 {
		return nil
	}
	return p.next.ConsumeTraces(ctx, td)
}

func empty(rs ptrace.ResourceSpans) bool {
	rs.ScopeSpans().RemoveIf(func(ss ptrace.ScopeSpans) bool { return ss.Spans().Len() == 0 })
	return rs.ScopeSpans().Len() == 0
}

// batch is one batch on its way: the instances that it holds, and the spans that
// come to it.
type batch struct {
	p        *parser
	ctx      context.Context
	now      time.Time
	resource pcommon.Resource
	scope    pcommon.InstrumentationScope
	exec     string
	host     string
	held     []held

	// view and message are of the call that runs.
	view    view
	message wasmhost.Message

	locked bool // p.flows
	made   ptrace.Traces
	spans  map[*flow]ptrace.SpanSlice
}

type held struct {
	l  *loaded
	in *wasmhost.Instance
}

func (b *batch) close() {
	if b.locked {
		b.p.flows.mu.Unlock()
	}
	for _, h := range b.held {
		if h.in != nil {
			h.l.give(b.ctx, h.in)
		}
	}
}

// instance is one of plugin i for this batch; nil: it may not be asked now.
func (b *batch) instance(i int) *wasmhost.Instance {
	h, g := &b.held[i], b.p.guests[i]
	if h.in != nil && h.in.Dead() {
		h.l.give(b.ctx, h.in)
		h.in = nil
		h.l = g.ready(time.Now())
	}
	for h.in == nil && h.l != nil {
		in, err := h.l.take(b.ctx)
		switch {
		case err != nil:
			g.failed[reason(err)].Add(1)
			h.l = nil
		case in == nil: // replaced meanwhile
			h.l = g.ready(time.Now())
		default:
			h.in = in
		}
	}
	return h.in
}

// span asks about one span; true: it is to be dropped.
func (b *batch) span(s ptrace.Span) (drop bool) {
	if s.Name() == unparsed {
		if !b.locked {
			b.p.flows.mu.Lock()
			b.locked = true
		}
		b.unparsed(s)
		return true
	}
	for i, g := range b.p.guests {
		if b.held[i].l == nil || !g.cfg.Match.fits(s, b.exec) {
			continue
		}
		if b.ask(i, s) {
			break
		}
	}
	if !b.p.cfg.KeepPayload {
		s.Attributes().Remove(semconv.PayloadRequest)
		s.Attributes().Remove(semconv.PayloadResponse)
	}
	return false
}

// ask calls the hooks that plugin i has for the span; true: no other is asked.
func (b *batch) ask(i int, s ptrace.Span) (stop bool) {
	hooks, g := b.held[i].l.plugin.Hooks, b.p.guests[i]
	flow := ""
	if hooks.Affinity || hooks.State {
		flow = b.flow(s)
	}
	if hooks.Span {
		// Plugins of our own ABI read the span: they are told no context.
		v, m := &b.view, &b.message
		v.reset(s)
		*m = wasmhost.Message{Span: v}
		if hooks.State {
			m.State = g.states.get(flow)
		}
		if b.call(i, flow, wasmhost.OnSpan, m) && v.apply() {
			g.changed.Add(1)
		}
		if m.StateSet {
			g.states.set(flow, m.State)
		}
		stop = m.Stop
	}
	for _, dir := range [...]wasmhost.Direction{wasmhost.ToServer, wasmhost.ToClient} {
		h, m, ok := httpMessage(s, b.exec, dir, hooks)
		if !ok {
			if h, m, ok = customMessage(s, b.exec, dir, hooks); !ok {
				continue
			}
		}
		if b.call(i, flow, h, m) && apply(s, m.Infos) {
			g.changed.Add(1)
		}
		stop = stop || m.Stop
	}
	return stop
}

// call calls a hook about a flow.
func (b *batch) call(i int, flow string, h wasmhost.Hook, m *wasmhost.Message) bool {
	ok := b.try(i, flow, h, m)
	if g, held := b.p.guests[i], &b.held[i]; !ok && held.l != nil && g.ready(time.Now()) == nil { // put aside just now
		if held.in != nil {
			held.l.give(b.ctx, held.in)
		}
		held.l, held.in = nil, nil
	}
	return ok
}

func (b *batch) try(i int, flow string, h wasmhost.Hook, m *wasmhost.Message) bool {
	g := b.p.guests[i]
	for l := b.held[i].l; l != nil && l.plugin.Hooks.Affinity; l = b.held[i].l {
		if ok, asked := g.pinned(b.ctx, l, flow, h, m); asked {
			return ok
		}
		b.held[i].l = g.ready(time.Now()) // replaced meanwhile
	}
	in := b.instance(i)
	return in != nil && g.do(in, h, m)
}

func first(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}
