package span

import (
	"testing"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/stream"
)

// TestProfile: the five times of an exchange seen in packets; of the second
// exchange no connect, and of one that did not wait no client wait.
func TestProfile(t *testing.T) {
	c := conn(stream.RoleClient)
	c.Source, c.Point, c.Began, c.Opened = stream.Packets, hop.ClientNode, t0-5000, t0-3000
	first := request(c, "200", l7.StatusOK)
	first.Req.Pos, first.Req.Start, first.Req.End, first.Resp.Start, first.Resp.End = 0, t0-1000, t0-400, t0+500, t0+600
	second := request(c, "200", l7.StatusOK)
	second.Req.Pos, second.Req.Start, second.Req.End, second.Resp.Start, second.Resp.End = 100, t0+650, t0+650, t0+700, t0+700
	third := request(c, "200", l7.StatusOK) // pipelined with the second; answered while it was still sent
	third.Req.Pos, third.Req.Start, third.Req.End, third.Resp.Start, third.Resp.End = 200, t0+660, t0+900, t0+800, t0+950
	got := spansOf(build(t, Config{}, first, second, third))
	keys := []string{semconv.NetConnect, semconv.NetClientWait, semconv.NetRequestTransfer, semconv.NetServerWait, semconv.NetResponseTransfer}
	for i, want := range [][]string{{"2000", "2000", "600", "900", "100"}, {"", "50", "0", "50", "0"}, {"", "", "240", "", "150"}} {
		for k, v := range want {
			if have := str(got[i], keys[k]); have != v {
				t.Errorf("exchange %d: %s is %q, want %q", i, keys[k], have, v)
			}
		}
	}
	if v := str(spansOf(build(t, Config{}, request(conn(stream.RoleClient), "200", l7.StatusOK)))[0], semconv.NetServerWait); v != "" {
		t.Errorf("a process span has %s", semconv.NetServerWait)
	}
}
