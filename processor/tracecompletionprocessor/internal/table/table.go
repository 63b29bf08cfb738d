package table

import (
	"github.com/hopscope/hopscope/internal/hop"
)

// Stats counts what the table did and what it refused. Cumulative.
type Stats struct {
	Duplicates       uint64 // hops that were there already: two taps of one place
	RefusedTwoTraces uint64 // joins that would have merged two app traces
	RefusedSpans     uint64 // joins past Guards.MaxSpans
	RefusedDuration  uint64 // joins past Guards.MaxDuration
	RefusedSiblings  uint64 // app spans not re-parented for Guards.MaxSiblings
	Ambiguous        uint64 // links with more than one candidate, not made
	Links            [5]uint64
	Held             int // nodes in the table
}

// carrier is what is known of one propagated pair (trace id, span id).
type carrier struct {
	exchanges []*exchange
}

type pair struct {
	trace TraceID
	span  hop.Key
}

// procKey finds the exchanges of a process by something their messages share.
type procKey struct {
	process uint32
	what    uint64
}

// Table holds nodes. It is not safe for concurrent use.
type Table struct {
	guards   Guards
	reparent bool
	stats    Stats

	hops     map[hop.Key]*Node // by span id
	apps     map[pair]*Node    // by trace and span id
	servers  map[pair]*Node    // server app spans by what they name as parent
	byLID    map[hop.Key]*exchange
	byXID    map[hop.Key]*exchange
	traces   map[TraceID]*group
	carriers map[pair]*carrier
	waiting  map[hop.Key][]*Node // by the parent that is not there yet
	request  map[procKey]*sides  // by X-Request-ID
	syscall  map[procKey]*sides  // by syscall trace id
}

// sides are the exchanges of one process that share an id.
type sides struct {
	in, out []*Node
}

// maxShared bounds how many messages of one process may share an id before it
// says nothing (a constant X-Request-ID).
const maxShared = 64

// New makes an empty table. reparent: app spans may get another parent.
func New(g Guards, reparent bool) *Table {
	return &Table{
		guards: g, reparent: reparent,
		hops: map[hop.Key]*Node{}, apps: map[pair]*Node{}, servers: map[pair]*Node{},
		byLID: map[hop.Key]*exchange{}, byXID: map[hop.Key]*exchange{},
		traces: map[TraceID]*group{}, carriers: map[pair]*carrier{},
		waiting: map[hop.Key][]*Node{},
		request: map[procKey]*sides{}, syscall: map[procKey]*sides{},
	}
}

// Stats is a copy of the counters.
func (t *Table) Stats() Stats {
	s := t.stats
	s.Held = len(t.hops) + len(t.apps)
	return s
}

// Add takes a node. It returns false for a hop that is there already.
func (t *Table) Add(n *Node, now int64) bool {
	n.arrival = now
	if n.App() {
		return t.addApp(n)
	}
	return t.addHop(n)
}

func (t *Table) addApp(n *Node) bool {
	key := pair{n.Trace, n.Span}
	if t.apps[key] != nil {
		t.stats.Duplicates++
		return false
	}
	t.apps[key] = n
	n.group = t.trace(n.Trace, true, n)
	if n.Server && n.Parent != 0 {
		t.servers[pair{n.Trace, n.Parent}] = n
	}
	if n.Client {
		g := n.group.find()
		if len(g.clients) < maxClients {
			g.clients = append(g.clients, n)
		}
	}
	return true
}

// maxClients bounds the client app spans of a trace among which the one that
// made a call is looked for.
const maxClients = 1024

func (t *Table) addHop(n *Node) bool {
	if t.hops[n.Span] != nil {
		t.stats.Duplicates++
		return false
	}
	t.hops[n.Span] = n
	x := t.exchange(n)
	x.insert(n)
	n.ex = x
	g := x.group.find()
	g.spans++
	g.first, g.last = min(g.first, n.Start), max(g.last, n.End)
	n.group = g

	if n.CarriedTrace != (TraceID{}) && x.carried == (pair{}) {
		x.carried, x.own = pair{n.CarriedTrace, n.CarriedSpan}, n.CarriedOwn
		t.join(x.group, t.trace(n.CarriedTrace, true, nil))
		c := t.carriers[x.carried]
		if c == nil {
			c = &carrier{}
			t.carriers[x.carried] = c
		}
		if len(c.exchanges) <= t.guards.MaxSiblings {
			c.exchanges = append(c.exchanges, x)
		}
	}
	if n.Trace != (TraceID{}) {
		t.join(x.group, t.trace(n.Trace, !n.Provisional, nil))
	}
	t.link(n)
	for _, child := range t.waiting[n.Span] {
		t.adopt(child, n)
	}
	delete(t.waiting, n.Span)
	return true
}

