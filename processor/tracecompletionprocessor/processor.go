package tracecompletionprocessor

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.uber.org/zap"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/links"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/metadata"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/packed"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/table"
)

// batch is what came at once. It waits, and is sent on, as one.
type batch struct {
	spans packed.Batch // while it waits
	nodes []table.Node // of each of the spans
	came  int64        // unix ns
	ready bool         // its nodes are settled
	asked int          // how many times its exchanges were looked up
	bytes int64
}

// nodeBytes is what a node takes, with what of the table and its maps is there
// for it: measured with 10,000 to 1,000,000 held.
const nodeBytes = 300

type completion struct {
	cfg   *Config
	log   *zap.Logger
	next  consumer.Traces
	set   component.TelemetrySettings
	links links.Store
	tb    *metadata.TelemetryBuilder

	packers sync.Pool // of *packed.Packer: those who bring spans pack them at once
	names   *names
	// messages links those who hand messages over and those who get them.
	messages *messages

	mu      sync.Mutex // protects the next
	table   *table.Table
	waiting []*batch // in order of arrival
	sent    []*batch // remembered, in order of arrival
	spans   int
	bytes   int64
	known   int // nodes of sent

	sendMu   sync.Mutex // one flush at a time: batches leave in order. Protects the next
	unpacker *packed.Unpacker
	decided  []table.Decision // of the batch in hand

	stop chan struct{}
	wait sync.WaitGroup // for the goroutines
	now  func() time.Time

	received, forwarded, early, dupes, folded, failed, lookupErrors, chained atomic.Uint64
	failing                                                                  atomic.Bool
}

func newCompletion(cfg *Config, set processor.Settings, next consumer.Traces) (*completion, error) {
	p := &completion{
		cfg: cfg, log: set.Logger, next: next, set: set.TelemetrySettings, messages: newMessages(),
		packers:  sync.Pool{New: func() any { return packed.NewPacker() }},
		unpacker: packed.NewUnpacker(),
		table: table.New(table.Config{
			Guards:   table.Guards{MaxSpans: cfg.Guards.MaxSpans, MaxDuration: cfg.Guards.MaxDuration, MaxSiblings: cfg.Guards.MaxSiblings},
			Reparent: cfg.ReparentAPM, Fold: cfg.Hops == hopsAttributes, Drop: cfg.Hops == valueOff,
			Skew: cfg.ClockSkew != valueOff, Adjust: cfg.ClockSkew == skewAdjust,
		}),
		names: newNames(),
		now:   time.Now,
	}
	return p, nil
}

// Capabilities: spans that cannot be packed are kept, and changed, as they are.
func (p *completion) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

// Start opens the link table and begins to send on what has settled.
func (p *completion) Start(ctx context.Context, _ component.Host) error {
	var err error
	if p.links == nil {
		if p.links, err = newStore(ctx, &p.cfg.Links); err != nil {
			return err
		}
	}
	if p.tb, err = p.observe(); err != nil {
		return err
	}
	p.stop = make(chan struct{})
	p.wait.Go(func() { p.every(p.turn) })
	if p.links != nil {
		p.wait.Go(func() { p.every(p.ask) })
	}
	return nil
}

// Shutdown sends on everything that waits.
func (p *completion) Shutdown(ctx context.Context) error {
	if p.stop == nil {
		return nil
	}
	close(p.stop)
	p.wait.Wait()
	p.stop = nil
	if p.links != nil {
		p.askAbout(ctx, 1<<62, rounds)
	}
	p.flush(ctx, 1<<62)
	p.tb.Shutdown()
	if p.links == nil {
		return nil
	}
	return p.links.Close(ctx)
}

// ConsumeTraces takes a batch in. It waits only while the processor is full,
// and then no longer than the next consumer takes for the oldest batch.
func (p *completion) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	n := td.SpanCount()
	if n == 0 {
		return p.next.ConsumeTraces(ctx, td)
	}
	b := &batch{nodes: make([]table.Node, n), came: p.now().UnixNano()}
	p.received.Add(uint64(n))
	i := 0
	for _, rs := range td.ResourceSpans().All() {
		o := p.names.origin(rs.Resource())
		for _, ss := range rs.ScopeSpans().All() {
			judged := ss.Scope().Name() == semconv.ScopeEBPF
			for _, span := range ss.Spans().All() {
				node := &b.nodes[i]
				read(node, span, o, judged)
				node.Index = int32(i)
				i++
			}
		}
	}
	packer := p.packers.Get().(*packed.Packer)
	b.spans = packer.Pack(td)
	p.packers.Put(packer)
	b.bytes = b.spans.Size() + int64(n*nodeBytes)
	var puts []links.Entry
	p.mu.Lock()
	for i := range b.nodes {
		node := &b.nodes[i]
		if !p.table.Add(node) {
			*node = table.Node{Index: -1}
			p.dupes.Add(1)
			continue
		}
		if p.links != nil && p.table.Tell(node, false) {
			puts = append(puts, links.Entry{Key: links.Exchange(node.LID), Trace: links.Trace{ID: [16]byte(node.Trace), Provisional: node.Provisional}})
		}
	}
	p.waiting = append(p.waiting, b)
	p.spans += n
	p.bytes += b.bytes
	full := p.spans > p.cfg.MaxSpans || p.bytes > p.cfg.MaxBytes
	p.mu.Unlock()
	if len(puts) > 0 {
		p.links.Put(puts)
	}
	if full {
		p.relieve(ctx)
	}
	return nil
}

