package cause

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// world plays processes: calls in kernel order, and who really caused what.
type world struct {
	t      *Tracker
	now    int64
	nextID uint64
	truth  map[hop.Key]hop.Key // outbound exchange → the one that caused it
	spans  map[hop.Key]hop.Key // span of an inbound exchange → its key
	got    map[hop.Key]Linked
	kept   int
	ended  map[hop.Key]bool
}

func newWorld() *world {
	w := &world{now: 1e18, truth: map[hop.Key]hop.Key{}, spans: map[hop.Key]hop.Key{}, got: map[hop.Key]Linked{}, ended: map[hop.Key]bool{}}
	w.t = New(Config{Host: "h", Recycle: func(*session.Exchange) { w.kept++ }}, func(l *Linked) {
		c := *l
		c.Exchange = nil
		w.got[l.Key] = c
	})
	return w
}

// ids are what a message carries; says is what it asks for, or is answered.
type ids struct{ trace, span, request, says string }

// call is an exchange in the making.
type call struct {
	w   *world
	x   *session.Exchange
	key hop.Key
}

func (w *world) conn(server bool) *stream.Conn {
	w.nextID++
	n := uint32(w.nextID)
	c := &stream.Conn{ID: w.nextID, Transport: l7.TCP, Role: stream.RoleClient, RoleConfidence: 255,
		A: netip.MustParseAddrPort("127.0.0.1:1"), B: netip.MustParseAddrPort("127.0.0.1:2"),
		Key: hop.ConnKey{Client: n, Server: ^n, Known: true}}
	if server {
		c.Role = stream.RoleServer
	}
	return c
}

func ctx(tid uint32, goid uint64) stream.Ctx { return stream.Ctx{Pid: 1, Tid: tid, Goid: goid} }

func (w *world) begin(c *stream.Conn, who stream.Ctx, in *call, i ids) *call {
	w.now += 1000
	w.nextID++
	x := &session.Exchange{Conn: c, Protocol: &l7.Protocol{}}
	x.Req = session.Half{Seen: true, Pos: w.nextID << 20, Start: w.now, End: w.now, Ctx: who, Last: who}
	x.Req.Msg.Target = i.says
	x.Req.Msg.Trace = l7.Trace{TraceID: i.trace, SpanID: i.span, RequestID: i.request}
	if i.trace != "" {
		x.Req.Msg.Trace.Format = l7.FormatW3C
	}
	k := &call{w: w, x: x, key: hop.LID(c.Key, x.Req.Pos)}
	if c.Role == stream.RoleServer {
		w.spans[hop.SpanID(k.key, hop.ServerProcess, "h", "")] = k.key
	} else if in != nil {
		w.truth[k.key] = in.key
	}
	w.t.Began(x)
	return k
}

func (k *call) end(who stream.Ctx, i ids) {
	w := k.w
	w.now += 1000
	k.x.Resp = session.Half{Seen: true, Pos: k.x.Req.Pos, Start: w.now, End: w.now, Ctx: who, Last: who}
	k.x.Resp.Msg.Trace.RequestID = i.request
	k.x.Resp.Msg.Code = i.says
	k.x.Over = w.now
	w.ended[k.key] = true
	w.t.Answered(k.x)
	w.t.Put(k.x)
}

// score counts links: right, wrong, and outbound exchanges.
func (w *world) score() (right, wrong, all int) {
	w.t.Flush()
	for out, in := range w.truth {
		l, ok := w.got[out]
		if !w.ended[out] {
			continue
		}
		all++
		switch {
		case !ok:
			panic("an exchange vanished")
		case l.Parent == 0 || l.Remote:
		case w.spans[l.Parent] == in:
			right++
		default:
			wrong++
		}
	}
	return right, wrong, all
}

