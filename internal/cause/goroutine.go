package cause

import "github.com/hopscope/hopscope/internal/stream"

// handKey names a request of a connection: the one that is sent next, or where
// requests have numbers, that one.
type handKey struct {
	sock   uint64
	stream uint64
}

// hand is one half of a handover: the goroutine that asks, while its request was
// not seen; or the request, while nobody has said who asks.
type hand struct {
	ctx stream.Ctx
	r   *record
}

// maxHanded bounds handovers of which one half was seen.
const maxHanded = 1 << 14

// Handover takes note of a goroutine that hands a request to the goroutines of
// a connection, or that takes one over from them (serves).
func (t *Tracker) Handover(sock uint64, stream uint32, serves bool, ctx *stream.Ctx, now int64) {
	if serves {
		t.takesOver(sock, uint64(stream), ctx, now)
		return
	}
	k := handKey{sock, uint64(stream)}
	if h, ok := t.handed[k]; ok && h.r != nil { // it was sent before this was told
		r := h.r
		delete(t.handed, k)
		if in, f := t.ofGoroutine(t.taskOf(ctx, now), ctx); in != nil && (r.cause == nil || r.evidence == SoleOpen) {
			r.settle(in, SameGoroutine, f)
		}
		return
	}
	t.hand(k, hand{ctx: *ctx})
}

func (t *Tracker) hand(k handKey, h hand) {
	if len(t.handed) >= maxHanded { // of requests that were lost, or are not read
		t.stats.HandedFull.Add(uint64(len(t.handed)))
		clear(t.handed)
	}
	t.handed[k] = h
}

// asked is the goroutine that r was sent for, if it was told; nil: not.
func (t *Tracker) asked(r *record) *stream.Ctx {
	if len(t.handed) == 0 {
		return nil
	}
	k := handKey{r.conn.ID, r.stream}
	h, ok := t.handed[k]
	if !ok || h.r != nil {
		return nil
	}
	delete(t.handed, k)
	return &h.ctx
}

// awaited: who asks may be told after the request was sent, where requests have
// numbers: until its answer.
func (t *Tracker) awaited(r *record) {
	if r.stream != 0 {
		t.hand(handKey{r.conn.ID, r.stream}, hand{r: r})
		r.shared = true
	}
}

// answeredFor: the answer of r is there, nobody is waited for.
func (t *Tracker) answeredFor(r *record) {
	if r.stream != 0 && r.proc.golang {
		delete(t.handed, handKey{r.conn.ID, r.stream})
	}
}

// takesOver: the goroutine of ctx serves a request that another one has read.
func (t *Tracker) takesOver(sock, stream uint64, ctx *stream.Ctx, now int64) {
	a := t.taskOf(ctx, now)
	for _, r := range a.proc.open {
		if r.conn.ID == sock && r.stream == stream {
			a.serves, a.sure = r, true
			r.shared = true
			return
		}
	}
}

// ofGoroutine is the inbound exchange that the goroutine a, as of ctx, serves, or
// that the one serves which started it for this.
func (t *Tracker) ofGoroutine(a *task, ctx *stream.Ctx) (*record, Confidence) {
	if ctx.Goid == 0 {
		return nil, NoConfidence
	}
	if in, sure := a.serving(); in != nil {
		if sure {
			return in, Exact
		}
		return in, High
	}
	// A goroutine that is met for the first time was started for what it does:
	// one that serves a connection would have been met before.
	if a.met || ctx.ParentGoid == 0 {
		return nil, NoConfidence
	}
	if up := t.tasks[taskKey{pid: ctx.Pid, id: ctx.ParentGoid | 1<<63}]; up != nil {
		if in, _ := up.serving(); in != nil {
			a.serves, a.sure = in, false
			in.shared = true
			return in, High
		}
	}
	return nil, NoConfidence
}

// serving is the one request that a goroutine serves; sure: it read it, or its
// library says so.
func (a *task) serving() (in *record, sure bool) {
	switch {
	case len(a.open) == 1:
		return a.open[0], true
	case a.serves != nil && !a.serves.over:
		return a.serves, a.sure
	}
	return nil, false
}
