package rig

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// BinaryEnv names the built distribution; make sets it.
const BinaryEnv = "HOPSCOPE_BIN"

// Binary is the built distribution, or an error that says how to get one.
func Binary() (string, error) {
	bin := os.Getenv(BinaryEnv)
	if bin == "" {
		return "", fmt.Errorf("%s is not set: make test builds bin/hopscope and sets it", BinaryEnv)
	}
	if _, err := os.Stat(bin); err != nil {
		return "", fmt.Errorf("%s: %w", BinaryEnv, err)
	}
	return filepath.Abs(bin)
}

// Collector is a running distribution.
type Collector struct {
	*Process
	// Metrics is the URL of its internal metrics, Health that of health_check.
	Metrics, Health string
}

// around is what every configuration of a test has around its pipelines.
const around = `
extensions:
  health_check:
    endpoint: 127.0.0.1:%[1]d
service:
  extensions: [health_check]
  telemetry:
    metrics:
      level: detailed
      readers:
        - pull:
            exporter:
              prometheus:
                host: 127.0.0.1
                port: %[2]d
                without_type_suffix: true
                without_units: true
                without_scope_info: true
`

// collectorStart is how long it may take until health_check says yes.
const collectorStart = 30 * time.Second

// StartCollector runs the distribution with a configuration that has no health
// check and no metrics reader yet (both are added), and waits until it is
// healthy. Its files are in dir. More is configurations that are merged into it
// last.
func StartCollector(bin, dir, config string, more ...string) (*Collector, error) {
	health, err := Port()
	if err != nil {
		return nil, err
	}
	metrics, err := Port()
	if err != nil {
		return nil, err
	}
	var args []string
	for i, text := range append([]string{config, fmt.Sprintf(around, health, metrics)}, more...) {
		file := filepath.Join(dir, fmt.Sprintf("config-%d.yaml", i))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--config", file)
	}
	p, err := StartIn(dir, nil, bin, args...)
	if err != nil {
		return nil, err
	}
	c := &Collector{
		Process: p,
		Health:  fmt.Sprintf("http://127.0.0.1:%d/", health),
		Metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics),
	}
	healthy := func() error {
		_, err := Get(context.Background(), c.Health)
		return err
	}
	if err := p.Until(collectorStart, healthy); err != nil {
		p.Kill()
		return nil, fmt.Errorf("collector: %w\n%s", err, p.log.Tail(4000))
	}
	return c, nil
}

// Sum adds up the series of a counter of the collector's own whose labels hold
// all of want (as `name="value"`).
func (c *Collector) Sum(metric string, want ...string) (float64, error) {
	b, err := Get(context.Background(), c.Metrics)
	if err != nil {
		return 0, err
	}
	return Sum(b, metric, want...), nil
}

// Sum is Collector.Sum over metrics in the Prometheus text format.
func Sum(text []byte, metric string, want ...string) float64 {
	var total float64
lines:
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		rest, ok := strings.CutPrefix(s.Text(), metric)
		if !ok || rest == "" || (rest[0] != '{' && rest[0] != ' ') {
			continue
		}
		for _, w := range want {
			if !strings.Contains(rest, w) {
				continue lines
			}
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err == nil {
			total += v
		}
	}
	return total
}
