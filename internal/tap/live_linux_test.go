package tap

import (
	"context"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/hopscope/hopscope/internal/packet"
)

func sh(t *testing.T, line string) {
	t.Helper()
	w := strings.Fields(line)
	if out, err := exec.Command(w[0], w[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}

// pair makes two namespaces with a veth between them.
func pair(t *testing.T) (a, b string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: network namespaces cannot be made")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("ip is not installed")
	}
	a, b = "tap-a-"+strconv.Itoa(os.Getpid()), "tap-b-"+strconv.Itoa(os.Getpid())
	for _, ns := range []string{a, b} {
		sh(t, "ip netns add "+ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	}
	sh(t, "ip -n "+a+" link add v0 type veth peer name v1 netns "+b)
	sh(t, "ip -n "+a+" addr add 10.93.0.1/24 dev v0")
	sh(t, "ip -n "+b+" addr add 10.93.0.2/24 dev v1")
	sh(t, "ip -n "+a+" link set v0 up")
	sh(t, "ip -n "+b+" link set v1 up")
	sh(t, "ip -n "+a+" neigh replace 10.93.0.2 lladdr "+mac(t, b, "v1")+" dev v0")
	return a, b
}

func mac(t *testing.T, ns, dev string) string {
	out, err := exec.Command("ip", "-n", ns, "-o", "link", "show", dev).Output()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(out), "link/ether ")
	return strings.Fields(rest)[0]
}

// send sends n datagrams from ns, so many a second (0: as fast as it can).
func send(t *testing.T, ns string, port, n, rate int) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with it
		h, err := netns.GetFromName(ns)
		if err == nil {
			err = netns.Set(h)
			h.Close()
		}
		if err != nil {
			done <- err
			return
		}
		c, err := net.Dial("udp4", "10.93.0.2:"+strconv.Itoa(port))
		if err != nil {
			done <- err
			return
		}
		defer c.Close()
		b := make([]byte, 100)
		start := time.Now()
		for i := range n {
			for { // refused (nobody listens there) means that nothing was sent
				if _, err := c.Write(b); err == nil {
					break
				}
			}
			for rate > 0 && i%100 == 99 && time.Since(start) < time.Duration(i)*time.Second/time.Duration(rate) {
				time.Sleep(100 * time.Microsecond)
			}
		}
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// What is sent is received, or counted as lost; the filter holds; interfaces
// that come later are seen.
func TestLive(t *testing.T) {
	for name, mode := range map[string]Mode{"packet sockets": ModeSockets, "tc": ModeTC, "clsact": ModeClassic} {
		t.Run(name, func(t *testing.T) { live(t, mode) })
	}
}

func live(t *testing.T, mode Mode) {
	a, b := pair(t)
	s, err := Open(Config{Mode: mode, NetNS: []string{"/run/netns/" + b}, Interfaces: []string{"v*"}, Filter: "udp dst port 5000", Rings: 2, RingBytes: DefaultRingBytes})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	counts := make([]int, s.Rings())
	names := make([]map[string]int, s.Rings())
	done := make(chan error, s.Rings()+1)
	for i := range s.Rings() {
		names[i] = map[string]int{}
		go func() {
			var d packet.Decoder
			var seg packet.Segment
			done <- s.Run(ctx, i, func(f *packet.Frame) {
				if d.Decode(f, &seg) == packet.OK && s.Match(&seg) {
					counts[i]++
					p, name := s.Place(f.Iface, f.Sub, f.Way)
					names[i][name+" "+p.Code()]++
				}
			}, func(int64) {})
		}()
	}
	go func() { s.Watch(ctx, func(err error) { t.Error(err) }); done <- nil }()
	const n = 100000
	send(t, a, 5000, n, 100000)
	send(t, a, 5001, 1000, 0) // not wanted
	sh(t, "ip -n "+b+" link add v9 type veth peer name x9")
	for deadline := time.Now().Add(5 * time.Second); s.Stats.Ifaces.Load() != 2 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond) // the last block is handed over
	stop()
	for range s.Rings() + 1 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	got := 0
	for _, c := range counts {
		got += c
	}
	lost := s.Stats.Dropped.Load()
	t.Logf("%d sent at 100,000/s, %d received, %d dropped by the kernel", n, got, lost)
	if uint64(got)+lost != n {
		t.Errorf("%d received + %d dropped, %d sent", got, lost, n)
	}
	// A few that only the collector can judge pass too: multicast reports.
	if p := s.Stats.Packets.Load(); p < n || p > n+100 || p != s.Stats.Frames.Load()+lost {
		t.Errorf("the kernel let %d through, %d were taken, %d dropped", p, s.Stats.Frames.Load(), lost)
	}
	if lost > 0 {
		t.Errorf("%d of %d dropped at 100,000/s", lost, n)
	}
	placed := 0
	for _, m := range names {
		placed += m["v1 s"]
	}
	if placed != got {
		t.Errorf("places %v", names)
	}
	if s.Stats.Ifaces.Load() != 2 {
		t.Errorf("%d interfaces: the new one was not noticed", s.Stats.Ifaces.Load())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	out, err := exec.Command("ip", "netns", "exec", b, "tc", "filter", "show", "dev", "v1", "ingress").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("left behind: %s %v", out, err)
	}
}

// A namespace that is made anew under its name is told, once.
func TestNamespaceReplaced(t *testing.T) {
	_, b := pair(t)
	s, err := Open(Config{NetNS: []string{"/run/netns/" + b}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	troubles := make(chan error, 16)
	done := make(chan struct{})
	go func() { s.Watch(ctx, func(err error) { troubles <- err }); close(done) }()
	select {
	case err := <-troubles:
		t.Errorf("nothing has happened: %v", err)
	case <-time.After(3 * ownEvery / 2):
	}
	sh(t, "ip netns del "+b)
	sh(t, "ip netns add "+b)
	select {
	case err := <-troubles:
		if !strings.Contains(err.Error(), b) || !strings.Contains(err.Error(), "restart") {
			t.Error(err)
		}
	case <-time.After(10 * ownEvery):
		t.Error("nobody was told")
	}
	time.Sleep(3 * ownEvery / 2)
	stop()
	<-done
	if n := len(troubles); n > 0 {
		t.Errorf("told %d times more: %v", n, <-troubles)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
