package pinpointreceiver

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/stream"
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
	ports  map[uint16]bool // of the collector that agents on the wire report to
	// received are messages by source and method.
	received [sources]map[string]uint64
	// emitted and refused are spans and data points that the next consumers took,
	// or did not.
	emitted, refused, pointsOut, pointsRefused atomic.Uint64
}

// source is how messages come.
type source int

const (
	sent source = iota
	sniffed
	sources
)

func (s source) String() string { return [...]string{"sent", "sniffed"}[s] }

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
	c := &core{store: convert.NewStore(cfg.MaxAgents, cfg.MaxTextBytes), out: make(chan batch, maxBatches), ports: map[uint16]bool{}}
	for _, p := range cfg.Sniff.Ports {
		c.ports[p] = true
	}
	for i := range c.received {
		c.received[i] = map[string]uint64{}
	}
	c.conv = convert.New(convert.Config{Version: version, KeepLiterals: cfg.KeepLiterals, MaxSpans: cfg.MaxSpans, MaxEvents: cfg.MaxEvents, MaxBytes: cfg.MaxBytes}, c.store, func(td ptrace.Traces, n int) {
		c.out <- batch{td: td, spans: n}
	})
	return c
}

// put takes a message of an agent. body is borrowed.
func (c *core) put(from source, id *convert.Identity, path string, body []byte, now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.received[from][kind(path)]++
	if silent[path] {
		return
	}
	c.conv.Put(c.store.Agent(id), path, body, now)
}

// life is the one life that is remembered of an agent since a time in ms.
func (c *core) life(id string, since int64) (convert.Identity, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.store.Life(id, since)
}

// ends are the agent's and the collector's end of a connection on the wire.
func (c *core) ends(k *stream.Conn) (agent, collector netip.AddrPort) {
	if c.ports[k.A.Port()] && !c.ports[k.B.Port()] {
		return k.B, k.A
	}
	return k.A, k.B
}

// serverPort is that of the collector.
func (c *core) serverPort(k *stream.Conn) uint16 {
	_, collector := c.ends(k)
	return collector.Port()
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
