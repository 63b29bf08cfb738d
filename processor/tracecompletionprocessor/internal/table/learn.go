package table

import "github.com/hopscope/hopscope/internal/hop"

// Tell reports whether n's host is to tell others the trace of n's exchange. A
// client process is told of as soon as it is seen; packets, which do not know
// what led to them, only once no process was seen to send them (later).
func (t *Table) Tell(n *Node, later bool) bool {
	if n.LID == 0 || !n.Point.OfClientHost() {
		return false
	}
	return later == (n.Point != hop.ClientProcess) && (!later || n.ex.hops[0] == n)
}

// Ask reports whether n is the first hop here of an exchange of which only the
// link table can tell more: the client's host is another one, and no header
// carries ids.
func (t *Table) Ask(n *Node) bool {
	x := n.ex
	return n.LID != 0 && x != nil && x.hops[0] == n && !x.owned() && !x.resolved && x.carried == (pair{})
}

// Owns is the trace ids that the traces of some nodes have at one moment: it
// looks for the root of each trace once, however many of its nodes are asked
// about. It holds while nothing is added or learned.
type Owns struct {
	t    *Table
	seen map[*group]own
}

type own struct {
	id          TraceID
	provisional bool
}

// Owns begins to look.
func (t *Table) Owns() Owns { return Owns{t, map[*group]own{}} }

// Of is the trace id that n's trace has now. If provisional, others may know it
// as part of another one.
func (o Owns) Of(n *Node) (id TraceID, provisional bool) {
	if n.ex == nil {
		return n.Trace, false
	}
	g := n.group.find()
	w, ok := o.seen[g]
	if !ok {
		w.id, w.provisional = o.t.groupTrace(g, n.ex)
		o.seen[g] = w
	}
	return w.id, w.provisional
}

// Learned is what came of an answer: the trace Was turned out to be part of Is.
type Learned struct {
	Was, Is     TraceID
	Provisional bool // Is may turn out to be part of another one
}

// Learn tells that the exchange of key lid belongs to trace id on the host of
// its client, and that its client side exists there. What the two hosts know of
// each other's trace is worth telling others: told, if ok.
func (t *Table) Learn(lid hop.Key, id TraceID, provisional bool) (told Learned, ok bool) {
	x := t.byLID[lid]
	if x == nil || id == (TraceID{}) || x.owned() {
		return told, false
	}
	x.upstream = true
	x.resolved = !provisional
	return t.rename(x.group.find(), x, id, provisional)
}

// Rename tells that the trace of n, whose id is provisional, is part of trace
// id.
func (t *Table) Rename(n *Node, id TraceID, provisional bool) (told Learned, ok bool) {
	if n.ex == nil || id == (TraceID{}) {
		return told, false
	}
	return t.rename(n.group.find(), n.ex, id, provisional)
}

func (t *Table) rename(g *group, x *exchange, id TraceID, provisional bool) (told Learned, ok bool) {
	was, wasProvisional := t.groupTrace(g, x)
	switch {
	case was == id:
		return told, false
	case !wasProvisional && provisional:
		// An app's id is known on this side: the other side is part of it.
		x.resolved = true
		return Learned{Was: id, Is: was}, true
	case !wasProvisional:
		t.stats.RefusedTwoTraces++
		return told, false
	case provisional:
		// A trace id, once given, stays: what comes after the first spans have left
		// is told to others only.
		if !g.decided {
			g.own, g.learned = id, true
		}
		return Learned{Was: was, Is: id, Provisional: true}, true
	}
	t.join(g, t.trace(id, true, nil))
	return Learned{Was: was, Is: id}, true
}
