// Package soak captures packets of connections that come and go, for as long as
// it is told, and wants memory to stay what it was.
package soak

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/hopscope/hopscope/receiver/ebpfreceiver"
)

// length is how long the soak lasts: HOPSCOPE_SOAK=10m is what a release gets.
func length(t *testing.T) time.Duration {
	v := os.Getenv("HOPSCOPE_SOAK")
	if v == "" {
		return 20 * time.Second
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 10*time.Second {
		t.Fatalf("HOPSCOPE_SOAK=%q is no time of at least 10s", v)
	}
	return d
}

const (
	server = "10.94.0.2:8080"
	// perSecond is how many connections are made: what two cores can make and
	// read beside other work.
	perSecond = 400
)

func sh(t *testing.T, line string) {
	t.Helper()
	w := strings.Fields(line)
	if out, err := exec.Command(w[0], w[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}

// TestMain is also the client and the server.
func TestMain(m *testing.M) {
	var err error
	switch role, _, _ := strings.Cut(os.Getenv("SOAK_ROLE"), " "); role {
	case "":
		os.Exit(m.Run())
	case "server":
		err = serve()
	case "client":
		err = churn()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve answers until standard input is closed.
func serve() error {
	l, err := net.Listen("tcp", server)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// churn makes connections of every kind until standard input is closed, and
// prints how many requests were answered.
func churn() error {
	end := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(end) }()
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	var left []net.Conn // never closed by us: the oldest is let go
	answered := 0
	for n := 0; ; n++ {
		select {
		case <-end:
			fmt.Println(answered)
			return nil
		case <-tick.C:
		}
		c, err := net.DialTimeout("tcp", server, 5*time.Second)
		if err != nil {
			return err
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		in := bufio.NewReader(c)
		for i := range 1 + n%3 {
			if _, err := fmt.Fprintf(c, "GET /c%d/r%d HTTP/1.1\r\nHost: soak\r\nX-Pad: %s\r\n\r\n", n, i, strings.Repeat("x", rand.IntN(300))); err != nil {
				return err
			}
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				return err
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			answered++
		}
		switch tcp := c.(*net.TCPConn); n % 8 {
		case 0: // a reset
			_ = tcp.SetLinger(0)
			c.Close()
		case 1: // silence, and a request that is never whole
			_, _ = io.WriteString(c, "GET /never")
			if left = append(left, c); len(left) > 500 {
				left[0].Close()
				left = left[1:]
			}
		case 2: // half closed
			_ = tcp.CloseWrite()
			c.Close()
		default:
			c.Close()
		}
	}
}

// TestSoak: the heap at the end is what it was after the first third, and every
// answered request was seen.
func TestSoak(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: network namespaces cannot be made")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("ip is not installed")
	}
	d := length(t)
	a, b := "soak-a-"+strconv.Itoa(os.Getpid()), "soak-b-"+strconv.Itoa(os.Getpid())
	for _, ns := range []string{a, b} {
		sh(t, "ip netns add "+ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	}
	sh(t, "ip -n "+a+" link add v0 type veth peer name v1 netns "+b)
	sh(t, "ip -n "+a+" addr add 10.94.0.1/24 dev v0")
	sh(t, "ip -n "+b+" addr add 10.94.0.2/24 dev v1")
	sh(t, "ip -n "+a+" link set v0 up")
	sh(t, "ip -n "+b+" link set v1 up")

	f := ebpfreceiver.NewFactory()
	cfg := f.CreateDefaultConfig().(*ebpfreceiver.Config)
	cfg.Sockets.Mode = "off"
	cfg.Packets.Mode = "afpacket"
	cfg.Packets.NetNS = []string{"/run/netns/" + b}
	cfg.Packets.Interfaces = []string{"v1"}
	cfg.Packets.FlowInterval = 5 * time.Second
	cfg.MaxConnections = 800 // is reached within 3 s of the churn
	var spans, records atomic.Int64
	traces, _ := consumer.NewTraces(func(_ context.Context, td ptrace.Traces) error {
		spans.Add(int64(td.SpanCount()))
		return nil
	})
	logs, _ := consumer.NewLogs(func(_ context.Context, ld plog.Logs) error {
		records.Add(int64(ld.LogRecordCount()))
		return nil
	})
	ctx, host := context.Background(), componenttest.NewNopHost()
	tel := componenttest.NewTelemetry()
	defer func() { _ = tel.Shutdown(ctx) }()
	set := receivertest.NewNopSettings(f.Type())
	set.TelemetrySettings = tel.NewTelemetrySettings()
	r, err := f.CreateTraces(ctx, set, cfg, traces)
	if err != nil {
		t.Fatal(err)
	}
	l, err := f.CreateLogs(ctx, receivertest.NewNopSettings(f.Type()), cfg, logs)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Start(ctx, host), l.Start(ctx, host)); err != nil {
		t.Fatal(err)
	}

	srv, srvIn, srvOut := role(t, b, "server")
	if line, err := srvOut.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("server: %q, %v", line, err)
	}
	cl, clIn, clOut := role(t, a, "client")

	// Samples of the heap, each after a collection.
	began := time.Now()
	var early, late uint64
	for next := began; time.Since(began) < d; {
		next = next.Add(d / 30)
		time.Sleep(time.Until(next))
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		at := time.Since(began)
		switch {
		case at > d/3 && at <= 2*d/3:
			early = max(early, m.HeapAlloc)
		case at > 2*d/3:
			late = max(late, m.HeapAlloc)
		}
		t.Logf("%4.0fs: heap %5.1f MiB, resident %5.1f MiB, %d spans, %d flow records", at.Seconds(), mib(m.HeapAlloc), mib(resident(t)), spans.Load(), records.Load())
	}
	clIn.Close()
	line, err := clOut.ReadString('\n')
	if err = errors.Join(err, cl.Wait()); err != nil {
		t.Fatalf("client: %v", err)
	}
	srvIn.Close()
	if err := srv.Wait(); err != nil {
		t.Error(err)
	}
	time.Sleep(500 * time.Millisecond)
	lost := lostOf(t, tel)
	if err := errors.Join(r.Shutdown(ctx), l.Shutdown(ctx)); err != nil {
		t.Error(err)
	}
	answered, _ := strconv.Atoi(strings.TrimSpace(line))
	// Requests that were never whole are spans at most; all others are, but for
	// packets that the kernel says it lost.
	if n := int(spans.Load()); n+lost < answered || n > answered+answered/8 {
		t.Errorf("%d requests were answered, %d spans, %d packets lost", answered, n, lost)
	}
	t.Logf("%d requests, %d spans, %d flow records; heap at most %.1f MiB in the second third, %.1f in the last", answered, spans.Load(), records.Load(), mib(early), mib(late))
	if late > early+early/10+1<<20 {
		t.Errorf("the heap grows: %.1f MiB, then %.1f MiB", mib(early), mib(late))
	}
}

// lostOf is how many packets did not fit the ring. What else was dropped is
// logged.
func lostOf(t *testing.T, tel *componenttest.Telemetry) (lost int) {
	t.Helper()
	m, err := tel.GetMetric("otelcol_receiver_ebpf_dropped")
	if err != nil {
		return 0 // nothing was
	}
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		stage, _ := p.Attributes.Value("stage")
		reason, _ := p.Attributes.Value("reason")
		if p.Value > 0 {
			t.Logf("dropped: %s %s: %d", stage.AsString(), reason.AsString(), p.Value)
		}
		if reason.AsString() == "packet_ring_full" {
			lost += int(p.Value)
		}
	}
	return lost
}

// role starts this binary as client or server.
func role(t *testing.T, ns, name string) (*exec.Cmd, io.WriteCloser, *bufio.Reader) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("ip", "netns", "exec", ns, self)
	c.Env = append(os.Environ(), "SOAK_ROLE="+name)
	c.Stderr = os.Stderr
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
	return c, in, bufio.NewReader(out)
}

func mib(n uint64) float64 { return float64(n) / (1 << 20) }

// resident is what this process takes of memory.
func resident(t *testing.T) uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	f := strings.Fields(string(b))
	if err != nil || len(f) < 2 {
		t.Fatal("statm: ", err)
	}
	n, _ := strconv.ParseUint(f[1], 10, 64)
	return n * uint64(os.Getpagesize())
}
