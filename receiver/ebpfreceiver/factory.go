package ebpfreceiver

import (
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/receiver"

	"github.com/hopscope/hopscope/receiver/ebpfreceiver/internal/metadata"
)

// NewFactory makes the factory of the `ebpf` receiver.
func NewFactory() receiver.Factory {
	s := &signals{all: map[*Config]*ebpfReceiver{}}
	return receiver.NewFactory(metadata.Type, createDefaultConfig,
		receiver.WithTraces(s.traces, metadata.TracesStability),
		receiver.WithLogs(s.logs, metadata.LogsStability),
		receiver.WithMetrics(s.metrics, metadata.MetricsStability))
}

func createDefaultConfig() component.Config { return defaultConfig() }
