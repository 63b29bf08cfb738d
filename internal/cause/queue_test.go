package cause

import (
	"math/rand/v2"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// Orders in which a loop acts on what it has read.
const (
	inTurn    = iota // as it read
	byKind           // requests first, then answers
	scrambled        // in any
)

// batches plays a loop that reads all that is ready before it acts: requests that
// each make some calls, one after the other.
func batches(order, requests, atOnce, calls int) *world {
	type request struct {
		in, out *call
		left    int
		up      *stream.Conn
	}
	w, r := newWorld(), rand.New(rand.NewPCG(1, uint64(order)))
	who := ctx(1, 0)
	var idle []*stream.Conn
	for range atOnce {
		idle = append(idle, w.conn(true))
	}
	var waiting []*request // their calls are not answered
	for done := 0; done < requests || len(waiting) > 0; {
		var fresh, answered []*request
		for n := r.IntN(4); n > 0 && len(idle) > 0 && done < requests; n-- {
			q := &request{left: calls, up: w.conn(false)}
			q.in = w.begin(idle[0], who, nil, ids{})
			idle = idle[1:]
			done++
			fresh = append(fresh, q)
		}
		r.Shuffle(len(waiting), func(i, k int) { waiting[i], waiting[k] = waiting[k], waiting[i] })
		for n := r.IntN(4); n > 0 && len(waiting) > 0; n-- {
			q := waiting[0]
			waiting = waiting[1:]
			q.out.end(who, ids{})
			answered = append(answered, q)
		}
		acts := append(append([]*request(nil), fresh...), answered...)
		if order == scrambled {
			r.Shuffle(len(acts), func(i, k int) { acts[i], acts[k] = acts[k], acts[i] })
		}
		if order == inTurn && len(answered) > 0 { // these were read last
			acts = append(append([]*request(nil), fresh...), answered...)
		}
		if order == byKind { // answers were read last and are acted on first
			acts = append(append([]*request(nil), answered...), fresh...)
		}
		for _, q := range acts {
			if q.left == 0 {
				q.in.end(who, ids{})
				idle = append(idle, q.in.x.Conn)
				continue
			}
			q.left--
			q.out = w.begin(q.up, who, q.in, ids{})
			waiting = append(waiting, q)
		}
	}
	return w
}

func TestOrders(t *testing.T) {
	for _, c := range []struct {
		name         string
		order, calls int
		recall       float64
	}{
		{"in turn", inTurn, 2, 0.95},
		{"by kind", byKind, 1, 0.9},
		{"by kind, more calls than it can tell", byKind, 2, 0},
		{"scrambled", scrambled, 1, 0},
		{"scrambled, two calls", scrambled, 2, 0},
	} {
		w := batches(c.order, 3000, 32, c.calls)
		right, wrong, all := w.score()
		t.Logf("%s: %d of %d right, %d wrong", c.name, right, all, wrong)
		if float64(wrong) > 0.001*float64(right+wrong) || float64(right) < c.recall*float64(all) {
			t.Errorf("%s: %d of %d right, %d wrong; want %.2f of them", c.name, right, all, wrong, c.recall)
		}
	}
}

// A client that works for ever on many connections at once, and that nobody asks
// for anything: of what it has done nothing is kept, and its records are used
// again.
func TestClientOfItsOwn(t *testing.T) {
	w := newWorld()
	w.t.next = func(*Linked) {}
	me := ctx(1, 0)
	calls := make([]session.Exchange, 16)
	for i := range calls {
		calls[i] = session.Exchange{Conn: w.conn(false), Protocol: &l7.Protocol{}}
	}
	n := uint64(0)
	begin := func(x *session.Exchange) {
		n++
		w.now += 1000
		x.Req = session.Half{Seen: true, Pos: n, Start: w.now, Ctx: me, Last: me}
		x.Resp = session.Half{}
		w.t.Began(x)
	}
	for i := range calls {
		begin(&calls[i])
	}
	round := func() {
		for i := 0; i < len(calls); i += 4 {
			for j := i; j < i+4; j++ { // it reads several answers before it goes on
				w.now += 1000
				calls[j].Resp = session.Half{Seen: true, Pos: n, Start: w.now, Ctx: me, Last: me}
				w.t.Answered(&calls[j])
				w.t.Put(&calls[j])
			}
			for j := i; j < i+4; j++ {
				begin(&calls[j])
			}
		}
	}
	for range 100 {
		round()
	}
	for r, k := w.t.tasks[taskKey{pid: 1, id: 1}].last, 0; r != nil; r, k = r.call, k+1 {
		if k > 0 {
			t.Fatal("the last call keeps the one before it")
		}
	}
	if got := testing.AllocsPerRun(100, round); got > 0 {
		t.Errorf("%.1f allocations for 16 calls", got)
	}
}
