package ebpfreceiver

import (
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/cause"
	"github.com/hopscope/hopscope/internal/event"
	"github.com/hopscope/hopscope/internal/flow"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/span"
	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/internal/who"
)

// shard is stages 3 to 6 for some of the processes: what happens in one process
// is read by one shard, in kernel order.
type shard struct {
	// mu is held by the goroutine that reads the ring, for as long as there are
	// events (held), and by the clock where events are few.
	mu      sync.Mutex
	held    bool // only that goroutine looks
	puts    uint
	event   event.Event
	table   *stream.Table
	engine  *session.Engine
	tracker *cause.Tracker
	builder *span.Builder
	who     *who.Table
	flows   *flow.Sockets // nil: nobody wants them
	raw     session.Exchange
	payload int
	wants   wants
	bad     atomic.Uint64 // records that could not be decoded
}

// shardConfig is what shards share.
type shardConfig struct {
	session  session.Config
	stream   stream.TableConfig
	span     span.Config
	who      who.Config
	spoken   *spoken
	unparsed wants
	// ignoreVLAN is for packets: connections are the same in all VLANs.
	ignoreVLAN bool
	mute       func(sock uint64)
	raise      func(sock uint64)
	burst      func(sock uint64)
	emit       func(ptrace.Traces, int)
	flows      *flowSink // nil: nobody wants flow records
}

func newShard(c shardConfig) *shard {
	s := &shard{who: who.NewTable(c.who), payload: c.session.Payload, wants: c.unparsed}
	c.span.Process = s.who.Process
	s.builder = span.New(c.span, c.emit)
	s.tracker = cause.New(cause.Config{Host: c.span.Host.ID, Recycle: func(x *session.Exchange) { s.engine.Recycle(x) },
		Golang: func(pid uint32) bool { p := s.who.Process(pid); return p != nil && p.Runtime == "go" }}, s.builder.Put)
	c.session.Began, c.session.Answered = s.tracker.Began, s.tracker.Answered
	if s.wants.any() {
		c.session.Unparsed = s.unparsed
	}
	c.session.Judge = c.spoken.judge()
	c.session.Mute = func(conn *stream.Conn) {
		if sock, ok := s.table.Muteable(conn); ok {
			c.mute(sock)
		}
	}
	// The kernel keeps the head of what one end says until the other one speaks;
	// where messages do not take turns, each call may begin one.
	bursts := bursts{}
	c.session.Identified = func(conn *stream.Conn, p *l7.Protocol) {
		switch {
		case conn.Transport != l7.TCP:
		case bursts.expect(conn):
			c.burst(conn.ID)
		case p.Pairing == l7.ByStream:
			c.raise(conn.ID)
		}
	}
	c.session.Learned = func(conn *stream.Conn) {
		if s.flows != nil {
			s.flows.Learned(conn)
		}
	}
	c.session.Burst = func(conn *stream.Conn) {
		if conn.Transport == l7.TCP {
			bursts.learn(conn)
			c.burst(conn.ID)
		}
	}
	s.engine = session.New(c.session, s.tracker.Put)
	// A process is looked up as soon as it has a connection: it may be gone when
	// its first exchange is over.
	c.stream.Opened = func(conn *stream.Conn, o *event.Open) {
		s.who.Process(conn.Pid)
		if s.flows != nil && o != nil {
			s.flows.Opened(conn, s.table.Unix(s.event.Time))
		}
	}
	if c.flows != nil {
		s.flows = flow.NewSockets(c.stream.MaxConns, c.flows.put)
	}
	c.stream.Connecting, c.stream.Handover = s.tracker.Connecting, s.tracker.Handover
	c.stream.Lost = s.engine.Lost
	s.table = stream.NewTable(c.stream, s.engine.Put)
	return s
}

// lockedPuts is how many records may pass before the clock gets its turn.
const lockedPuts = 1024

// put takes one raw record. Whoever calls it calls idle when that was the last
// for now.
func (s *shard) put(raw []byte) {
	if s.puts++; s.puts%lockedPuts == 0 {
		s.idle()
	}
	if !s.held {
		s.mu.Lock()
		s.held = true
	}
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
	case event.KindTCP:
		if s.flows != nil {
			c := counters(&e.TCP)
			s.flows.Put(e.Sock, &c, s.table.Unix(e.Time))
		}
	default:
		s.table.Put(e)
	}
}

// idle: there are no more records for now.
func (s *shard) idle() {
	if s.held {
		s.held = false
		s.mu.Unlock()
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

// unparsed makes a span of a chunk that plugins want, by port or by process.
func (s *shard) unparsed(c *stream.Chunk) bool {
	if !s.wants.ports[c.Conn.A.Port()] && !s.wants.ports[c.Conn.B.Port()] && !s.wantsProcess(c) {
		return false
	}
	s.raw.Raw(c, s.payload)
	s.tracker.Put(&s.raw)
	return true
}

func (s *shard) wantsProcess(c *stream.Chunk) bool {
	if len(s.wants.processes) == 0 {
		return false
	}
	if s.wants.processes[c.Conn.Comm] {
		return true
	}
	p := s.who.Process(c.Conn.Pid)
	return p != nil && s.wants.processes[p.Executable]
}

// wants is the configuration's `unparsed`.
type wants struct {
	ports     map[uint16]bool
	processes map[string]bool
}

func newWants(c *UnparsedConfig) wants {
	w := wants{map[uint16]bool{}, map[string]bool{}}
	for _, p := range c.Ports {
		w.ports[p] = true
	}
	for _, n := range c.Processes {
		w.processes[n] = true
	}
	return w
}

func (w *wants) any() bool { return len(w.ports)+len(w.processes) > 0 }
