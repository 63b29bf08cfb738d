package span

import (
	"testing"

	"go.opentelemetry.io/collector/featuregate"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/inplace"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// TestPooling: where pdata uses values again, none may be shared.
func TestPooling(t *testing.T) {
	if err := featuregate.GlobalRegistry().Set(inplace.PoolingGate, true); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := featuregate.GlobalRegistry().Set(inplace.PoolingGate, false); err != nil {
			t.Fatal(err)
		}
	}()
	if New(Config{}, nil).w.fast {
		t.Error("the builder does not ask")
	}
	golden(t, "http.golden", both(t))
}

// TestSharing: changing a span changes no other one, also not one of the same
// connection made later.
func TestSharing(t *testing.T) {
	c := conn(stream.RoleClient)
	var first string
	var td ptrace.Traces
	b := New(Config{}, func(out ptrace.Traces, _ int) { td = out })
	for i := range 3 {
		link(b, request(c, "200", l7.StatusOK))
		link(b, request(c, "200", l7.StatusOK))
		b.Flush()
		ss := spansOf(td)
		if i == 0 {
			first = text(td)
		} else if got := text(td); got != first {
			t.Fatalf("round %d:\n%s", i, diff(first, got))
		}
		before := ss[1].Attributes().AsRaw()
		for k, v := range ss[0].Attributes().All() {
			switch v.Type() {
			case pcommon.ValueTypeStr:
				v.SetStr("changed " + k)
			case pcommon.ValueTypeInt:
				v.SetInt(-1)
			case pcommon.ValueTypeBool:
				v.SetBool(false)
			}
		}
		ss[0].Attributes().PutStr("more", "and more")
		ss[0].Attributes().Remove("network.transport")
		for k, v := range ss[1].Attributes().AsRaw() {
			if _, list := v.([]any); !list && v != before[k] {
				t.Errorf("%s of the other span became %v", k, v)
			}
		}
		if n := ss[1].Attributes().Len(); n != len(before) {
			t.Errorf("the other span has %d attributes, had %d", n, len(before))
		}
	}
}