func (w *world) want(t *testing.T, k *call, in *call, e Evidence, c Confidence) {
	t.Helper()
	w.t.Flush()
	l, ok := w.got[k.key]
	if !ok {
		t.Fatal("the exchange did not come out")
	}
	var parent hop.Key
	if in != nil {
		parent = hop.SpanID(in.key, hop.ServerProcess, "h", "")
		if il := w.got[in.key]; il.TraceID != l.TraceID {
			t.Errorf("trace %x, its cause is in %x", l.TraceID, il.TraceID)
		}
	}
	if l.Parent != parent || l.Evidence != e || l.Confidence != c {
		t.Errorf("parent %x by %q %q, want %x by %q %q", l.Parent, l.Evidence, l.Confidence, parent, e, c)
	}
}

func TestBlockingThread(t *testing.T) {
	w := newWorld()
	a, b := w.begin(w.conn(true), ctx(1, 0), nil, ids{}), w.begin(w.conn(true), ctx(2, 0), nil, ids{})
	qa := w.begin(w.conn(false), ctx(1, 0), a, ids{})
	qb := w.begin(w.conn(false), ctx(2, 0), b, ids{})
	qb.end(ctx(2, 0), ids{})
	qa.end(ctx(1, 0), ids{})
	second := w.begin(w.conn(false), ctx(1, 0), a, ids{})
	second.end(ctx(1, 0), ids{})
	b.end(ctx(2, 0), ids{})
	a.end(ctx(1, 0), ids{})
	after := w.begin(w.conn(false), ctx(1, 0), nil, ids{}) // a job of its own
	after.end(ctx(1, 0), ids{})
	w.want(t, qa, a, SameThread, High)
	w.want(t, qb, b, SameThread, High)
	w.want(t, second, a, SameThread, High)
	w.want(t, after, nil, NoEvidence, NoConfidence)
}

func TestHandOff(t *testing.T) {
	w := newWorld()
	// Thread 9 reads every request; workers 1 and 2 do the work.
	a, b := w.begin(w.conn(true), ctx(9, 0), nil, ids{}), w.begin(w.conn(true), ctx(9, 0), nil, ids{})
	qa := w.begin(w.conn(false), ctx(1, 0), a, ids{})
	qb := w.begin(w.conn(false), ctx(2, 0), b, ids{})
	qa.end(ctx(1, 0), ids{})
	qb.end(ctx(2, 0), ids{})
	b.end(ctx(2, 0), ids{})
	a.end(ctx(1, 0), ids{})
	w.want(t, qa, a, SameThread, High)
	w.want(t, qb, b, SameThread, High)
}

func TestGoroutine(t *testing.T) {
	w := newWorld()
	a, b := w.begin(w.conn(true), ctx(1, 5), nil, ids{}), w.begin(w.conn(true), ctx(1, 6), nil, ids{})
	qb := w.begin(w.conn(false), ctx(1, 6), b, ids{}) // on one thread, but by goroutine 6
	qa := w.begin(w.conn(false), ctx(2, 5), a, ids{})
	loop := w.begin(w.conn(false), ctx(2, 7), a, ids{}) // a connection's own goroutine
	for _, k := range []*call{qa, qb, loop} {
		k.end(k.x.Req.Ctx, ids{})
	}
	a.end(ctx(2, 5), ids{})
	b.end(ctx(1, 6), ids{})
	w.want(t, qa, a, SameGoroutine, Exact)
	w.want(t, qb, b, SameGoroutine, Exact)
	w.want(t, loop, nil, NoEvidence, NoConfidence)
}

func TestSoleOpen(t *testing.T) {
	w := newWorld()
	a := w.begin(w.conn(true), ctx(1, 5), nil, ids{})
	q := w.begin(w.conn(false), ctx(2, 7), a, ids{})
	q.end(ctx(2, 8), ids{})
	a.end(ctx(1, 5), ids{})
	w.want(t, q, a, SoleOpen, Low)
}

