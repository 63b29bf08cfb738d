// Package l7 says what an application protocol is, to the engine that reads
// connections (internal/session) and to the packages below this one, each of
// which reads one protocol.
//
// The engine owns positions, time, buffering, gaps, pairing and time-outs. A
// protocol owns meaning: where a message ends, and what it says.
package l7

import "errors"

// Side tells who sent bytes: the end that asks or the end that answers.
type Side uint8

// The two sides of a connection.
const (
	Client Side = 0
	Server Side = 1
)

// Other is the side that s talks to.
func (s Side) Other() Side { return s ^ 1 }

func (s Side) String() string {
	if s == Client {
		return "client"
	}
	return "server"
}

// Transport is a set of transports that a protocol is spoken on. Unix stream
// sockets count as TCP.
type Transport uint8

// Transports; a protocol spoken on both has TCP|UDP.
const (
	TCP Transport = 1 << iota
	UDP
)

// Pairing is how an answer finds its request.
type Pairing uint8

const (
	// InOrder: the n-th answer belongs to the n-th request (HTTP/1, Redis).
	InOrder Pairing = iota
	// ByStream: an answer carries its request's Message.Stream (HTTP/2, DNS).
	ByStream
)

// Verdict is what Detect makes of the first bytes of one direction.
type Verdict uint8

const (
	// No: this is not the protocol.
	No Verdict = iota
	// More: it may be, the bytes are too few to tell.
	More
	// Request: a message of the asking side starts here.
	Request
	// Response: a message of the answering side starts here.
	Response
	// Either: a message starts here that both sides send. The engine takes the
	// sides from the connection, as far as it knows them.
	Either
)

// Type is what a message is to its exchange.
type Type uint8

const (
	// TypeRequest opens an exchange.
	TypeRequest Type = iota
	// TypeResponse answers one.
	TypeResponse
	// TypeOneWay is an exchange of its own: nothing answers it.
	TypeOneWay
)

// Status is the outcome of an exchange in protocol-independent terms.
type Status uint8

// Outcomes. Which codes are whose error is the protocol's business.
const (
	StatusUnset Status = iota
	StatusOK
	StatusClientError
	StatusServerError
)

// Failed reports whether s is an error of either side.
func (s Status) Failed() bool { return s >= StatusClientError }

func (s Status) String() string {
	switch s {
	case StatusOK:
		return "ok"
	case StatusClientError:
		return "client_error"
	case StatusServerError:
		return "server_error"
	}
	return "unknown"
}

// Flow is the direction of meaning, which decides the kind of the span.
type Flow uint8

const (
	// FlowCall: the client wants something from the server.
	FlowCall Flow = iota
	// FlowPublish: a message is handed to a broker.
	FlowPublish
	// FlowDeliver: a broker hands a message to a consumer.
	FlowDeliver
)

// What Parse returns instead of a message.
var (
	// ErrSkip: n bytes that say nothing: a preface, a ping, padding.
	ErrSkip = errors.New("l7: nothing to report")
	// ErrEnd: n bytes that end the message that was left open by Message.More.
	// What m says is added to it. Nothing happens if it is over already.
	ErrEnd = errors.New("l7: the open message ends")
	// ErrBlind: n bytes of a message that was left open and whose end is in a
	// hole: it ends when a new one is found, or when the other side goes on.
	ErrBlind = errors.New("l7: inside a message with an unknown end")
	// ErrMore: a message may start here, the window is too short to tell.
	ErrMore = errors.New("l7: more bytes needed")
	// ErrLost: no message starts here.
	ErrLost = errors.New("l7: no message starts here")
)

