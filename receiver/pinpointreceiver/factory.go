package pinpointreceiver

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/metadata"
)

// NewFactory makes the factory of the `pinpoint` receiver. The pipelines of one
// configuration share one receiver.
func NewFactory() receiver.Factory {
	f := &factory{shared: map[*Config]*pinpointReceiver{}}
	return receiver.NewFactory(metadata.Type, func() component.Config { return defaultConfig() },
		receiver.WithTraces(f.traces, metadata.TracesStability), receiver.WithMetrics(f.metrics, metadata.MetricsStability))
}

type factory struct {
	mu     sync.Mutex
	shared map[*Config]*pinpointReceiver
}

func (f *factory) of(set receiver.Settings, cfg *Config) *pinpointReceiver {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.shared[cfg]
	if r == nil {
		r = newReceiver(set, cfg, nil)
		r.gone = func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.shared, cfg)
		}
		f.shared[cfg] = r
	}
	return r
}

func (f *factory) traces(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Traces) (receiver.Traces, error) {
	r := f.of(set, cfg.(*Config))
	r.next = next
	return r, nil
}

func (f *factory) metrics(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Metrics) (receiver.Metrics, error) {
	r := f.of(set, cfg.(*Config))
	r.measure(next)
	return r, nil
}
