package table

import "github.com/hopscope/hopscope/internal/hop"

// slack is how far an app span may stick out of the hop that carried its
// request: SDKs stop their clocks a little before or after the socket does.
const (
	slackSameHost  = int64(5e6)
	slackOtherHost = int64(1e9)
)

// Decide says what becomes of n, with all that is known now. A trace id, once
// given, stays.
func (t *Table) Decide(n *Node) Decision {
	n.done = true
	if n.App() {
		return t.decideApp(n)
	}
	x := n.ex
	i := x.indexOf(n)
	d := Decision{Span: x.id(i)}
	d.Trace, d.Provisional = t.traceOf(n)
	if i > 0 {
		d.Parent = x.id(i - 1)
	} else {
		d.Parent = t.parentOf(n, x, &d)
	}
	if d.Parent == d.Span {
		d.Parent = 0
	}
	if i+1 < len(x.hops) {
		m := x.hops[i+1]
		d.HasAdded = true
		if d.Added = (n.End - n.Start) - (m.End - m.Start); d.Added < 0 {
			d.Added, d.Inconsistent = 0, true
		}
	}
	if x.carried != (pair{}) && x.carried.trace != d.Trace {
		// A guard kept the two traces apart: they are linked instead.
		d.LinkTrace, d.LinkSpan = x.carried.trace, x.carried.span
		if d.Parent == x.carried.span {
			d.Parent = 0
		}
	}
	return d
}

// traceOf is the trace id of n's group.
func (t *Table) traceOf(n *Node) (TraceID, bool) {
	g := n.group.find()
	if g.app != (TraceID{}) {
		return g.app, false
	}
	if !g.decided {
		var root *exchange
		for _, x := range g.exchanges {
			if len(x.hops) == 0 {
				continue
			}
			if root == nil || before(x, root) {
				root = x
			}
		}
		if root == nil {
			return n.Trace, n.Provisional
		}
		g.own, g.decided = TraceID(hop.TraceID(root.root())), true
		g.exchanges = nil
	}
	return g.own, true
}

// before: a is nearer the root than b.
func before(a, b *exchange) bool {
	ac, bc := a.cause != nil, b.cause != nil
	if ac != bc {
		return bc
	}
	if a.start != b.start {
		return a.start < b.start
	}
	return a.root() < b.root()
}

// parentOf is the parent of the first hop of an exchange.
func (t *Table) parentOf(n *Node, x *exchange, d *Decision) hop.Key {
	if n.Point.OfServer() {
		switch {
		case x.upstream && x.lid != 0:
			return hop.Wire(x.lid)
		case x.carried != (pair{}):
			return t.carriedParent(n, x)
		}
		return 0
	}
	// The process passed on what it was given: the call hangs on the exchange
	// that it was given with, not on the app span before that.
	if x.cause == nil && x.carried != (pair{}) {
		if p := t.passedOn(n, x); p != nil {
			x.cause, x.evidence = p, ByPropagation
			t.stats.Links[ByPropagation]++
		}
	}
	if x.carried != (pair{}) && (x.cause == nil || x.cause.ex.carried != x.carried) {
		return t.carriedParent(n, x)
	}
	if x.cause == nil {
		if n.Linked {
			return n.Parent // its exchange is under way, or was sent on before
		}
		if x.carried == (pair{}) {
			if c := t.clientSpan(n); c != nil {
				return c.Span
			}
		}
		return 0
	}
	if x.evidence != NoEvidence {
		d.Evidence = x.evidence
	}
	if c := t.clientSpan(n); c != nil {
		return c.Span
	}
	in := x.cause.ex
	if s := t.serverSpan(in, x.cause); s != nil && s.Start <= n.Start+slackSameHost && n.End <= s.End+slackSameHost {
		return s.Span
	}
	return in.id(in.indexOf(x.cause))
}

// carriedParent is the app span that sent the request of x.
func (t *Table) carriedParent(n *Node, x *exchange) hop.Key {
	if !x.own {
		return x.carried.span
	}
	// The callee's own id was carried: its parent is the caller's.
	if s := t.apps[x.carried]; s != nil {
		return s.Parent
	}
	return 0
}

