package cause

// Loops that collect what is ready before they act on it act in the order they
// read: all of it (asyncio), or requests in theirs and answers in theirs (HAProxy).
// Each message that such a thread reads leads to one thing that it does. Whether a
// process is of that kind, and of which, shows where the answer to a request is
// written: it has to follow from the answer to a call that the request led to.

// unacted is a message that a thread has read and done nothing about yet.
type unacted struct {
	r       *record // nil: it was taken out of turn
	answer  bool
	company bool // others waited with it: only then its place says something
	at      int64
}

const (
	// maxUnacted bounds them: past it, the thread does not act on what it reads.
	maxUnacted = 1024
	// unactedFor is how long one is believed to wait.
	unactedFor = int64(200e6)
	// maxOrderNeed bounds what an order needs to be believed again, each time that
	// it was found wrong; orderTries is how often one may be found wrong before it
	// was ever believed.
	maxOrderNeed = 256
	orderTries   = 64
)

// order is what is held of the order in which a process acts.
type order struct {
	byKind bool // requests and answers each in their order; else all in one
	never  bool // neither holds
	held   bool // it was believed
	wrong  int  // how often it was not so
	era    int  // calls of earlier ones say nothing of this one
	need   uint64
	trust
}

func (o *order) believed() bool { return o.agree >= max(o.need, trustAfter) }

// broken: o does not hold, now or at all.
func (o *order) broken() {
	o.agree = 0
	o.era++
	o.need = min(2*max(o.need, trustAfter), maxOrderNeed)
	if o.held {
		return // something came in between
	}
	o.byKind = !o.byKind
	o.wrong++
	o.never = o.wrong >= orderTries
}

// queued notes a message that a reads.
func (t *Tracker) queued(a *task, r *record, answer bool, now int64) {
	if a.proc.golang || a.proc.order.never {
		return
	}
	if len(a.queue)-a.head >= maxUnacted {
		t.unqueue(a)
	}
	if a.head > 0 && a.head == len(a.queue) {
		a.queue, a.head = a.queue[:0], 0
	}
	company := a.head < len(a.queue)
	if company {
		a.queue[a.head].company = true
	}
	r.read++
	a.queue = append(a.queue, unacted{r, answer, company, now})
}

// unqueue forgets what a has not acted on.
func (t *Tracker) unqueue(a *task) {
	for _, u := range a.queue[a.head:] {
		t.unread(u.r)
	}
	clear(a.queue)
	a.queue, a.head = a.queue[:0], 0
}

// acts takes the message that a is acting on now, if it acts in order; writes is
// the request that it writes the answer to, nil if it sends a call. A thread that
// does one thing at a time acts on all that it has read. The record of u is the
// caller's, who is done with it in the end (unread), or keeps it (shared).
func (t *Tracker) acts(a *task, writes *record, now int64) (u unacted, ok bool) {
	o := &a.proc.order
	if !a.loops || o.never {
		t.unqueue(a)
		return u, false
	}
	at := -1
	for i := a.head; i < len(a.queue); i++ {
		q := &a.queue[i]
		switch {
		case q.r == nil:
		case now-q.at > unactedFor || !q.answer && q.r.over:
			t.unread(q.r)
			q.r = nil
		case o.byKind && writes != nil && q.r == writes:
			at = i // it needed no call
		case at < 0 && (!o.byKind || q.answer == (writes != nil)):
			at = i
		}
		if at >= 0 && !(o.byKind && writes != nil) {
			break
		}
	}
	if at >= 0 {
		u = a.queue[at]
		a.queue[at].r = nil
	}
	for a.head < len(a.queue) && a.queue[a.head].r == nil {
		a.head++
	}
	return u, at >= 0
}

// follows: the call r was made about u.
func (t *Tracker) follows(r *record, u unacted) {
	r.company = u.company
	r.era = r.proc.order.era
	if u.answer && u.r.era == r.era {
		r.root, r.call = u.r.root, u.r
		r.company = r.company || u.r.company
	} else if !u.answer {
		r.root = u.r
	}
	if r.root == nil || r.root.over || len(r.root.deps) >= maxHeld {
		// Without a request the calls before it are of no use either: a client
		// that goes on for ever would keep all that it ever made.
		r.root, r.call = nil, nil
		return
	}
	r.root.dep(r)
	r.shared, u.r.shared = true, true
}

// dep notes a call that may be in's doing.
func (in *record) dep(r *record) {
	if in.deps == nil {
		in.deps = in.few[:0]
	}
	in.deps = append(in.deps, r)
}

// closes: the answer to in is written about u. If that answered a call, it has to
// be one that in led to.
func (t *Tracker) closes(in *record, a *task, u unacted) {
	w := &in.proc.order
	o := u.r
	switch {
	case u.answer && o.era != w.era:
	case u.answer && o.root == in:
		if u.company || o.company {
			w.agree++
		}
		if w.believed() {
			w.held = true
			t.inOrder(o, in)
			t.learned(&w.trust, true)
			return
		}
		for ; o != nil && o.root == in; o = o.call {
			o.closed = true
		}
	case u.answer && o.root == nil, !u.answer && o == in:
	default:
		t.learned(&w.trust, false)
		t.unqueue(a) // out of step
		w.broken()
	}
}

// inOrder settles o and the calls before it, each sent when the one before was
// answered.
func (t *Tracker) inOrder(o, in *record) {
	for ; o != nil && o.root == in; o = o.call {
		if o.cause == nil {
			o.settle(in, SyscallTraceID, High)
			t.decide(o)
		}
	}
}
