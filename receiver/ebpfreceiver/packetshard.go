package ebpfreceiver

import (
	"sync"
	"sync/atomic"

	"github.com/hopscope/hopscope/internal/cause"
	"github.com/hopscope/hopscope/internal/flow"
	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/span"
	"github.com/hopscope/hopscope/internal/stream"
)

// packetShard is stages 2b to 6 for the packets of one ring, or of files.
type packetShard struct {
	// mu is held for a frame at a time by the goroutine that reads the ring, and
	// by whoever collects metrics.
	mu      sync.Mutex
	decoder packet.Decoder
	seg     packet.Segment
	match   func(*packet.Segment) bool // nil: all
	asm     *stream.Assembler
	engine  *session.Engine
	echoes  *session.Echoes
	builder *span.Builder
	flows   *flow.Tracker // nil: nobody wants them
	sink    *flowSink
	now     int64 // of the last tick
	ticked  int64 // of the engine's last tick

	frames, bytes atomic.Uint64
}

// placeFunc is stream.AssemblerConfig.Place.
type placeFunc = func(iface, sub uint32, client packet.Way) (hop.Point, string)

func newPacketShard(c shardConfig, p *pipeline, maxConns int, place placeFunc, match func(*packet.Segment) bool) *packetShard {
	s := &packetShard{match: match, sink: p.flows}
	s.decoder.NoTags = c.ignoreVLAN
	c.span.Process = nil // packets have none
	s.builder = span.New(c.span, c.emit)
	tracker := cause.NewTracker(s.builder.Put)
	sc := c.session
	sc.Unparsed, sc.Mute, sc.Burst, sc.Learned = nil, nil, nil, nil
	sc.Judge = c.spoken.judge()
	if ports := c.unparsed.ports; len(ports) > 0 {
		var raw session.Exchange
		sc.Unparsed = func(ch *stream.Chunk) bool {
			if !ports[ch.Conn.A.Port()] && !ports[ch.Conn.B.Port()] {
				return false
			}
			raw.Raw(ch, sc.Payload)
			tracker.Put(&raw)
			return true
		}
	}
	sc.Identified = func(conn *stream.Conn, _ *l7.Protocol) { s.asm.Settle(conn) }
	ac := stream.AssemblerConfig{MaxConns: maxConns, Place: place}
	take := tracker.Put
	if s.sink != nil {
		s.flows = flow.New(flow.Config{Every: s.sink.interval}, s.sink.put)
		ac.Observe, ac.Closed = s.flows.Observe, s.flows.Closed
		take = func(x *session.Exchange) {
			if x.Resp.Msg.Status == l7.StatusOK {
				s.flows.Answered(x.Conn)
			}
			tracker.Put(x)
		}
	}
	s.engine = session.New(sc, take)
	s.echoes = session.NewEchoes(tracker.Put)
	ac.Echo = func(c *stream.Conn, reply bool, seg *packet.Segment) {
		s.echoes.Put(c, reply, uint16(seg.Seq), seg.Len+icmpHead, seg.Time)
	}
	s.asm = stream.NewAssembler(ac, s.engine.Put)
	return s
}

// put takes one frame, borrowed.
func (s *packetShard) put(f *packet.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames.Add(1)
	s.bytes.Add(uint64(f.Wire))
	if s.decoder.Decode(f, &s.seg) != packet.OK {
		return
	}
	if s.match != nil && !s.match(&s.seg) {
		return
	}
	s.asm.Put(&s.seg)
}

const (
	icmpHead    = 8
	packetTick  = 20e6 // how finely holes and batches are timed
	sessionTick = 250e6
)

// idle is the clock: the time of the last frame, or now if there are none.
func (s *packetShard) idle(now int64) {
	if now-s.now < packetTick {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
	s.asm.Tick(now)
	if now-s.ticked >= sessionTick {
		s.ticked = now
		s.engine.Tick(now)
		s.echoes.Tick(now)
		if s.flows != nil {
			s.flows.Tick(now)
			s.sink.tick(now)
		}
	}
	s.builder.Tick(now)
}

// flush reports all that is open, as it is.
func (s *packetShard) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asm.Flush()
	s.engine.Flush()
	s.echoes.Flush()
	s.builder.Flush()
}
