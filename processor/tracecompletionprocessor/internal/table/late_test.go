package table

import (
	"testing"
	"time"

	"github.com/hopscope/hopscope/internal/hop"
)

// TestSentApart: a call that left before it was known what caused it stays in a
// trace of its own, and that is counted; where nothing had left, or all of it under
// one id, nothing is.
func TestSentApart(t *testing.T) {
	for _, c := range []struct {
		name    string
		sent    []int // of the nodes below, before the last one comes
		carried TraceID
		apart   uint64
	}{
		{"nothing left", nil, TraceID{}, 0},
		{"the request left", []int{0}, TraceID{}, 0},
		{"the call left", []int{1}, TraceID{}, 0},
		{"both left", []int{0, 1}, TraceID{}, 1},
		{"nothing left, an app's id comes", nil, TraceID{9}, 0},
		{"the request left, an app's id comes", []int{0}, TraceID{9}, 1},
	} {
		tab := New(Config{Guards: Guards{MaxSpans: 100, MaxDuration: time.Hour, MaxSiblings: 64}})
		nodes := []*Node{
			{Trace: TraceID{1}, Provisional: true, Span: 1, LID: 11, Point: hop.ServerProcess, Host: 1, Process: 1, Start: 100, End: 900, Judged: true},
			{Trace: TraceID{2}, Provisional: true, Span: 2, LID: 12, Point: hop.ClientNIC, Host: 1, Start: 210, End: 790, Judged: true},
			{Trace: TraceID{1}, Provisional: true, Span: 3, LID: 12, Point: hop.ClientProcess, Host: 1, Process: 1, Start: 200, End: 800,
				Parent: 1, Linked: true, Judged: true},
		}
		if c.carried != (TraceID{}) {
			nodes[2].Carried = &Carried{Trace: c.carried, Span: 7}
		}
		tab.Add(nodes[0])
		tab.Add(nodes[1])
		ids := map[int]TraceID{}
		for _, i := range c.sent {
			ids[i] = tab.Decide(nodes[i]).Trace
		}
		tab.Add(nodes[2])
		if got := tab.Stats().Apart; got != c.apart {
			t.Errorf("%s: %d traces are counted as sent apart, want %d", c.name, got, c.apart)
		}
		d := tab.Decide(nodes[2])
		if p, sent := ids[1]; sent && len(c.sent) == 1 && d.Trace != p {
			t.Errorf("%s: the trace id %v, once given, became %v", c.name, p, d.Trace)
		}
		if d.Trace != ids[0] && len(c.sent) == 2 && d.Parent != 0 && d.LinkTrace != ids[0] {
			t.Errorf("%s: the call hangs on %v of another trace, without a link", c.name, d.Parent)
		}
	}
}

// TestSentCall: a call goes to the span that lasts no time and was there when it
// began, also where that ends a nanosecond after it begins, and however long the
// answer takes; not to one that lasted.
func TestSentCall(t *testing.T) {
	const ms = int64(1e6)
	for lasts, want := range map[int64]hop.Key{0: 2, 1: 2, ms: 0} {
		tab := New(Config{Guards: Guards{MaxSpans: 100, MaxDuration: time.Hour, MaxSiblings: 64}})
		trace := TraceID{1}
		client := &Node{Trace: trace, Span: 2, Parent: 1, Client: true, Host: 1, Process: 1, Start: 10 * ms, End: 10*ms + lasts}
		call := &Node{Trace: trace, Span: 3, LID: 3, Point: hop.ClientProcess, Host: 1, Process: 1, Start: 11 * ms, End: 40 * ms}
		tab.Add(client)
		tab.Add(call)
		if got := tab.Decide(call).Parent; got != want {
			t.Errorf("a span of %d ns: the call hangs on %d, want %d", lasts, got, want)
		}
	}
}
