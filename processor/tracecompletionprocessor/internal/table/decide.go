package table

import (
	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/skew"
)

// slack is how far an app span may stick out of the hop that carried its
// request: SDKs stop their clocks a little before or after the socket does.
const (
	slackSameHost  = int64(5e6)
	slackOtherHost = int64(1e9)
)

// Decide says what becomes of n, with all that is known now. A trace id, once
// given, stays.
func (t *Table) Decide(n *Node) Decision {
	if n.App() {
		return t.decideApp(n)
	}
	x := n.ex
	if n.dropped = t.gone(x, n); n.dropped {
		n.done = true
		return Decision{Drop: true}
	}
	var folded []*Node
	if t.cfg.Fold && n.Point.Process() {
		for _, h := range x.hops {
			if t.gone(x, h) && h.Host == n.Host {
				h.dropped = true
				folded = append(folded, h)
			}
		}
	}
	i := x.indexOf(n)
	d := Decision{Span: t.id(x, i), Folded: folded}
	n.done, n.sentAs = true, d.Span
	g := n.group.find()
	d.Trace, d.Provisional = t.groupTrace(g, x)
	if g.app == (TraceID{}) {
		g.own, g.decided, g.exchanges = d.Trace, true, nil
	}
	n.sent = d.Trace
	if p := t.outer(x, i); p >= 0 {
		if d.Parent = t.id(x, p); x.hops[p].apart(d.Trace) {
			d.LinkTrace, d.LinkSpan, d.Parent = x.hops[p].sent, d.Parent, 0
		}
	} else {
		d.Parent = t.parentOf(n, x, &d)
	}
	if d.Parent == d.Span {
		d.Parent = 0
	}
	if d.Added = n.End - n.Start - t.within(x, i); d.Added < 0 {
		d.Added, d.Inconsistent = 0, true
	}
	if x.carried != (pair{}) && x.carried.trace != d.Trace {
		// A guard kept the two traces apart: they are linked instead.
		d.LinkTrace, d.LinkSpan = x.carried.trace, x.carried.span
		if d.Parent == x.carried.span {
			d.Parent = 0
		}
	}
	if c := x.cause; c != nil && x.hops[0] == n && (c.group.find() != g || c.apart(d.Trace)) {
		if d.LinkTrace, _ = t.groupTrace(c.group.find(), c.ex); c.done {
			d.LinkTrace = c.sent
		}
		d.LinkSpan = t.id(c.ex, c.ex.indexOf(c))
		if d.Parent == d.LinkSpan {
			d.Parent = 0
		}
	}
	if t.cfg.Adjust && x.hops[0].Host != n.Host {
		if o, ok := t.skew.Offset(x.hops[0].Host, n.Host); ok {
			d.Shift = -o.Nanos
		}
	}
	return d
}

// apart reports whether n was sent on with another trace id than id: a trace
// whose id became known when part of it had left. Nobody is its child by id.
func (n *Node) apart(id TraceID) bool { return n.done && n.sent != id }

// gone reports whether n is folded into the process span of its host, or
// dropped, rather than sent on.
func (t *Table) gone(x *exchange, n *Node) bool {
	switch {
	case n.dropped:
		return true
	case n.Point.Process() || n.done && !n.dropped:
		return false
	case t.cfg.Drop:
		return true
	case t.cfg.Fold:
		for _, h := range x.hops {
			if h.Point.Process() && h.Host == n.Host && !h.done {
				return true
			}
		}
	}
	return false
}

// outer is the hop before i that is sent on, -1 for none.
func (t *Table) outer(x *exchange, i int) int {
	for i--; i >= 0; i-- {
		if !t.gone(x, x.hops[i]) {
			return i
		}
	}
	return -1
}

// inner is the hop after i that is sent on.
func (t *Table) inner(x *exchange, i int) *Node {
	for i++; i < len(x.hops); i++ {
		if !t.gone(x, x.hops[i]) {
			return x.hops[i]
		}
	}
	return nil
}

// id is the span id that hop i of x goes by: its own, but for the hop of the
// client's host nearest the wire, whose id the server's host can know.
func (t *Table) id(x *exchange, i int) hop.Key {
	if x.hops[i].done && !x.hops[i].dropped {
		return x.hops[i].sentAs // whatever came since
	}
	if x.lid != 0 && x.hops[i].Point.OfClient() {
		w := -1
		for j, h := range x.hops {
			if h.done && h.sentAs == hop.Wire(x.lid) {
				return x.hops[i].Span // it is taken
			}
			if h.Point.OfClient() && h.Host == x.hops[i].Host && !t.gone(x, h) {
				w = j
			}
		}
		if w == i && x.hops[i].Host == x.firstHost() {
			return hop.Wire(x.lid)
		}
	}
	return x.hops[i].Span
}

// groupTrace is the trace id of a group: an app's, else one made of its root.
func (t *Table) groupTrace(g *group, x *exchange) (TraceID, bool) {
	if g.app != (TraceID{}) {
		return g.app, false
	}
	if g.decided || g.learned {
		return g.own, true
	}
	root := x
	for _, o := range g.exchanges {
		if len(o.hops) > 0 && before(o, root) {
			root = o
		}
	}
	return TraceID(hop.TraceID(root.root())), true
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
	if !n.Point.OfClientHost() {
		switch {
		case x.upstream && x.lid != 0:
			return hop.Wire(x.lid)
		case x.carried != (pair{}):
			return t.carriedParent(n, x)
		}
		return n.Parent // who completed the trace before may have known one
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
		return n.Parent
	}
	if x.evidence != NoEvidence {
		d.Evidence = x.evidence
	}
	if c := t.clientSpan(n); c != nil {
		return c.Span
	}
	in := x.cause.ex
	s := x.cause.served
	if s == nil {
		s = t.serverSpan(in, x.cause)
	}
	if s != nil && s.Start <= n.Start+slackSameHost && n.End <= s.End+slackSameHost {
		return s.Span
	}
	return t.id(in, in.indexOf(x.cause))
}

