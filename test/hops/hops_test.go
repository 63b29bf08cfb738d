// Package hops captures the same exchanges in two processes and on four
// interfaces, through address translation, and wants them recognised.
package hops

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/hopscope/hopscope/receiver/ebpfreceiver"
)

// hop is what a span says of where it was seen.
type hop struct{ path, point, iface, xid, seqs string }

func read(sink *consumertest.TracesSink) (hops []hop) {
	for _, td := range sink.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					get := func(k string) string {
						if v, ok := s.Attributes().Get(k); ok {
							return v.AsString()
						}
						return ""
					}
					hops = append(hops, hop{get("url.path"), get("hopscope.capture.point"), get("network.interface.name"),
						get("hopscope.exchange.xid"), get("hopscope.tcp.seq.request") + " " + get("hopscope.tcp.seq.response")})
				}
			}
		}
	}
	return hops
}

// TestSixHops: client process, client interface, both interfaces of the router,
// server interface and server process see every exchange under one key,
// whatever the network does to the segments.
func TestSixHops(t *testing.T) {
	for _, mode := range []string{"afpacket", "tc"} {
		t.Run(mode, func(t *testing.T) { sixHops(t, mode) })
	}
}

func sixHops(t *testing.T, mode string) {
	n := build(t)
	f := ebpfreceiver.NewFactory()
	cfg := f.CreateDefaultConfig().(*ebpfreceiver.Config)
	ns := "/run/netns/"
	cfg.Packets.Mode = mode
	cfg.Packets.Snaplen = 32 << 10 // of which the kernel may make one packet
	cfg.Packets.NetNS = []string{ns + n.client, ns + n.router, ns + n.server}
	cfg.Packets.ExcludeInterfaces = []string{"lo"}
	cfg.Packets.Filter = "tcp port 80 or tcp port 8080"
	cfg.Packets.Kinds = []ebpfreceiver.KindConfig{{Match: "r?", Kind: "gateway"}}
	cfg.Sockets.MaxCapture = 16 << 10 // five pipelined answers are 15 KB
	cfg.Sockets.Include.Ports = []uint16{80, 8080}
	for _, path := range cfg.Packets.NetNS { // others on this machine speak HTTP too
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		cfg.Sockets.Include.NetNS = append(cfg.Sockets.Include.NetNS, uint32(st.Ino))
	}
	want := []string{"c c0", "c-gw r0", "c-p ", "s s0", "s-gw r1", "s-p "}
	if f := os.Getenv("HOPS_RECORD"); f != "" {
		cfg.Record.Path = f
	}
	cfg.Packets.FlowInterval = 3 * time.Second
	sink, flows := new(consumertest.TracesSink), new(consumertest.LogsSink)
	r, err := f.CreateTraces(context.Background(), receivertest.NewNopSettings(f.Type()), cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	l, err := f.CreateLogs(context.Background(), receivertest.NewNopSettings(f.Type()), cfg, flows)
	if err == nil {
		err = errors.Join(r.Start(context.Background(), componenttest.NewNopHost()), l.Start(context.Background(), componenttest.NewNopHost()))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(r.Shutdown(context.Background()), l.Shutdown(context.Background())); err != nil {
			t.Error(err)
		}
		checkFlows(t, sink, flows)
	}()
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		t.Log("this kernel has no BTF: four hops instead of six")
		want = slices.DeleteFunc(want, func(s string) bool { return strings.Contains(s, "-p ") })
	}

	server := helper(t, n.server, "server")
	stdin, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Wait()
	defer stdin.Close()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("server: %q, %v", line, err)
	}

	const each = 40
	for _, sc := range []struct {
		name  string
		setup []string
	}{
		{"offloads", nil},
		{"no-offloads", []string{"ethtool -K %s tso off gso off gro off"}},
		{"mtu", []string{"ip link set %s mtu 700"}},
		{"loss", nil},
	} {
		t.Run(sc.name, func(t *testing.T) {
			for _, line := range sc.setup {
				n.each(t, line)
			}
			if sc.name == "loss" {
				n.lose(t)
			}
			var wanted []string
			for _, how := range []string{"plain", "pipelined", "split"} {
				if out, err := helper(t, n.client, "client", sc.name, how, fmt.Sprint(each)).CombinedOutput(); err != nil {
					t.Fatalf("client %s: %v: %s", how, err, out)
				}
				for i := range each {
					wanted = append(wanted, fmt.Sprintf("/%s/%s/n%d", sc.name, how, i))
				}
			}
			deadline := time.Now().Add(10 * time.Second)
			for {
				missing := check(read(sink), wanted, want)
				if len(missing) == 0 {
					t.Logf("%d exchanges, each at %d places", len(wanted), len(want))
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d of %d exchanges are not seen alike at %d places:\n%s", len(missing), len(wanted), len(want),
						strings.Join(missing[:min(10, len(missing))], "\n"))
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
}

// checkFlows wants a flow record, the last one of its flow, for every span, from
// the same place; and in those of sockets what the kernel counted.
func checkFlows(t *testing.T, spans *consumertest.TracesSink, logs *consumertest.LogsSink) {
	t.Helper()
	last, measured := map[string]string{}, 0
	for _, ld := range logs.AllLogs() {
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					id, _ := lr.Attributes().Get("hopscope.flow.id")
					point, _ := lr.Attributes().Get("hopscope.capture.point")
					if v, ok := lr.Attributes().Get("hopscope.flow.close_type"); ok && v.Str() != "forced_report" {
						last[id.Str()] = point.Str()
					}
					if v, ok := lr.Attributes().Get("hopscope.tcp.rtt"); ok && v.Int() > 0 && strings.HasSuffix(point.Str(), "-p") {
						measured++
					}
				}
			}
		}
	}
	missing, n, process := 0, 0, 0
	for _, td := range spans.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					id, _ := s.Attributes().Get("hopscope.flow.id")
					point, _ := s.Attributes().Get("hopscope.capture.point")
					n++
					if strings.HasSuffix(point.Str(), "-p") {
						process++
					}
					if last[id.Str()] != point.Str() {
						if missing++; missing < 5 {
							t.Errorf("a span at %s names flow %q, whose record is of %q", point.Str(), id.Str(), last[id.Str()])
						}
					}
				}
			}
		}
	}
	t.Logf("%d spans, all but %d joined with one of %d flows; %d records have the kernel's round trip", n, missing, len(last), measured)
	if process > 0 && measured == 0 {
		t.Error("no record has the kernel's round trip")
	}
}

// check lists the exchanges that were not seen once at every place, under one
// key.
func check(hops []hop, wanted, places []string) (missing []string) {
	by := map[string][]hop{}
	for _, h := range hops {
		by[h.path] = append(by[h.path], h)
	}
	for _, path := range wanted {
		var at []string
		keys := map[string]bool{}
		for _, h := range by[path] {
			at = append(at, h.point+" "+h.iface)
			keys[h.xid] = true
		}
		slices.Sort(at)
		if !slices.Equal(at, places) || len(keys) != 1 || keys[""] {
			missing = append(missing, fmt.Sprintf("%s: at %q, %d keys: %+v", path, at, len(keys), by[path]))
		}
	}
	return missing
}
