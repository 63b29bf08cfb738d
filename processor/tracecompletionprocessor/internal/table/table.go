package table

import (
	"slices"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/skew"
)

// Stats counts what the table did and what it refused. Cumulative.
type Stats struct {
	Duplicates       uint64 // hops that were there already: two taps of one place
	RefusedTwoTraces uint64 // joins that would have merged two app traces
	RefusedSpans     uint64 // joins past Guards.MaxSpans
	RefusedDuration  uint64 // joins past Guards.MaxDuration
	RefusedSiblings  uint64 // app spans not re-parented for Guards.MaxSiblings
	Ambiguous        uint64 // links with more than one candidate, not made
	Apart            uint64 // joins of traces that had been sent on under two ids
	Late             uint64 // hops of exchanges of which another hop had been sent on
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
	cfg    Config
	guards Guards
	stats  Stats
	skew   *skew.Estimator

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
	remote   map[uint64]*served  // by the client's address and port
}

// sides are the exchanges of one process that share an id.
type sides struct {
	in, out []*Node
}

// maxShared bounds how many messages of one process may share an id before it
// says nothing (a constant X-Request-ID).
const maxShared = 64

// Config is how joining is done.
type Config struct {
	Guards Guards
	// Reparent: app spans may get another parent.
	Reparent bool
	// Fold: network hops go into the process span of their host. Drop: they go.
	Fold, Drop bool
	// Skew: clock offsets of hosts are estimated. Adjust: and corrected.
	Skew, Adjust bool
}

// New makes an empty table.
func New(c Config) *Table {
	return &Table{
		cfg: c, guards: c.Guards, skew: skew.New(),
		hops: map[hop.Key]*Node{}, apps: map[pair]*Node{}, servers: map[pair]*Node{},
		byLID: map[hop.Key]*exchange{}, byXID: map[hop.Key]*exchange{},
		traces: map[TraceID]*group{}, carriers: map[pair]*carrier{},
		waiting: map[hop.Key][]*Node{},
		request: map[procKey]*sides{}, syscall: map[procKey]*sides{}, remote: map[uint64]*served{},
	}
}

// Stats is a copy of the counters.
func (t *Table) Stats() Stats {
	s := t.stats
	s.Held = len(t.hops) + len(t.apps)
	return s
}

