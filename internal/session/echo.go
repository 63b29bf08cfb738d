package session

import (
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// Echoes makes exchanges of ICMP echo requests and replies, which are no stream
// and need no parser. One goroutine owns it.
type Echoes struct {
	next func(*Exchange)
	open map[echoKey]*Exchange
	// order is the open ones and, still, answered ones, oldest first.
	order []echoKey
	free  []*Exchange
	now   int64
}

type echoKey struct {
	conn *stream.Conn
	seq  uint16
}

// ping is what the exchanges are said to speak.
var ping = &l7.Protocol{Name: "icmp", Pairing: l7.ByStream}

const (
	// maxEchoes may be unanswered at once; past it the oldest is reported as it is.
	maxEchoes = 4096
	// echoTimeout is that of messages over UDP.
	echoTimeout = int64(defaultUDPTimeout)
)

// NewEchoes makes one that gives exchanges to next.
func NewEchoes(next func(*Exchange)) *Echoes {
	return &Echoes{next: next, open: map[echoKey]*Exchange{}}
}

// Put takes a request or a reply of c with its sequence number and its length.
func (e *Echoes) Put(c *stream.Conn, reply bool, seq uint16, bytes uint32, now int64) {
	e.Tick(now)
	k := echoKey{c, seq}
	x := e.open[k]
	switch {
	case reply && x == nil: // of a request that was not seen
	case reply:
		x.Resp.Seen, x.Resp.Start, x.Resp.End, x.Resp.Bytes, x.Resp.Parts = true, now, now, uint64(bytes), 1
		x.Resp.Msg.Status = l7.StatusOK
		e.report(k, x, Complete)
	case x != nil: // sent again, or seen twice: the first one counts
	default:
		if len(e.open) >= maxEchoes {
			e.drop(LostEvents)
		}
		if n := len(e.free); n > 0 {
			x, e.free = e.free[n-1], e.free[:n-1]
		} else {
			x = &Exchange{}
		}
		*x = Exchange{Conn: c, Protocol: ping, Req: Half{Seen: true, Start: now, End: now, Bytes: uint64(bytes), Parts: 1}}
		x.Req.Msg.Name, x.Req.Msg.Session = "echo", strconv.Itoa(int(seq))
		e.open[k] = x
		e.order = append(e.order, k)
	}
}

func (e *Echoes) report(k echoKey, x *Exchange, why Incomplete) {
	delete(e.open, k)
	x.Incomplete, x.Over = why, e.now
	e.next(x)
	e.free = append(e.free, x)
}

// drop reports the oldest.
func (e *Echoes) drop(why Incomplete) {
	for len(e.order) > 0 {
		k := e.order[0]
		e.order = e.order[1:]
		if x := e.open[k]; x != nil {
			e.report(k, x, why)
			return
		}
	}
}

// Tick reports what is overdue at now.
func (e *Echoes) Tick(now int64) {
	e.now = max(e.now, now)
	for len(e.order) > 0 {
		x := e.open[e.order[0]]
		if x != nil && e.now-x.Req.Start < echoTimeout {
			return
		}
		if x != nil {
			e.report(e.order[0], x, Timeout)
		}
		e.order = e.order[1:]
	}
}

// Flush reports what is open, as it is.
func (e *Echoes) Flush() {
	for len(e.open) > 0 {
		e.drop(Truncated)
	}
	e.order = nil
}
