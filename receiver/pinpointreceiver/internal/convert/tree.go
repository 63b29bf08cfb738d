package convert

import (
	"cmp"
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/wire"
)

// node is one event of a span, placed.
type node struct {
	e        *wire.Event
	async    int32 // the space it is numbered in; 0: the span's own
	asyncSeq int32
	isAsync  bool
	depth    int32
	start    int64 // ms
	id       pcommon.SpanID
	parent   pcommon.SpanID
	up       int  // index of the parent event; -1: none here
	doubt    bool // its parent may be one that was not seen
	gap      bool // events before it are missing
}

// owner is the event that began asynchronous work.
type owner struct{ id pcommon.SpanID }

// tree places the events of a group.
type tree struct {
	nodes  []node
	stack  []int
	ids    ids
	root   pcommon.SpanID
	owners map[int32]owner
	// salt tells the events of spans with one spanId apart.
	salt int64
	// lost: numbers are missing.
	lost bool
}

// relative reports whether the events' startElapsed counts from their parent's
// start: agents of Pinpoint's C core, which say no protocol version, do so; all
// others count from the event before.
func relative(a *Agent, s *wire.Span) bool {
	return a.Protocol == "" && (s.AppType == 1300 || s.AppType == 1500 || s.AppType == 1700)
}

// build places the events of g, whose span has the id root.
func (t *tree) build(g *group, span *wire.Span, chunks []*wire.Span, root pcommon.SpanID) {
	t.nodes, t.root, t.lost = t.nodes[:0], root, false
	t.owners = g.owners
	rel := false
	if span != nil {
		t.add(span, span.Start)
		rel = relative(g.key.agent, span)
	}
	for _, c := range chunks {
		t.add(c, c.KeyTime)
		rel = rel || relative(g.key.agent, c)
	}
	slices.SortStableFunc(t.nodes, func(a, b node) int {
		return cmp.Or(cmp.Compare(a.async, b.async), cmp.Compare(a.asyncSeq, b.asyncSeq), cmp.Compare(a.e.Sequence, b.e.Sequence))
	})
	for i := range t.nodes {
		n := &t.nodes[i]
		e := n.e
		switch {
		case callee(e.NextSpanID):
			n.id = t.ids.rule('N', e.NextSpanID)
		case e.AsyncEvent != 0:
			n.id = t.ids.rule('A', g.key.span, int64(e.AsyncEvent))
		default:
			n.id = t.ids.rule('E', g.key.span, int64(n.async), int64(n.asyncSeq), int64(e.Sequence))
			if t.salt > 0 {
				n.id = t.ids.rule('E', g.key.span, int64(n.async), int64(n.asyncSeq), int64(e.Sequence), t.salt)
			}
		}
		if e.AsyncEvent != 0 {
			if t.owners == nil {
				t.owners = map[int32]owner{}
			}
			t.owners[e.AsyncEvent] = owner{n.id}
		}
	}
	g.owners = t.owners
	t.parents(span != nil || g.emitted)
	if rel {
		t.fromParents(span, chunks)
	}
}

// add takes the events of one message, whose times and depths are told as
// differences in the order of its list.
func (t *tree) add(s *wire.Span, start int64) {
	depth := int32(0)
	for i := range s.Events {
		e := &s.Events[i]
		if e.Depth != 0 || i == 0 {
			depth = max(e.Depth, 1)
		}
		start += int64(e.StartElapsed)
		t.nodes = append(t.nodes, node{e: e, isAsync: s.Async, async: s.AsyncID, asyncSeq: s.AsyncSeq, depth: depth, start: start, up: -1})
	}
}

// parents finds whose child each node is: the nearest event before it, in its
// space, that is one level up. Where numbers are missing before it, an event
// that was not seen may be that.
func (t *tree) parents(whole bool) {
	t.stack = t.stack[:0]
	for i := range t.nodes {
		n := &t.nodes[i]
		first := i == 0 || t.nodes[i-1].async != n.async || t.nodes[i-1].asyncSeq != n.asyncSeq
		expect := int32(0)
		if !first {
			expect = t.nodes[i-1].e.Sequence + 1
		} else {
			t.stack = t.stack[:0]
		}
		if n.e.Sequence > expect {
			n.gap, t.lost = true, true
			t.stack = t.stack[:0]
		}
		for len(t.stack) > 0 && t.nodes[t.stack[len(t.stack)-1]].depth >= n.depth {
			t.stack = t.stack[:len(t.stack)-1]
		}
		switch {
		case len(t.stack) > 0:
			n.up = t.stack[len(t.stack)-1]
			n.parent = t.nodes[n.up].id
			n.doubt = t.nodes[n.up].depth != n.depth-1
		default:
			n.parent = t.root
			n.doubt = n.depth > 1
			if n.isAsync {
				if o, ok := t.owners[n.async]; ok {
					n.parent = o.id
				} else {
					n.doubt = true // the event that began it is lost
				}
			}
		}
		n.doubt = n.doubt || !whole
		t.stack = append(t.stack, i)
	}
}

// fromParents reads startElapsed as counted from the parent's start.
func (t *tree) fromParents(span *wire.Span, chunks []*wire.Span) {
	base := int64(0)
	if span != nil {
		base = span.Start
	} else if len(chunks) > 0 {
		base = chunks[0].KeyTime
	}
	for i := range t.nodes {
		n := &t.nodes[i]
		from := base
		if n.up >= 0 {
			from = t.nodes[n.up].start
		}
		n.start = from + int64(n.e.StartElapsed)
	}
}