func TestRequestIDs(t *testing.T) {
	w := newWorld()
	a := w.begin(w.conn(true), ctx(1, 0), nil, ids{request: "a"})
	b := w.begin(w.conn(true), ctx(1, 0), nil, ids{request: "b"})
	c := w.begin(w.conn(true), ctx(1, 0), nil, ids{}) // the process makes its id
	qb := w.begin(w.conn(false), ctx(1, 0), b, ids{request: "b"})
	qa := w.begin(w.conn(false), ctx(1, 0), a, ids{request: "a"})
	qc := w.begin(w.conn(false), ctx(3, 0), c, ids{request: "c"})
	qc.end(ctx(3, 0), ids{})
	qa.end(ctx(1, 0), ids{})
	qb.end(ctx(1, 0), ids{})
	c.end(ctx(4, 0), ids{request: "c"})
	a.end(ctx(1, 0), ids{})
	b.end(ctx(1, 0), ids{})
	w.want(t, qa, a, RequestID, Exact)
	w.want(t, qb, b, RequestID, Exact)
	w.want(t, qc, c, RequestID, Exact)
}

func TestPropagated(t *testing.T) {
	const t1, t2 = "4bf92f3577b34da6a3ce929d0e0e4736", "5bf92f3577b34da6a3ce929d0e0e4736"
	w := newWorld()
	a := w.begin(w.conn(true), ctx(1, 0), nil, ids{trace: t1, span: "00f067aa0ba902b7"})
	b := w.begin(w.conn(true), ctx(1, 0), nil, ids{trace: t2, span: "00f067aa0ba902b8"})
	passed := w.begin(w.conn(false), ctx(1, 0), a, ids{trace: t1, span: "00f067aa0ba902b7"})
	own := w.begin(w.conn(false), ctx(1, 0), b, ids{trace: t2, span: "1111111111111111"})
	for _, k := range []*call{passed, own, a, b} {
		k.end(ctx(1, 0), ids{})
	}
	w.want(t, passed, a, PropagatedIDs, Exact)
	// An SDK is in between: its span is the parent.
	if l := w.got[own.key]; l.Parent != 0x1111111111111111 || !l.Remote || l.TraceID != w.got[b.key].TraceID {
		t.Errorf("%+v", l)
	}
}

// TestTraceBegunInside: the request came without ids, the process's SDK began a
// trace: the request is part of it.
func TestTraceBegunInside(t *testing.T) {
	w := newWorld()
	a := w.begin(w.conn(true), ctx(1, 0), nil, ids{})
	q := w.begin(w.conn(false), ctx(1, 0), a, ids{trace: "4bf92f3577b34da6a3ce929d0e0e4736", span: "1111111111111111"})
	q.end(ctx(1, 0), ids{})
	a.end(ctx(1, 0), ids{})
	w.t.Flush()
	if w.got[a.key].TraceID != w.got[q.key].TraceID || w.got[a.key].Provisional {
		t.Errorf("the request is in another trace: %+v", w.got[a.key])
	}
}

func TestSocketBirth(t *testing.T) {
	w := loop(3, 60, 4, 1, 100) // it has shown what it is
	a := w.begin(w.conn(true), ctx(1, 0), nil, ids{})
	ca := w.conn(false)
	me := ctx(1, 0)
	w.t.Connecting(ca.ID, &me, w.now)
	b := w.begin(w.conn(true), ctx(1, 0), nil, ids{})
	cb := w.conn(false)
	w.t.Connecting(cb.ID, &me, w.now)
	qa := w.begin(ca, ctx(1, 0), a, ids{})
	qb := w.begin(cb, ctx(1, 0), b, ids{})
	qb.end(ctx(1, 0), ids{})
	b.end(ctx(1, 0), ids{})
	qa.end(ctx(1, 0), ids{})
	a.end(ctx(1, 0), ids{})
	w.want(t, qa, a, SocketBirth, High)
	w.want(t, qb, b, SocketBirth, High)
}

