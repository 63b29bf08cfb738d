package table

import "time"

// Guards bound what joining may build: unguarded adoption made traces of
// 45,000 spans over hours elsewhere.
type Guards struct {
	// MaxSpans, MaxDuration: a trace past either takes no further joins.
	MaxSpans    int
	MaxDuration time.Duration
	// MaxSiblings is how many inbound exchanges may hang on one carried span id.
	MaxSiblings int
}

// group is spans known to be one trace: a union-find set.
type group struct {
	up    *group // towards the representative; nil for it
	app   TraceID
	first int64
	last  int64
	spans int
	// own is the trace id once it is decided without an app's.
	own     TraceID
	decided bool
	// learned: own came from the link table and may still be overruled by a
	// nearer root.
	learned bool
	// ids are the trace ids that lead here; gone counts the spans forgotten.
	ids  []TraceID
	gone int
	// exchanges are the members, for finding the root.
	exchanges []*exchange
	// clients are the client app spans, for finding who made a call.
	clients []*Node
	// inbound are the server process hops, for finding what a server span
	// without a parent was called by.
	inbound []*Node
	// outbound are the client process hops, for finding what a server waited for.
	outbound []*Node
}

func (g *group) find() *group {
	for g.up != nil {
		if g.up.up != nil {
			g.up = g.up.up
		}
		g = g.up
	}
	return g
}

// sentApart reports whether parts of what is one trace were sent on under
// different ids: they stay two for who gets them.
func sentApart(a, b *group) bool {
	var none TraceID
	switch {
	case a.app != none:
		return b.app == none && b.decided && b.own != a.app
	case b.app != none:
		return a.decided && a.own != b.app
	}
	return a.decided && b.decided && a.own != b.own
}

// join makes one group of two, unless that would merge two app traces or pass
// a guard. It reports whether they are one now.
func (t *Table) join(a, b *group) bool {
	a, b = a.find(), b.find()
	if a == b {
		return true
	}
	var none TraceID
	if a.app != none && b.app != none && a.app != b.app {
		t.stats.RefusedTwoTraces++
		return false
	}
	first, last := min(a.first, b.first), max(a.last, b.last)
	if a.spans+b.spans > t.guards.MaxSpans {
		t.stats.RefusedSpans++
		return false
	}
	if last-first > int64(t.guards.MaxDuration) {
		t.stats.RefusedDuration++
		return false
	}
	if sentApart(a, b) {
		t.stats.Apart++
	}
	if a.spans < b.spans {
		a, b = b, a
	}
	b.up = a
	a.first, a.last, a.spans = first, last, a.spans+b.spans
	a.exchanges = append(a.exchanges, b.exchanges...)
	b.exchanges = nil
	if room := maxClients - len(a.clients); room > 0 {
		a.clients = append(a.clients, b.clients[:min(room, len(b.clients))]...)
	}
	if room := maxClients - len(a.inbound); room > 0 {
		a.inbound = append(a.inbound, b.inbound[:min(room, len(b.inbound))]...)
	}
	if room := maxClients - len(a.outbound); room > 0 {
		a.outbound = append(a.outbound, b.outbound[:min(room, len(b.outbound))]...)
	}
	b.clients, b.inbound, b.outbound = nil, nil, nil
	if a.app == none {
		a.app = b.app
	}
	if !a.decided && (b.decided || b.learned && !a.learned) {
		a.decided, a.learned, a.own = b.decided, b.learned, b.own
	}
	a.ids, b.ids = append(a.ids, b.ids...), nil
	a.gone += b.gone
	return true
}
