package wasmhost

// Direction of a message.
type Direction uint8

// Values are those of the ParseCtx.
const (
	ToServer Direction = 0
	ToClient Direction = 1
)

// Status of a response, as plugins number it.
type Status uint8

// The statuses that have a meaning; 2 was called "not exist" once.
const (
	StatusOK          Status = 0
	StatusTimeout     Status = 2
	StatusServerError Status = 3
	StatusClientError Status = 4
	StatusUnknown     Status = 5
)

// KeyVal is an attribute.
type KeyVal struct{ Key, Val string }

// Info is what a plugin says about one message or session. A nil pointer or an
// empty string says nothing.
type Info struct {
	Dialect                    Dialect
	ReqLen, RespLen, RequestID *uint32
	Req                        *Request
	Resp                       *Response
	Trace                      *Trace
	Protocol                   string
	// IsEnd: messages of one request id are parts of one session, and this is or
	// is not the last of its direction. Nil: not so.
	IsEnd      *bool
	IsAsync    bool
	IsReversed bool
	Attrs      []KeyVal

	BizType                           uint32
	BizCode, BizScenario, BizRespCode string
}

// Request is the asking half.
type Request struct{ Version, Type, Domain, Resource, Endpoint string }

// Response is the answering half.
type Response struct {
	Status                            *Status
	Code                              *int32
	Exception, Result, Type, Endpoint string
}

// Trace is the ids that a plugin found.
type Trace struct {
	TraceID, SpanID, ParentSpanID string
	RequestID, ProxyClient        string
	TraceIDs                      []string
}

// Dialect is how a record was written. Nothing in the ABI says so; it is found by
// content.
type Dialect uint8

// The dialects, by age: before the merge byte (2023-04), with it (2023-08), with
// the business type (2024-02), with the protocol's name (2024-04), protobuf
// (2025-03).
const (
	L0 Dialect = iota + 1
	L1
	L2
	L3
	PB
)

// String names the dialect.
func (d Dialect) String() string {
	return [...]string{"none", "L0", "L1", "L2", "L3", "PB"}[d]
}
