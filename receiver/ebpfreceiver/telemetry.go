package ebpfreceiver

import (
	"context"
	"strconv"
	"sync/atomic"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/hopscope/hopscope/internal/cause"
	"github.com/hopscope/hopscope/internal/kernel"
	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/span"
	"github.com/hopscope/hopscope/receiver/ebpfreceiver/internal/metadata"
)

// telemetry is the receiver's own metrics: what the stages counted, read when
// somebody asks.
type telemetry struct {
	builder *metadata.TelemetryBuilder
	p       *pipeline
	c       capture
	unseen  atomic.Int64 // lost exchanges told so far
}

func newTelemetry(set component.TelemetrySettings, p *pipeline, c capture) (*telemetry, error) {
	b, err := metadata.NewTelemetryBuilder(set)
	if err != nil {
		return nil, err
	}
	t := &telemetry{builder: b, p: p, c: c}
	for _, r := range []struct {
		register func(metric.Int64Callback) error
		read     func(put put)
	}{
		{b.RegisterReceiverEbpfReceivedCallback, func(put put) {
			put(t.stats().Events, "source", "sockets")
			if n, _ := t.frames(); n > 0 {
				put(n, "source", "packets")
			}
		}},
		{b.RegisterReceiverEbpfReceivedBytesCallback, func(put put) {
			put(t.stats().Bytes, "source", "sockets")
			if _, n := t.frames(); n > 0 {
				put(n, "source", "packets")
			}
		}},
		{b.RegisterReceiverEbpfRingSizeCallback, func(put put) { put(t.stats().Ring) }},
		{b.RegisterReceiverEbpfRingUsedCallback, func(put put) { put(t.stats().Pending) }},
		{b.RegisterReceiverEbpfLostExchangesCallback, func(put put) { put(t.lostExchanges()) }},
		{b.RegisterReceiverEbpfHookAttachedCallback, t.hooks},
		{b.RegisterReceiverEbpfGolangExecutablesCallback, func(put put) { put(t.stats().GoHooked) }},
		{b.RegisterReceiverEbpfHeldCallback, func(put put) {
			n := int64(0)
			for _, s := range t.p.shards {
				n += s.tracker.Stats().Held.Load()
			}
			put(uint64(max(0, n)))
		}},
		{b.RegisterReceiverEbpfLinkedCallback, t.linked},
		{b.RegisterReceiverEbpfUnlinkedCallback, func(put put) {
			all, torn := t.causes(func(s *cause.Stats) *atomic.Uint64 { return &s.Unlinked }), t.causes(func(s *cause.Stats) *atomic.Uint64 { return &s.Ambiguous })
			put(all-min(all, torn), "reason", "no_evidence")
			put(torn, "reason", "ambiguous")
		}},
		{b.RegisterReceiverEbpfConnectionsCallback, t.connections},
		{b.RegisterReceiverEbpfConnectionsOpenedCallback, func(put put) {
			put(t.sum(func(s *shard) *atomic.Uint64 { return &s.table.Stats().Opened }))
		}},
		{b.RegisterReceiverEbpfConnectionsRecognizedCallback, func(put put) {
			t.protocols(put, func(s *session.ProtoStats) *atomic.Uint64 { return &s.Conns })
		}},
		{b.RegisterReceiverEbpfParsedCallback, func(put put) {
			t.protocols(put, func(s *session.ProtoStats) *atomic.Uint64 { return &s.Exchanges })
		}},
		{b.RegisterReceiverEbpfTimeoutsCallback, func(put put) {
			t.protocols(put, func(s *session.ProtoStats) *atomic.Uint64 { return &s.Timeouts })
		}},
		{b.RegisterReceiverEbpfParseErrorsCallback, func(put put) {
			t.protocols(put, func(s *session.ProtoStats) *atomic.Uint64 { return &s.LostSync }, "reason", "lost_sync")
			t.protocols(put, func(s *session.ProtoStats) *atomic.Uint64 { return &s.Orphans }, "reason", "orphan")
			t.protocols(put, func(s *session.ProtoStats) *atomic.Uint64 { return &s.Unanswered }, "reason", "unanswered")
			t.protocols(put, func(s *session.ProtoStats) *atomic.Uint64 { return &s.Panics }, "reason", "panic")
		}},
		{b.RegisterReceiverEbpfExtractedCallback, t.extracted},
		{b.RegisterReceiverEbpfNamesLimitedCallback, func(put put) {
			n := uint64(0)
			for _, b := range t.builders() {
				n += b.Limited()
			}
			put(n)
		}},
		{b.RegisterReceiverEbpfDroppedCallback, t.dropped},
		{b.RegisterReceiverEbpfEmittedCallback, func(put put) { put(t.p.out.emitted.Load()) }},
		{b.RegisterReceiverEbpfQueueLengthCallback, func(put put) { put(uint64(len(t.p.out.ch))) }},
	} {
		if err := r.register(func(_ context.Context, o metric.Int64Observer) error {
			r.read(func(n uint64, attrs ...string) { observe(o, n, attrs) })
			return nil
		}); err != nil {
			b.Shutdown()
			return nil, err
		}
	}
	return t, nil
}

