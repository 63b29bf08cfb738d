package session

import (
	"sync/atomic"

	"github.com/hopscope/hopscope/internal/l7"
)

// Stats counts what the engine did and what it lost. Any goroutine may read it.
// What is counted for every chunk or exchange is as of the last Tick or
// Flush: a counter that all processors agree on costs as much as a small stage.
type Stats struct {
	Chunks     atomic.Uint64 // chunks taken
	Duplicate  atomic.Uint64 // chunks that held nothing new
	Holes      atomic.Uint64 // jumps in a stream that capture did not intend
	HoleBytes  atomic.Uint64
	Unknown    atomic.Uint64 // connections that no protocol knew
	Conflict   atomic.Uint64 // detections at odds with the connection's direction
	Cut        atomic.Uint64 // chunks captured in part, where more than the rest of one message lay beyond
	WindowFull atomic.Uint64 // messages cut by the window limit
	PendFull   atomic.Uint64 // connections with more requests open than the limit
	Unseen     atomic.Int64  // exchanges that nothing was seen of, besides the kernel's lost turns
	Muted      atomic.Uint64 // chunks of connections that were given up
	PerProto   []ProtoStats  // in the order of the engine's protocols
}

// ProtoStats is Stats of one protocol.
type ProtoStats struct {
	Name       string
	Conns      atomic.Uint64 // connections recognised
	Exchanges  atomic.Uint64 // exchanges given to the next stage
	LostSync   atomic.Uint64 // times that reading lost its place
	Orphans    atomic.Uint64 // answers without a request
	Timeouts   atomic.Uint64 // requests never answered
	Unanswered atomic.Uint64 // requests whose answer capture may have lost
	Panics     atomic.Uint64 // faults of the protocol's code, each with a connection given up

	exchanges uint64 // as Exchanges, the engine's own
}

func newStats(protocols []*l7.Protocol) *Stats {
	s := &Stats{PerProto: make([]ProtoStats, len(protocols))}
	for i, p := range protocols {
		s.PerProto[i].Name = p.Name
	}
	return s
}

// publish brings Stats up to date.
func (e *Engine) publish() {
	e.stats.Chunks.Store(e.chunks)
	for i := range e.stats.PerProto {
		p := &e.stats.PerProto[i]
		p.Exchanges.Store(p.exchanges)
	}
}