// relieve sends the oldest batches on as they are until there is room.
func (p *completion) relieve(ctx context.Context) {
	p.sendMu.Lock()
	defer p.sendMu.Unlock()
	for {
		p.mu.Lock()
		if len(p.waiting) == 0 || (p.spans <= p.cfg.MaxSpans && p.bytes <= p.cfg.MaxBytes) {
			p.mu.Unlock()
			return
		}
		b := p.take()
		p.mu.Unlock()
		p.early.Add(uint64(len(b.nodes)))
		p.send(ctx, b)
	}
}

// take removes the oldest waiting batch. p.mu is held.
func (p *completion) take() *batch {
	b := p.waiting[0]
	p.waiting[0] = nil
	p.waiting = p.waiting[1:]
	p.spans -= len(b.nodes)
	p.bytes -= b.bytes
	return b
}

// maxPause bounds how late a batch may leave.
const maxPause = 50 * time.Millisecond

// pause is how often is looked whether something is due.
func (p *completion) pause() time.Duration {
	return min(maxPause, max(p.cfg.Settle/20, time.Millisecond))
}

// every calls do again and again until the processor stops.
func (p *completion) every(do func(now int64)) {
	t := time.NewTicker(p.pause())
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
		}
		do(p.now().UnixNano())
	}
}

func (p *completion) turn(now int64) {
	settle := int64(p.cfg.Settle)
	p.flush(context.Background(), now-settle)
	p.ready(now - settle/2)
	p.forget(now - settle - int64(p.cfg.Remember))
}

// ready settles the nodes of batches that came before t, at half time: which
// exchanges caused each other is then known before the first span of their
// trace, which may have come earlier than the others, is sent on.
func (p *completion) ready(t int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.waiting {
		if b.came > t {
			break
		}
		p.settle(b)
	}
}

// settle settles b's nodes, once. p.mu is held.
func (p *completion) settle(b *batch) {
	if b.ready {
		return
	}
	b.ready = true
	for i := range b.nodes {
		if n := &b.nodes[i]; n.Index >= 0 {
			p.table.Settle(n)
		}
	}
}

// flush sends on the batches that came before t.
func (p *completion) flush(ctx context.Context, t int64) {
	p.sendMu.Lock()
	defer p.sendMu.Unlock()
	p.ready(t)
	for {
		p.mu.Lock()
		if len(p.waiting) == 0 || p.waiting[0].came > t {
			p.mu.Unlock()
			return
		}
		b := p.take()
		p.mu.Unlock()
		p.send(ctx, b)
	}
}

// send decides what becomes of b's spans and gives them to the next consumer.
// p.sendMu is held.
func (p *completion) send(ctx context.Context, b *batch) {
	p.mu.Lock()
	p.settle(b)
	for i := range b.nodes {
		d := table.Decision{Drop: true}
		if n := &b.nodes[i]; n.Index >= 0 {
			if d = p.table.Decide(n); d.Drop {
				p.folded.Add(1)
			}
		}
		p.decided = append(p.decided, d)
	}
	spans := b.spans
	b.spans = packed.Batch{}
	p.sent = append(p.sent, b)
	p.known += len(b.nodes)
	p.mu.Unlock()
	// What is read of nodes here is what they came with.
	td := p.unpacker.Unpack(&spans, func(i int, span ptrace.Span) bool {
		n, d := &b.nodes[i], &p.decided[i]
		if d.Drop {
			return false
		}
		apply(span, n, d)
		p.messages.meet(span, n)
		return true
	})
	clear(p.decided)
	p.decided = p.decided[:0]
	n := td.SpanCount()
	if n == 0 {
		return
	}
	if err := p.next.ConsumeTraces(ctx, td); err != nil {
		p.failed.Add(uint64(n))
		if !p.failing.Swap(true) {
			p.log.Error("the next consumer refused spans; further refusals are only counted", zap.Int("spans", n), zap.Error(err))
		}
		return
	}
	p.failing.Store(false)
	p.forwarded.Add(uint64(n))
}

// forget drops what was sent on and came before t, and of the rest the oldest
// past max_spans: those that wait and those that are remembered are bounded
// alike.
func (p *completion) forget(t int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := 0
	for k < len(p.sent) && (p.sent[k].came <= t || p.known > p.cfg.MaxSpans) {
		p.known -= len(p.sent[k].nodes)
		for i := range p.sent[k].nodes {
			if n := &p.sent[k].nodes[i]; n.Index >= 0 {
				p.table.Forget(n)
			}
		}
		p.sent[k] = nil
		k++
	}
	p.sent = p.sent[k:]
}
