package cause

import (
	"github.com/cespare/xxhash/v2"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/session"
)

func hash(s string) uint64 {
	if s == "" {
		return 0
	}
	return xxhash.Sum64String(s)
}

// landed: the call that r stands for is no longer under way.
func (r *record) landed() {
	if !r.answered {
		r.answered = true
		if r.task.flight > 0 {
			r.task.flight--
		}
	}
}

// landed is Put of an outbound exchange: it goes on if its cause is settled, or
// will not be.
func (t *Tracker) landed(r *record, x *session.Exchange) {
	r.landed()
	t.answeredFor(r)
	r.over = true
	wait := r.cause == nil && (r.handed || r.same != nil && !r.same.over || r.root != nil || r.before != nil || r.after != nil || len(r.proc.open) > 0 && r.proc.wanted[r.request] == r || r.task.loops && len(r.proc.open) > 0)
	if wait && t.cfg.Recycle != nil && x.Incomplete == session.Complete && r.after == nil {
		if r.proc.held < maxHeld {
			r.proc.held++
			x.Keep()
			r.held, r.heldSince = x, x.Over
			t.held = append(t.held, r)
			r.shared = true
			t.stats.Held.Add(1)
			return
		}
		t.stats.HeldFull.Add(1)
	}
	t.judge(r)
	if r.cause == nil {
		r.evidence = NoEvidence
	}
	t.emit(r, x)
	t.over(r)
}

// decide judges r, if it is held, and passes it on, unless it is worth waiting
// whether its process can be trusted.
func (t *Tracker) decide(r *record) {
	if r.held == nil || r.learning {
		return
	}
	if r.cause == nil && r.root != nil && !r.root.over && !(r.before != nil && r.before == r.after) {
		return // until the answer to root, or too long
	}
	if r.cause == nil && r.same != nil && !r.same.over {
		return // likewise
	}
	t.judge(r)
	if w := &r.proc.relay; r.cause == nil && r.same != nil {
		if !w.never && w.differ == 0 {
			r.learning = true
			w.waiting = append(w.waiting, r)
			return
		}
		r.same = nil
	}
	if w := &r.proc.order; r.cause == nil && r.closed && w.agree > 0 && !w.never {
		r.learning = true
		w.waiting = append(w.waiting, r)
		return
	}
	if p := r.proc; r.cause == nil && r.before != nil && r.before == r.after && p.plain.differ+p.mixed.differ == 0 {
		r.learning = true
		w := r.trust()
		w.waiting = append(w.waiting, r)
		return
	}
	t.release(r)
}

// release passes on r, which was judged.
func (t *Tracker) release(r *record) {
	x := r.held
	r.held = nil
	r.proc.held--
	t.stats.Held.Add(-1)
	if r.cause == nil {
		r.evidence = NoEvidence
	}
	t.emit(r, x)
	t.cfg.Recycle(x)
}

// learned: a process can be trusted, or can't. What both sides agreed on meanwhile
// is settled, or is not.
func (t *Tracker) learned(w *trust, trusted bool) {
	list := w.waiting
	w.waiting = nil
	for _, r := range list {
		if r.held == nil {
			continue // it waited too long
		}
		r.learning = false
		if trusted {
			t.agreed(r)
		}
		t.release(r)
	}
}

// agreed settles r, on which both sides agree.
func (t *Tracker) agreed(r *record) {
	if r.same != nil {
		r.settle(r.same, SameRequest, High)
		return
	}
	if r.before == nil || r.before != r.after { // its thread acts in the order that it reads
		r.settle(r.root, SyscallTraceID, High)
		return
	}
	r.settle(r.before, r.evidence, High)
	// So the calls before it, each sent when the one before was answered, were
	// for the same request.
	for o := r.prev; o != nil && o.cause == nil && o.before == r.before; o = o.prev {
		o.settle(r.before, SyscallTraceID, High)
		t.decide(o)
	}
}

// Trust in what a thread did last and next: a process on which both sides of
// calls were seen to agree this often, and to differ at most once in so many
// times; once in trustMixed where messages of several requests were read at
// once, which tells loops that act in the order they read.
const (
	trustAfter = 20
	trustRatio = 1000
	trustMixed = 50
)

// trust is how often both sides of calls agreed on who caused them, and how
// often not.
type trust struct {
	agree, differ uint64
	// waiting are calls on which both sides agree, while that is not enough: fewer
	// than trustAfter.
	waiting []*record
}

func (t *trust) earned() bool { return t.agree >= trustAfter && t.agree >= trustRatio*t.differ }

// trust is what r's process has shown with calls like r. Where a thread reads
// several messages before it acts, the last one it read says what it does next
// only in some programs (Node: each is acted on at once), and not in others
// (asyncio: in the order they were read). Which kind a process is shows in
// whether both sides agree.
func (r *record) trust() *trust {
	if r.mixed {
		return &r.proc.mixed
	}
	return &r.proc.plain
}

