// Package unprivileged runs the receiver as a user who may do nothing but open
// packet sockets, on the traffic of many protocols.
package unprivileged

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/receiver/ebpfreceiver"
)

// captured are whole captures, of every protocol that the corpus has from real
// servers, plain and in tunnels; and some with ids of traces in band.
var captured = []string{"deepflow/flow_generator/dubbo/dubbo-sw8.pcap", "deepflow/flow_generator/mqtt/mqtt_roundtrip.pcap",
	"deepflow/flow_generator/brpc/brpc-echo.pcap", "deepflow/flow_generator/amqp/amqp2.pcap", "deepflow/flow_generator/http/httpv1.pcap",
	"http1-keepalive.vlan", "http1-vxlan", "http2-h2c.vlan", "grpc.vlan", "grpc.geneve", "redis-p1", "redis-errors", "mysql-sysbench-text",
	"mysql-slap-errors", "pgsql-simple", "pgsql-extended.vlan", "pgsql-prepared", "mongo", "memcached-text", "kafka-kcat", "dns-udp", "dns-tcp", "tls-handshakes"}

// counts is spans by protocol; "ids" are those with ids in band. Those with a
// server of TestEveryProtocol are counted for it, as "http2 at 10.95.1.5".
type counts map[string]int

// add counts a span.
func (c counts) add(s ptrace.Span) {
	get := func(k string) string {
		if v, ok := s.Attributes().Get(k); ok {
			return v.AsString()
		}
		return ""
	}
	at := ""
	for _, k := range []string{"network.local.address", "network.peer.address"} {
		if a := get(k); strings.HasPrefix(a, servers) {
			at = " at " + a
		}
	}
	c[get("network.protocol.name")+at]++
	if get("hopscope.propagation.trace_id") != "" {
		c["ids"+at]++
	}
}

// TestMain is also the user.
func TestMain(m *testing.M) {
	if os.Getenv("UNPRIVILEGED") == "" {
		os.Exit(m.Run())
	}
	if err := user(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// user captures until standard input is closed, and prints what it saw.
func user() error {
	if os.Getuid() == 0 {
		return fmt.Errorf("uid %d is root", os.Getuid())
	}
	got, err := capture(func(c *ebpfreceiver.Config) {
		c.Packets.Mode = "afpacket"
		c.Packets.Interfaces = []string{"v1"}
	}, func(*consumertest.TracesSink) {
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
		time.Sleep(200 * time.Millisecond)
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(got)
}

// capture runs a receiver of packets while during runs.
func capture(set func(*ebpfreceiver.Config), during func(*consumertest.TracesSink)) (counts, error) {
	f := ebpfreceiver.NewFactory()
	cfg := f.CreateDefaultConfig().(*ebpfreceiver.Config)
	cfg.Sockets.Mode = "off"
	cfg.Batch.Queue = 1 << 14
	set(cfg)
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	sink := new(consumertest.TracesSink)
	r, err := f.CreateTraces(context.Background(), receivertest.NewNopSettings(f.Type()), cfg, sink)
	if err != nil {
		return nil, err
	}
	if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		return nil, err
	}
	during(sink)
	if err := r.Shutdown(context.Background()); err != nil {
		return nil, err
	}
	got := counts{}
	for _, td := range sink.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					got.add(s)
				}
			}
		}
	}
	return got, nil
}

// TestCapabilityNetRaw: with CAP_NET_RAW alone, and no eBPF at all, the receiver
// gives the same spans as from the files that the traffic came from.
func TestCapabilityNetRaw(t *testing.T) {
	able(t)
	files := found(t)
	frames := 0
	want := fromFiles(t, files)

	a, b := pair(t)
	got := asUser(t, b, func() {
		for _, f := range files {
			n, err := send(a, f)
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			frames += n
		}
	})
	for _, p := range slices.Sorted(maps.Keys(want)) {
		t.Logf("%-12s %6d spans from files, %6d with CAP_NET_RAW", p, want[p], got[p])
		if got[p] != want[p] {
			t.Errorf("%s: %d spans, %d from files", p, got[p], want[p])
		}
	}
	if len(want) < 10 || want["ids"] == 0 {
		t.Errorf("the captures have %d protocols, %d ids in band", len(want)-1, want["ids"])
	}
	t.Logf("%d frames of %d captures", frames, len(files))
}

