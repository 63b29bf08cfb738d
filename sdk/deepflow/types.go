// Package deepflow has the shapes of DeepFlow's SDK for plugins, so that a plugin
// written for it is moved by changing the import, and the build to
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o plugin.wasm .
//
// with SetParser in an init function, since main does not run. The module speaks
// DeepFlow's own ABI (results in protobuf), so it runs under their agent too, as
// far as that takes modules of the stock compiler.
package deepflow

import "net/netip"

// HookBitmap is one of the hooks that a Parser wants.
type HookBitmap int

// The hooks.
const (
	HOOK_POINT_HTTP_REQ       HookBitmap = 1
	HOOK_POINT_HTTP_RESP      HookBitmap = 2
	HOOK_POINT_CUSTOM_MESSAGE HookBitmap = 3
	HOOK_POINT_PAYLOAD_PARSE  HookBitmap = 128
)

// CUSTOM_MESSAGE_HOOK_ALL is every custom message; else CustomMessageHookIn gives
// the number of a protocol.
const CUSTOM_MESSAGE_HOOK_ALL uint64 = 0xff << 48

// Numbers of protocols that raise custom messages.
const (
	PROTOCOL_DUBBO    = 40
	PROTOCOL_NATS     = 104
	PROTOCOL_ZMTP     = 106
	PROTOCOL_ROCKETMQ = 107
)

// Protocol is that of the transport, Direction who sends.
type (
	Protocol  uint8
	Direction uint8
)

// Values of both.
const (
	TCP               Protocol  = 6
	UDP               Protocol  = 17
	DirectionRequest  Direction = 0
	DirectionResponse Direction = 1
)

// RespStatus is the outcome of a response.
type RespStatus uint8

// The outcomes.
const (
	RespStatusOk        RespStatus = 0
	RespStatusTimeout   RespStatus = 2
	RespStatusServerErr RespStatus = 3
	RespStatusClientErr RespStatus = 4
	RespStatusUnknown   RespStatus = 5
)

// Parser is a plugin; DefaultParser has an empty method for each.
type Parser interface {
	HookIn() []HookBitmap
	CustomMessageHookIn() uint64
	OnHttpReq(*HttpReqCtx) Action
	OnHttpResp(*HttpRespCtx) Action
	OnCustomMessage(*CustomMessageCtx) Action
	// OnCheckPayload gives a number of one's own above 0, the protocol's name of at
	// most 16 bytes, and who sent the payload: 0 not known, 1 client, 2 server.
	OnCheckPayload(*ParseCtx) (number uint8, name string, direction uint8)
	OnParsePayload(*ParseCtx) Action
}

// DefaultParser does nothing; embed it.
type DefaultParser struct{}

func (DefaultParser) HookIn() []HookBitmap                            { return nil }
func (DefaultParser) CustomMessageHookIn() uint64                     { return 0 }
func (DefaultParser) OnHttpReq(*HttpReqCtx) Action                    { return ActionNext() }
func (DefaultParser) OnHttpResp(*HttpRespCtx) Action                  { return ActionNext() }
func (DefaultParser) OnCustomMessage(*CustomMessageCtx) Action        { return ActionNext() }
func (DefaultParser) OnCheckPayload(*ParseCtx) (uint8, string, uint8) { return 0, "", 0 }
func (DefaultParser) OnParsePayload(*ParseCtx) Action                 { return ActionNext() }

// ParseCtx is what is known of the connection and the message.
type ParseCtx struct {
	SrcIP, DstIP     netip.Addr
	SrcPort, DstPort uint16
	L4               Protocol
	L7               uint8
	EbpfType         uint8
	Time             uint64 // us
	Direction        Direction
	ProcName         string
	FlowID           uint64
	BufSize          uint16
}

// GetPayload is the message, as far as the host has it; good until the next hook.
func (c *ParseCtx) GetPayload() ([]byte, error) {
	b := make([]byte, c.BufSize)
	n := readPayload(b)
	if n < 0 {
		return nil, errHost
	}
	return b[:n], nil
}

// HttpReqCtx is a request.
type HttpReqCtx struct {
	BaseCtx                        ParseCtx
	Path, Host, UserAgent, Referer string
}

// HttpRespCtx is a response.
type HttpRespCtx struct {
	BaseCtx  ParseCtx
	Code     uint16
	Status   RespStatus
	Endpoint string
}

// CustomMessageCtx is a message of a protocol that raises custom messages.
type CustomMessageCtx struct {
	BaseCtx   ParseCtx
	HookPoint uint16
	TypeCode  uint32
	// Proto is NatsMessage{1 subject, 2 reply_to, 3 payload} or
	// ZmtpMessage{1 pattern, 2 payload}; empty for others.
	Proto []byte
}

type hostError string

func (e hostError) Error() string { return string(e) }

const errHost = hostError("the host gave nothing")

// Action is what a hook gives.
type Action struct {
	abort bool
	err   error
	infos []*L7ProtocolInfo
}

// ActionNext asks the next plugin.
func ActionNext() Action { return Action{} }

// ActionAbort asks no other plugin.
func ActionAbort() Action { return Action{abort: true} }

// ActionAbortWithErr says that the plugin failed; an error is counted.
func ActionAbortWithErr(err error) Action { return Action{abort: true, err: err} }

// HttpReqActionAbortWithResult says what a request is.
func HttpReqActionAbortWithResult(req *Request, trace *Trace, kv []KeyVal) Action {
	return ParseActionAbortWithL7Info([]*L7ProtocolInfo{{Req: req, Trace: trace, Kv: kv}})
}

// HttpRespActionAbortWithResult says what a response is.
func HttpRespActionAbortWithResult(resp *Response, trace *Trace, kv []KeyVal) Action {
	return ParseActionAbortWithL7Info([]*L7ProtocolInfo{{Resp: resp, Trace: trace, Kv: kv}})
}

// CustomMessageActionAbortWithResult says what a custom message is.
func CustomMessageActionAbortWithResult(req *Request, resp *Response, trace *Trace, kv []KeyVal) Action {
	return ParseActionAbortWithL7Info([]*L7ProtocolInfo{{Req: req, Resp: resp, Trace: trace, Kv: kv}})
}

// ParseActionAbortWithL7Info says which messages a payload is.
func ParseActionAbortWithL7Info(infos []*L7ProtocolInfo) Action {
	return Action{abort: true, infos: infos}
}

// KeyVal is an attribute.
type KeyVal struct{ Key, Val string }

// Request is the asking half.
type Request struct{ Version, ReqType, Domain, Resource, Endpoint string }

// Response is the answering half.
type Response struct {
	Status            RespStatus
	Code              *int32
	Result, Exception string
	ReqType, Endpoint string
}

// Trace is the ids that a plugin found.
type Trace struct {
	TraceID, SpanID, ParentSpanID string
	XRequestID, HttpProxyClient   string
	TraceIDs                      []string
}

// L7ProtocolInfo is one message; one of Req and Resp.
type L7ProtocolInfo struct {
	ReqLen, RespLen *int
	RequestID       *uint32
	Req             *Request
	Resp            *Response
	Trace           *Trace
	Kv              []KeyVal
	// ProtocolMerge: messages of one RequestID are parts of one session, until
	// IsEnd of both directions.
	ProtocolMerge, IsEnd                  bool
	IsAsync, IsReversed                   bool
	BizType                               uint32
	BizCode, BizScenario, BizResponseCode string
	L7ProtocolStr                         string
}
