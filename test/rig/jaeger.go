package rig

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// JaegerEnv names a Jaeger v2 program; make test-e2e builds one and sets it.
const JaegerEnv = "HOPSCOPE_JAEGER"

// JaegerConfig is the configuration of a Jaeger with its store in memory, which
// listens on three ports of 127.0.0.1: its query API over HTTP and over gRPC, and
// OTLP over gRPC.
func JaegerConfig(query, grpc, otlp int) string {
	return fmt.Sprintf(`
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {receivers: [otlp], exporters: [jaeger_storage_exporter]}
  telemetry: {metrics: {level: none}, logs: {level: warn}}
extensions:
  jaeger_query:
    storage: {traces: memory}
    http: {endpoint: "127.0.0.1:%d"}
    grpc: {endpoint: "127.0.0.1:%d"}
  jaeger_storage: {backends: {memory: {memory: {max_traces: 100000}}}}
receivers:
  otlp: {protocols: {grpc: {endpoint: "127.0.0.1:%d"}}}
exporters:
  jaeger_storage_exporter: {trace_storage: memory}
`, query, grpc, otlp)
}

// Jaeger is a running one.
type Jaeger struct {
	*Process
	Query string // URL of its query API
	OTLP  string // address for OTLP over gRPC
}

// StartJaeger runs the Jaeger that JaegerEnv names on free ports, with its
// configuration in dir, and waits until it answers.
func StartJaeger(dir string) (*Jaeger, error) {
	var ports [3]int
	for i := range ports {
		var err error
		if ports[i], err = Port(); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(dir, "jaeger.yaml")
	if err := os.WriteFile(config, []byte(JaegerConfig(ports[0], ports[1], ports[2])), 0o600); err != nil {
		return nil, err
	}
	p, err := Start(os.Getenv(JaegerEnv), "--config", config)
	if err != nil {
		return nil, err
	}
	j := &Jaeger{Process: p, Query: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), OTLP: fmt.Sprintf("127.0.0.1:%d", ports[2])}
	err = p.Until(30*time.Second, func() error {
		if err := Listens(ports[2]); err != nil {
			return err
		}
		_, err := Get(context.Background(), j.Query+"/api/v3/services")
		return err
	})
	if err != nil {
		_ = p.Stop()
		return nil, err
	}
	return j, nil
}
