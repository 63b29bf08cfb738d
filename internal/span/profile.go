package span

import (
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// profile says where the time of an exchange went, for those seen in packets:
// there the ends of a message are on the wire, not in a process's buffers. What
// was not seen, or makes no sense (an answer that began before its request was
// whole, requests that were sent without waiting), is left out.
func (b *Builder) profile(x *session.Exchange, pl *place) {
	c, w := x.Conn, &b.w
	if c.Source != stream.Packets || x.OneWay {
		return
	}
	since := pl.answered
	if !pl.spoke && x.Req.Pos == 0 && c.Opened != 0 {
		if c.Began != 0 {
			w.int(semconv.NetConnect, c.Opened-c.Began)
		}
		since = c.Opened
	}
	pl.spoke = true
	if d := x.Req.Start - since; since != 0 && d >= 0 {
		w.int(semconv.NetClientWait, d)
	}
	w.int(semconv.NetRequestTransfer, x.Req.End-x.Req.Start)
	if !x.Resp.Seen {
		return
	}
	if d := x.Resp.Start - x.Req.End; d >= 0 {
		w.int(semconv.NetServerWait, d)
	}
	w.int(semconv.NetResponseTransfer, x.Resp.End-x.Resp.Start)
	pl.answered = max(pl.answered, x.Resp.End)
}