// Protocol describes one protocol. It is a value without state.
type Protocol struct {
	Name      string    // network.protocol.name, and the key in the configuration
	Folder    string    // below internal/l7, where it is not Name
	Transport Transport // TCP, UDP or both
	Ports     []uint16  // orders detection; never evidence
	Pairing   Pairing
	Keys      Keys
	Attrs     []Attr // constant for every span: db.system.name and the like
	// Weak protocols have no signature of their own: they are tried only after
	// all others have said No, and only on their ports or where the
	// configuration names them.
	Weak bool
	// MaxWindow bounds what the engine keeps of one side while Parse says
	// ErrMore. Zero: DefaultWindow.
	MaxWindow int
	// Detect looks at the first bytes of one direction of a connection that
	// nobody claimed yet. It may be called with few bytes and with many.
	Detect func(head []byte) Verdict
	// Carries is what is spoken on top of it, as Message.As has it.
	Carries []*Protocol
	// OfConn: what the Attrs of its exchanges say is true of the connection, and
	// part of all that is told of it later.
	OfConn bool
	// Bodies: its parser shows bodies to Options.Extract. Of other protocols the
	// engine shows messages as they are on the wire.
	Bodies bool
	// Shared makes what all connections that one engine reads have in common, and
	// find in Options.Shared: what is learnt on one and needed on another. One
	// goroutine owns it. May be nil.
	Shared func() any
	// New makes the state of one connection.
	New func(*Options) Parser
}

// DefaultWindow is the most the engine buffers of one side for a parser that
// asks for more: every header block of a real HTTP server fits, and an
// attacker gets no more than twice this per connection.
const DefaultWindow = 64 << 10

// Keys names the span attributes that carry a message's fields; "" leaves the
// field out. Semantic conventions only.
type Keys struct {
	Op     string // http.request.method, db.operation.name
	Target string // url.path, db.query.text
	Route  string // http.route, db.collection.name
	Code   string // http.response.status_code; decimal codes of CodeInt are ints
	// CodeInt: Code is a number in its convention (HTTP), not a string.
	CodeInt bool
	Domain  string // server.address, db.namespace
	Session string // hopscope.session.request_id unless said otherwise
}

// Parser reads one connection. One goroutine owns it. It does not block, log,
// read a clock, start a goroutine, or keep bytes of w after it returns
// (Message.Text copies what has to stay).
type Parser interface {
	// Parse reads the message at the front of w, bytes that side sent, into m.
	//
	//	n > 0, nil      m is filled. n is what the message takes on the wire;
	//	                more than w holds is allowed: the engine skips the rest.
	//	n > 0, ErrSkip  n bytes that say nothing. More than w holds is allowed.
	//	n > 0, ErrEnd   n bytes that end the open message; likewise.
	//	n > 0, ErrBlind n bytes of an open message, whose end is not known.
	//	0, ErrMore      a message may start here, w is too short to tell. With
	//	                w.End it is the last call for these bytes: say what can
	//	                be said of them, or they are dropped.
	//	0, ErrLost      no message starts here.
	//
	// m arrives empty but for m.Text and the capacity of m.Attrs.
	Parse(side Side, w Window, m *Message) (n int, err error)
}

// Resyncer is implemented by parsers with state that a hole makes wrong
// (a body half read, header tables). Without it the engine makes a new parser
// after a hole.
type Resyncer interface {
	// Resync is told that bytes of side are missing before what comes next:
	// lost by the capture, or beyond what it keeps of a message. What it reads
	// next starts with a message, as far as Detect can tell.
	Resync(side Side)
}

// Finder is implemented by parsers that know better than Detect where, after a
// hole, the next message starts.
type Finder interface {
	// Find is the offset in b of the first message of side, or -1.
	Find(side Side, b []byte) int
}

// Window is what a parser may look at.
type Window struct {
	B []byte
	// End: a hole or the end of the stream follows B. Asking for more is vain.
	End bool
	// Req is, for the answering side of an InOrder protocol, the request that
	// the message in B answers, where the engine is sure of it: its Op and Note
	// tell how to read the answer. Else nil. Read only.
	Req *Message
}

