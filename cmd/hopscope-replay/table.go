package main

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"time"

	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// tableWriter prints one line per exchange, for people.
type tableWriter struct {
	w     *bufio.Writer
	first int64
	title bool
}

func newTableWriter(w *bufio.Writer) *tableWriter { return &tableWriter{w: w} }

func (t *tableWriter) put(x *session.Exchange) {
	at := x.Req.Start
	if !x.Req.Seen {
		at = x.Resp.Start
	}
	if !t.title {
		t.title, t.first = true, at
		fmt.Fprintf(t.w, "# times are relative to %s\n", time.Unix(0, at).UTC().Format(time.RFC3339Nano))
		fmt.Fprintf(t.w, "%12s %10s  %-11s %-46s %8s %9s  %-8s %s\n", "at", "took", "protocol", "client > server", "request", "response", "code", "what")
	}
	client, server := x.Conn.A, x.Conn.B
	if d, ok := x.Conn.ClientDir(); ok && d == stream.FromB {
		client, server = server, client
	}
	took := "-"
	if x.Req.Seen && x.Resp.Seen {
		took = time.Duration(x.Resp.End - x.Req.Start).Round(time.Microsecond).String()
	}
	code := x.Resp.Msg.Code
	if code == "" {
		code = x.Req.Msg.Code
	}
	status := x.Resp.Msg.Status
	if status == 0 {
		status = x.Req.Msg.Status
	}
	if code == "" && status != 0 {
		code = status.String()
	}
	what := x.Req.Msg.Op
	if x.Req.Msg.Target != "" {
		what += " " + x.Req.Msg.Target
	}
	switch {
	case x.OneWay && x.FromServer:
		what += " (from the server, one way)"
	case x.OneWay:
		what += " (one way)"
	case x.Incomplete != session.Complete:
		what += " (" + x.Incomplete.String() + ")"
	}
	fmt.Fprintf(t.w, "%12.6f %10s  %-11s %-46s %8d %9d  %-8s %s\n", float64(at-t.first)/1e9, took, x.Protocol.Name,
		ends(client, server), x.Req.Bytes, x.Resp.Bytes, code, clean(what))
}

func ends(a, b netip.AddrPort) string {
	if !a.IsValid() || !b.IsValid() {
		return "unix"
	}
	return a.String() + " > " + b.String()
}

// maxWhat keeps a line a line.
const maxWhat = 120

// clean makes text from the wire safe to print.
func clean(s string) string {
	b := make([]byte, 0, min(len(s), maxWhat))
	for i := 0; i < len(s); i++ {
		if len(b) == maxWhat {
			return string(b) + "..."
		}
		if c := s[i]; c < ' ' || c == 0x7f {
			b = append(b, '.')
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

func (p *player) printStats(w io.Writer) {
	line := func(name string, v uint64) {
		if v != 0 {
			fmt.Fprintf(w, "%-28s %12d\n", name, v)
		}
	}
	line("frames", p.frames)
	line("frame bytes", p.bytes)
	d := &p.decoder.Stats
	d.Each(func(r string, n uint64) { line("decode "+r, n) })
	line("datagrams reassembled", d.Reassembled.Load())
	line("fragments expired", d.FragmentsExpired.Load())
	line("fragments over limit", d.FragmentsFull.Load())
	line("fragments overlapping", d.FragmentsOverlap.Load())
	a := p.asm.Stats()
	line("connections", a.Conns.Load())
	line("connections evicted", a.Evicted.Load())
	line("connections midstream", a.Midstream.Load())
	line("connections reused", a.Reused.Load())
	line("segments duplicate", a.Duplicate.Load())
	line("segments overlapping", a.Overlap.Load())
	line("segments out of order", a.OutOfOrder.Load())
	line("segments strange", a.Strange.Load())
	line("segments after close", a.AfterClosed.Load())
	line("holes", a.Holes.Load())
	line("hole bytes", a.HoleBytes.Load())
	line("holes over limit", a.HeldFull.Load())
	e := p.engine.Stats()
	line("chunks", e.Chunks.Load())
	line("chunks of muted", e.Muted.Load())
	line("connections unknown", e.Unknown.Load())
	line("detection conflicts", e.Conflict.Load())
	line("windows full", e.WindowFull.Load())
	line("queues full", e.PendFull.Load())
	for i := range e.PerProto {
		s := &e.PerProto[i]
		line(s.Name+" connections", s.Conns.Load())
		line(s.Name+" exchanges", s.Exchanges.Load())
		line(s.Name+" lost sync", s.LostSync.Load())
		line(s.Name+" orphans", s.Orphans.Load())
		line(s.Name+" timeouts", s.Timeouts.Load())
		line(s.Name+" unanswered", s.Unanswered.Load())
	}
	line("exchanges", p.exchanges)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	line("allocations", m.Mallocs)
	line("spans", p.spans)
}
