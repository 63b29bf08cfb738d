// Package table joins spans into traces: hops of one exchange into a chain,
// exchanges of one process into components, app spans into both. It holds
// nodes, which are spans reduced to what the joining needs, and knows nothing
// of OTLP.
//
// Joining does not depend on the order of arrival, and joining what is joined
// changes nothing.
package table

import "github.com/hopscope/hopscope/internal/hop"

// TraceID is an OTLP trace id. All zero: none.
type TraceID [16]byte

// Node is one span. The first group of fields is what it says of itself. Many are
// held: what is small comes last, together.
type Node struct {
	Trace  TraceID
	Span   hop.Key
	Parent hop.Key

	Start, End int64 // unix nanoseconds

	// XID and LID are the exchange keys of a hop.
	XID, LID hop.Key

	// Carried are the ids that a hop's request carried; nil if none. A table takes
	// them.
	Carried *Carried
	// Rare is what few nodes have; nil if this one has none of it.
	Rare *Rare

	// System and PeerPort tell a client app span from another one: hash of the
	// database, RPC or HTTP system, port of the peer. 0 unknown.
	System uint64
	// Remote is the address and port of the client, hashed, as a server process
	// hop and a server app span have them. 0 unknown.
	Remote uint64

	ex    *exchange
	group *group
	// served is of an inbound process hop the server app span that it brought its
	// request to, and of that app span this hop: known for spans that nobody sent
	// ids to.
	served *Node
	sent   TraceID // with this trace id it was sent on
	sentAs hop.Key // and this span id

	// Index lets the owner find its span again.
	Index int32

	// Host and Process are interned names: 0 is unknown.
	Host    uint32
	Process uint32 // host and pid, or the service instance
	Service uint32

	PeerPort uint16

	// Point is the capture point of a hop; Unknown for app spans.
	Point hop.Point
	// Server and Client say the kind of an app span.
	Server, Client bool
	// Provisional: Trace is one that we made up, and gives way to an app's.
	Provisional bool
	// Rooted: an app span was joined, and had no parent.
	Rooted bool
	// UDP: the exchange keys come again soon.
	UDP bool
	// Received: the ids carried are those of a message that the server, a broker, handed
	// to the client.
	Received bool
	// Linked: the receiver has given Parent as an exchange of the process.
	Linked bool
	// Inconsistent: it was when its trace was completed before.
	Inconsistent bool
	// Judged: whoever made the span has looked for the exchange that caused this
	// one, with more at hand than a span tells. Nothing is added to what it found.
	Judged bool

	done    bool // decided and sent on
	dropped bool
}

// Carried are the ids that a request carried. Own: the span id is the callee's own
// (Pinpoint), not its parent's; then Caller is the id of the span that sent it.
type Carried struct {
	Trace        TraceID
	Span, Caller hop.Key
	Own          bool
}

// Rare is what few nodes have.
type Rare struct {
	// Original is the parent that an app span had before it was joined, if it
	// was.
	Original hop.Key
	// Own is the id that requests carry of an app span, if that is not its span
	// id: consumers of one message share it.
	Own hop.Key
	// RequestID and ResponseID hash X-Request-ID of the two messages, SyscallRequest
	// and SyscallResponse are the syscall trace ids. Of no use where Judged.
	RequestID, ResponseID           uint64
	SyscallRequest, SyscallResponse uint64
}

var nothingRare Rare

// rare is n's, to read.
func (n *Node) rare() *Rare {
	if n.Rare == nil {
		return &nothingRare
	}
	return n.Rare
}

// App reports whether n was made by an APM agent or SDK.
func (n *Node) App() bool { return n.Point == hop.Unknown }

// parent is what an app span itself named as its parent.
func (n *Node) parent() hop.Key {
	if o := n.rare().Original; o != 0 || n.Rooted {
		return o
	}
	return n.Parent
}

// own is the id by which a request that carries the callee's names n.
func (n *Node) own() hop.Key {
	if o := n.rare().Own; o != 0 {
		return o
	}
	return n.Span
}

// Decision is what joining makes of a node.
type Decision struct {
	Trace       TraceID
	Span        hop.Key
	Parent      hop.Key
	Provisional bool
	// Original is the parent that an app span named, if another one was put in
	// its place.
	Original hop.Key
	// Rooted: an app span that named no parent got one.
	Rooted bool
	// Drop: the span is not sent on. Folded are the network hops that go into
	// this process span instead of being spans. Shift is to be added to its
	// times, ns.
	Drop   bool
	Folded []*Node
	Shift  int64
	// Added is what lies between this hop and the next one, ns; at a server
	// process the time that it did not wait for others; at the last hop seen all
	// that lies behind. Inconsistent: it came out negative and was set to zero.
	Added        int64
	Inconsistent bool
	// Evidence of a link that the table made: a code of evidence names.
	Evidence Evidence
	// LinkTrace is another trace that this one must not be merged with but has
	// to do with: it becomes a span link.
	LinkTrace TraceID
	LinkSpan  hop.Key
}

// Evidence is what a process link rests on.
type Evidence uint8

// Evidence, strongest first.
const (
	NoEvidence Evidence = iota
	ByPropagation
	ByRequestID
	BySyscall
	BySyscallOneSide
)

func (e Evidence) String() string {
	return [...]string{"", "propagated_ids", "x_request_id", "syscall_trace_id", "syscall_trace_id"}[e]
}

// Confidence is how sure a link of this evidence is.
func (e Evidence) Confidence() string {
	return [...]string{"", "exact", "exact", "high", "medium"}[e]
}
