package convert

import (
	"testing"

	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// FuzzConvert: whatever agents send, in any order, spans that were read come out
// or are counted, once, and what waits is bounded.
func FuzzConvert(f *testing.F) {
	paths := []string{"/v1.Span/SendSpan", "/v1.Span/SendSpanBatch", "/v1.Stat/SendAgentStat", "/v1.Agent/RequestAgentInfo", "/v1.Metadata/RequestApiMetaData",
		"/v1.Metadata/RequestSqlMetaData", "/v1.Metadata/RequestSqlUidMetaData", "/v1.Metadata/RequestStringMetaData", "/v1.Metadata/RequestExceptionMetaData", "/v1.Log/Connect"}
	f.Add(benchMessage(), uint16(0), uint8(0))
	f.Add([]byte("\x0a\x10\x08\x01\x12\x0c\x0a\x02go\x10\x01\x18\x02"), uint16(1), uint8(3))
	f.Add([]byte("\x08\x07\x12\x08shop.Get"), uint16(4), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, order uint16, cut uint8) {
		store := NewStore(2, 1<<12)
		out := 0
		c := New(Config{MaxSpans: 8, MaxEvents: 32, MaxBytes: 1 << 12, KeepLiterals: order&1 != 0}, store, func(td ptrace.Traces, n int) {
			if td.SpanCount() != n {
				t.Fatalf("%d spans, told %d", td.SpanCount(), n)
			}
			out += n
		})
		c.Metrics = func(pmetric.Metrics) {}
		for i := range 6 {
			a := store.Agent(&Identity{AgentID: string(rune('a' + i%3)), Start: 1, Protocol: []string{"", "100"}[i&1]})
			p := b
			if i%2 == 1 {
				p = b[:min(int(cut), len(b))]
			}
			c.Put(a, paths[(int(order)+i*int(cut%3))%len(paths)], p, int64(i)*1e9)
			if st := c.Stats(); st.WaitingSpans > 9 || st.WaitingBytes > 1<<12+int64(len(b)) || len(store.agents) > 2 || store.bytes > 1<<12 {
				t.Fatalf("%+v, %d agents, %d bytes of texts", st, len(store.agents), store.bytes)
			}
			c.Tick(int64(i) * 1e9)
		}
		c.Flush(100e9)
		st := c.Stats()
		if st.Taken != st.Spans+st.Events+st.BadVersion+st.Broken+st.Cut+st.Duplicates || st.Waiting != 0 || st.WaitingBytes != 0 || uint64(out) != st.Spans+st.Events {
			t.Fatalf("%d came: %+v", out, st)
		}
	})
}