// put tells one number, with attributes as key, value, key, value ...
type put func(n uint64, attrs ...string)

func observe(o metric.Int64Observer, n uint64, attrs []string) {
	var kvs []attribute.KeyValue
	for i := 0; i+1 < len(attrs); i += 2 {
		kvs = append(kvs, attribute.String(attrs[i], attrs[i+1]))
	}
	o.Observe(int64(n), metric.WithAttributes(kvs...))
}

func (t *telemetry) shutdown() { t.builder.Shutdown() }

func (t *telemetry) stats() kernel.Stats { return t.c.Stats() }

// lostExchanges are lost calls that began a request, sent by a client or
// received by a server, and what sessions know better: where requests are sent
// without waiting for answers, and where only content tells who the client is.
// What is known better may be less; the sum does not go down.
func (t *telemetry) lostExchanges() uint64 {
	st := t.stats()
	n := int64(st.LostTurns[0][1] + st.LostTurns[1][2])
	for _, s := range t.p.shards {
		n += s.engine.Stats().Unseen.Load()
	}
	for {
		told := t.unseen.Load()
		if n <= told {
			return uint64(told)
		}
		if t.unseen.CompareAndSwap(told, n) {
			return uint64(n)
		}
	}
}

func (t *telemetry) sum(of func(*shard) *atomic.Uint64) (n uint64) {
	for _, s := range t.p.shards {
		n += of(s).Load()
	}
	return n
}

// protocols tells a counter of every protocol that was met.
func (t *telemetry) protocols(put put, of func(*session.ProtoStats) *atomic.Uint64, attrs ...string) {
	for i := range t.p.shards[0].engine.Stats().PerProto {
		var n, met uint64
		var name string
		for _, e := range t.engines() {
			ps := &e.Stats().PerProto[i]
			n, met, name = n+of(ps).Load(), met+ps.Conns.Load(), ps.Name
		}
		if met > 0 {
			put(n, append([]string{"protocol", name}, attrs...)...)
		}
	}
}

// engines are those of all shards.
func (t *telemetry) engines() (list []*session.Engine) {
	for _, s := range t.p.shards {
		list = append(list, s.engine)
	}
	if t.p.packets != nil {
		for _, s := range t.p.packets.shards {
			list = append(list, s.engine)
		}
	}
	return list
}

// builders are those of all shards.
func (t *telemetry) builders() (list []*span.Builder) {
	for _, s := range t.p.shards {
		list = append(list, s.builder)
	}
	if t.p.packets != nil {
		for _, s := range t.p.packets.shards {
			list = append(list, s.builder)
		}
	}
	return list
}

// extracted tells what became of each rule of extract.
func (t *telemetry) extracted(put put) {
	for i, as := range t.p.rules {
		c := t.p.config.session.Options.Rules.Counts(i)
		rule := strconv.Itoa(i)
		put(c.Found.Load(), "rule", rule, "as", as, "outcome", "found")
		put(c.TooLong.Load(), "rule", rule, "as", as, "outcome", "too_long")
		put(c.Other.Load(), "rule", rule, "as", as, "outcome", "other_endpoint")
	}
}

func (t *telemetry) sessions(of func(*session.Stats) *atomic.Uint64) (n uint64) {
	for _, e := range t.engines() {
		n += of(e.Stats()).Load()
	}
	return n
}

// packets tells the counters of every stage that only packets have.
func (t *telemetry) packets(tell func(stage, reason string, n uint64)) {
	r := t.p.packets
	if r == nil {
		return
	}
	if r.source != nil {
		tell("kernel", "packet_ring_full", r.source.Stats.Dropped.Load())
	}
	sum := func(of func(*packetShard) uint64) (n uint64) {
		for _, s := range r.shards {
			n += of(s)
		}
		return n
	}
	for i := range packet.Reasons() {
		if why := packet.Reason(i); why != packet.OK && why != packet.Fragment && why != packet.NotIP && why != packet.NotL4 {
			tell("packet", why.String(), sum(func(s *packetShard) uint64 { return s.decoder.Stats.By[why].Load() }))
		}
	}
	tell("packet", "fragments_expired", sum(func(s *packetShard) uint64 { return s.decoder.Stats.FragmentsExpired.Load() }))
	tell("packet", "fragments_full", sum(func(s *packetShard) uint64 { return s.decoder.Stats.FragmentsFull.Load() }))
	tell("stream", "packet_hole", sum(func(s *packetShard) uint64 { return s.asm.Stats().Holes.Load() }))
	tell("stream", "packets_held_full", sum(func(s *packetShard) uint64 { return s.asm.Stats().HeldFull.Load() }))
	tell("stream", "strange_segment", sum(func(s *packetShard) uint64 { return s.asm.Stats().Strange.Load() }))
	tell("stream", "too_many_flows", sum(func(s *packetShard) uint64 { return s.asm.Stats().Evicted.Load() }))
}

