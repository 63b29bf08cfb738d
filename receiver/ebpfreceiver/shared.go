package ebpfreceiver

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/hopscope/hopscope/internal/l7/protocols"
)

// signals makes one receiver of each configuration, whatever signals it is
// asked for: spans, flow records as logs, their metrics. It captures once.
type signals struct {
	mu  sync.Mutex
	all map[*Config]*ebpfReceiver
}

// of is the receiver of cfg; want notes a consumer in it.
func (s *signals) of(set receiver.Settings, cfg component.Config, want func(*ebpfReceiver)) component.Component {
	c := cfg.(*Config)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.all[c]
	if r == nil {
		r = &ebpfReceiver{set: set, cfg: c, start: startCapture, known: protocols.All()}
		r.gone = func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.all, c)
		}
		s.all[c] = r
	}
	want(r)
	return r
}

func (s *signals) traces(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Traces) (receiver.Traces, error) {
	return s.of(set, cfg, func(r *ebpfReceiver) { r.next = next }), nil
}

func (s *signals) logs(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
	return s.of(set, cfg, func(r *ebpfReceiver) { r.logs = next }), nil
}

func (s *signals) metrics(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Metrics) (receiver.Metrics, error) {
	return s.of(set, cfg, func(r *ebpfReceiver) { r.metrics = next }), nil
}
