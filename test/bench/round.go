package main

import (
	"context"
	"time"

	"github.com/hopscope/hopscope/test/rig"
)

// defaultConfig captures the sockets of the measured server's port, at both ends,
// and throws the spans away: what is measured is making them. Without the port
// other traffic of the host would be counted as the server's.
const defaultConfig = `
receivers:
  ebpf:
    sockets:
      mode: auto
      include: {ports: [%d]}
exporters:
  nop: {}
service:
  pipelines:
    traces: {receivers: [ebpf], exporters: [nop]}
  telemetry: {logs: {level: warn}}
`

// emitted counts the spans that the receiver handed on.
const emitted = "otelcol_receiver_ebpf_emitted"

// lost sums up what the receiver says it lost, in exchanges: those of which the
// kernel could tell nothing, and spans that nobody took.
func lost(c *rig.Collector) (float64, error) {
	unseen, err := c.Sum("otelcol_receiver_ebpf_lost_exchanges")
	if err != nil {
		return 0, err
	}
	refused, err := c.Sum("otelcol_receiver_ebpf_dropped", `stage="emit"`)
	return unseen + refused, err
}

// settle is how long after a round an agent may still work on it; its CPU
// time and its spans are read after that.
const settle = 1500 * time.Millisecond

// sample is what a load generator says about its round.
type sample struct {
	requests, failed float64
	took             time.Duration
	p50, p99         time.Duration
}

func (s sample) rate() float64 { return s.requests / s.took.Seconds() }

// loadFunc puts load on a server for about a time.
type loadFunc func(ctx context.Context, d time.Duration) (sample, error)

// round is one round's figures.
type round struct {
	sample
	serverCPU, collectorCPU time.Duration
	wall                    time.Duration // that collectorCPU was used in
	rss                     uint64        // highest
	// told: the agent is ours, and told spans and lost.
	told        bool
	spans, lost float64
}

// perMillion is CPU seconds of the collector for a million requests.
func (r round) perMillion() float64 { return r.collectorCPU.Seconds() / r.requests * 1e6 }

func once(ctx context.Context, load loadFunc, server *rig.Server, a running, d time.Duration) (round, error) {
	var r round
	before, err := use(server, a)
	if err != nil {
		return r, err
	}
	begin := time.Now()
	if r.sample, err = load(ctx, d); err != nil {
		return r, err
	}
	if a.Process != nil {
		time.Sleep(settle)
	}
	r.wall = time.Since(begin)
	after, err := use(server, a)
	if err != nil {
		return r, err
	}
	r.serverCPU = after.server - before.server
	r.collectorCPU = after.collector - before.collector
	r.told = a.told != nil
	r.spans = after.spans - before.spans
	r.lost = after.lost - before.lost
	if a.Process != nil {
		_, r.rss, err = rig.RSS(a.PID())
	}
	return r, err
}

// used is what has been used and made so far.
type used struct {
	server, collector time.Duration
	spans, lost       float64
}

func use(server *rig.Server, a running) (u used, err error) {
	if u.server, err = rig.CPU(server.PIDs()...); err != nil || a.Process == nil {
		return u, err
	}
	if err := a.alive(); err != nil {
		return u, err
	}
	if a.told != nil {
		if u.spans, err = a.told.Sum(emitted); err != nil {
			return u, err
		}
		if u.lost, err = lost(a.told); err != nil {
			return u, err
		}
	}
	u.collector, err = rig.CPU(a.PID())
	return u, err
}
