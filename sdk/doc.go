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