// frames are the frames taken in, and their bytes.
func (t *telemetry) frames() (n, bytes uint64) {
	if t.p.packets != nil {
		for _, s := range t.p.packets.shards {
			n += s.frames.Load()
			bytes += s.bytes.Load()
		}
	}
	return n, bytes
}

func (t *telemetry) causes(of func(*cause.Stats) *atomic.Uint64) uint64 {
	return t.sum(func(s *shard) *atomic.Uint64 { return of(s.tracker.Stats()) })
}

// linked tells what links rest on.
func (t *telemetry) linked(put put) {
	for e := cause.PropagatedIDs; e < cause.Conflict; e++ {
		put(t.causes(func(s *cause.Stats) *atomic.Uint64 { return &s.Links[e] }), "evidence", e.String())
	}
}

func (t *telemetry) hooks(put put) {
	for _, h := range t.c.Hooks() {
		if h.Prog == "-" {
			continue
		}
		n := uint64(0)
		if h.Attached {
			n = 1
		}
		put(n, "prog", h.Prog)
	}
}

func (t *telemetry) connections(put put) {
	var n int64
	for _, s := range t.p.shards {
		n += s.table.Stats().Conns.Load()
	}
	if t.p.packets != nil {
		for _, s := range t.p.packets.shards {
			n += s.asm.Stats().Live.Load()
		}
	}
	put(uint64(n))
}

// dropped is every loss that is counted anywhere, by stage and reason.
func (t *telemetry) dropped(put put) {
	tell := func(stage, reason string, n uint64) { put(n, "stage", stage, "reason", reason) }
	st := t.stats()
	var calls uint64
	for _, d := range st.LostCalls {
		for _, n := range d {
			calls += n
		}
	}
	tell("kernel", "ring_full", calls)
	tell("kernel", "ring_full_other", st.LostOther)
	tell("kernel", "missed", st.Missed)
	tell("kernel", "golang_not_hooked", st.GoFailed)
	for reason, n := range st.Errors {
		tell("kernel", reason, n)
	}
	tell("stream", "bad_record", st.Bad+t.sum(func(s *shard) *atomic.Uint64 { return &s.bad }))
	tell("stream", "unknown_socket", t.sum(func(s *shard) *atomic.Uint64 { return &s.table.Stats().Unknown }))
	tell("stream", "no_peer", t.sum(func(s *shard) *atomic.Uint64 { return &s.table.Stats().NoPeer }))
	tell("stream", "too_many_connections", t.sum(func(s *shard) *atomic.Uint64 { return &s.table.Stats().Evicted }))
	tell("session", "cut", t.sessions(func(s *session.Stats) *atomic.Uint64 { return &s.Cut }))
	tell("session", "window_full", t.sessions(func(s *session.Stats) *atomic.Uint64 { return &s.WindowFull }))
	tell("session", "too_many_pending", t.sessions(func(s *session.Stats) *atomic.Uint64 { return &s.PendFull }))
	tell("session", "unknown_protocol", t.sessions(func(s *session.Stats) *atomic.Uint64 { return &s.Unknown }))
	tell("session", "hole", t.sessions(func(s *session.Stats) *atomic.Uint64 { return &s.Holes }))
	tell("cause", "too_many_open", t.causes(func(s *cause.Stats) *atomic.Uint64 { return &s.OpenFull }))
	tell("cause", "too_many_held", t.causes(func(s *cause.Stats) *atomic.Uint64 { return &s.HeldFull }))
	tell("cause", "too_many_threads", t.causes(func(s *cause.Stats) *atomic.Uint64 { return &s.TasksFull }))
	tell("cause", "too_many_handovers", t.causes(func(s *cause.Stats) *atomic.Uint64 { return &s.HandedFull }))
	t.packets(tell)
	if f := t.p.flows; f != nil {
		tell("emit", "flow_queue_full", f.full.Load())
		tell("emit", "flow_refused", f.refused.Load())
	}
	tell("emit", "queue_full", t.p.out.full.Load())
	tell("emit", "refused", t.p.out.refused.Load())
}
