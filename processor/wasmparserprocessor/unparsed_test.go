package wasmparserprocessor

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/wasmhost"
)

const private = "../../examples/plugins/private_protocol/plugin.wasm"

// kv writes a message of the private protocol.
func kv(kind, code byte, id uint32, body string) string {
	b := []byte{'K', 'V', kind, code}
	b = binary.BigEndian.AppendUint32(b, id)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return string(b) + body
}

// talk makes unparsed spans of what the ends of one connection say.
type talk struct {
	at  [2]uint64
	now int64
	cut int // a payload is no longer; 0: as long as it is
}

func (k *talk) say(dir wasmhost.Direction, b string) ptrace.Traces {
	td := one(unparsed, b, "")
	td.ResourceSpans().At(0).Resource().Attributes().PutStr(semconv.HostID, "h")
	s := spanOf(td)
	a := s.Attributes()
	a.PutStr(semconv.PayloadFlow, "00000000000000aa")
	a.PutStr(semconv.PayloadConnection, "0000006400000190")
	a.PutInt(semconv.PayloadPosition, int64(k.at[dir]))
	if k.cut > 0 {
		a.PutEmptyBytes(semconv.PayloadRequest).FromRaw([]byte(b[:min(k.cut, len(b))]))
	}
	k.now++
	s.SetStartTimestamp(pcommon.Timestamp(k.now))
	s.SetEndTimestamp(pcommon.Timestamp(k.now))
	seq := int64(100+k.at[0]) % (1 << 32)
	if dir == wasmhost.ToServer {
		a.PutStr(semconv.SessionType, semconv.TypeRequest)
		a.PutInt(semconv.RequestBytes, int64(len(b)))
		a.PutInt(semconv.TCPSeqRequest, seq)
		a.PutStr(semconv.ExchangeLID, string(hop.LID(hop.ConnKey{Client: 100, Server: 400, Known: true}, k.at[0]).Hex(nil)))
	} else {
		a.PutStr(semconv.SessionType, semconv.TypeResponse)
		a.PutInt(semconv.ResponseBytes, int64(len(b)))
		a.PutInt(semconv.TCPSeqResponse, int64(400+k.at[1]))
	}
	k.at[dir] += uint64(len(b))
	return td
}

