// Package sdk is what plugins of the wasmparser processor import. They are built
// with the stock Go compiler:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o plugin.wasm .
//
// A plugin registers a function in an init function, since main does not run in
// a module of this kind:
//
//	func init() { sdk.OnSpan(func(s sdk.Span) sdk.Action { ... }) }
//	func main() {}
package sdk

// Action is what OnSpan's function gives.
type Action int32

// Next asks the other plugins too, Stop none.
const (
	Next Action = 0
	Stop Action = 1
)

// Side is one of the two messages.
type Side uint32

// The sides.
const (
	Request  Side = 0
	Response Side = 1
)

// Kind is what a message is to its exchange.
type Kind uint32

// The kinds.
const (
	Asks    Kind = 0
	Answers Kind = 1
	OneWay  Kind = 2
)

// Protocol is one that only the plugin knows. Its messages become exchanges.
type Protocol struct {
	// Name is network.protocol.name.
	Name string
	// Check tells whether b, what one end of a connection says first, is of it.
	Check func(side Side, b []byte) bool
	// Parse reads the message at the front of b into m, and gives its length, which
	// may be more than b has; 0: more is needed to tell; below 0: this is none. b
	// begins where the message before ended, however the bytes were cut.
	Parse func(side Side, b []byte, m *Message) int
}

// Message is what a protocol's message says; what is empty is not told.
type Message struct {
	// Kind is by who sent it, unless Parse says otherwise.
	Kind Kind
	// ID is the same in an answer and its request. Empty: answers come in the order
	// of requests.
	ID string
	// Operation and Target make the name of the span: few values.
	Operation, Target string
	TraceID           string
	// Of answers: Status is OK, ClientError or ServerError.
	Status, Code, Error string
	// Attrs are names and values.
	Attrs [][2]string
}

// Values of Message.Status.
const (
	OK          = "ok"
	ClientError = "client_error"
	ServerError = "server_error"
)
