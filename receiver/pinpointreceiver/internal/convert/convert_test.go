package convert

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/corpus"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/wire"
)

// TestVectors: ids as the published vectors have them.
func TestVectors(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(corpus.Dir(t), "tables", "id_vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Traces []struct{ Transaction_id, Otel_trace_id string }  `json:"trace_ids"`
		Spans  []struct{ Pinpoint_span_id, Otel_span_id string } `json:"span_ids"`
		Events []struct{ Input, Otel_span_id string }            `json:"event_ids"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Traces)+len(v.Spans)+len(v.Events) < 11 {
		t.Fatalf("%+v", v)
	}
	for _, x := range v.Traces {
		if got := traceID(x.Transaction_id).String(); got != x.Otel_trace_id {
			t.Errorf("%s: %s, want %s", x.Transaction_id, got, x.Otel_trace_id)
		}
	}
	for _, x := range v.Spans {
		n, _ := strconv.ParseInt(x.Pinpoint_span_id, 10, 64)
		if got := plain(n).String(); got != x.Otel_span_id {
			t.Errorf("%d: %s, want %s", n, got, x.Otel_span_id)
		}
	}
	for _, x := range v.Events {
		f := strings.Split(x.Input, "|")
		var n []int64
		for _, s := range f[2:] {
			k, _ := strconv.ParseInt(s, 10, 64)
			n = append(n, k)
		}
		i := ids{tx: f[1]}
		if got := i.rule(f[0][0], n...); hex.EncodeToString(got[:]) != x.Otel_span_id {
			t.Errorf("%s: %x, want %s", x.Input, got, x.Otel_span_id)
		}
	}
}

// encode makes the message of s, of what these tests set.
func encode(s *wire.Span) *wire.Piece {
	var b []byte
	num := func(b []byte, n protowire.Number, v int64) []byte {
		if v == 0 {
			return b
		}
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
	}
	fixed := func(b []byte, n protowire.Number, v int64) []byte {
		if v == 0 {
			return b
		}
		return protowire.AppendFixed64(protowire.AppendTag(b, n, protowire.Fixed64Type), uint64(v))
	}
	sub := func(b []byte, n protowire.Number, v []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
	}
	zigzag := func(v int32) int64 { return int64(protowire.EncodeZigZag(int64(v))) }
	b = num(b, 1, int64(s.Version))
	b = sub(b, 2, num(num(sub(nil, 1, []byte(s.ID.AgentID)), 2, s.ID.Start), 3, s.ID.Sequence))
	b = fixed(b, 3, s.SpanID)
	events := protowire.Number(13)
	if s.Chunk {
		events = 5
		b = num(num(b, 6, int64(s.AppType)), 7, s.KeyTime)
		if s.Async {
			b = sub(b, 8, num(num(nil, 1, int64(s.AsyncID)), 2, int64(s.AsyncSeq)))
		}
	} else {
		b = num(num(num(fixed(b, 4, s.Parent), 5, s.Start), 6, int64(s.Elapsed)), 8, int64(s.ServiceType))
		b = sub(b, 9, sub(nil, 1, []byte(s.RPC)))
		b = num(num(b, 7, int64(s.APIID)), 15, int64(s.AppType))
	}
	for _, e := range s.Events {
		x := num(num(num(num(nil, 1, int64(e.Sequence)), 2, int64(e.Depth)), 3, int64(e.StartElapsed)), 4, int64(e.EndElapsed))
		x = num(num(num(x, 5, zigzag(e.ServiceType)), 10, zigzag(e.APIID)), 13, int64(e.AsyncEvent))
		if e.NextSpanID != 0 {
			x = sub(x, 12, sub(nil, 1, fixed(nil, 1, e.NextSpanID)))
		}
		b = sub(b, events, x)
	}
	var p *wire.Piece
	tag := protowire.Number(1)
	if s.Chunk {
		tag = 2
	}
	if err := wire.Pieces(sub(nil, tag, b), false, func(x *wire.Piece) { p = x }); err != nil {
		panic(err)
	}
	return p
}

func event(seq, depth int32) wire.Event {
	return wire.Event{Sequence: seq, Depth: depth, ServiceType: 5000}
}

// pieces gives pieces of one span to a converter and returns what came of them,
// by name of the API, which is the sequence.
func pieces(t *testing.T, all ...*wire.Span) map[string]ptrace.Span {
	out := map[string]ptrace.Span{}
	store := NewStore(0, 0)
	c := New(Config{}, store, func(td ptrace.Traces, _ int) {
		for _, rs := range td.ResourceSpans().All() {
			for _, s := range rs.ScopeSpans().At(0).Spans().All() {
				k := "span"
				if v, ok := s.Attributes().Get("pinpoint.sequence"); ok {
					k = v.AsString()
				}
				if v, ok := s.Attributes().Get("pinpoint.async_id"); ok {
					k += "@" + v.AsString()
				}
				out[k] = s
			}
		}
	})
	a := store.Agent(&Identity{AgentID: "a", Start: 1, Protocol: "100"})
	for i, p := range all {
		p.ID, p.SpanID, p.Version = wire.TransactionID{Start: 1, Sequence: 7}, 99, 1
		c.asm.put(a, encode(p), int64(i))
	}
	c.Flush(100)
	return out
}

// TestGap: an event whose parent may be one that was lost hangs on the span, and
// says so; what follows it in one piece is certain.
func TestGap(t *testing.T) {
	s := pieces(t, &wire.Span{Parent: -1, Start: 1000, Elapsed: 50, Events: []wire.Event{event(0, 1), event(1, 2), event(3, 3), event(4, 4)}})
	root := s["span"].SpanID()
	for k, want := range map[string][2]string{"0": {"span", ""}, "1": {"0", ""}, "3": {"span", "true"}, "4": {"3", ""}} {
		x, p := s[k], root
		if want[0] != "span" {
			p = s[want[0]].SpanID()
		}
		_, inc := x.Attributes().Get("pinpoint.incomplete")
		if x.ParentSpanID() != p || inc != (want[1] != "") {
			t.Errorf("event %s: parent %s, want that of %s; incomplete %t", k, x.ParentSpanID(), want[0], inc)
		}
	}
	if _, ok := s["span"].Attributes().Get("pinpoint.incomplete"); !ok {
		t.Error("the span does not say that events are missing")
	}
}

// TestOrder: chunks before their span, asynchronous work after it, in any order.
func TestOrder(t *testing.T) {
	mk := func() []*wire.Span {
		owner := event(1, 2)
		owner.AsyncEvent = 5
		return []*wire.Span{
			{Chunk: true, KeyTime: 1000, Events: []wire.Event{owner, event(2, 3)}},
			{Chunk: true, Async: true, AsyncID: 5, AsyncSeq: 1, KeyTime: 1010, Events: []wire.Event{event(0, 1), event(1, 2)}},
			{Parent: -1, Start: 1000, Elapsed: 50, Events: []wire.Event{event(0, 1)}},
		}
	}
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}} {
		p := mk()
		s := pieces(t, p[order[0]], p[order[1]], p[order[2]])
		if len(s) != 6 {
			t.Fatalf("order %v: %d spans", order, len(s))
		}
		for k, parent := range map[string]string{"0": "span", "1": "0", "2": "1", "0@5": "1", "1@5": "0@5"} {
			if s[k].ParentSpanID() != s[parent].SpanID() {
				t.Errorf("order %v: %s is not below %s", order, k, parent)
			}
			if _, ok := s[k].Attributes().Get("pinpoint.incomplete"); ok {
				t.Errorf("order %v: %s is incomplete", order, k)
			}
		}
	}
}

// TestLimits: what waits is bounded, and comes out all the same.
func TestLimits(t *testing.T) {
	spans := 0
	store := NewStore(10, 0)
	c := New(Config{MaxSpans: 100, MaxEvents: 1000}, store, func(_ ptrace.Traces, n int) { spans += n })
	for i := range int64(5000) {
		a := store.Agent(&Identity{AgentID: "a" + strconv.FormatInt(i%50, 10), Start: 1})
		c.asm.put(a, encode(&wire.Span{Chunk: true, Version: 1, ID: wire.TransactionID{Start: 1, Sequence: i}, SpanID: i, Events: []wire.Event{event(0, 1), event(1, 2)}}), i)
		if len(c.asm.all) > 101 || c.asm.events > 1002 || len(store.agents) > 10 {
			t.Fatalf("%d groups, %d events, %d agents", len(c.asm.all), c.asm.events, len(store.agents))
		}
	}
	c.Flush(5000)
	if spans != 10000 {
		t.Errorf("%d spans of 10000", spans)
	}
}

func TestPlaceholders(t *testing.T) {
	for in, want := range map[string]string{
		"SELECT name FROM t1 WHERE a > 0# AND b <> '1$' AND c = ?": "SELECT name FROM t1 WHERE a > ? AND b <> ? AND c = ?",
		"SELECT 0#":       "SELECT ?",
		"'12$' x2 3 '4'":  "? x2 3 '4'",
		"a1# '":           "a1# '",
		"":                "",
		"INSERT INTO t2#": "INSERT INTO t2#",
	} {
		if got := placeholders(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		"com.foo.Bar.method(java.lang.String name)": "Bar.method",
		"main.front.func2()":                        "front.func2",
		"Tomcat Servlet Process":                    "Tomcat Servlet Process",
		"go-redis/v9.Process()":                     "go-redis/v9.Process()",
		"validate":                                  "validate",
	} {
		if got := shortAPI(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// BenchmarkConvert is one span with five events from its message to OTLP, at
// 100,000 spans a second.
func BenchmarkConvert(b *testing.B) {
	msg := benchMessage()
	store := NewStore(0, 0)
	c := New(Config{}, store, func(ptrace.Traces, int) {})
	a := store.Agent(&Identity{AgentID: "agent-1", Start: 1795244932506, Application: "shop", Protocol: "100"})
	for i := range int32(8) {
		store.AddAPI(a, wire.Meta{ID: i, Text: "com.example.Orders.step" + strconv.Itoa(int(i)) + "(int n)"})
	}
	store.AddSQL(a, wire.Meta{ID: 1, Text: "SELECT name FROM users WHERE id = ? AND age > 0#"})
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		for i := range 4 { // the transaction's number, so that spans differ
			msg[benchSequence+i] = 0x80 | byte(n>>(7*i))&0x7f
		}
		c.Put(a, "/v1.Span/SendSpan", msg, int64(n)*10000)
		if n%1000 == 0 {
			c.Tick(int64(n) * 10000)
		}
	}
	c.Flush(int64(n) * 10000)
	st := c.Stats()
	if st.Unreadable > 0 || st.Spans != uint64(n) {
		b.Fatalf("%+v of %d", st, n)
	}
	b.ReportMetric(float64(st.Spans)/b.Elapsed().Seconds(), "spans/s")
}

// benchSequence is where the transaction's number lies in benchMessage.
var benchSequence = strings.Index(string(benchMessage()), "\x18\x81\x82\x83\x84") + 1

func benchMessage() []byte {
	tag := func(num int, b string) string { return string([]byte{byte(num<<3 | 2), byte(len(b))}) + b }
	ev := func(seq, depth byte, typ string, api byte, more string) string {
		return tag(13, "\x08"+string(seq)+"\x10"+string(depth)+"\x18\x01\x20\x05\x28"+typ+"\x50"+string(api*2)+more)
	}
	tx := tag(2, tag(1, "agent-1")+"\x10\x9a\xa6\xf1\xa7\xa0\x34"+"\x18\x81\x82\x83\x84\x01")
	span := "\x08\x01" + tx + "\x19\x01\x02\x03\x04\x05\x06\x07\x08" + "\x21\xff\xff\xff\xff\xff\xff\xff\xff" + "\x28\xda\xa6\xf1\xa7\xa0\x34" + "\x30\x32\x38\x01\x40\x88\x0e" +
		tag(9, tag(1, "/orders/4711")+tag(2, "10.0.0.1:8080")+tag(3, "10.0.0.9")) + tag(10, "\x08\x2e\x12\x03\x18\xc8\x01") +
		ev(0, 1, "\x92\x1c", 2, "") + ev(1, 2, "\x92\x1c", 3, "") + ev(2, 3, "\xea\x20", 4, tag(6, "\x08\x14"+tag(2, tag(11, "\x08\x01"+tag(2, tag(1, "18")))))+tag(12, tag(1, tag(2, "10.0.0.5:3306")+tag(3, "shop")))) +
		ev(3, 2, "\x92\x1c", 5, "") + ev(4, 2, "\xf2\x92\x01", 6, tag(6, "\x08\x28"+tag(2, tag(1, "http://stock:8080/items?id=7")))+tag(12, tag(1, "\x09\x07\x07\x07\x07\x07\x07\x07\x07"+tag(3, "stock:8080"))))
	if len(span) > 0x3fff {
		panic("too long")
	}
	return []byte("\x0a" + string([]byte{byte(len(span)&0x7f | 0x80), byte(len(span) >> 7)}) + span)
}

// TestLiterals: values as agents took them out.
func TestLiterals(t *testing.T) {
	for _, c := range []struct{ sql, values, want string }{
		{"SELECT name /* by id */ FROM users WHERE id = ? AND age > 0# AND name <> '1$'", "18,O''Hara", "SELECT name /* by id */ FROM users WHERE id = ? AND age > 18 AND name <> 'O''Hara'"},
		{"SELECT 0#", "1", "SELECT 1"},
		{"IN ('0$', '1$')", "a,,b, c", "IN ('a,b', 'c')"},
		{"LIMIT 0#, 1#", "7", "LIMIT 7, ?"},
		{"t1 = 0# AND a1# = 'x$'", "5", "t1 = 5 AND a1# = 'x$'"},
	} {
		if got := literals(c.sql, c.values); got != c.want {
			t.Errorf("%s: %s, want %s", c.sql, got, c.want)
		}
	}
	if got := placeholders("a = 0# AND b = '1$' AND c12# = 'x'"); got != "a = ? AND b = ? AND c12# = 'x'" {
		t.Error(got)
	}
	if got := binds("2, x"); len(got) != 2 || got[1] != "x" || binds("") != nil {
		t.Errorf("%q", got)
	}
}

// TestKeepLiterals: values are told if they are asked for, and not else.
func TestKeepLiterals(t *testing.T) {
	for _, keep := range []bool{false, true} {
		store := NewStore(0, 0)
		var got map[string]any
		c := New(Config{KeepLiterals: keep}, store, func(td ptrace.Traces, _ int) {
			for _, s := range td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().All() {
				if _, ok := s.Attributes().Get("db.query.text"); ok {
					got = s.Attributes().AsRaw()
				}
			}
		})
		a := store.Agent(&Identity{AgentID: "a", Start: 1, Protocol: "100"})
		store.AddSQL(a, wire.Meta{ID: 1, Text: "SELECT name FROM users WHERE id = ? AND age > 0#"})
		var w spanWriter
		w.c, w.a, w.out = c, a, c.scope(a)
		e := wire.Event{ServiceType: 2101, Annotations: []wire.Annotation{{Key: keySQLID, Kind: wire.IntStringString, N: [5]int64{1}, S: [2]string{"18", "4711"}}}}
		w.event(&group{}, &node{e: &e, depth: 1})
		c.spans = 1
		c.hand()
		want, bind := "SELECT name FROM users WHERE id = ? AND age > ?", any(nil)
		if keep {
			want, bind = "SELECT name FROM users WHERE id = ? AND age > 18", any("4711")
		}
		if got["db.query.text"] != want || got["db.query.parameter.0"] != bind {
			t.Errorf("%t: %v", keep, got)
		}
	}
}

// TestTextsWait: a span waits for texts that are on their way, but not for ever,
// and then says which it lacks.
func TestTextsWait(t *testing.T) {
	for _, comes := range []bool{true, false} {
		store := NewStore(0, 0)
		var out []ptrace.Span
		c := New(Config{}, store, func(td ptrace.Traces, _ int) {
			for _, s := range td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().All() {
				out = append(out, s)
			}
		})
		a := store.Agent(&Identity{AgentID: "a", Start: 1, Protocol: "100"})
		e := event(0, 1)
		e.APIID = 7
		c.asm.put(a, encode(&wire.Span{Version: 1, Parent: -1, Start: 1000, Elapsed: 5, SpanID: 9, ID: wire.TransactionID{Start: 1, Sequence: 7}, Events: []wire.Event{e}}), 0)
		c.Tick(settleWait)
		if len(out) != 0 {
			t.Fatal("it did not wait")
		}
		if comes {
			store.AddAPI(a, wire.Meta{ID: 7, Text: "shop.Orders.find(int id)"})
		}
		c.Tick(graceWait - 1)
		c.Tick(graceWait)
		if len(out) != 2 {
			t.Fatalf("%d spans after %d s", len(out), int(graceWait/1e9))
		}
		name, lacks := out[1].Name(), false
		if _, ok := out[1].Attributes().Get("pinpoint.api_id"); ok {
			lacks = true
		}
		if comes != (name == "Orders.find") || lacks == comes || (c.Stats().UnknownText == 0) != comes {
			t.Errorf("%t: %s %v %+v", comes, name, out[1].Attributes().AsRaw(), c.Stats())
		}
	}
}