// passedOn is the inbound hop of n's process that carried the same pair.
func (t *Table) passedOn(n *Node, x *exchange) *Node {
	c := t.carriers[x.carried]
	if c == nil || n.Process == 0 {
		return nil
	}
	var found *Node
	for _, in := range c.exchanges {
		if in == x {
			continue
		}
		for _, h := range in.hops {
			if h.Point == hop.ServerProcess && h.Process == n.Process && h.Start <= n.Start && n.Start <= h.End {
				if found != nil {
					t.stats.Ambiguous++
					return nil
				}
				found = h
			}
		}
	}
	return found
}

// clientSpan is the app span of n's process that made the call n: it contains
// n in time and agrees on system and peer. Of several, the innermost, if it is
// the only one.
func (t *Table) clientSpan(n *Node) *Node {
	if n.Point != hop.ClientProcess {
		return nil
	}
	var best *Node
	tie := false
	for _, c := range n.group.find().clients {
		if !sameProcess(n, c) || c.Start > n.Start+slackSameHost || n.End > c.End+slackSameHost ||
			(n.System != 0 && c.System != 0 && n.System != c.System) ||
			(n.PeerPort != 0 && c.PeerPort != 0 && n.PeerPort != c.PeerPort) {
			continue
		}
		switch {
		case best == nil || c.End-c.Start < best.End-best.Start && contains(best, c):
			best, tie = c, false
		case !contains(c, best):
			tie = true
		}
	}
	if tie {
		t.stats.Ambiguous++
		return nil
	}
	return best
}

func contains(outer, inner *Node) bool { return outer.Start <= inner.Start && inner.End <= outer.End }

func sameProcess(a, b *Node) bool {
	if a.Process != 0 && b.Process != 0 {
		return a.Process == b.Process
	}
	return a.Service != 0 && a.Service == b.Service
}

// serverSpan is the app span that served the inbound exchange x.
func (t *Table) serverSpan(x *exchange, at *Node) *Node {
	if x.carried == (pair{}) {
		return nil
	}
	s := t.servers[x.carried]
	if x.own {
		s = t.apps[x.carried]
	}
	if s == nil || (s.Process != 0 && at.Process != 0 && s.Process != at.Process) {
		return nil
	}
	return s
}

// decideApp: of an app span only the parent is ever changed, only to a span of
// the same trace that is there.
func (t *Table) decideApp(n *Node) Decision {
	d := Decision{Trace: n.Trace, Span: n.Span, Parent: n.Parent}
	if !t.reparent || !n.Server {
		return d
	}
	key := pair{n.Trace, n.Parent}
	own := t.carriers[pair{n.Trace, n.Span}]
	if own != nil && len(own.exchanges) > 0 && own.exchanges[0].own {
		key = pair{n.Trace, n.Span}
	} else if n.Parent == 0 {
		return d
	}
	c := t.carriers[key]
	if c == nil {
		return d
	}
	if len(c.exchanges) > t.guards.MaxSiblings {
		t.stats.RefusedSiblings++
		return d
	}
	// Of the exchanges that carried the pair (a proxy passes it on), the one
	// that reached n's process, else the last that began before n.
	var best *exchange
	for _, x := range c.exchanges {
		last := x.hops[len(x.hops)-1]
		slack := slackOtherHost
		if last.Host != 0 && last.Host == n.Host {
			slack = slackSameHost
		}
		if x.group.find() != n.group.find() || last.Start > n.Start+slack || n.Start > last.End+slack {
			continue
		}
		if last.Point == hop.ServerProcess && last.Process != 0 && n.Process != 0 && last.Process != n.Process {
			continue
		}
		if best == nil || x.hops[len(x.hops)-1].Start > best.hops[len(best.hops)-1].Start {
			best = x
		}
	}
	if best == nil {
		return d
	}
	if p := best.id(len(best.hops) - 1); p != n.Span && p != n.Parent {
		d.Original, d.Parent = n.Parent, p
	}
	return d
}
