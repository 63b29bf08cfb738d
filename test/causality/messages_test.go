package causality

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/test/rig"
)

const queueConfig = `
receivers:
  ebpf:
    sockets:
      include: {ports: [%d]}
processors:
  tracecompletion: {settle: 1s}
exporters:
  file: {path: %q, flush_interval: 50ms}
service:
  pipelines:
    traces: {receivers: [ebpf], processors: [tracecompletion], exporters: [file]}
`

// TestMessages: who gets a message of a real broker is linked with who handed it
// over.
func TestMessages(t *testing.T) {
	bin, err := rig.Binary()
	if err != nil {
		t.Skip(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: the collector could not load BPF programs")
	}
	if err := rig.Missing("nats-server", "/usr/bin/python3"); err != nil {
		t.Skip(err)
	}
	dir, at := t.TempDir(), port(t)
	broker, err := rig.Serve(at, "nats-server", "-a", "127.0.0.1", "-p", fmt.Sprint(at))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Kill()
	out := filepath.Join(dir, "spans.json")
	c, err := rig.StartCollector(bin, dir, fmt.Sprintf(queueConfig, at, out))
	if err != nil {
		t.Fatal(err)
	}
	const count = 100
	script := filepath.Join("servers", "broker.py")
	consumer := exec.Command("/usr/bin/python3", script, "consume", fmt.Sprint(at), fmt.Sprint(count))
	consumer.Stderr = os.Stderr
	said, err := consumer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := consumer.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = consumer.Process.Kill() }()
	lines := bufio.NewScanner(said)
	if !lines.Scan() {
		t.Fatal("the consumer says nothing")
	}
	if b, err := exec.Command("/usr/bin/python3", script, "produce", fmt.Sprint(at), fmt.Sprint(count)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	if !lines.Scan() {
		t.Fatal("the consumer has not got all messages")
	}
	_ = consumer.Wait()
	time.Sleep(1500 * time.Millisecond) // settle
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	linked, wrong := links(t, out)
	t.Logf("%d of %d messages are linked, %d links are wrong", linked, count, wrong)
	if linked != count || wrong != 0 {
		t.Errorf("%d of %d messages are linked, %d links are wrong", linked, count, wrong)
	}
}

// links counts messages whose two ends are linked, and links of different ones.
func links(t *testing.T, path string) (right, wrong int) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type at struct {
		trace pcommon.TraceID
		span  pcommon.SpanID
	}
	ids, kinds := map[at]string{}, map[at]ptrace.SpanKind{}
	type link struct{ from, to at }
	var all []link
	for r := bufio.NewReaderSize(f, 1<<20); ; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			break
		}
		td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
		if err != nil {
			t.Fatal(err)
		}
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					me := at{s.TraceID(), s.SpanID()}
					if v, ok := s.Attributes().Get("messaging.message.id"); ok {
						ids[me], kinds[me] = v.AsString(), s.Kind()
					}
					for _, l := range s.Links().All() {
						all = append(all, link{me, at{l.TraceID(), l.SpanID()}})
					}
				}
			}
		}
	}
	for _, l := range all {
		if ids[l.from] != "" && ids[l.from] == ids[l.to] && kinds[l.from] != kinds[l.to] {
			right++
		} else {
			wrong++
		}
	}
	return right, wrong
}