// judge settles the cause of r with what is known by now, or that there is none.
func (t *Tracker) judge(r *record) {
	if r.request != 0 && r.proc.wanted[r.request] == r {
		delete(r.proc.wanted, r.request)
	}
	if r.cause == nil && r.same != nil {
		t.relayed(r)
	}
	if r.cause != nil {
		return
	}
	a, b := r.before, r.after
	p, w := r.proc, r.trust()
	// A process that batches disagrees where it mixes; what it does in between is
	// then no better.
	earned := w.earned() && p.mixed.differ*trustMixed <= p.mixed.agree+p.plain.agree
	switch {
	case a != nil && a == b:
		if w.agree++; earned {
			t.agreed(r)
		} else if w.earned() && w.differ == 0 && p.mixed.differ == 0 {
			t.agreed(r)
			t.learned(w, true)
		}
	case a != nil && b != nil:
		w.differ++
		t.stats.Ambiguous.Add(1)
		t.learned(&p.plain, false)
		t.learned(&p.mixed, false)
	case a != nil && r.evidence == SocketBirth && earned:
		r.settle(a, SocketBirth, Medium)
	case a != nil && !r.reused && earned:
		r.settle(a, SyscallTraceID, Medium)
	case b != nil && earned:
		r.settle(b, SyscallTraceID, Medium)
	}
}

// close: an inbound exchange is over. What may have been its doing is judged.
func (t *Tracker) close(r *record) {
	if r.over {
		return
	}
	r.over = true
	r.proc.open = without(r.proc.open, r)
	r.task.open = without(r.task.open, r)
	r.proc.relay.forget(r)
	for _, o := range r.deps {
		t.decide(o)
	}
	// What they know of the calls before them serves nobody any more, and would keep
	// all of them for as long as one is kept.
	for _, o := range r.deps {
		if o.before == r {
			o.prev = nil
		}
		if o.root == r {
			o.call = nil
		}
	}
	r.deps, r.few = nil, [2]*record{}
}

func without(list []*record, r *record) []*record {
	for i, o := range list {
		if o == r {
			n := copy(list[i:], list[i+1:])
			list[i+n] = nil
			return list[:i+n]
		}
	}
	return list
}

// emit passes x on with what is settled of it. r is nil where nothing is known
// of its process.
func (t *Tracker) emit(r *record, x *session.Exchange) {
	l := &t.linked
	*l = Linked{Exchange: x}
	if r != nil {
		l.LID = r.lid
	}
	l.keys()
	tr := carried(x)
	follows := l.follow(tr)
	switch {
	case r == nil || r.inbound:
		if !follows {
			l.Provisional = true
			switch {
			case r == nil:
				l.TraceID = hop.TraceID(l.Key)
			case r.provisional:
				l.TraceID = r.traceID()
			default: // a call that it made told
				l.TraceID, l.Provisional = r.trace, false
			}
		}
	case r.cause == nil:
		if r.proc.golang || r.task.loops {
			// Adjacent calls told nothing here: nobody shall think they do.
			x.Req.Ctx.SyscallTraceID, x.Resp.Ctx.SyscallTraceID = 0, 0
		}
		if !follows {
			l.Provisional, l.TraceID = true, hop.TraceID(l.Key)
		}
		if len(r.proc.open) > 0 {
			t.stats.Unlinked.Add(1)
		}
	default:
		c := r.cause
		t.stats.Links[r.evidence].Add(1)
		switch {
		case !follows:
			l.TraceID, l.Provisional = c.traceID(), c.provisional
			l.Parent, l.Remote, l.Evidence, l.Confidence = t.spanOf(c), false, r.evidence, r.confidence
		case c.carried == r.carried && c.carriedSpan == r.carriedSpan:
			// Passed on as it came: the call hangs on the exchange, not on the span
			// before it.
			l.Parent, l.Remote, l.Evidence, l.Confidence = t.spanOf(c), false, PropagatedIDs, Exact
		case c.provisional:
			c.trace, c.traced, c.provisional = l.TraceID, true, false
		}
	}
	x.Track = nil
	t.next(l)
}

// spanOf is the span of an inbound exchange in this process.
func (t *Tracker) spanOf(r *record) hop.Key {
	if r.span == 0 {
		r.span = hop.SpanID(r.key, hop.ServerProcess, t.cfg.Host, "")
	}
	return r.span
}

// traceID is the trace of r as far as it is known.
func (r *record) traceID() [16]byte {
	if !r.traced {
		r.trace, r.traced = hop.TraceID(r.key), true
	}
	return r.trace
}

// Tick judges what was held too long at now (unix nanoseconds).
func (t *Tracker) Tick(now int64) {
	k := 0
	for _, r := range t.held {
		switch {
		case r.held == nil:
		case now-r.heldSince >= holdFor && r.learning:
			t.release(r)
		case now-r.heldSince >= holdFor:
			if r.root = nil; r.same != nil && !r.same.over {
				r.same = nil
			}
			if r.held != nil {
				t.decide(r)
			}
			if r.held != nil { // it would learn
				t.release(r)
			}
		default:
			t.held[k] = r
			k++
		}
	}
	clear(t.held[k:])
	t.held = t.held[:k]
}

// Flush judges everything that is held.
func (t *Tracker) Flush() { t.Tick(1<<63 - 1) }

// Exited forgets a process, or what it was before it ran something new: its
// threads and goroutines are gone, and what they began is nobody's cause.
func (t *Tracker) Exited(pid uint32) {
	p := t.procs[pid]
	if p == nil {
		return
	}
	p.gone = true
	t.lastTask = nil
	delete(t.procs, pid)
}