// trace is the group of a trace id. app: it is an app's. n, if any, counts.
func (t *Table) trace(id TraceID, app bool, n *Node) *group {
	g := t.traces[id]
	if g == nil {
		g = &group{first: 1<<63 - 1}
		t.traces[id] = g
	}
	g = g.find()
	if app && g.app == (TraceID{}) {
		g.app = id
	}
	if n != nil {
		g.spans++
		g.first, g.last = min(g.first, n.Start), max(g.last, n.End)
	}
	return g
}

// link finds the exchange of the same process that caused n's, or those that
// n's caused.
func (t *Table) link(n *Node) {
	if !n.Point.Process() {
		return
	}
	if n.Linked && n.Parent != 0 {
		if p := t.hops[n.Parent]; p != nil {
			t.adopt(n, p)
		} else if len(t.waiting[n.Parent]) < t.guards.MaxSpans {
			t.waiting[n.Parent] = append(t.waiting[n.Parent], n)
		}
	}
	if n.Process == 0 {
		return
	}
	t.share(t.request, n, n.RequestID)
	if n.ResponseID != n.RequestID {
		t.share(t.request, n, n.ResponseID)
	}
	t.share(t.syscall, n, n.SyscallRequest)
	if n.SyscallResponse != n.SyscallRequest {
		t.share(t.syscall, n, n.SyscallResponse)
	}
}

// share files n under an id.
func (t *Table) share(m map[procKey]*sides, n *Node, id uint64) {
	if id == 0 {
		return
	}
	k := procKey{n.Process, id}
	s := m[k]
	if s == nil {
		s = &sides{}
		m[k] = s
	}
	list := &s.out
	if n.Point == hop.ServerProcess {
		list = &s.in
	}
	if len(*list) < maxShared {
		*list = append(*list, n)
	}
	// Whoever of the other side could be its counterpart is looked at when it is
	// decided; for the trace id the two are one group as soon as they are sure.
	if n.Point == hop.ServerProcess {
		for _, o := range s.out {
			t.tryLink(o)
		}
	} else {
		t.tryLink(n)
	}
}

// tryLink joins the outbound exchange of n with the inbound one that its ids
// name, if there is exactly one.
func (t *Table) tryLink(n *Node) {
	if n.ex == nil || n.ex.cause != nil {
		return
	}
	if p, e := t.cause(n); p != nil {
		n.ex.cause, n.ex.evidence = p, e
		t.stats.Links[e]++
		t.join(p.group, n.group)
	}
}

// cause is the inbound hop of n's process that caused the outbound n.
func (t *Table) cause(n *Node) (*Node, Evidence) {
	if n.RequestID != 0 {
		if p := t.sole(t.request, n, n.RequestID, func(p *Node) bool { return p.RequestID == n.RequestID || p.ResponseID == n.RequestID }); p != nil {
			return p, ByRequestID
		}
	}
	var a, b *Node
	if n.SyscallRequest != 0 {
		a = t.sole(t.syscall, n, n.SyscallRequest, func(p *Node) bool { return p.SyscallRequest == n.SyscallRequest })
	}
	if n.SyscallResponse != 0 {
		b = t.sole(t.syscall, n, n.SyscallResponse, func(p *Node) bool { return p.SyscallResponse == n.SyscallResponse })
	}
	switch {
	case a != nil && a == b:
		return a, BySyscall
	case a != nil && b != nil:
		t.stats.Ambiguous++ // request side and response side disagree
	case a != nil:
		return a, BySyscallOneSide
	case b != nil:
		return b, BySyscallOneSide
	}
	return nil, NoEvidence
}

// sole is the one inbound hop of n's process under id that was open when n
// began and that ok accepts.
func (t *Table) sole(m map[procKey]*sides, n *Node, id uint64, ok func(*Node) bool) *Node {
	s := m[procKey{n.Process, id}]
	if s == nil || len(s.in) >= maxShared {
		return nil
	}
	var found *Node
	for _, p := range s.in {
		if p.Start <= n.Start && n.Start <= p.End && ok(p) {
			if found != nil {
				t.stats.Ambiguous++
				return nil
			}
			found = p
		}
	}
	return found
}

// adopt joins the exchange of child with that of its parent.
func (t *Table) adopt(child, parent *Node) {
	if child.ex.cause == nil && parent.Point == hop.ServerProcess && child.Point == hop.ClientProcess {
		child.ex.cause = parent
	}
	t.join(parent.group, child.group)
}

// Learn tells that the exchange of key lid belongs to trace id on the host of
// its client, and that its client side exists there.
func (t *Table) Learn(lid hop.Key, id TraceID, provisional bool) {
	x := t.byLID[lid]
	if x == nil || id == (TraceID{}) {
		return
	}
	x.upstream = true
	t.join(x.group, t.trace(id, !provisional, nil))
	if g := x.group.find(); provisional && !g.decided && g.app == (TraceID{}) {
		g.own, g.decided = id, true
	}
}
