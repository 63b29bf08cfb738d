package cause

import (
	"github.com/cespare/xxhash/v2"

	"github.com/hopscope/hopscope/internal/session"
)

// A relay (HAProxy, Envoy, a gateway) asks others what it was asked itself. In
// what order it does so is its own affair, but where only one of the requests
// that are open says what a call says, and the call is the only one that says so,
// and both got the same answer, then the call was made for it. That is believed of
// processes whose calls nearly all say what an open request says. Others make
// calls of their own kinds, and what one of these says may by chance be what
// somebody else asks for.

// relay is what is known of a process's calls.
type relay struct {
	// agree counts calls that said what an open request said, differ those that
	// did not.
	trust
	// asked are the open requests by what they say: those since a first call, which
	// began after since.
	asked map[uint64]asked
	since uint64
	never bool
}

// asked are n open requests that say the same; r is the first of them, as long as
// there is no other.
type asked struct {
	r *record
	n int
}

const (
	// relayRatio is how many calls have to say what a request said for each that
	// did not: a proxy checks the health of its upstreams, too.
	relayRatio = 20
	// relayTries is how many calls a process may make that do not, before it is
	// looked at no longer.
	relayTries = 256
)

func (l *relay) earned() bool { return l.agree >= trustAfter && l.agree >= relayRatio*l.differ }

// said is a hash of what x asks for; 0 if that is nothing that tells requests
// apart.
func said(x *session.Exchange) uint64 {
	m := &x.Req.Msg
	if m.Target == "" {
		return 0
	}
	return xxhash.Sum64String(m.Target)*0x9e3779b97f4a7c15 + xxhash.Sum64String(m.Op)
}

// asks notes what the inbound r says.
func (p *proc) asks(r *record, x *session.Exchange) {
	l := &p.relay
	if l.asked == nil || l.never {
		return
	}
	if r.said = said(x); r.said == 0 {
		return
	}
	o := l.asked[r.said]
	if o.n++; o.n == 1 {
		o.r = r
	} else {
		o.r = nil
	}
	l.asked[r.said] = o
}

// passes looks for the request that the outbound r passes on.
func (t *Tracker) passes(r *record, x *session.Exchange) {
	p := r.proc
	l := &p.relay
	switch {
	case l.never || len(p.open) == 0:
		return
	case l.asked == nil:
		l.asked, l.since = map[uint64]asked{}, p.began
		return
	case p.open[0].began <= l.since:
		return // what it says was not noted
	}
	o := l.asked[said(x)]
	if o.n == 0 {
		l.differ++
		t.learned(&l.trust, false)
		if l.never = l.differ >= relayTries && !l.earned(); l.never {
			l.asked = nil
		}
		return
	}
	if l.agree++; l.agree >= trustAfter && len(l.waiting) > 0 && l.earned() {
		t.learned(&l.trust, true)
	}
	in := o.r
	if in == nil {
		return // several say so
	}
	in.passed++
	if r.cause == nil && len(in.deps) < maxHeld {
		r.same = in
		in.shared, r.shared = true, true
		in.dep(r)
	}
}

// relayed: the request that r passes on is over. Whether r was made for it is
// known now.
func (t *Tracker) relayed(r *record) {
	in := r.same
	l := &r.proc.relay
	// What its thread did before and after counts if that is known to say something.
	differs := r.before != nil && r.before == r.after && r.before != in && r.trust().earned()
	if in.passed != 1 || r.answer == 0 || r.answer != in.answer || differs {
		r.same = nil
		return
	}
	if l.earned() {
		r.settle(in, SameRequest, High)
	}
}

// forget: r is open no longer.
func (l *relay) forget(r *record) {
	if r.said == 0 || l.asked == nil {
		return
	}
	if o := l.asked[r.said]; o.n > 1 {
		o.n--
		l.asked[r.said] = o
	} else {
		delete(l.asked, r.said)
	}
}
