package pinpointreceiver

import (
	"sync"

	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/convert"
)

// core is what all sources share: one memory of agents, one converter.
type core struct {
	mu    sync.Mutex
	store *convert.Store
	conv  *convert.Converter
	// out are batches on their way to the next consumer.
	out    chan batch
	closed bool
}

// batch is spans, or metrics.
type batch struct {
	td    ptrace.Traces
	md    pmetric.Metrics
	spans int // 0: metrics
}

// maxBatches is how many batches wait for the next consumer before sources
// have to.
const maxBatches = 16

func newCore(cfg *Config, version string) *core {
	c := &core{store: convert.NewStore(cfg.MaxAgents), out: make(chan batch, maxBatches)}
	c.conv = convert.New(convert.Config{Version: version, MaxSpans: cfg.MaxSpans, MaxEvents: cfg.MaxEvents}, c.store, func(td ptrace.Traces, n int) {
		c.out <- batch{td: td, spans: n}
	})
	return c
}

// put takes a message of an agent. body is borrowed.
func (c *core) put(id *convert.Identity, path string, body []byte, now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.conv.Put(c.store.Agent(id), path, body, now)
	}
}

// tick lets spans go that have waited long enough.
func (c *core) tick(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.conv.Tick(now)
	}
}

// close lets everything go, and the consumer end.
func (c *core) close(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.conv.Flush(now)
		c.closed = true
		close(c.out)
	}
}

// flush lets everything go: a source has ended.
func (c *core) flush(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.conv.Flush(now)
	}
}
