package ebpfreceiver

import (
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/cause"
	"github.com/hopscope/hopscope/internal/event"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/span"
	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/internal/who"
)

// shard is stages 3 to 6 for some of the processes: what happens in one process
// is read by one shard, in kernel order.
type shard struct {
	// mu is held for one event at a time by the goroutine that reads the ring,
	// and by the clock where events are few. It is hardly ever contended.
	mu      sync.Mutex
	event   event.Event
	table   *stream.Table
	engine  *session.Engine
	tracker *cause.Tracker
	builder *span.Builder
	who     *who.Table
	raw     session.Exchange
	none    l7.Protocol // stands for what no protocol knows
	payload int
	ports   map[uint16]bool // of unparsed
	bad     atomic.Uint64   // records that could not be decoded
}

// shardConfig is what shards share.
type shardConfig struct {
	session  session.Config
	stream   stream.TableConfig
	span     span.Config
	who      who.Config
	unparsed []uint16
	// ignoreVLAN is for packets: connections are the same in all VLANs.
	ignoreVLAN bool
	mute       func(sock uint64)
	raise      func(sock uint64)
	emit       func(ptrace.Traces, int)
}

func newShard(c shardConfig) *shard {
	s := &shard{who: who.NewTable(c.who), payload: c.session.Payload, ports: map[uint16]bool{}}
	for _, p := range c.unparsed {
		s.ports[p] = true
	}
	c.span.Process = s.who.Process
	s.builder = span.New(c.span, c.emit)
	s.tracker = cause.New(cause.Config{Host: c.span.Host.ID, Recycle: func(x *session.Exchange) { s.engine.Recycle(x) },
		Golang: func(pid uint32) bool { p := s.who.Process(pid); return p != nil && p.Runtime == "go" }}, s.builder.Put)
	c.session.Began, c.session.Answered = s.tracker.Began, s.tracker.Answered
	if len(s.ports) > 0 {
		c.session.Unparsed = s.unparsed
	}
	c.session.Mute = func(conn *stream.Conn) {
		if sock, ok := s.table.Muteable(conn); ok {
			c.mute(sock)
		}
	}
	// The kernel keeps the head of what one end says until the other one speaks;
	// where messages do not take turns, each call may begin one.
	c.session.Identified = func(conn *stream.Conn, p *l7.Protocol) {
		if p.Pairing == l7.ByStream && conn.Transport == l7.TCP {
			c.raise(conn.ID)
		}
	}
	s.engine = session.New(c.session, s.tracker.Put)
	// A process is looked up as soon as it has a connection: it may be gone when
	// its first exchange is over.
	c.stream.Opened = func(conn *stream.Conn, _ *event.Open) { s.who.Process(conn.Pid) }
	c.stream.Connecting, c.stream.Handover = s.tracker.Connecting, s.tracker.Handover
	s.table = stream.NewTable(c.stream, s.engine.Put)
	return s
}

// put takes one raw record.
func (s *shard) put(raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &s.event
	if event.Decode(raw, e) != nil {
		s.bad.Add(1)
		return
	}
	switch e.Kind {
	case event.KindExec:
		s.who.Began(e.Pid)
		s.tracker.Exited(e.Pid) // what it ran before
	case event.KindFork:
		s.who.Began(e.Pid)
	case event.KindExit:
		s.tracker.Exited(e.Pid)
	default:
		s.table.Put(e)
	}
}

// tick is the clock: overdue requests, silent UDP pairs, old batches.
func (s *shard) tick(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engine.Tick(now)
	s.table.Tick()
	s.tracker.Tick(now)
	s.builder.Tick(now)
}

// recheck is for kernels that do not tell of new processes.
func (s *shard) recheck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.who.Recheck()
}

// flush reports all that is open, as it is.
func (s *shard) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table.Flush()
	s.engine.Flush()
	s.tracker.Flush()
	s.builder.Flush()
}

// unparsed makes a span of a chunk on one of the ports that plugins want.
func (s *shard) unparsed(c *stream.Chunk) bool {
	if !s.ports[c.Conn.A.Port()] && !s.ports[c.Conn.B.Port()] {
		return false
	}
	x := &s.raw
	*x = session.Exchange{Conn: c.Conn, Protocol: &s.none, OneWay: true, Over: c.Time}
	if client, ok := c.Conn.ClientDir(); ok {
		x.FromServer = c.Dir != client
	}
	x.Req = session.Half{Seen: true, Pos: c.Pos, Seq: c.Seq, Start: c.Time, End: c.Time, Bytes: uint64(c.Wire), Parts: 1,
		Ctx: c.Ctx, Last: c.Ctx, Msg: l7.Message{Type: l7.TypeOneWay, Name: "unparsed"}, Payload: c.B[:min(len(c.B), s.payload)]}
	s.tracker.Put(x)
	return true
}