// loop plays an event loop: requests come, each makes some calls one after
// another over a pool of connections, and is answered. With a small pool, a
// call waits for a connection that an answer sets free: the trap for whoever
// looks at adjacent system calls only.
func loop(seed uint64, requests, atOnce, calls, pool int) *world {
	type req struct {
		in   *call
		left int
		out  *call
		conn *stream.Conn
	}
	r := rand.New(rand.NewPCG(seed, 9))
	w := newWorld()
	me := ctx(1, 0)
	var free []*stream.Conn
	for range pool {
		free = append(free, w.conn(false))
	}
	var flying, waiting []*req
	send := func(q *req) {
		if len(free) == 0 {
			waiting = append(waiting, q)
			return
		}
		q.conn, free = free[len(free)-1], free[:len(free)-1]
		q.out = w.begin(q.conn, me, q.in, ids{})
		flying = append(flying, q)
	}
	done, open := 0, 0
	for done < requests {
		if open < atOnce && (len(flying) == 0 || r.IntN(2) == 0) {
			q := &req{in: w.begin(w.conn(true), me, nil, ids{}), left: calls}
			open++
			send(q)
			continue
		}
		i := r.IntN(len(flying))
		q := flying[i]
		flying = append(flying[:i], flying[i+1:]...)
		q.out.end(me, ids{})
		free = append(free, q.conn)
		// Who waited longest gets the connection, before q goes on.
		if len(waiting) > 0 {
			n := waiting[0]
			waiting = waiting[1:]
			send(n)
		}
		if q.left--; q.left > 0 {
			send(q)
		} else {
			q.in.end(me, ids{})
			open--
			done++
		}
		w.now += int64(r.IntN(100000))
		w.t.Tick(w.now)
	}
	return w
}

func TestEventLoops(t *testing.T) {
	f := func(name string, requests, atOnce, calls, pool int, recall float64) {
		t.Helper()
		w := loop(1, requests, atOnce, calls, pool)
		right, wrong, all := w.score()
		t.Logf("%-28s %d calls: recall %.4f precision %.4f", name, all, float64(right)/float64(all), float64(right)/float64(max(1, right+wrong)))
		if float64(wrong) > 0.001*float64(right+wrong) {
			t.Errorf("%s: %d of %d links are wrong", name, wrong, right+wrong)
		}
		if float64(right) < recall*float64(all) {
			t.Errorf("%s: recall %.4f, was %.4f", name, float64(right)/float64(all), recall)
		}
	}
	f("one at a time", 2000, 1, 1, 10, 1)
	f("one at a time, 3 calls", 2000, 1, 3, 10, 1)
	f("8 at once", 5000, 8, 1, 100, 0.99)
	f("64 at once", 5000, 64, 1, 100, 0.99)
	f("64 at once, 3 calls", 5000, 64, 3, 100, 0.99)
	f("64 at once, 8 connections", 5000, 64, 1, 8, 0)
	f("64 at once, 3 calls, 8 conn.", 5000, 64, 3, 8, 0)
}

// TestSecondsLater: what is held comes out by the clock alone.
func TestSecondsLater(t *testing.T) {
	w := newWorld()
	a := w.begin(w.conn(true), ctx(9, 0), nil, ids{})
	_ = w.begin(w.conn(true), ctx(9, 0), nil, ids{})
	q := w.begin(w.conn(false), ctx(1, 0), a, ids{})
	q.end(ctx(1, 0), ids{})
	if len(w.got) != 0 || w.t.Stats().Held.Load() != 1 {
		t.Fatalf("%d came out at once, %d held", len(w.got), w.t.Stats().Held.Load())
	}
	w.t.Tick(w.now + holdFor)
	if len(w.got) != 1 || w.t.Stats().Held.Load() != 0 || w.kept != 1 {
		t.Errorf("%d came out, %d held, %d given back", len(w.got), w.t.Stats().Held.Load(), w.kept)
	}
}

func BenchmarkTracker(b *testing.B) {
	w := newWorld()
	w.t.next = func(*Linked) {}
	in, out := w.conn(true), w.conn(false)
	me := ctx(1, 0)
	a := &session.Exchange{Conn: in, Protocol: &l7.Protocol{}}
	q := &session.Exchange{Conn: out, Protocol: &l7.Protocol{}}
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		n++
		for _, x := range []*session.Exchange{a, q} {
			x.Req = session.Half{Seen: true, Pos: n, Start: int64(n), Ctx: me}
			x.Resp = session.Half{Seen: true, Pos: n, Start: int64(n), Ctx: me}
		}
		w.t.Began(a)
		w.t.Began(q)
		w.t.Answered(q)
		w.t.Put(q)
		w.t.Answered(a)
		w.t.Put(a)
	}
}

