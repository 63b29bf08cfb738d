package pinpointreceiver

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/convert"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/metadata"
)

// telemetry is the receiver's own metrics: what its parts counted, read when
// somebody asks.
type telemetry struct {
	builder *metadata.TelemetryBuilder
	r       *pinpointReceiver
}

// put tells one number, with attributes as key, value, key, value ...
type put func(n uint64, attrs ...string)

func newTelemetry(set component.TelemetrySettings, r *pinpointReceiver) (*telemetry, error) {
	b, err := metadata.NewTelemetryBuilder(set)
	if err != nil {
		return nil, err
	}
	t := &telemetry{builder: b, r: r}
	for _, m := range []struct {
		register func(metric.Int64Callback) error
		read     func(put put)
	}{
		{b.RegisterReceiverPinpointReceivedCallback, t.received},
		{b.RegisterReceiverPinpointDecodedCallback, func(put put) { put(t.converted().Taken) }},
		{b.RegisterReceiverPinpointConvertedCallback, func(put put) {
			s := t.converted()
			put(s.Spans, "kind", "span")
			put(s.Events, "kind", "event")
		}},
		{b.RegisterReceiverPinpointDataPointsCallback, func(put put) { put(r.core.pointsOut.Load()) }},
		{b.RegisterReceiverPinpointIncompleteCallback, func(put put) {
			s := t.converted()
			put(s.Doubt, "reason", "parent_uncertain")
			put(s.Orphans, "reason", "span_missing")
			put(s.Overflow, "reason", "no_room")
			put(s.Late, "reason", "late")
		}},
		{b.RegisterReceiverPinpointWaitingCallback, func(put put) { put(uint64(t.converted().Waiting)) }},
		{b.RegisterReceiverPinpointWaitingBytesCallback, func(put put) { put(uint64(t.converted().WaitingBytes)) }},
		{b.RegisterReceiverPinpointMetadataUnknownCallback, func(put put) { put(t.converted().UnknownText) }},
		{b.RegisterReceiverPinpointMetadataCallback, t.metadata},
		{b.RegisterReceiverPinpointAgentsCallback, func(put put) { put(uint64(t.store((*convert.Store).Len))) }},
		{b.RegisterReceiverPinpointAgentsForgottenCallback, func(put put) {
			put(uint64(t.store(func(s *convert.Store) int { return int(s.Evicted) })))
		}},
		{b.RegisterReceiverPinpointConnectionsCallback, t.connections},
		{b.RegisterReceiverPinpointConnectionsUnnamedCallback, func(put put) {
			if s := r.sniffer; s != nil {
				put(uint64(max(s.late.unnamed.Load(), 0)))
			}
		}},
		{b.RegisterReceiverPinpointGuessedCallback, t.guessed},
		{b.RegisterReceiverPinpointDroppedCallback, t.dropped},
		{b.RegisterReceiverPinpointForwardedCallback, func(put put) {
			t.forward(func(service string, s *forwardStats) { put(s.forwarded.Load(), "service", service) })
		}},
		{b.RegisterReceiverPinpointForwardWaitingCallback, func(put put) {
			t.forward(func(service string, s *forwardStats) { put(uint64(max(s.waiting.Load(), 0)), "service", service) })
		}},
		{b.RegisterReceiverPinpointForwardDroppedCallback, func(put put) {
			t.forward(func(service string, s *forwardStats) {
				put(s.full.Load(), "service", service, "reason", "queue_full")
				put(s.unavailable.Load(), "service", service, "reason", "unavailable")
				put(s.refused.Load(), "service", service, "reason", "refused")
			})
		}},
	} {
		if err := m.register(func(_ context.Context, o metric.Int64Observer) error {
			m.read(func(n uint64, attrs ...string) { observe(o, n, attrs) })
			return nil
		}); err != nil {
			b.Shutdown()
			return nil, err
		}
	}
	return t, nil
}

func (t *telemetry) shutdown() {
	if t != nil {
		t.builder.Shutdown()
	}
}

func observe(o metric.Int64Observer, n uint64, attrs []string) {
	var kvs []attribute.KeyValue
	for i := 0; i+1 < len(attrs); i += 2 {
		kvs = append(kvs, attribute.String(attrs[i], attrs[i+1]))
	}
	o.Observe(int64(n), metric.WithAttributes(kvs...))
}

func (t *telemetry) converted() convert.Stats {
	c := t.r.core
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conv.Stats()
}

