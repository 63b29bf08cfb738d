package hosts

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"github.com/hopscope/hopscope/test/rig"
)

// losing are the collectors' own counters that may say where a span went.
var losing = []string{
	"otelcol_receiver_ebpf_dropped", "otelcol_receiver_ebpf_lost_exchanges", "otelcol_receiver_ebpf_parse_errors",
	"otelcol_receiver_ebpf_timeouts", "otelcol_receiver_ebpf_unlinked", "otelcol_receiver_ebpf_received", "otelcol_receiver_ebpf_parsed",
	"otelcol_receiver_ebpf_emitted", "otelcol_receiver_ebpf_connections", "otelcol_receiver_ebpf_queue_length",
	"otelcol_receiver_refused_spans", "otelcol_receiver_failed_spans", "otelcol_receiver_accepted_spans",
	"otelcol_processor_tracecompletion_spans", "otelcol_processor_tracecompletion_refused",
	"otelcol_exporter_sent_spans", "otelcol_exporter_send_failed_spans", "otelcol_exporter_enqueue_failed_spans",
	"otelcol_loadbalancer_backend_outcome",
}

// losses is what the collectors counted, those that run.
func (s *system) losses() string {
	text := ""
	tell := func(name string, ns rig.NetNS, g int) {
		b, err := get(ns, s.metrics(g))
		if err != nil {
			text += fmt.Sprintf("%s: %v\n", name, err)
			return
		}
		text += name + ":\n" + series(b)
	}
	for i := 1; i <= 3; i++ {
		tell(fmt.Sprint("agent ", i), s.host[i], 0)
	}
	for g := range s.gates {
		tell(fmt.Sprint("gateway ", g), s.hub, g)
	}
	return text
}

// series is those of losing that are not zero.
func series(metrics []byte) (text string) {
	for lines := bufio.NewScanner(bytes.NewReader(metrics)); lines.Scan(); {
		line := lines.Text()
		for _, name := range losing {
			if strings.HasPrefix(line, name) && !strings.HasSuffix(line, " 0") {
				text += "  " + strings.TrimPrefix(line, "otelcol_") + "\n"
				break
			}
		}
	}
	return text
}
