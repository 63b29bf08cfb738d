package wasmparserprocessor

import (
	"context"
	"errors"
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

	unknown atomic.Uint64
	stop    chan struct{}
	done    chan struct{}
}

func newParser(cfg *Config, set processor.Settings, next consumer.Traces) *parser {
	return &parser{cfg: cfg, log: set.Logger, set: set.TelemetrySettings, next: next}
}

// Capabilities: spans are changed in place.
func (p *parser) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

// Start loads all plugins; one that does not load is an error: the user names it.
func (p *parser) Start(ctx context.Context, _ component.Host) error {
	p.cache = wazero.NewCompilationCache()
	for i := range p.cfg.Plugins {
		g := newGuest(&p.cfg.Plugins[i], p.log, p.cache)
		if _, err := g.load(context.WithoutCancel(ctx)); err != nil {
			return errors.Join(err, p.close(ctx))
		}
		p.guests = append(p.guests, g)
	}
	var err error
	if p.tb, err = p.observe(); err != nil {
		return errors.Join(err, p.close(ctx))
	}
	if p.cfg.Reload > 0 && len(p.guests) > 0 {
		p.stop, p.done = make(chan struct{}), make(chan struct{})
		go p.watch()
	}
	return nil
}

// Shutdown frees the plugins.
func (p *parser) Shutdown(ctx context.Context) error {
	if p.stop != nil {
		close(p.stop)
		<-p.done
		p.stop = nil
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

// watch takes changed files.
func (p *parser) watch() {
	defer close(p.done)
	t := time.NewTicker(p.cfg.Reload)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			p.reload()
		}
	}
}

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
	b := batch{p: p, ctx: context.WithoutCancel(ctx), held: make([]held, len(p.guests))}
	now := time.Now()
	for i, g := range p.guests {
		b.held[i].l = g.ready(now)
	}
	for _, rs := range td.ResourceSpans().All() {
		b.exec = text(rs.Resource().Attributes(), semconv.ProcessExecutableName)
		for _, ss := range rs.ScopeSpans().All() {
			ss.Spans().RemoveIf(func(s ptrace.Span) bool {
				drop := b.span(s)
				if !p.cfg.KeepPayload {
					s.Attributes().Remove(semconv.PayloadRequest)
					s.Attributes().Remove(semconv.PayloadResponse)
				}
				return drop
			})
		}
	}
	b.close()
	return p.next.ConsumeTraces(ctx, td)
}

// batch is one batch on its way: the instances that it holds.
type batch struct {
	p    *parser
	ctx  context.Context
	exec string
	held []held
}

type held struct {
	l  *loaded
	in *wasmhost.Instance
}

func (b *batch) close() {
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
		if b.unparsed(s) {
			return false
		}
		b.p.unknown.Add(1)
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
	return false
}

// ask calls the hooks that plugin i has for the span; true: no other is asked.
func (b *batch) ask(i int, s ptrace.Span) (stop bool) {
	hooks := b.held[i].l.plugin.Hooks
	if hooks.Span {
		v := newView(s)
		m := &wasmhost.Message{Ctx: parseCtx(s, b.exec, wasmhost.ToServer), Span: v}
		if b.call(i, wasmhost.OnSpan, m) && v.apply() {
			b.p.guests[i].changed.Add(1)
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
		if b.call(i, h, m) && apply(s, m.Infos) {
			b.p.guests[i].changed.Add(1)
		}
		stop = stop || m.Stop
	}
	return stop
}

func (b *batch) call(i int, h wasmhost.Hook, m *wasmhost.Message) bool {
	in := b.instance(i)
	return in != nil && b.p.guests[i].do(b.ctx, b.held[i].l, in, h, m)
}

// unparsed offers a message that no protocol knows; true: a plugin knew it.
func (b *batch) unparsed(s ptrace.Span) bool {
	dir, name := wasmhost.ToServer, semconv.PayloadRequest
	if text(s.Attributes(), semconv.SessionType) == semconv.TypeResponse {
		dir = wasmhost.ToClient
	}
	payload := data(s.Attributes(), name)
	if len(payload) == 0 {
		return false
	}
	for i, g := range b.p.guests {
		if l := b.held[i].l; l == nil || !l.plugin.Hooks.Payload || !g.cfg.Match.fits(s, b.exec) {
			continue
		}
		m := &wasmhost.Message{Ctx: parseCtx(s, b.exec, dir), Payload: payload}
		m.Ctx.L7 = 0
		if !b.call(i, wasmhost.CheckPayload, m) || m.Number == 0 {
			continue
		}
		protocol := m.Name
		m.Ctx.L7 = m.Number
		if !b.call(i, wasmhost.ParsePayload, m) || len(m.Infos) == 0 {
			continue
		}
		if protocol != "" {
			s.Attributes().PutStr(semconv.NetworkProtocolName, protocol)
		}
		s.SetName(first(m.Infos[0].Protocol, protocol, "custom"))
		apply(s, m.Infos)
		g.changed.Add(1)
		return true
	}
	return false
}

// unparsed is the name of spans of messages that no protocol knows.
const unparsed = "unparsed"

func text(m pcommon.Map, key string) string {
	if v, ok := m.Get(key); ok {
		return v.AsString()
	}
	return ""
}

func first(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}
