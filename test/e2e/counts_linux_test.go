package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/receiver/ebpfreceiver"
	"github.com/hopscope/hopscope/test/rig"
	"github.com/hopscope/hopscope/test/tally"
)

// wrkScript asks for pages, some of which fail, until n answers have come.
const wrkScript = `
local i, n = 0, 0
function request()
	i = i + 1
	if i %% 50 == 0 then return wrk.format("GET", "/broken") end
	if i %% 10 == 0 then return wrk.format("GET", "/missing/" .. i) end
	return wrk.format("GET", "/page/" .. i)
end
function response()
	n = n + 1
	if n == %d then
		io.write("sent ", i, "\n")
		os.exit(0)
	end
end
`

// TestCountHTTP: as many spans at each end as nginx answered requests, with the
// statuses that its log has.
func TestCountHTTP(t *testing.T) {
	c, want, answered, _ := wrk(t, tally.Roomy)
	if n := c.Total("Server"); n != answered {
		t.Errorf("%d server spans, nginx says %d", n, answered)
	}
	if n := c.Total("Client"); n != answered {
		t.Errorf("%d client spans, nginx says %d", n, answered)
	}
	for code, n := range want {
		if got := c.Total("Server GET " + code); got != n {
			t.Errorf("%d server spans with status %s, nginx says %d", got, code, n)
		}
		// wrk leaves with answers unread.
		if got := c.Total("Client GET " + code); got > n || got < n-wrkConns {
			t.Errorf("%d client spans with status %s, nginx says %d", got, code, n)
		}
	}
}

const (
	wrkRequests = 100_000
	wrkConns    = 16
)

