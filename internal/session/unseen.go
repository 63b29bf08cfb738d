package session

import (
	"math"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// unseen is how many exchanges of a connection capture did not see.
//
// The kernel counts the calls it could not tell that began to speak. Where each
// request waits for the answer to the one before, those are the requests: exact.
// Where a client sends several at once, how many lay in what was lost is
// reckoned from its bytes and from what requests of this connection took lately:
// an estimate.
type unseen struct {
	requests uint64 // read lately,
	bytes    uint64 // and what they took
	other    uint64 // where the answers were at the last one
	piped    bool   // one was sent before the one before it was answered

	torn  bool      // anything was lost
	turns [2]uint64 // lost calls that began to speak, by direction
	known [2]uint64 // of these, those in the kernel's sums by role
	used  uint64    // of the client's turns, those in est
	tail  [2]uint64 // where the streams were when something was lost last
	est   float64   // exchanges not seen
	more  int64     // what of est is not in the kernel's sums
}

// lately is how many requests the mean is of, about: sizes change.
const lately = 1024

// asked notes n bytes of requests; first: a request begins with them, at at.
func (u *unseen) asked(n uint64, first bool, at *mark) {
	u.bytes += n
	if !first {
		return
	}
	if u.requests > 0 && at.hasOther && at.other == u.other {
		u.piped = true
	}
	u.other = at.other
	if u.requests++; u.requests >= 2*lately {
		u.requests, u.bytes = u.requests/2, u.bytes/2
	}
}

// Lost takes what the kernel did not tell of a connection.
func (e *Engine) Lost(c *stream.Conn, l *stream.Lost) {
	s := e.session(c)
	u := &s.unseen
	u.torn, u.tail = true, l.At
	for d, n := range l.Turns {
		u.turns[d] += uint64(n)
		if l.Counted {
			u.known[d] += uint64(n)
		}
	}
	e.reckon(s)
}

// miss notes that n bytes of direction d were not read.
func (s *session) miss(d stream.Dir, n uint64) { s.half[d].unread += n }

// reckon brings up to date how many exchanges of s were not seen. Before the
// first request is read nothing is known; what was lost until then waits.
func (e *Engine) reckon(s *session) {
	u := &s.unseen
	if s.proto == nil || s.mute || !u.torn || u.requests == 0 || s.conn.Source != stream.Sockets {
		return
	}
	h, turns := &s.half[s.client], u.turns[s.client]
	if u.piped && s.conn.Transport != l7.UDP && u.bytes > 0 {
		u.est += float64(h.unread) * float64(u.requests) / float64(u.bytes)
	} else {
		u.est += float64(turns - u.used)
	}
	h.unread, u.used = 0, turns
	more := int64(math.Round(u.est)) - int64(u.known[s.client])
	e.stats.Unseen.Add(more - u.more)
	u.more = more
}

// missTail notes what was lost after the last that was told, when nothing more
// will come.
func (e *Engine) missTail(s *session) {
	if s.proto == nil || s.conn.Transport == l7.UDP {
		return
	}
	h := &s.half[s.client]
	if at := s.unseen.tail[s.client]; h.started && at > h.next {
		s.miss(s.client, at-h.next-min(at-h.next, h.skip))
	}
}
