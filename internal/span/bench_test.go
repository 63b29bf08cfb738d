package span

import (
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/cause"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/internal/who"
)

// BenchmarkPut makes the span of a whole HTTP exchange, batches included.
func BenchmarkPut(b *testing.B) {
	p := &who.Process{PID: 1, Service: "s", Executable: "e"}
	bu := New(Config{Host: who.Host{ID: "h"}, Process: func(uint32) *who.Process { return p }}, func(ptrace.Traces, int) {})
	tr := cause.NewTracker(bu.Put)
	x := request(conn(stream.RoleClient), "200", l7.StatusOK)
	x.Req.Msg.Attrs = x.Req.Msg.Attrs[:1] // a list is made by hand
	y := request(conn(stream.RoleServer), "200", l7.StatusOK)
	y.Req.Msg.Attrs = y.Req.Msg.Attrs[:1]
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		z := x
		if i&1 == 1 {
			z = y
		}
		z.Req.Pos += 100
		tr.Put(z)
	}
}