// Add takes a node. It returns false for a hop that is there already.
func (t *Table) Add(n *Node) bool {
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
	if p := n.parent(); n.Server && p != 0 {
		t.servers[pair{n.Trace, p}] = n
	}
	if n.Server {
		t.fileServed(n)
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

// twiceWithin: two spans of one id are one hop seen twice if they start within
// it. Ids made of a DNS message id and a question come again.
const twiceWithin = int64(1e9)

func (t *Table) addHop(n *Node) bool {
	if o := t.hops[n.Span]; o != nil && abs(o.Start-n.Start) < twiceWithin {
		t.stats.Duplicates++
		return false
	}
	t.hops[n.Span] = n
	x := t.exchange(n)
	if slices.ContainsFunc(x.hops, func(o *Node) bool { return o.done }) {
		t.stats.Late++
	}
	x.insert(n)
	n.ex = x
	g := x.group.find()
	g.spans++
	g.first, g.last = min(g.first, n.Start), max(g.last, n.End)
	n.group = g

	if w := n.Carried; w != nil && x.carried == (pair{}) {
		x.carried, x.own, x.caller, x.received = pair{w.Trace, w.Span}, w.Own, w.Caller, n.Received
		t.join(x.group, t.trace(w.Trace, true, nil))
		c := t.carriers[x.carried]
		if c == nil {
			c = &carrier{}
			t.carriers[x.carried] = c
		}
		if len(c.exchanges) <= t.guards.MaxSiblings {
			c.exchanges = append(c.exchanges, x)
		}
	}
	n.Carried = nil // the exchange has it
	if n.Trace != (TraceID{}) && !t.names(n.Trace, !n.Provisional, x.group.find()) {
		t.join(x.group, t.trace(n.Trace, !n.Provisional, nil))
	}
	// What was joined away is held by nobody.
	x.group = x.group.find()
	n.group = x.group
	if t.cfg.Skew {
		t.observeSkew(x)
	}
	t.link(n)
	if children, ok := t.waiting[n.Span]; ok {
		for _, child := range children {
			t.adopt(child, n)
		}
		delete(t.waiting, n.Span)
	}
	return true
}

// trace is the group of a trace id. app: it is an app's. n, if any, counts.
func (t *Table) trace(id TraceID, app bool, n *Node) *group {
	g := t.traces[id]
	if g == nil {
		g = &group{first: 1<<63 - 1, ids: []TraceID{id}}
		t.traces[id] = g
	}
	if r := g.find(); r != g {
		g = r
		t.traces[id] = g
	}
	if app && g.app == (TraceID{}) {
		g.app = id
	}
	if n != nil {
		g.spans++
		g.first, g.last = min(g.first, n.Start), max(g.last, n.End)
	}
	return g
}

// names makes a trace id that nobody has named yet one of g's, where nothing
// speaks against it: what a join with a group of the id's own comes to. It reports
// whether g has the id now.
func (t *Table) names(id TraceID, app bool, g *group) bool {
	if g.decided || g.spans > t.guards.MaxSpans || g.last-g.first > int64(t.guards.MaxDuration) ||
		app && g.app != (TraceID{}) && g.app != id {
		return false
	}
	if have := t.traces[id]; have != nil {
		return have == g && !app
	}
	t.traces[id] = g
	g.ids = append(g.ids, id)
	if app && g.app == (TraceID{}) {
		g.app = id
	}
	return true
}

// link finds the exchange of the same process that caused n's, or those that
// n's caused.
func (t *Table) link(n *Node) {
	if !n.Point.Process() {
		return
	}
	if n.Point == hop.ServerProcess {
		if g := n.group.find(); len(g.inbound) < maxClients {
			g.inbound = append(g.inbound, n)
		}
		t.fileServed(n)
	} else if g := n.group.find(); len(g.outbound) < maxClients {
		g.outbound = append(g.outbound, n)
	}
	if n.Linked && n.Parent != 0 {
		if p := t.hops[n.Parent]; p != nil {
			t.adopt(n, p)
		} else if len(t.waiting[n.Parent]) < t.guards.MaxSpans {
			t.waiting[n.Parent] = append(t.waiting[n.Parent], n)
		}
	}
	if n.Process == 0 || n.Judged || n.Rare == nil {
		return
	}
	r := n.Rare
	t.share(t.request, n, r.RequestID)
	if r.ResponseID != r.RequestID {
		t.share(t.request, n, r.ResponseID)
	}
	t.share(t.syscall, n, r.SyscallRequest)
	if r.SyscallResponse != r.SyscallRequest {
		t.share(t.syscall, n, r.SyscallResponse)
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
}

// Settle looks, for nodes that are about to be decided, which exchanges of
// their processes caused each other. It is done late, because a candidate that
// is not there yet can make a link ambiguous.
func (t *Table) Settle(n *Node) {
	t.serve(n)
	if n.ex == nil || !n.Point.Process() || n.Process == 0 || n.Judged || n.Rare == nil {
		return
	}
	if n.Point == hop.ClientProcess {
		t.tryLink(n)
		return
	}
	each := func(m map[procKey]*sides, id uint64) {
		if s := m[procKey{n.Process, id}]; id != 0 && s != nil {
			for _, o := range s.out {
				t.tryLink(o)
			}
		}
	}
	r := n.Rare
	each(t.request, r.RequestID)
	each(t.request, r.ResponseID)
	each(t.syscall, r.SyscallRequest)
	each(t.syscall, r.SyscallResponse)
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
	r := n.rare()
	if r.RequestID != 0 {
		if p := t.sole(t.request, n, r.RequestID, func(p *Rare) bool { return p.RequestID == r.RequestID || p.ResponseID == r.RequestID }); p != nil {
			return p, ByRequestID
		}
	}
	var a, b *Node
	if r.SyscallRequest != 0 {
		a = t.sole(t.syscall, n, r.SyscallRequest, func(p *Rare) bool { return p.SyscallRequest == r.SyscallRequest })
	}
	if r.SyscallResponse != 0 {
		b = t.sole(t.syscall, n, r.SyscallResponse, func(p *Rare) bool { return p.SyscallResponse == r.SyscallResponse })
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
func (t *Table) sole(m map[procKey]*sides, n *Node, id uint64, ok func(*Rare) bool) *Node {
	s := m[procKey{n.Process, id}]
	if s == nil || len(s.in) >= maxShared {
		return nil
	}
	var found *Node
	for _, p := range s.in {
		if p.Start <= n.Start && n.Start <= p.End && ok(p.rare()) {
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

// Forget takes n out: nothing that comes later will find it.
func (t *Table) Forget(n *Node) {
	if n.App() {
		if k := (pair{n.Trace, n.Span}); t.apps[k] == n {
			delete(t.apps, k)
		}
		if k := (pair{n.Trace, n.parent()}); t.servers[k] == n {
			delete(t.servers, k)
		}
		t.unfileServed(n)
		t.leave(n)
		return
	}
	if t.hops[n.Span] == n {
		delete(t.hops, n.Span)
	}
	t.unfileServed(n)
	delete(t.waiting, n.Span)
	delete(t.waiting, n.Parent)
	if r := n.Rare; r != nil {
		for _, id := range [...]uint64{r.RequestID, r.ResponseID} {
			delete(t.request, procKey{n.Process, id})
		}
		for _, id := range [...]uint64{r.SyscallRequest, r.SyscallResponse} {
			delete(t.syscall, procKey{n.Process, id})
		}
	}
	x := n.ex
	if x == nil {
		return
	}
	if t.byLID[x.lid] == x {
		delete(t.byLID, x.lid)
	}
	if t.byXID[x.xid] == x {
		delete(t.byXID, x.xid)
	}
	if c := t.carriers[x.carried]; c != nil {
		c.exchanges = slices.DeleteFunc(c.exchanges, func(o *exchange) bool { return o == x })
		if len(c.exchanges) == 0 {
			delete(t.carriers, x.carried)
		}
	}
	t.leave(n)
}

// leave takes n out of its group's count; a trace without spans is forgotten.
func (t *Table) leave(n *Node) {
	if n.group == nil {
		return
	}
	g := n.group.find()
	if g.gone++; g.gone < g.spans {
		return
	}
	for _, id := range g.ids {
		if o := t.traces[id]; o != nil && o.find() == g {
			delete(t.traces, id)
		}
	}
	g.ids, g.exchanges, g.clients, g.inbound, g.outbound = nil, nil, nil, nil, nil
}