// Message is one message of one side, as far as it matters to a span. Strings
// are constants, or come from Text.
type Message struct {
	Type   Type
	Flow   Flow
	Status Status
	// More: this message goes on; a later one with the same Type (and Stream)
	// continues it: one-way messages only with ByStream, and from either side. Fields set by the later one overwrite, Attrs are appended.
	More bool
	// Fresh: this message is a new one, even if the one before it on its side was
	// left open.
	Fresh bool
	// Switch: after this message the connection speaks something else (an
	// upgrade, STARTTLS); the engine looks what. Bytes that say nothing else
	// (ErrSkip) may say this.
	Switch bool
	// Seals, with Switch: what follows is TLS.
	Seals bool
	// Opaque: after this message nobody can read the connection (compression
	// that was agreed on, encryption); the engine gives it up.
	Opaque bool
	// NoReply: a request that nothing will answer after all is TypeOneWay; this
	// is for a message that completes the exchange it continues from the
	// request's side (a stream reset by the client; InOrder, the exchange that
	// was begun last).
	NoReply bool
	// Continues: this part of a request goes on with one that is known, or says
	// nothing: where that was given up (a time-out), it opens no exchange.
	Continues bool
	// Timed: when the body begins is of interest: an event stream.
	Timed bool
	// Stream pairs answer and request when the Protocol says ByStream. InOrder, an
	// answer is only that of a request with the same Stream.
	Stream uint64
	// Silent: a request of an InOrder protocol that is answered only sometimes
	// (a quiet get that finds nothing). The answer to a later one says that it is
	// over, unanswered, as is its right.
	Silent bool
	// Through, behind Stream: the answer is also that of every other request that
	// is open from Stream to Through (one acknowledgement of many messages).
	Through uint64
	// Batch, of requests of an InOrder protocol: they stand or fall together.
	// Bytes that Parse returns ErrSkip for, with Over set, end those of Batch that
	// are open: nothing will answer them. 0: none.
	Batch uint64
	Over  bool
	As    *Protocol // the protocol spoken on top, if it is not the connection's (gRPC)

	Op      string // few values: GET, Produce, SELECT
	Target  string // what Op is done to, in full: a path, a topic, a statement
	Route   string // Target with few values: /orders/{id}, a table
	Name    string // the span name, where "Op Route" is not the convention
	Code    string // the protocol's own word for Status: 404, MOVED, 1062
	Error   string // what went wrong, in the protocol's words
	Domain  string // Host, schema, virtual host
	Version string // network.protocol.version
	Session string // the request's id in the protocol's own words, if it has one

	Trace Trace  // ids carried in band; zero: none
	Attrs []Attr // semantic conventions only
	Note  uint64 // the parser's own, request to response

	// Head, if not nil, is what the message was read from and nothing but that:
	// messages with one Head are equal, given that they answer equal ones.
	Head *HeadID

	// Text keeps bytes of the window as strings.
	Text *Text
}

// Add appends a string attribute.
func (m *Message) Add(key, value string) {
	m.Attrs = append(m.Attrs, Attr{Key: key, Str: value})
}

// AddInt appends an integer attribute.
func (m *Message) AddInt(key string, value int64) {
	m.Attrs = append(m.Attrs, Attr{Key: key, Int: value, Kind: AttrInt})
}

// AddBool appends a boolean attribute.
func (m *Message) AddBool(key string, value bool) {
	a := Attr{Key: key, Kind: AttrBool}
	if value {
		a.Int = 1
	}
	m.Attrs = append(m.Attrs, a)
}

// AddList appends a string to the list attribute of that key.
func (m *Message) AddList(key, value string) {
	m.Attrs = append(m.Attrs, Attr{Key: key, Str: value, Kind: AttrList})
}

// AttrKind is the type of an attribute's value.
type AttrKind uint8

// Kinds of values. Several AttrList with one key make one list, in order.
const (
	AttrStr AttrKind = iota
	AttrInt
	AttrBool
	AttrList
	// AttrRule is what a rule found, Int its number, until Extract.Settle.
	AttrRule
)

// Attr is one span attribute.
type Attr struct {
	Key  string
	Str  string
	Int  int64
	Kind AttrKind
}
