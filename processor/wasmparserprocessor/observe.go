package wasmparserprocessor

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/hopscope/hopscope/processor/wasmparserprocessor/internal/metadata"
)

// observe registers what the processor tells of itself.
func (p *parser) observe() (*metadata.TelemetryBuilder, error) {
	tb, err := metadata.NewTelemetryBuilder(p.set)
	if err != nil {
		return nil, err
	}
	guests := p.guests
	each := func(f func(*guest) int64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			for _, g := range guests {
				o.Observe(f(g), metric.WithAttributes(attribute.String("plugin", g.name)))
			}
			return nil
		}
	}
	by := func(o metric.Int64Observer, g *guest, reason string, n uint64) {
		o.Observe(int64(n), metric.WithAttributes(attribute.String("plugin", g.name), attribute.String("reason", reason)))
	}
	return tb, errors.Join(
		tb.RegisterProcessorWasmparserAsideCallback(each(func(g *guest) int64 {
			if g.asideUntil.Load() > time.Now().UnixNano() {
				return 1
			}
			return 0
		})),
		tb.RegisterProcessorWasmparserCallsCallback(each(func(g *guest) int64 { return int64(g.calls.Load()) })),
		tb.RegisterProcessorWasmparserCallTimeCallback(each(func(g *guest) int64 { return int64(g.spent.Load()) })),
		tb.RegisterProcessorWasmparserSpansChangedCallback(each(func(g *guest) int64 { return int64(g.changed.Load()) })),
		tb.RegisterProcessorWasmparserFailuresCallback(func(_ context.Context, o metric.Int64Observer) error {
			for _, g := range guests {
				for i, r := range reasons {
					by(o, g, r, g.failed[i].Load())
				}
			}
			return nil
		}),
		tb.RegisterProcessorWasmparserReloadsCallback(func(_ context.Context, o metric.Int64Observer) error {
			for _, g := range guests {
				by(o, g, "taken", g.reloaded.Load())
				by(o, g, "refused", g.refused.Load())
			}
			return nil
		}),
		tb.RegisterProcessorWasmparserUnparsedDroppedCallback(func(_ context.Context, o metric.Int64Observer) error {
			for i, r := range dropNames {
				o.Observe(int64(p.dropped[i].Load()), metric.WithAttributes(attribute.String("reason", r)))
			}
			return nil
		}),
		tb.RegisterProcessorWasmparserSessionsCallback(func(_ context.Context, o metric.Int64Observer) error {
			for i, r := range outcomeNames {
				o.Observe(int64(p.sessions[i].Load()), metric.WithAttributes(attribute.String("reason", r)))
			}
			return nil
		}),
	)
}
