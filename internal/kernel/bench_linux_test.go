package kernel

import (
	"context"
	"os"
	"sort"
	"strconv"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// BenchmarkPair is one send and one receive of 256 bytes on a loopback TCP
// connection, without and with capture of both: ns/op is of the quietest of
// many short runs, since the machines here are shared.
func BenchmarkPair(b *testing.B) {
	b.Run("none", func(b *testing.B) { pair(b) })
	for i := range socketRows {
		b.Run(socketRows[i].name, func(b *testing.B) {
			if os.Geteuid() != 0 {
				b.Skipf("loading BPF needs root: uid is %d", os.Geteuid())
			}
			c, err := Start(Config{Rows: []string{socketRows[i].name}, self: true, RingBytes: ringFromEnv()})
			if err != nil {
				b.Skip(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() { defer close(done); _ = c.Run(ctx, func([]byte) {}, func() {}) }()
			defer func() { cancel(); <-done; c.Close() }()
			pair(b)
			if os.Getenv("HOPSCOPE_BPF_STATS") != "" {
				c.progStats(b)
			}
		})
	}
}

// ringFromEnv: HOPSCOPE_RING in KiB, to see what the size costs in cache misses.
func ringFromEnv() int {
	n, _ := strconv.Atoi(os.Getenv("HOPSCOPE_RING"))
	return n << 10
}

func pair(b *testing.B) {
	a, s := fdPair(b)
	defer unix.Close(a)
	defer unix.Close(s)
	buf, in := make([]byte, 256), make([]byte, 4096)
	const run = 2000
	var times []float64
	b.ResetTimer()
	for i := 0; i < b.N; i += run {
		start := time.Now()
		for range run {
			if _, err := unix.Write(a, buf); err != nil {
				b.Fatal(err)
			}
			if _, err := unix.Read(s, in); err != nil {
				b.Fatal(err)
			}
		}
		times = append(times, float64(time.Since(start))/run)
	}
	sort.Float64s(times)
	b.ReportMetric(times[0], "min-ns/pair")
	b.ReportMetric(times[len(times)/2], "median-ns/pair")
}

// fdPair is a connected TCP pair as blocking file descriptors, outside of Go's
// poller.
func fdPair(t testing.TB) (a, b int) {
	t.Helper()
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(l)
	if err := unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(l, 1); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(l)
	if err != nil {
		t.Fatal(err)
	}
	if a, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(a, sa); err != nil {
		t.Fatal(err)
	}
	if b, _, err = unix.Accept4(l, unix.SOCK_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// progStats reports what each program itself takes, with the kernel's own clock
// readings in it (about 50 ns).
func (c *Capture) progStats(b *testing.B) {
	stop, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		b.Fatal(err)
	}
	defer stop.Close()
	a, s := fdPair(b)
	defer unix.Close(a)
	defer unix.Close(s)
	buf := make([]byte, 256)
	best := map[string]float64{}
	last := map[string]ebpf.ProgramStats{}
	for round := range 100 {
		for range 1000 {
			_, _ = unix.Write(a, buf)
			_, _ = unix.Read(s, buf)
		}
		for i, p := range c.progs {
			st, err := p.Stats()
			if err != nil {
				b.Fatal(err)
			}
			name := c.hooks[i].Prog
			if n := st.RunCount - last[name].RunCount; round > 0 && n > 100 {
				ns := float64(st.Runtime-last[name].Runtime) / float64(n)
				if old, ok := best[name]; !ok || ns < old {
					best[name] = ns
				}
			}
			last[name] = *st
		}
	}
	for name, ns := range best {
		b.ReportMetric(ns, name+"-ns")
	}
}