// sessions is what came out, a line each.
func sessions(t *testing.T, all []ptrace.Traces) (out []string) {
	t.Helper()
	for _, td := range all {
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					a := s.Attributes()
					a.Range(func(k string, _ pcommon.Value) bool {
						if strings.HasPrefix(k, "hopscope.payload.") {
							t.Errorf("%s was sent on", k)
						}
						return true
					})
					why := ""
					if v := text(a, semconv.Incomplete); v != "" {
						why = " " + v
					}
					out = append(out, fmt.Sprintf("%s %s %s %s req %d+%s resp %s+%s%s", s.Name(), text(a, "kv.key"), text(a, semconv.ResponseStatus), s.Status().Code(),
						integer(a, semconv.TCPSeqRequest)-100, text(a, semconv.RequestBytes), text(a, semconv.TCPSeqResponse), text(a, semconv.ResponseBytes), why))
					lid := hop.LID(hop.ConnKey{Client: 100, Server: 400, Known: true}, uint64(integer(a, semconv.TCPSeqRequest)-100))
					if got := text(a, semconv.ExchangeLID); got != string(lid.Hex(nil)) {
						t.Errorf("%s: lid %s, want %s", s.Name(), got, lid.Hex(nil))
					}
				}
			}
		}
	}
	return out
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestPipelined: three requests in one segment are answered in another order;
// however the bytes are cut, the exchanges are the same.
func TestPipelined(t *testing.T) {
	ask := kv(1, 1, 1, "user/7") + kv(1, 2, 2, "user/8\x00Anna") + kv(1, 3, 3, "user/9")
	tell := kv(2, 0, 3, "") + kv(2, 0, 1, "Bob") + kv(2, 2, 2, "")
	want := []string{
		"delete user/9 ok Unset req 41+18 resp 400+12",
		"get user/7 ok Unset req 0+18 resp 412+15",
		"put user/8 server_error Error req 18+23 resp 427+12",
	}
	for cut := range len(ask) {
		p, sink := started(t, PluginConfig{Path: private, Limits: LimitsConfig{CallTimeout: 5 * time.Second}})
		k := &talk{}
		for _, part := range []string{ask[:cut], ask[cut:]} {
			if part != "" {
				give(t, p, k.say(wasmhost.ToServer, part))
			}
		}
		n := cut * len(tell) / len(ask)
		for _, part := range []string{tell[:n], tell[n:]} {
			if part != "" {
				give(t, p, k.say(wasmhost.ToClient, part))
			}
		}
		got := sessions(t, sink.AllTraces())
		same(t, fmt.Sprint("cut at ", cut), got, want)
		if n := p.sessions[outcomePaired].Load(); n != 3 || p.flows.open != 0 || p.flows.bytes != 0 {
			t.Fatalf("%d sessions, %d open, %d bytes", n, p.flows.open, p.flows.bytes)
		}
		if err := p.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func give(t *testing.T, p *parser, td ptrace.Traces) {
	t.Helper()
	if err := p.ConsumeTraces(t.Context(), td); err != nil {
		t.Fatal(err)
	}
}

// TestHoles: what is lost, cut off, late, nobody's or one way is told apart; ids
// pair across a hole.
func TestHoles(t *testing.T) {
	p, sink := started(t, PluginConfig{Path: private, Limits: LimitsConfig{CallTimeout: 5 * time.Second}})
	k := &talk{}
	give(t, p, k.say(wasmhost.ToServer, kv(1, 1, 1, "a")))
	k.say(wasmhost.ToServer, kv(1, 1, 2, "lost"))
	give(t, p, k.say(wasmhost.ToServer, kv(1, 1, 3, "c")))
	give(t, p, k.say(wasmhost.ToClient, kv(2, 0, 1, "")+kv(2, 0, 2, "")+kv(2, 0, 3, "")))
	k.cut = 100 // of a long message the head is enough, and its end is where it says
	give(t, p, k.say(wasmhost.ToServer, kv(1, 2, 4, "long\x00"+strings.Repeat("x", 60_000))))
	give(t, p, k.say(wasmhost.ToServer, kv(3, 4, 0, "event")))
	give(t, p, k.say(wasmhost.ToClient, kv(2, 1, 4, "")))
	give(t, p, k.say(wasmhost.ToServer, kv(1, 1, 5, "late")))
	p.send(p.expire(time.Now().Add(2 * time.Minute)))
	give(t, p, k.say(wasmhost.ToServer, kv(1, 1, 6, "end")))
	p.send(p.end())
	same(t, "exchanges", sessions(t, sink.AllTraces()), []string{
		"get a ok Unset req 0+13 resp 400+12",
		"get c ok Unset req 29+13 resp 424+12",
		"changed event  Unset req 60059+17 resp +",
		"put long client_error Error req 42+60017 resp 436+12",
		"get late timeout Error req 60076+16 resp + timeout",
		"get end  Unset req 60092+15 resp + truncated",
	})
	if n := p.dropped[dropOrphan].Load(); n != 1 {
		t.Errorf("%d orphans, want the answer to what was lost", n)
	}
}

// TestTail: the end of a long message and the next one come in one chunk, part of
// which was seen before: the next one's keys are of its own place.
func TestTail(t *testing.T) {
	p, sink := started(t, PluginConfig{Path: private, Limits: LimitsConfig{CallTimeout: 5 * time.Second}})
	k := &talk{}
	long := kv(1, 2, 1, "long\x00"+strings.Repeat("x", 20_000))
	give(t, p, k.say(wasmhost.ToServer, long[:18_000]))
	give(t, p, k.say(wasmhost.ToServer, long[18_000:]+kv(1, 1, 2, "next")))
	k.at[0] -= 10
	give(t, p, k.say(wasmhost.ToServer, kv(1, 1, 2, "next")[6:]+kv(1, 3, 3, "again")))
	give(t, p, k.say(wasmhost.ToClient, kv(2, 0, 1, "")+kv(2, 0, 2, "")+kv(2, 0, 3, "")))
	same(t, "exchanges", sessions(t, sink.AllTraces()), []string{
		"put long ok Unset req 0+20017 resp 400+12",
		"get next ok Unset req 20017+16 resp 412+12",
		"delete again ok Unset req 20033+17 resp 424+12",
	})
}

// TestLimits: a long message is not put together beyond the limit, and the oldest
// connection goes where there are too many.
func TestLimits(t *testing.T) {
	p, sink := started(t, PluginConfig{Path: private, Limits: LimitsConfig{CallTimeout: 5 * time.Second}})
	p.flows.cfg.MaxMessage, p.flows.cfg.MaxFlows = 1000, 2
	k := &talk{}
	give(t, p, k.say(wasmhost.ToServer, kv(1, 2, 1, strings.Repeat("x", 5000))[:3000]))
	if p.dropped[dropTooLong].Load() != 1 || p.flows.bytes != 0 {
		t.Errorf("%d too long, %d bytes", p.dropped[dropTooLong].Load(), p.flows.bytes)
	}
	for i := range 4 {
		td := (&talk{}).say(wasmhost.ToServer, kv(1, 1, 1, "k"))
		spanOf(td).Attributes().PutStr(semconv.PayloadFlow, fmt.Sprintf("%016x", i))
		give(t, p, td)
	}
	if n := p.flows.order.Len(); n != 2 || len(p.flows.byKey) != 2 || p.flows.open != 2 {
		t.Errorf("%d flows, %d open", n, p.flows.open)
	}
	same(t, "exchanges", sessions(t, sink.AllTraces()), []string{"get k  Unset req 0+13 resp + truncated", "get k  Unset req 0+13 resp + truncated"})
}

// TestManyParts: a message that comes byte by byte is one, and of its chunks only
// some are remembered.
func TestManyParts(t *testing.T) {
	p, sink := started(t, PluginConfig{Path: private, Limits: LimitsConfig{CallTimeout: 5 * time.Second}})
	k := &talk{}
	all := kv(1, 2, 1, "long\x00"+strings.Repeat("x", 300)) + kv(1, 1, 2, "next")
	for i := range len(all) {
		give(t, p, k.say(wasmhost.ToServer, all[i:i+1]))
		for _, f := range p.flows.byKey {
			if n := len(f.lanes[0].marks); n > maxMarks || p.flows.bytes > 1000+maxMarks*markBytes {
				t.Fatalf("%d chunks are remembered, %d bytes", n, p.flows.bytes)
			}
		}
	}
	give(t, p, k.say(wasmhost.ToClient, kv(2, 0, 1, "")+kv(2, 0, 2, "")))
	same(t, "exchanges", sessions(t, sink.AllTraces()), []string{
		"put long ok Unset req 0+317 resp 400+12",
		"get next ok Unset req 317+16 resp 412+12",
	})
}

// FuzzUnparsed: whatever the ends say, lose and repeat, nothing breaks, nothing is
// kept that is not accounted for, and every exchange comes out once.
func FuzzUnparsed(f *testing.F) {
	say := func(dir, lose byte, b string) string { return string([]byte{dir, lose, byte(len(b))}) + b }
	f.Add([]byte(say(0, 0, kv(1, 1, 1, "a")+kv(1, 2, 2, "b")) + say(1, 0, kv(2, 0, 2, "")+kv(2, 0, 1, ""))))
	f.Add([]byte(say(0, 0, kv(1, 1, 1, "a")[:5]) + say(0, 9, kv(1, 1, 1, "a")[5:]) + say(1, 200, kv(2, 0, 1, ""))))
	f.Add([]byte(say(1, 0, kv(2, 0, 1, "x")) + say(0, 0, kv(3, 4, 0, "event")) + say(0, 3, "junk")))
	f.Add([]byte(say(0, 0, kv(1, 1, 1, strings.Repeat("x", 100))[:40]) + say(0, 0, strings.Repeat("x", 100))))
	p, sink := started(f, PluginConfig{Path: private, Limits: LimitsConfig{CallTimeout: 5 * time.Second}})
	p.flows.cfg.MaxMessage = 200
	f.Fuzz(func(t *testing.T, b []byte) {
		sink.Reset()
		before := uint64(0)
		for i := range p.sessions {
			before += p.sessions[i].Load()
		}
		k := &talk{}
		for len(b) >= 3 {
			dir, lose, n := wasmhost.Direction(b[0]&1), uint64(b[1]), min(int(b[2]), len(b)-3)
			if n > 0 {
				if k.at[dir] += lose; b[0]&2 != 0 {
					k.at[dir] -= min(k.at[dir], 2*lose) // said again
				}
				k.cut = int(b[0] >> 2) // 0: all of it was captured
				give(t, p, k.say(dir, string(b[3:3+n])))
			}
			b = b[3+n:]
			bytes, open := 0, 0
			for _, f := range p.flows.byKey {
				bytes += f.lanes[0].size() + f.lanes[1].size()
				open += len(f.fifo) + len(f.byID)
			}
			if bytes != p.flows.bytes || open != p.flows.open {
				t.Fatalf("%d bytes and %d exchanges are kept, %d and %d accounted for", bytes, open, p.flows.bytes, p.flows.open)
			}
		}
		p.send(p.end())
		after := uint64(0)
		for i := range p.sessions {
			after += p.sessions[i].Load()
		}
		if n := uint64(sink.SpanCount()); n != after-before || p.flows.bytes != 0 || p.flows.open != 0 {
			t.Fatalf("%d spans of %d exchanges; %d bytes, %d open at the end", n, after-before, p.flows.bytes, p.flows.open)
		}
	})
}
