package pinpoint

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/hopscope/hopscope/test/demo"
	"github.com/hopscope/hopscope/test/rig"
)

// togetherConfig has both receivers in one pipeline.
const togetherConfig = `
receivers:
  pinpoint: {grpc: %s}
  ebpf:
    sockets: {include: {processes: [node, redis-server, mariadbd, pinpoint.test]}}
    packets:
      mode: afpacket
      netns: [/proc/self/ns/net, /run/netns/%s]
      interfaces: [%s*]
      filter: tcp and not portrange 9900-9999
processors:
  tracecompletion: {settle: 3s}
exporters:
  file: {path: %s, flush_interval: 100ms}
service:
  pipelines:
    traces: {receivers: [pinpoint, ebpf], processors: [tracecompletion], exporters: [file]}
`

// cable makes a network namespace with a cable to ours.
func cable(t *testing.T) (ns, iface, there, here string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: no network namespaces, no BPF programs")
	}
	if err := rig.Missing("ip"); err != nil {
		t.Skip(err)
	}
	pid := os.Getpid()
	ns, iface = fmt.Sprintf("pp-%d", pid), fmt.Sprintf("pp%d", pid)
	net := fmt.Sprintf("10.%d.%d", 64+pid>>8&63, pid&255)
	there, here = net+".2", net+".1"
	run := func(line string) {
		t.Helper()
		f := strings.Fields(line)
		if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	run("ip netns add " + ns)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	run("ip -n " + ns + " link set lo up")
	run("ip link add " + iface + "h type veth peer name " + iface + "n netns " + ns)
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", iface+"h").Run() })
	run("ip addr add " + here + "/24 dev " + iface + "h")
	run("ip link set " + iface + "h up")
	run("ip -n " + ns + " addr add " + there + "/24 dev " + iface + "n")
	run("ip -n " + ns + " link set " + iface + "n up")
	return ns, iface, there, here
}

// picture is an order as all see it. The agent for Node.js traces no MySQL.
const picture = `c-p GET /order/{id}
  c GET /order/{id}
    s GET /order/{id}
      s-p GET /order/{id}
        shop-front /order/{id}
          shop-front express.route.GET
            shop-front http.request
              shop-front Asynchronous Invocation
                shop-front GET
                  c-p GET /stock/{id}
                    c GET /stock/{id}
                      s GET /stock/{id}
                        s-p GET /stock/{id}
                          shop-back /stock/{id}
                            c-p SELECT
                              s-p SELECT
                            shop-back express.route.GET
                              shop-back redis.GET.call
                                shop-back Asynchronous Invocation
                                  shop-back redis.GET.end
                                    c-p GET
                                      s-p GET
          shop-front redis.SET.call
            shop-front Asynchronous Invocation
              shop-front redis.SET.end
                c-p SET
                  c SET
                    s SET
                      s-p SET
`

// uncarried are the parts of the picture that no id in a header places: the calls
// of MySQL and Redis, which are linked to the request that was served only where
// that is sure.
var uncarried = []string{"c-p SELECT\n", "s-p SELECT\n", "c-p GET\n", "s-p GET\n", "c-p SET\n", "c SET\n", "s SET\n", "s-p SET\n"}

// without is a picture without what no header carries.
func without(shape string) string {
	var b strings.Builder
lines:
	for line := range strings.Lines(shape) {
		for _, u := range uncarried {
			if strings.TrimLeft(line, " ") == u {
				continue lines
			}
		}
		b.WriteString(line)
	}
	return b.String()
}

// times are when the spans of a trace began and ended, in ms after the first.
func times(tr *demo.Trace) string {
	spans := slices.Clone(tr.Spans)
	slices.SortStableFunc(spans, func(a, b *demo.Span) int { return cmp.Compare(a.StartTimestamp(), b.StartTimestamp()) })
	var b strings.Builder
	for _, s := range spans {
		ms := func(at pcommon.Timestamp) float64 { return float64(int64(at-spans[0].StartTimestamp())) / 1e6 }
		fmt.Fprintf(&b, "%9.3f to %9.3f %s%s %s\n", ms(s.StartTimestamp()), ms(s.EndTimestamp()), s.Str("hopscope.capture.point"), s.Str("service.name"), s.Name())
	}
	return b.String()
}

// TestTogether: what Hopscope sees of the requests hangs between the agents'
// spans: the call of the front, its process, both ends of the cable, the process
// of the back, what the back served; and so do calls that carry no ids.
func TestTogether(t *testing.T) {
	bin := needs(t)
	modules(t)
	ns, iface, there, here := cable(t)
	to, dir := freePorts(t), t.TempDir()
	out := filepath.Join(dir, "spans.json")
	c, err := rig.StartCollector(bin, dir, fmt.Sprintf(togetherConfig, to.endpoints(here), ns, iface, out))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() })
	s := open(t, to, ns, there, here)

	// Agents connect when they like, and hooks are attached one by one.
	n, began := 0, time.Now()
	for ; ; n++ {
		s.ask(t, n, n+1)
		err := rig.Until(6*time.Second, func() error {
			tr := orders(t, out)[fmt.Sprint(n)]
			if tr == nil {
				return fmt.Errorf("order %d has no trace", n)
			}
			if got := shape(tr); without(got) != without(picture) {
				return fmt.Errorf("order %d is\n%s%s", n, got, times(tr))
			}
			return nil
		})
		if err == nil {
			break
		} else if time.Since(began) > 60*time.Second {
			t.Fatal(err)
		}
	}
	const count = 20
	from := n + 1
	s.ask(t, from, from+count)
	var all map[string]*demo.Trace
	_ = rig.Until(20*time.Second, func() error {
		all = orders(t, out)
		for i := from; i < from+count; i++ {
			if tr := all[fmt.Sprint(i)]; tr == nil || len(tr.Spans) < strings.Count(picture, "\n") {
				return fmt.Errorf("order %d is not whole", i)
			}
		}
		return nil
	})
	full := 0
	for i := from; i < from+count; i++ {
		tr := all[fmt.Sprint(i)]
		if tr == nil {
			t.Errorf("order %d has no trace", i)
			continue
		}
		got := shape(tr)
		if without(got) != without(picture) {
			t.Errorf("order %d is\n%s%s", i, got, times(tr))
		}
		if got == picture {
			full++
		} else {
			t.Logf("order %d is\n%s%s", i, got, times(tr))
		}
	}
	t.Logf("%d of %d orders are the whole picture", full, count)
	// Agents' times are whole milliseconds: where the machine is busy a call may begin
	// more than 5 ms from where its span lies.
	if full < count*9/10 {
		t.Errorf("%d of %d orders are the whole picture", full, count)
	}
}