// able skips where nobody can become another user.
func able(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: cannot become another user")
	}
	for _, p := range []string{"ip", "setpriv"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

// fromFiles is what the receiver reads of captures.
func fromFiles(t *testing.T, files []string) counts {
	t.Helper()
	got, err := capture(func(c *ebpfreceiver.Config) {
		c.Packets.Mode, c.Packets.Files, c.Batch.Queue = "file", files, 1
	}, func(s *consumertest.TracesSink) {
		for n := -1; n != s.SpanCount() || n == 0; time.Sleep(500 * time.Millisecond) {
			n = s.SpanCount()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// pair makes two namespaces, with v0 in the one and v1 in the other.
func pair(t *testing.T) (a, b string) {
	t.Helper()
	id := strconv.Itoa(os.Getpid())
	a, b = "unp-a-"+id, "unp-b-"+id
	for _, ns := range []string{a, b} {
		sh(t, "ip netns add "+ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	}
	sh(t, "ip -n "+a+" link add v0 mtu 65535 type veth peer name v1 mtu 65535 netns "+b)
	sh(t, "ip -n "+a+" link set v0 up")
	sh(t, "ip -n "+b+" link set v1 up")
	return a, b
}

// asUser is what a user with CAP_NET_RAW alone sees on v1 of b while traffic runs.
func asUser(t *testing.T, b string, traffic func()) (got counts) {
	t.Helper()
	c := exec.Command("ip", "netns", "exec", b, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
		"--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw", "--bounding-set=-all,+net_raw", readable(t))
	c.Env = []string{"UNPRIVILEGED=1", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	c.Dir, c.Stderr = "/", os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the user: %q, %v", line, err)
	}
	traffic()
	in.Close()
	if err := json.NewDecoder(lines).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	return got
}

// found is where the captures are.
func found(t *testing.T) (files []string) {
	dir := os.Getenv("HOPSCOPE_CORPUS")
	for d, err := os.Getwd(); dir == "" && err == nil && d != filepath.Dir(d); d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "shared/corpus")); err == nil {
			dir = filepath.Join(d, "shared/corpus")
		}
	}
	if dir == "" {
		t.Skip("no corpus: neither HOPSCOPE_CORPUS nor ../shared/corpus is there")
	}
	for _, n := range captured {
		if !strings.HasSuffix(n, ".pcap") {
			n = "packets/live/" + n + ".pcap.gz"
		}
		files = append(files, filepath.Join(dir, n))
	}
	return files
}

// readable is this binary where another user can read it.
func readable(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	f := filepath.Join(t.TempDir(), "user")
	if err := os.WriteFile(f, b, 0o755); err != nil {
		t.Fatal(err)
	}
	for d := filepath.Dir(f); d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// send puts the frames of a capture on v0 of a namespace.
func send(ns, path string) (n int, err error) {
	f, err := packet.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with it
		done <- func() error {
			h, err := netns.GetFromName(ns)
			if err != nil {
				return err
			}
			defer h.Close()
			if err := netns.Set(h); err != nil {
				return err
			}
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			ifr, err := unix.NewIfreq("v0")
			if err != nil {
				return err
			}
			if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr); err != nil {
				return err
			}
			to := &unix.SockaddrLinklayer{Ifindex: int(ifr.Uint32())}
			var fr packet.Frame
			for f.Next(&fr) == nil {
				if err := unix.Sendto(fd, fr.Data, 0, to); err != nil {
					return fmt.Errorf("send frame %d of %d bytes: %w", n, len(fr.Data), err)
				}
				if n++; n%200 == 0 { // the reader has half a core at times
					time.Sleep(4 * time.Millisecond)
				}
			}
			return nil
		}()
	}()
	err = <-done
	return n, err
}

func sh(t *testing.T, line string) {
	t.Helper()
	w := strings.Fields(line)
	if out, err := exec.Command(w[0], w[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}
