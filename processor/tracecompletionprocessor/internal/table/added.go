package table

import (
	"slices"

	"github.com/hopscope/hopscope/internal/hop"
)

// within is the part of hop i's time that others account for: the next hop, or
// for a server process the calls that it made meanwhile. So the sum of what hops
// add is, over a path, the duration of its exchange, and over a trace that of
// its root, as far as calls do not overlap.
func (t *Table) within(x *exchange, i int) int64 {
	if m := t.inner(x, i); m != nil {
		return m.End - m.Start
	}
	n := x.hops[i]
	if n.Point != hop.ServerProcess || n.Process == 0 {
		return 0
	}
	g := n.group.find()
	if len(g.outbound) >= maxClients {
		return 0 // some are not known any more
	}
	var buf [16]span
	calls := buf[:0]
	for _, c := range g.outbound {
		if c.Process == n.Process && c.Start < n.End && n.Start < c.End && t.madeFor(g, n, c) {
			calls = append(calls, span{max(c.Start, n.Start), min(c.End, n.End)})
		}
	}
	return covered(calls)
}

// maxPairs bounds what is compared for one hop of a large trace whose calls are
// not linked.
const maxPairs = 1 << 16

// madeFor reports whether n's process made call c for n: it is linked so, or it
// is of n's trace and n is the only request of the trace that was open there.
func (t *Table) madeFor(g *group, n, c *Node) bool {
	if c.ex.cause != nil {
		return c.ex.cause == n
	}
	if len(g.inbound)*len(g.outbound) > maxPairs {
		return false
	}
	for _, o := range g.inbound {
		if o != n && o.Process == n.Process && o.Start <= c.Start && c.Start <= o.End {
			return false
		}
	}
	return n.Start <= c.Start && c.Start <= n.End
}

type span struct{ from, to int64 }

// covered is the time that at least one of the spans covers.
func covered(spans []span) (sum int64) {
	slices.SortFunc(spans, func(a, b span) int { return sign(a.from - b.from) })
	var until int64
	for _, s := range spans {
		from := max(s.from, until)
		if s.to > from {
			sum += s.to - from
			until = s.to
		}
	}
	return sum
}