// wrk sends requests to nginx, and gives what was counted, what nginx's log has
// by status, and how many that are.
func wrk(t *testing.T, more func(*ebpfreceiver.Config)) (c *tally.Tally, want map[string]int, answered, lost int) {
	t.Helper()
	asRoot(t)
	installed(t, "nginx", "wrk")
	dir := t.TempDir()
	log := filepath.Join(dir, "status.log")
	nginx, err := rig.Nginx(dir, 2, "access_log "+log+" status buffer=64k;")
	if err != nil {
		t.Fatal(err)
	}
	defer nginx.Stop()
	c = count(t, byCode, more, uint16(nginx.Port))
	script := filepath.Join(dir, "requests.lua")
	if err := os.WriteFile(script, fmt.Appendf(nil, wrkScript, wrkRequests), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("wrk", "-t1", "-c", fmt.Sprint(wrkConns), "-d120s", "-s", script, nginx.URL("/")).CombinedOutput()
	if err != nil {
		t.Fatalf("wrk: %v\n%s", err, out)
	}
	c.Settle()
	dropped := c.Lost()
	lost = int(c.Metric("lost_exchanges")[""])
	c.Stop()
	if err := nginx.Stop(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	want = map[string]int{}
	for code := range strings.FieldsSeq(string(text)) {
		if code != "499" { // the client went away first
			want[code]++
			answered++
		}
	}
	if answered < wrkRequests {
		t.Fatalf("nginx answered %d requests\n%s", answered, out)
	}
	t.Logf("nginx: %v\nspans:\n%slost: %v, exchanges lost: %d", want, c, dropped, lost)
	return c, want, answered, lost
}

// TestCountRedis: a span at each end for every command that Redis counts, and
// as many errors; one command at a time, and 16 at once, some of which fail.
func TestCountRedis(t *testing.T) {
	asRoot(t)
	installed(t, "redis-server", "redis-benchmark", "redis-cli")
	for _, pipeline := range []int{1, 16} {
		t.Run(fmt.Sprintf("P%d", pipeline), func(t *testing.T) {
			redis, err := rig.Redis(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer redis.Stop()
			port := fmt.Sprint(redis.Port)
			run := func(name string, args ...string) string {
				t.Helper()
				out, err := exec.Command(name, append([]string{"-p", port}, args...)...).CombinedOutput()
				if err != nil {
					t.Fatalf("%s: %v\n%s", name, err, out)
				}
				return string(out)
			}
			run("redis-cli", "SET", "text", "not a number")
			c := count(t, func(s ptrace.Span) string {
				return attr(s, "db.operation.name") + " " + attr(s, "hopscope.response.status")
			}, tally.Roomy, uint16(redis.Port))
			bench := func(n int, command ...string) {
				run("redis-benchmark", append([]string{"-q", "-c", "16", "-P", fmt.Sprint(pipeline), "-n", fmt.Sprint(n)}, command...)...)
			}
			bench(80_000, "GET", "key:__rand_int__")
			if pipeline == 1 {
				run("redis-cli", "-r", "20000", "INCR", "text") // refused
			} else {
				client(t, "pipeline", redis.Addr(), 160_000) // one of eight is refused
			}
			c.Settle()
			t.Logf("spans:\n%slost: %v", c, c.Lost())
			c.Stop()
			stats := run("redis-cli", "INFO", "commandstats")
			for _, command := range []string{"GET", "INCR"} {
				_, line, ok := strings.Cut(stats, "cmdstat_"+strings.ToLower(command)+":")
				line, _, _ = strings.Cut(line, "\r\n")
				calls, failed := field(line, "calls="), field(line, "failed_calls=")
				if !ok || calls < 20_000 || (command == "INCR") != (failed == calls) {
					t.Fatalf("%s: Redis says %q", command, line)
				}
				for _, kind := range []string{"Client", "Server"} {
					all, good := c.Total(kind+" "+command+" "), c.Total(kind+" "+command+" ok")
					if all != calls || all-good != failed {
						t.Errorf("%s: %d %s spans, %d of them failed; Redis says %d and %d", kind, all, command, all-good, calls, failed)
					}
				}
			}
		})
	}
}

// field is the number behind name in "a=1,b=2".
func field(line, name string) int {
	for f := range strings.SplitSeq(line, ",") {
		if v, ok := strings.CutPrefix(f, name); ok {
			n, _ := strconv.Atoi(v)
			return n
		}
	}
	return -1
}

// TestCountDNS: a span at each end for every query, with the code of its answer.
func TestCountDNS(t *testing.T) {
	asRoot(t)
	installed(t, "dnsmasq", "dnsperf")
	const queries = 20_000
	dir := t.TempDir()
	var names strings.Builder
	for i := range queries {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&names, "host%d.missing.test A\n", i)
		case 1:
			fmt.Fprintf(&names, "known.test AAAA\n")
		default:
			fmt.Fprintf(&names, "known.test A\n")
		}
	}
	file := filepath.Join(dir, "queries")
	if err := os.WriteFile(file, []byte(names.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	port, err := rig.Port()
	if err != nil {
		t.Fatal(err)
	}
	server, err := rig.Start("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=",
		"--listen-address=127.0.0.1", "--bind-interfaces", "--port", fmt.Sprint(port), "--local=/test/", "--host-record=known.test,192.0.2.1,2001:db8::1", "--cache-size=0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	if err := server.Until(10*time.Second, func() error { return rig.Listens(port) }); err != nil {
		t.Fatal(err)
	}
	c := count(t, func(s ptrace.Span) string {
		return attr(s, "dns.question.type") + " " + attr(s, "dns.response_code")
	}, func(c *ebpfreceiver.Config) {
		tally.Roomy(c)
		// Not by port: dnsperf's sockets are not connected to one.
		c.Sockets.Include.Processes = []string{"dnsperf", "dnsmasq"}
	})
	out, err := exec.Command("dnsperf", "-s", "127.0.0.1", "-p", fmt.Sprint(port), "-d", file, "-n", "1", "-c", "4", "-q", "50").CombinedOutput()
	if err != nil {
		t.Fatalf("dnsperf: %v\n%s", err, out)
	}
	if !strings.Contains(string(out), fmt.Sprintf("Queries completed:    %d (100.00%%)", queries)) {
		t.Fatalf("not every query was answered:\n%s", out)
	}
	c.Settle()
	t.Logf("spans:\n%slost: %v", c, c.Lost())
	c.Stop()
	for _, kind := range []string{"Client", "Server"} {
		for key, want := range map[string]int{"A 3": queries / 4, "AAAA 0": queries / 4, "A 0": queries / 2, "": queries} {
			if got := c.Total(kind + " " + key); got != want {
				t.Errorf("%s %s: %d spans, want %d", kind, key, got, want)
			}
		}
	}
}
