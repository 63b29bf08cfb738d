package cause

import (
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// handKey names a request of a connection: the one that is sent next, or where
// requests have numbers, that one.
type handKey struct {
	sock   uint64
	stream uint64
}

// maxHanded bounds handovers whose request was not seen yet.
const maxHanded = 1 << 14

// Handover takes note of a goroutine that hands a request to the goroutines of
// a connection.
func (t *Tracker) Handover(sock uint64, stream uint32, serves bool, ctx *stream.Ctx, _ int64) {
	if serves {
		return
	}
	if len(t.handed) >= maxHanded { // of requests that were lost, or are not read
		t.stats.HandedFull.Add(uint64(len(t.handed)))
		clear(t.handed)
	}
	t.handed[handKey{sock, uint64(stream)}] = *ctx
}

// asked is the goroutine that x was sent for, if it was told; nil: not.
func (t *Tracker) asked(x *session.Exchange) *stream.Ctx {
	if len(t.handed) == 0 {
		return nil
	}
	k := handKey{sock: x.Conn.ID}
	if x.Protocol.Pairing == l7.ByStream {
		k.stream = x.Req.Msg.Stream
	}
	ctx, ok := t.handed[k]
	if !ok {
		return nil
	}
	delete(t.handed, k)
	return &ctx
}

// ofGoroutine is the inbound exchange that the goroutine a, as of ctx, serves, or
// that the one serves which started it for this.
func (t *Tracker) ofGoroutine(a *task, ctx *stream.Ctx) (*record, Confidence) {
	if ctx.Goid == 0 {
		return nil, NoConfidence
	}
	if len(a.open) == 1 {
		return a.open[0], Exact
	}
	if a.serves != nil && !a.serves.over {
		return a.serves, High
	}
	// A goroutine that is met for the first time was started for what it does:
	// one that serves a connection would have been met before.
	if a.met || ctx.ParentGoid == 0 {
		return nil, NoConfidence
	}
	if up := t.tasks[taskKey{pid: ctx.Pid, id: ctx.ParentGoid | 1<<63}]; up != nil && len(up.open) == 1 {
		a.serves = up.open[0]
		a.serves.shared = true
		return a.serves, High
	}
	return nil, NoConfidence
}
