package span

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/inplace"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// TestLend: spans in memory that is used again are those of fresh memory, also
// where the reader of a batch has changed it.
func TestLend(t *testing.T) {
	run := func(cfg Config) (batches []string, b *Builder) {
		b = New(cfg, func(td ptrace.Traces, _ int) {
			batches = append(batches, text(td))
			for _, s := range spansOf(td) {
				s.Attributes().PutStr("http.request.method", "changed")
				s.Attributes().PutStr("more", "and more")
				s.Attributes().Remove("network.transport")
				s.Status().SetMessage("changed")
				s.Events().AppendEmpty().SetName("changed")
				s.TraceState().FromRaw("changed=1")
			}
		})
		conns := [2]*stream.Conn{conn(stream.RoleClient), conn(stream.RoleServer)}
		for i := range 300 {
			code, st := "200", l7.StatusOK
			if i%3 == 0 {
				code, st = "500", l7.StatusServerError
			}
			x := request(conns[i%2], code, st)
			x.Req.Pos += uint64(i) * 100
			x.Req.Msg.Target = fmt.Sprint("/orders/", i)
			if i%7 == 0 { // more attributes than a block has slots
				for k := range 30 * (i % 4) {
					x.Req.Msg.Attrs = append(x.Req.Msg.Attrs, l7.Attr{Key: fmt.Sprint("k", k), Str: fmt.Sprint(i)})
				}
			}
			if i%5 == 0 {
				x.Resp, x.Incomplete = session.Half{}, session.Timeout
			}
			link(b, x)
		}
		b.Flush()
		return batches, b
	}
	want, _ := run(Config{MaxSpans: 50})
	got, b := run(Config{MaxSpans: 50, Lend: true})
	if len(got) != len(want) || len(got) != 6 {
		t.Fatalf("%d batches, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("batch %d:\n%s", i, diff(want[i], got[i]))
		}
	}
	made := 0
	b.w.slots.Take(func() []inplace.KeyValue { made++; return nil })
	if made > 0 {
		t.Error("no memory came back")
	}
}
