package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/hopscope/hopscope/test/pace"
	"github.com/hopscope/hopscope/test/rig"
)

// work is a server and a load on it.
type work struct {
	name    string
	needs   []string
	start   func(dir string) (*rig.Server, error)
	prepare func(ctx context.Context, dir string, s *rig.Server) (loadFunc, error)
}

func works(o options) []work {
	nginx := func(dir string) (*rig.Server, error) { return rig.Nginx(dir, runtime.NumCPU()) }
	return []work{
		{
			name: "nginx", needs: []string{"nginx", "wrk"}, start: nginx,
			prepare: func(_ context.Context, _ string, s *rig.Server) (loadFunc, error) { return wrk(s, o.conns), nil },
		},
		{
			name: "nginx-differing", needs: []string{"nginx", "wrk"}, start: nginx,
			prepare: func(_ context.Context, dir string, s *rig.Server) (loadFunc, error) {
				return differing(dir, s, o.conns)
			},
		},
		{
			name: fmt.Sprintf("nginx-%.0f/s", o.rate), needs: []string{"nginx"}, start: nginx,
			prepare: func(_ context.Context, _ string, s *rig.Server) (loadFunc, error) { return paced(s, o), nil },
		},
		{
			name: "redis-P1", needs: []string{"redis-server", "redis-benchmark"}, start: rig.Redis,
			prepare: func(ctx context.Context, _ string, s *rig.Server) (loadFunc, error) { return redis(ctx, s, o.conns, 1) },
		},
		{
			name: "redis-P16", needs: []string{"redis-server", "redis-benchmark"}, start: rig.Redis,
			prepare: func(ctx context.Context, _ string, s *rig.Server) (loadFunc, error) {
				return redis(ctx, s, o.conns, 16)
			},
		},
	}
}

// paced sends at a fixed rate.
func paced(s *rig.Server, o options) loadFunc {
	return func(ctx context.Context, d time.Duration) (sample, error) {
		ctx, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		r, err := pace.Run(ctx, pace.Load{Addr: s.Addr(), Path: "/", Conns: o.conns, Rate: o.rate})
		if err != nil {
			return sample{}, err
		}
		return sample{
			requests: float64(r.OK), failed: float64(r.Sent - r.OK), took: r.Took,
			p50: r.Quantile(0.5), p99: r.Quantile(0.99),
		}, errors.Join(r.Failures...)
	}
}

// differingScript has wrk send requests none of which is like one that the
// collector remembers: paths as of an API with ids in them, queries, an id of each
// request. They are made before the round.
const differingScript = `
local requests, last = {}, 0
function init()
	local things = {"orders", "users", "items", "carts"}
	for i = 1, 20000 do
		local id = (i * 7919) % 1000003
		requests[i] = wrk.format("GET", "/" .. things[i % 4 + 1] .. "/" .. id .. "?page=" .. i .. "&by=name",
			{["Host"] = "shop.example", ["X-Request-ID"] = string.format("%08x-%08x", id, i)})
	end
end
function request()
	last = last % #requests + 1
	return requests[last]
end
`

// differing is wrk with requests that differ.
func differing(dir string, s *rig.Server, conns int) (loadFunc, error) {
	script := filepath.Join(dir, "differing.lua")
	return wrk(s, conns, "-s", script), os.WriteFile(script, []byte(differingScript), 0o600)
}

// wrk sends as fast as it can.
func wrk(s *rig.Server, conns int, more ...string) loadFunc {
	return func(ctx context.Context, d time.Duration) (sample, error) {
		args := append([]string{"-t", fmt.Sprint(runtime.NumCPU()), "-c", fmt.Sprint(conns),
			"-d", fmt.Sprintf("%.0fs", max(1, d.Seconds())), "--latency"}, more...)
		cmd := exec.CommandContext(ctx, "wrk", append(args, s.URL("/"))...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return sample{}, fmt.Errorf("wrk: %w\n%s", err, out)
		}
		return readWrk(string(out))
	}
}

var (
	wrkTotal    = regexp.MustCompile(`(?m)^\s*(\d+) requests in ([0-9.]+[a-z]+),`)
	wrkQuantile = regexp.MustCompile(`(?m)^\s*(50|99)%\s+([0-9.]+[a-z]+)\s*$`)
	wrkBad      = regexp.MustCompile(`(?m)^\s*(Socket errors:.*|Non-2xx or 3xx responses:.*)$`)
)

func readWrk(out string) (s sample, err error) {
	if bad := wrkBad.FindString(out); bad != "" {
		return s, fmt.Errorf("wrk: %s", strings.TrimSpace(bad))
	}
	total := wrkTotal.FindStringSubmatch(out)
	if total == nil {
		return s, fmt.Errorf("wrk: no total in\n%s", out)
	}
	if s.requests, err = strconv.ParseFloat(total[1], 64); err != nil {
		return s, err
	}
	if s.took, err = time.ParseDuration(total[2]); err != nil {
		return s, err
	}
	for _, q := range wrkQuantile.FindAllStringSubmatch(out, -1) {
		d, err := time.ParseDuration(q[2])
		if err != nil {
			return s, err
		}
		if q[1] == "50" {
			s.p50 = d
		} else {
			s.p99 = d
		}
	}
	if s.p50 == 0 || s.p99 == 0 {
		return s, fmt.Errorf("wrk: no latency distribution in\n%s", out)
	}
	return s, nil
}

// redis sends GETs, pipeline of them at a time. redis-benchmark counts requests,
// not seconds, so it is asked first how many it can do.
func redis(ctx context.Context, s *rig.Server, conns, pipeline int) (loadFunc, error) {
	send := func(ctx context.Context, n int) (sample, error) {
		cmd := exec.CommandContext(ctx, "redis-benchmark", "-p", fmt.Sprint(s.Port), "-c", fmt.Sprint(conns),
			"-n", fmt.Sprint(n), "-P", fmt.Sprint(pipeline), "-t", "get", "--csv")
		begin := time.Now()
		out, err := cmd.Output()
		if err != nil {
			return sample{}, fmt.Errorf("redis-benchmark: %w", err)
		}
		return readRedis(string(out), n, time.Since(begin))
	}
	const trial = 50_000
	first, err := send(ctx, trial)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, d time.Duration) (sample, error) {
		return send(ctx, max(trial, int(first.rate()*d.Seconds())))
	}, nil
}

// readRedis reads redis-benchmark's CSV: a head line and one line per test.
func readRedis(out string, n int, took time.Duration) (sample, error) {
	s := sample{requests: float64(n), took: took}
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 2 {
		return s, fmt.Errorf("redis-benchmark: no result in %q: %v", out, err)
	}
	for i, name := range rows[0] {
		v, err := strconv.ParseFloat(rows[1][i], 64)
		if err != nil {
			continue // the test's name
		}
		switch name {
		case "rps":
			s.took = time.Duration(float64(n) / v * float64(time.Second))
		case "p50_latency_ms":
			s.p50 = time.Duration(v * float64(time.Millisecond))
		case "p99_latency_ms":
			s.p99 = time.Duration(v * float64(time.Millisecond))
		}
	}
	if s.p50 == 0 || s.p99 == 0 {
		return s, fmt.Errorf("redis-benchmark: no latencies in %q", out)
	}
	return s, nil
}
