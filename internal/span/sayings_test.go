package span

import (
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// TestSayings: what is remembered of an exchange makes the spans of others with
// the same messages what they would be without, and no others.
func TestSayings(t *testing.T) {
	make1 := func(role stream.Role, code string, st l7.Status, heads bool) *session.Exchange {
		x := request(conn(role), code, st)
		x.Req.Msg.Attrs = x.Req.Msg.Attrs[:1]
		x.Req.Bytes += uint64(len(code)) * 7
		if heads {
			x.Req.Msg.Head, x.Resp.Msg.Head = ids[0], ids[1]
			if st != l7.StatusOK {
				x.Resp.Msg.Head = ids[2]
			}
		}
		return x
	}
	for _, role := range []stream.Role{stream.RoleClient, stream.RoleServer} {
		for code, st := range map[string]l7.Status{"200": l7.StatusOK, "404": l7.StatusClientError} {
			plain := text(build(t, Config{}, make1(role, code, st, false)))
			var last ptrace.Traces
			b := New(Config{}, func(td ptrace.Traces, _ int) { last = td })
			for i := range 5 {
				link(b, make1(role, code, st, true))
				b.Flush()
				if got := text(last); got != plain {
					t.Fatalf("%s at %d, time %d:\n%s", code, role, i, diff(plain, got))
				}
				spansOf(last)[0].Attributes().PutStr("url.path", "changed")
				other := "404"
				if st != l7.StatusOK {
					other = "200"
				}
				link(b, make1(role, other, map[bool]l7.Status{true: l7.StatusClientError, false: l7.StatusOK}[other == "404"], true))
				b.Flush()
			}
			known := 0
			for i := range b.sayings {
				if b.sayings[i].kv.kv != nil {
					known++
				}
			}
			if known != 2 {
				t.Errorf("%d sayings are known, want 2", known)
			}
		}
	}
}

var ids = [3]*l7.HeadID{{N: 1}, {N: 2}, {N: 3}}