func ExampleEvidence() {
	fmt.Println(SameThread, High)
	// Output: thread high
}

// A goroutine that asks is known by what it hands over; whoever sends it.
func TestHandover(t *testing.T) {
	w := newWorld()
	w.t.cfg.Golang = func(uint32) bool { return true }
	a, b := w.begin(w.conn(true), ctx(1, 10), nil, ids{}), w.begin(w.conn(true), ctx(2, 20), nil, ids{})
	up, other := w.conn(false), w.conn(false)
	hand := func(c *stream.Conn, goid, parent uint64) {
		w.t.Handover(c.ID, 0, false, &stream.Ctx{Pid: 1, Tid: 1, Goid: goid, ParentGoid: parent}, w.now)
	}
	hand(up, 20, 0)
	qb := w.begin(up, ctx(1, 99), b, ids{}) // on the thread that read a
	hand(other, 31, 10)                     // a goroutine that a's started
	qa := w.begin(other, ctx(2, 98), a, ids{})
	qb.end(ctx(1, 97), ids{})
	qa.end(ctx(2, 96), ids{})
	untold := w.begin(up, ctx(1, 99), a, ids{})
	untold.end(ctx(1, 97), ids{})
	a.end(ctx(1, 10), ids{})
	b.end(ctx(2, 20), ids{})
	w.want(t, qb, b, SameGoroutine, Exact)
	w.want(t, qa, a, SameGoroutine, High)
	w.want(t, untold, nil, NoEvidence, NoConfidence)
	for i := range maxHanded + 1 {
		w.t.Handover(uint64(1000+i), 0, false, &stream.Ctx{Pid: 1}, w.now)
	}
	if len(w.t.handed) > maxHanded || w.t.stats.HandedFull.Load() == 0 {
		t.Errorf("%d handovers are kept, %d counted as forgotten", len(w.t.handed), w.t.stats.HandedFull.Load())
	}
}

// A request belongs to who read the end of its head, not to who saw it coming.
func TestFirstByteElsewhere(t *testing.T) {
	w := newWorld()
	c := w.conn(true)
	w.now += 1000
	x := &session.Exchange{Conn: c, Protocol: &l7.Protocol{}}
	x.Req = session.Half{Seen: true, Pos: 7, Start: w.now, End: w.now, Ctx: ctx(1, 55), Last: ctx(2, 10)}
	a := &call{w: w, x: x, key: hop.LID(c.Key, 7)}
	w.spans[hop.SpanID(a.key, hop.ServerProcess, "h", "")] = a.key
	w.t.Began(x)
	w.begin(w.conn(true), ctx(3, 20), nil, ids{})
	q := w.begin(w.conn(false), ctx(2, 10), a, ids{})
	q.end(ctx(2, 10), ids{})
	a.end(ctx(2, 10), ids{})
	w.want(t, q, a, SameGoroutine, Exact)
}

// What a process did before it ran something else leads to nothing after.
func TestExec(t *testing.T) {
	w := newWorld()
	a := w.begin(w.conn(true), ctx(1, 0), nil, ids{})
	old := w.begin(w.conn(false), ctx(1, 0), a, ids{})
	w.t.Exited(1)
	c := w.conn(false)
	q := w.begin(c, ctx(1, 0), nil, ids{})
	q.end(ctx(1, 0), ids{})
	old.end(ctx(1, 0), ids{})
	a.end(ctx(1, 0), ids{})
	b := w.begin(w.conn(true), ctx(1, 0), nil, ids{})
	again := w.begin(c, ctx(1, 0), b, ids{})
	again.end(ctx(1, 0), ids{})
	b.end(ctx(1, 0), ids{})
	w.want(t, old, a, SameThread, High)
	w.want(t, q, nil, NoEvidence, NoConfidence)
	w.want(t, again, b, SameThread, High)
}
