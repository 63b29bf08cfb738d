package table

import (
	"slices"

	"github.com/hopscope/hopscope/internal/hop"
)

// exchange is one request and its answer, with every hop that saw it.
type exchange struct {
	lid, xid hop.Key
	hops     []*Node // in path order
	group    *group
	carried  pair
	own      bool    // the carried span id is the callee's own
	caller   hop.Key // then, the id that its caller has
	received bool    // the client got them, with a message of a broker
	// cause is the inbound process hop that led to it.
	cause    *Node
	evidence Evidence
	// upstream: the link table knows its client side, on another host. resolved:
	// and its trace, for good.
	upstream, resolved bool
	start              int64
}

// sameWithin is how far apart two hops of one exchange may start: xid is made
// of 64 bits that come again, and clocks of hosts differ. Over UDP it is made of
// the 16 bits of a DNS id, the question and a port.
const (
	sameWithin    = int64(120e9)
	sameWithinUDP = int64(10e9)
)

// usualHops is room for the hops of an exchange between two hosts: the process and
// the interface of either.
const usualHops = 4

// A new exchange, and its group, are two pieces with the lists that they begin
// with: there is one for each request, and every piece is one more to allocate, and
// for the garbage collector to visit. They are not one, because a group that is
// joined to another goes, and the exchange stays.
type (
	newborn struct {
		exchange
		hops [usualHops]*Node
	}
	ownGroup struct {
		group
		ids               [1]TraceID
		exchanges         [1]*exchange
		inbound, outbound [1]*Node
	}
)

// newExchange is one without hops, and a group of its own, of the time of n.
func newExchange(n *Node) *exchange {
	b, own := &newborn{}, &ownGroup{}
	x, g := &b.exchange, &own.group
	x.start, x.hops, x.group = n.Start, b.hops[:0], g
	own.exchanges[0] = x
	g.first, g.last, g.exchanges = n.Start, n.End, own.exchanges[:]
	g.ids, g.inbound, g.outbound = own.ids[:0], own.inbound[:0], own.outbound[:0]
	return x
}

// exchange finds the exchange that n is a hop of, or makes one. If n's two keys
// name two, they are one.
func (t *Table) exchange(n *Node) *exchange {
	within := sameWithin
	if n.UDP {
		within = sameWithinUDP
	}
	// A hop that is there already comes again: so did the key.
	near := func(x *exchange) bool {
		return x != nil && abs(x.start-n.Start) < within && !slices.ContainsFunc(x.hops, func(o *Node) bool { return o.Span == n.Span })
	}
	var lids, xids *exchange // what the keys name now
	if n.LID != 0 {
		lids = t.byLID[n.LID]
	}
	if n.XID != 0 {
		xids = t.byXID[n.XID]
	}
	a, b := lids, xids
	if !near(a) {
		a = nil
	}
	if !near(b) {
		b = nil
	}
	switch {
	case a == nil && b == nil:
		a = newExchange(n)
	case a == nil:
		a = b
	case b != nil && a != b:
		t.merge(a, b)
	}
	if n.LID != 0 && a.lid == 0 {
		a.lid = n.LID
	}
	if n.XID != 0 && a.xid == 0 {
		a.xid = n.XID
	}
	if n.LID != 0 && lids != a {
		t.byLID[n.LID] = a
	}
	if n.XID != 0 && xids != a {
		t.byXID[n.XID] = a
	}
	return a
}

// merge makes b part of a.
func (t *Table) merge(a, b *exchange) {
	for _, n := range b.hops {
		n.ex = a
		a.insert(n)
	}
	if a.lid == 0 {
		a.lid = b.lid
	}
	if a.xid == 0 {
		a.xid = b.xid
	}
	if a.carried == (pair{}) {
		a.carried, a.own, a.caller, a.received = b.carried, b.own, b.caller, b.received
	}
	if a.cause == nil {
		a.cause, a.evidence = b.cause, b.evidence
	}
	a.upstream = a.upstream || b.upstream
	if b.lid != 0 {
		t.byLID[b.lid] = a
	}
	if b.xid != 0 {
		t.byXID[b.xid] = a
	}
	if c := t.carriers[b.carried]; c != nil && b.carried != (pair{}) {
		c.exchanges = slices.DeleteFunc(c.exchanges, func(x *exchange) bool { return x == b || x == a })
		c.exchanges = append(c.exchanges, a)
	}
	b.hops = nil
	t.join(a.group, b.group)
}

// insert puts n at its place on the path: by capture point; at one point, the
// client's side is passed outwards, the server's inwards, so the hop that saw
// the request first comes first.
func (x *exchange) insert(n *Node) {
	i, _ := slices.BinarySearchFunc(x.hops, n, compareHops)
	x.hops = slices.Insert(x.hops, i, n)
	x.start = min(x.start, n.Start)
}

func compareHops(a, b *Node) int {
	switch {
	case a.Point != b.Point:
		return int(a.Point) - int(b.Point)
	case a.Start != b.Start:
		return sign(a.Start - b.Start)
	case a.End != b.End: // the outer one ends later
		return sign(b.End - a.End)
	case a.Span < b.Span:
		return -1
	case a.Span > b.Span:
		return 1
	}
	return 0
}

// reach is the hop by which x, which carried the ids that n names, may have come
// to the app span n. -1: none.
func (x *exchange) reach(n *Node) int {
	if x.received {
		// The consumer was the client. When it comes to a message that it has got is
		// its own affair: it may fetch many at once, and starts after all of them.
		for i, h := range x.hops {
			if h.Point == hop.ClientProcess && h.Process != 0 && h.Process == n.Process && h.Start <= n.Start+slackSameHost {
				return i
			}
		}
		return -1
	}
	i := len(x.hops) - 1
	last := x.hops[i]
	slack := slackOtherHost
	if last.Host != 0 && last.Host == n.Host {
		slack = slackSameHost
	}
	if last.Start > n.Start+slack || n.Start > last.End+slack ||
		last.Point == hop.ServerProcess && last.Process != 0 && n.Process != 0 && last.Process != n.Process {
		return -1
	}
	return i
}

// owned reports whether the client's own host saw the exchange. Others, gateways
// between the hosts too, ask the link table for it.
func (x *exchange) owned() bool { return len(x.hops) > 0 && x.hops[0].Point.OfClientHost() }

// firstHost is the client's host; 0 if nobody there saw the exchange.
func (x *exchange) firstHost() uint32 {
	if x.owned() {
		return x.hops[0].Host
	}
	return 0
}

func (x *exchange) indexOf(n *Node) int {
	for i, h := range x.hops {
		if h == n {
			return i
		}
	}
	return -1
}

// root is the key of which a trace id is made.
func (x *exchange) root() hop.Key {
	if x.lid != 0 {
		return x.lid
	}
	if x.xid != 0 {
		return x.xid
	}
	return x.hops[0].Span
}

func abs(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}

func sign(v int64) int {
	switch {
	case v < 0:
		return -1
	case v > 0:
		return 1
	}
	return 0
}