func (t *telemetry) store(of func(*convert.Store) int) int {
	c := t.r.core
	c.mu.Lock()
	defer c.mu.Unlock()
	return of(c.store)
}

func (t *telemetry) received(put put) {
	c := t.r.core
	c.mu.Lock()
	defer c.mu.Unlock()
	for from, kinds := range c.received {
		for kind, n := range kinds {
			put(n, "source", source(from).String(), "kind", kind)
		}
	}
}

func (t *telemetry) metadata(put put) {
	var h convert.Held
	t.store(func(s *convert.Store) int { h = s.Held(); return 0 })
	put(uint64(h.APIs), "kind", "api")
	put(uint64(h.SQLs), "kind", "sql")
	put(uint64(h.UIDs), "kind", "sql_uid")
	put(uint64(h.Strings), "kind", "string")
	put(uint64(h.Exceptions), "kind", "exception")
}

func (t *telemetry) connections(put put) {
	s := t.r.sniffer
	if s == nil {
		return
	}
	all, late := s.reader.Stats().Conns.Load(), s.reader.Stats().Late.Load()
	put(all-min(late, all), "kind", "whole")
	put(late, "kind", "late")
}

func (t *telemetry) guessed(put put) {
	s := t.r.sniffer
	if s == nil {
		return
	}
	for kind, n := range map[string]*atomic.Uint64{"method_by_shape": &s.late.byShape, "method_by_port": &s.late.byPort, "agent_by_connection": &s.late.byConn,
		"agent_by_peer_connection": &s.late.byPeer, "agent_by_process": &s.late.byProcess, "agent_by_root_span": &s.late.byRoot} {
		put(n.Load(), "kind", kind)
	}
}

// dropped is every loss that is counted anywhere, by stage and reason.
func (t *telemetry) dropped(put put) {
	tell := func(stage, reason string, n uint64) { put(n, "stage", stage, "reason", reason) }
	if s := t.r.sniffer; s != nil {
		t.sniffed(s, tell)
	}
	c := t.converted()
	tell("message", "unreadable", c.Unreadable)
	tell("message", "unknown_method", c.Unasked)
	tell("message", "duplicate", c.StatsAgain)
	tell("span", "bad_version", c.BadVersion)
	tell("span", "duplicate", c.Duplicates)
	tell("span", "over_limit", c.Cut)
	tell("span", "unreadable", c.Broken)
	tell("message", "annotations_over_limit", c.CutNotes)
	tell("agent", "texts_full", uint64(t.store(func(s *convert.Store) int { return int(s.Full) })))
	tell("emit", "refused", t.r.core.refused.Load())
	tell("emit", "points_refused", t.r.core.pointsRefused.Load())
}

func (t *telemetry) sniffed(s *sniffer, tell func(stage, reason string, n uint64)) {
	if s.source != nil {
		tell("packet", "ring_full", s.source.Stats.Dropped.Load())
	}
	for i := range packet.Reasons() {
		if why := packet.Reason(i); why != packet.OK && why != packet.Fragment && why != packet.NotIP && why != packet.NotL4 {
			tell("packet", why.String(), s.decoder.Stats.By[why].Load())
		}
	}
	tell("stream", "hole", s.stream(func(a *stream.AssemblerStats) uint64 { return a.Holes.Load() }))
	tell("stream", "held_full", s.stream(func(a *stream.AssemblerStats) uint64 { return a.HeldFull.Load() }))
	tell("stream", "too_many_connections", s.stream(func(a *stream.AssemblerStats) uint64 { return a.Evicted.Load() }))
	st := s.reader.Stats()
	tell("call", "message_hole", st.Lost.Load())
	tell("call", "message_too_long", st.Oversize.Load())
	tell("call", "message_corrupt", st.Corrupt.Load())
	tell("call", "too_many_calls", st.Streams.Load())
	tell("call", "headers_refused", st.Headers.Load())
	tell("call", "place_lost", st.LostPlaces.Load())
	tell("agent", "unidentified", s.late.Unidentified.Load())
	tell("agent", "unknown_method", s.late.UnknownPath.Load())
}

// forward tells of the endpoints that messages go on to.
func (t *telemetry) forward(tell func(service string, s *forwardStats)) {
	if f := t.r.forward; f != nil {
		for i, to := range f.to {
			if to != nil {
				tell(service(i).String(), &to.stats)
			}
		}
	}
}
