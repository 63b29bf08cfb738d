package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/receiver/ebpfreceiver"
	"github.com/hopscope/hopscope/test/rig"
)

// roomy has a ring that holds a whole run: the load here takes all of the
// machine, and these tests are about counts without loss.
func roomy(c *ebpfreceiver.Config) {
	c.Sockets.RingSize = 512 << 20
	c.Batch.Queue = 1 << 12
}

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
	asRoot(t)
	installed(t, "nginx", "wrk")
	const requests = 100_000
	dir := t.TempDir()
	log := filepath.Join(dir, "status.log")
	nginx, err := rig.Nginx(dir, 2, "access_log "+log+" status buffer=64k;")
	if err != nil {
		t.Fatal(err)
	}
	defer nginx.Stop()
	c := count(t, byCode, roomy, uint16(nginx.Port))
	script := filepath.Join(dir, "requests.lua")
	if err := os.WriteFile(script, fmt.Appendf(nil, wrkScript, requests), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("wrk", "-t1", "-c16", "-d120s", "-s", script, nginx.URL("/")).CombinedOutput()
	if err != nil {
		t.Fatalf("wrk: %v\n%s", err, out)
	}
	var sent int
	_, said, _ := strings.Cut(string(out), "sent ")
	if _, err := fmt.Sscan(said, &sent); err != nil {
		t.Fatalf("wrk said %q", out)
	}
	c.settle()
	t.Logf("spans:\n%slost: %v, exchanges lost: %v", c, c.lost(), c.metric("lost_exchanges"))
	c.stop()
	if err := nginx.Stop(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{}
	answered := 0
	for code := range strings.FieldsSeq(string(text)) {
		if code != "499" { // the client went away first
			want[code]++
			answered++
		}
	}
	if answered < requests {
		t.Fatalf("nginx answered %d requests\n%s", answered, out)
	}
	t.Logf("nginx: %v, wrk sent %d", want, sent)
	for code, n := range want {
		if got := c.total("Server GET " + code); got != n {
			t.Errorf("%d server spans with status %s, nginx says %d", got, code, n)
		}
		// wrk leaves with answers unread.
		if got := c.total("Client GET " + code); got > n || got < n-16 {
			t.Errorf("%d client spans with status %s, nginx says %d", got, code, n)
		}
	}
	if n := c.total("Server"); n != answered {
		t.Errorf("%d server spans, nginx says %d", n, answered)
	}
	if n := c.total("Client"); n != answered {
		t.Errorf("%d client spans, nginx says %d, wrk meant to send %d", n, answered, sent)
	}
}