// carriedParent is the app span that sent the request of x.
func (t *Table) carriedParent(n *Node, x *exchange) hop.Key {
	if !x.own {
		return x.carried.span
	}
	// The callee's own id was carried: its parent is the caller's.
	if s := t.apps[x.carried]; s != nil {
		return s.parent()
	}
	return x.caller
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
// in all the others.
func (t *Table) clientSpan(n *Node) *Node {
	if n.Point != hop.ClientProcess {
		return nil
	}
	clients := n.group.find().clients
	var best *Node
	for _, c := range clients {
		if !made(c, n) {
			continue
		}
		if best == nil || c.End-c.Start < best.End-best.Start || same(c, best) && t.under(c, best) {
			best = c
		}
	}
	if best == nil {
		return nil
	}
	for _, c := range clients {
		if c != best && made(c, n) && (!contains(c, best) || same(c, best) && !t.under(best, c)) {
			t.stats.Ambiguous++
			return nil
		}
	}
	return best
}

// noTime is what a span lasts at most that lasts no time: a receiver of agents that
// count milliseconds may let it end a little after it begins.
const noTime = int64(1e3)

// made reports whether the client app span c may have made the call n. One that
// lasts no time was ended when it had sent: its agent does not wait for answers.
func made(c, n *Node) bool {
	if !sameProcess(n, c) || c.Start > n.Start+slackSameHost ||
		(n.System != 0 && c.System != 0 && n.System != c.System) ||
		(n.PeerPort != 0 && c.PeerPort != 0 && n.PeerPort != c.PeerPort) {
		return false
	}
	return n.End <= c.End+slackSameHost || c.End-c.Start <= noTime && n.Start <= c.End+slackSameHost
}

// same reports whether two app spans began and ended together.
func same(a, b *Node) bool { return a.Start == b.Start && a.End == b.End }

// maxDepth bounds how far up it is looked for a parent.
const maxDepth = 8

// under reports whether the app span a is below b.
func (t *Table) under(a, b *Node) bool {
	for range maxDepth {
		if a = t.apps[pair{a.Trace, a.parent()}]; a == nil || a == b {
			break
		}
	}
	return a != nil && a == b
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
	if !t.cfg.Reparent || !n.Server {
		return d
	}
	key := pair{n.Trace, n.parent()}
	own := t.carriers[pair{n.Trace, n.own()}]
	if own != nil && len(own.exchanges) > 0 && own.exchanges[0].own {
		key = pair{n.Trace, n.own()}
	} else if n.parent() == 0 {
		return t.decideRoot(n, d)
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
	// that reached n's process, else the last that began before n. A message that
	// n's process got of a broker comes before all that was sent.
	var best *exchange
	var i int
	for _, x := range c.exchanges {
		at := x.reach(n)
		if at < 0 || x.group.find() != n.group.find() {
			continue
		}
		if best == nil || x.received && !best.received ||
			x.received == best.received && x.hops[at].Start > best.hops[i].Start {
			best, i = x, at
		}
	}
	if best == nil {
		return d
	}
	if t.gone(best, best.hops[i]) {
		i = t.outer(best, i)
	}
	if i < 0 {
		return d
	}
	if p := t.id(best, i); !best.hops[i].apart(n.Trace) && p != n.Span && p != n.Parent {
		d.Original, d.Parent = n.parent(), p
	}
	return d
}

// decideRoot: a server span without a parent was called by somebody who sent no
// ids. If exactly one inbound hop of its process and trace contains it, that is
// who; if none does, the only one that was open when it began: agents may end a
// span when the answer is long on its way.
func (t *Table) decideRoot(n *Node, d Decision) Decision {
	if h := n.served; h != nil && h.group.find() == n.group.find() && !h.apart(n.Trace) {
		d.Parent, d.Rooted = t.id(h.ex, h.ex.indexOf(h)), true
		return d
	}
	var around, open *Node
	several := false
	for _, h := range n.group.find().inbound {
		if h.ex.carried != (pair{}) || h.apart(n.Trace) || !sameProcess(h, n) || h.Start > n.Start+slackSameHost {
			continue
		}
		switch {
		case n.End <= h.End+slackSameHost:
			if around != nil {
				t.stats.Ambiguous++
				return d
			}
			around = h
		case n.Start <= h.End:
			several = several || open != nil
			open = h
		}
	}
	if around == nil && several {
		t.stats.Ambiguous++
		return d
	}
	if around == nil {
		around = open
	}
	if around != nil {
		d.Parent = t.id(around.ex, around.ex.indexOf(around))
		d.Rooted = true
	}
	return d
}

// observeSkew takes a cross-host exchange as a sample of two clocks.
func (t *Table) observeSkew(x *exchange) {
	var c, s *Node
	for _, h := range x.hops {
		if h.Point.OfClient() {
			c = h // the last one: nearest the wire
		} else if h.Point.OfServer() && s == nil {
			s = h
		}
	}
	if c != nil && s != nil && c.Host != 0 && s.Host != 0 && c.Host != s.Host {
		t.skew.Sample(c.Host, s.Host, c.Start, c.End, s.Start, s.End)
	}
}

// Skews are the clock offsets known.
func (t *Table) Skews() []skew.Pair { return t.skew.Pairs() }
