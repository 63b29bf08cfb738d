package main

import (
	"strings"
	"testing"
	"time"
)

func TestReadWrk(t *testing.T) {
	const out = `Running 10s test @ http://127.0.0.1:1/
  2 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   212.06us  301.66us  10.05ms   93.17%
    Req/Sec    48.65k     4.71k   58.69k    68.00%
  Latency Distribution
     50%  136.00us
     75%  211.00us
     90%  394.00us
     99%    1.52ms
  968102 requests in 10.00s, 156.02MB read
Requests/sec:  96790.62
Transfer/sec:     15.60MB
`
	s, err := readWrk(out)
	if err != nil {
		t.Fatal(err)
	}
	if s.requests != 968102 || s.took != 10*time.Second || s.p50 != 136*time.Microsecond || s.p99 != 1520*time.Microsecond {
		t.Errorf("%+v", s)
	}
	for _, bad := range []string{"", out + "  Socket errors: connect 0, read 3, write 0, timeout 0\n", strings.Replace(out, "99%", "98%", 1)} {
		if s, err := readWrk(bad); err == nil {
			t.Errorf("%+v of\n%s", s, bad)
		}
	}
}

func TestReadRedis(t *testing.T) {
	const out = `"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
"GET","125000.00","0.061","0.016","0.063","0.079","0.127","0.415"
`
	s, err := readRedis(out, 1000, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if s.requests != 1000 || s.took != 8*time.Millisecond || s.p50 != 63*time.Microsecond || s.p99 != 127*time.Microsecond {
		t.Errorf("%+v", s)
	}
	if _, err := readRedis("Could not connect", 1, time.Second); err == nil {
		t.Error("no error for no result")
	}
}

func TestReadStages(t *testing.T) {
	got := readStages([]byte(`goos: linux
pkg: github.com/hopscope/hopscope/internal/session
BenchmarkPut/http-2         	 1000000	      1041 ns/op	 960461 events/s	      16 B/op	       1 allocs/op
PASS
ok  	github.com/hopscope/hopscope/internal/session	1.2s
`))
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	s := got[0]
	if s.pkg != "internal/session" || s.name != "Put/http-2" || s.metrics["ns/op"] != 1041 || s.metrics["allocs/op"] != 1 || s.more() != "960461 events/s" {
		t.Errorf("%+v, %q", s, s.more())
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}} {
		if got := median(c.in); got != c.want {
			t.Errorf("%v: %v", c.in, got)
		}
	}
}

func TestLiveRow(t *testing.T) {
	p := pair{
		without: round{sample: sample{requests: 1000, took: time.Second, p50: 100 * time.Microsecond, p99: time.Millisecond}, serverCPU: 7 * time.Millisecond},
		with: round{
			sample:    sample{requests: 800, took: time.Second, p50: 130 * time.Microsecond, p99: 2 * time.Millisecond},
			serverCPU: 6400 * time.Microsecond, collectorCPU: 2 * time.Millisecond, wall: 2 * time.Second, rss: 50 << 20, told: true, spans: 1600, lost: 16,
		},
	}
	const want = "| x | 1000 | 800 | 0.800 | 100 | +30 | 1000 | +1000 | 7.00 | +1.00 | 2.50 | 0.001 | 50 | 1.00000 | 0.01000 |"
	if got := liveRow("x", []pair{p}); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	p.with.told = false
	if got, want := liveRow("x", []pair{p}), strings.Replace(want, "1.00000 | 0.01000", "- | -", 1); got != want {
		t.Errorf("of a peer: got  %s\nwant %s", got, want)
	}
	if cols := strings.Count(strings.SplitN(liveHeader, "\n", 2)[0], "|"); cols != strings.Count(want, "|") {
		t.Errorf("%d columns in the head", cols)
	}
}
