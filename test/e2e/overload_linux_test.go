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
	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/receiver/ebpfreceiver"
	"github.com/hopscope/hopscope/test/rig"
	"github.com/hopscope/hopscope/test/tally"
)

// TestOverload: the ring holds next to nothing, and the load takes all of the
// machine. What is not seen is counted: spans and lost exchanges are all the
// exchanges that were.
func TestOverload(t *testing.T) {
	c, want, answered, lost := wrk(t, func(c *ebpfreceiver.Config) {
		c.Sockets.RingSize = 64 << 10
		c.Batch.Queue = 1 << 12
	})
	spans := c.Total("")
	if lost < answered/100 {
		t.Errorf("only %d of %d exchanges were lost: this was no overload", lost, answered)
	}
	if spans+lost != 2*answered {
		t.Errorf("%d spans + %d lost = %d, nginx says 2 * %d = %d", spans, lost, spans+lost, answered, 2*answered)
	}
	for code, n := range want { // what is told is true
		for _, kind := range []string{"Client", "Server"} {
			if got := c.Total(kind + " GET " + code); got > n {
				t.Errorf("%d %s spans with status %s, nginx says %d", got, kind, code, n)
			}
		}
	}
}

// TestOverloadRedis: the same with Redis, one side at a time: one command at a
// time exactly, and 16 at once, of one size and of many, within 1 %.
func TestOverloadRedis(t *testing.T) {
	asRoot(t)
	installed(t, "redis-server", "redis-benchmark", "redis-cli")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Base(self)
	own = own[:min(len(own), 15)] // as the kernel has it
	for _, side := range []struct {
		name      string
		processes []string
	}{
		{"client", []string{"redis-benchmark", own}},
		{"server", []string{"redis-server"}},
	} {
		for _, stress := range []string{"ring", "cpu"} {
			for _, pipeline := range []int{1, 16} {
				t.Run(fmt.Sprintf("%s/%s/P%d", side.name, stress, pipeline), func(t *testing.T) {
					overloadRedis(t, side.processes, stress == "cpu", pipeline)
				})
			}
		}
	}
}

func overloadRedis(t *testing.T, processes []string, starved bool, pipeline int) {
	redis, err := rig.Redis(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer redis.Stop()
	port := fmt.Sprint(redis.Port)
	commands := func() int {
		t.Helper()
		out, err := exec.Command("redis-cli", "-p", port, "INFO", "stats").Output()
		if err != nil {
			t.Fatal(err)
		}
		_, n, _ := strings.Cut(string(out), "total_commands_processed:")
		n, _, _ = strings.Cut(n, "\r\n")
		total, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		return total
	}
	if out, err := exec.Command("redis-cli", "-p", port, "SET", "text", "not a number").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before := commands()
	c := tally.Count(t, func(s ptrace.Span) string { return tally.Attr(s, "db.operation.name") }, func(c *ebpfreceiver.Config) {
		c.Sockets.Include.Ports = []uint16{uint16(redis.Port)}
		c.Sockets.Include.Processes = processes
		c.Sockets.RingSize = 64 << 10
		c.Batch.Queue = 1 << 12
	})
	feed := func() {}
	if starved {
		feed = starve(t)
	}
	n := 100_000
	if pipeline > 1 {
		n = 500_000
	}
	// Our own lack of the processor is not theirs.
	nice := []string{"nice", "-n", "-19"}
	if !starved {
		nice = []string{"env"}
	}
	bench := append(nice, "redis-benchmark", "-p", port, "-q", "-c", "16", "-P", fmt.Sprint(pipeline), "-n", fmt.Sprint(n), "GET", "key:__rand_int__")
	if out, err := exec.Command(bench[0], bench[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("redis-benchmark: %v\n%s", err, out)
	}
	if pipeline > 1 {
		client(t, "pipeline", redis.Addr(), n, nice...)
	}
	feed()
	c.Settle()
	lost := int(c.Metric("lost_exchanges")[""])
	t.Logf("spans:\n%slost: %v, exchanges lost: %d", c, c.Lost(), lost)
	c.Stop()
	spans, want := c.Total(""), commands()-before-1 // the first question was one, too
	off := spans + lost - want
	t.Logf("%d spans + %d lost = %d, Redis says %d: %+d", spans, lost, spans+lost, want, off)
	if lost < want/100 {
		t.Errorf("only %d of %d commands were lost: this was no overload", lost, want)
	}
	if pipeline == 1 && off != 0 || max(off, -off) > want/100 {
		t.Errorf("%d spans + %d lost = %d, Redis says %d", spans, lost, spans+lost, want)
	}
}

// starve takes the processor from this process: it may run when nobody else
// wants to, and others want to always. What it gives ends that.
func starve(t *testing.T) (feed func()) {
	t.Helper()
	var burners []*rig.Process
	for range 4 {
		p, err := rig.Start("sh", "-c", "while :; do :; done")
		if err != nil {
			t.Fatal(err)
		}
		burners = append(burners, p)
	}
	prio := func(n int) {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err == nil {
				err = unix.Setpriority(unix.PRIO_PROCESS, tid, n)
			}
			if err != nil {
				t.Log("priority of a thread:", err)
			}
		}
	}
	prio(19)
	time.Sleep(100 * time.Millisecond)
	return func() {
		prio(0)
		for _, p := range burners {
			p.Kill()
		}
	}
}
