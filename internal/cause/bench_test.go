package cause

import (
	"runtime"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// BenchmarkEvent is what linking adds to an event: a request comes in, a call
// goes out, its answer comes in, the request's goes out.
func BenchmarkEvent(b *testing.B) {
	for _, c := range []struct {
		name   string
		flight int // requests under way at once
		task   func(i int) stream.Ctx
	}{
		{"threads", 16, func(i int) stream.Ctx { return ctx(uint32(1+i), 0) }},
		{"loop", 16, func(int) stream.Ctx { return ctx(1, 0) }},
		{"goroutines", 16, func(i int) stream.Ctx { return ctx(uint32(1+i%4), uint64(1+i)) }},
	} {
		b.Run(c.name, func(b *testing.B) { benchEvent(b, c.flight, c.task) })
	}
}

func benchEvent(b *testing.B, flight int, task func(int) stream.Ctx) {
	spans := 0
	var free []*session.Exchange
	tr := New(Config{Host: "h", Recycle: func(*session.Exchange) {}}, func(l *Linked) { spans++; free = append(free, l.Exchange) })
	w := newWorld()
	type leg struct{ in, out *stream.Conn }
	legs := make([]leg, flight)
	for i := range legs {
		legs[i] = leg{w.conn(true), w.conn(false)}
	}
	proto := &l7.Protocol{}
	now, pos := int64(1e18), uint64(0)
	begin := func(c *stream.Conn, i int) *session.Exchange {
		var x *session.Exchange
		if n := len(free); n > 0 {
			x, free = free[n-1], free[:n-1]
		} else {
			x = &session.Exchange{}
		}
		now += 1000
		pos += 100
		who := task(i)
		x.Conn, x.Protocol, x.Track = c, proto, nil
		x.Req.Seen, x.Req.Pos, x.Req.Start, x.Req.End, x.Req.Ctx, x.Req.Last = true, pos, now, now, who, who
		x.Resp.Seen = false
		tr.Began(x)
		return x
	}
	end := func(x *session.Exchange, i int) {
		now += 1000
		who := task(i)
		x.Resp.Seen, x.Resp.Start, x.Resp.End, x.Resp.Ctx, x.Resp.Last, x.Over = true, now, now, who, who, now
		tr.Answered(x)
		tr.Put(x)
	}
	ins, outs := make([]*session.Exchange, flight), make([]*session.Exchange, flight)
	reserve := make([]byte, 24<<20) // as the receiver has it, against too much collecting
	defer runtime.KeepAlive(reserve)
	b.ReportAllocs()
	n := 0
	// A request of each connection comes in and is passed on, then they are
	// answered in the same order.
	for b.Loop() {
		for i := range legs {
			ins[i] = begin(legs[i].in, i)
			outs[i] = begin(legs[i].out, i)
		}
		for i := range legs {
			end(outs[i], i)
			end(ins[i], i)
		}
		if n++; n%64 == 0 {
			tr.Tick(now)
		}
	}
	tr.Flush()
	events := n * flight * 4
	if spans*2 != events {
		b.Fatalf("%d spans of %d events", spans, events)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
}
