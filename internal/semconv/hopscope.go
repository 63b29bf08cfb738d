// Package semconv is every attribute name that we emit: our own, all in this
// file, and those of the OpenTelemetry semantic conventions that the stages use
// themselves, in otel.go. docs/attributes.md says what each means; a test
// compares the two.
package semconv

// Scope names.
const (
	ScopeEBPF     = "hopscope/ebpf"
	ScopePinpoint = "hopscope/pinpoint"
)

// Where and how a hop was seen.
const (
	CapturePoint = "hopscope.capture.point"
	SignalSource = "hopscope.signal.source"
	FlowID       = "hopscope.flow.id"
	TunnelType   = "hopscope.tunnel.type"
	TunnelID     = "hopscope.tunnel.id"
)

// Values of SignalSource.
const (
	SourceEBPF     = "ebpf"
	SourcePacket   = "packet"
	SourceOTLP     = "otlp"
	SourcePinpoint = "pinpoint"
)

// Association: what makes hops of one exchange, and exchanges of one request,
// find each other.
const (
	ExchangeXID = "hopscope.exchange.xid"
	ExchangeLID = "hopscope.exchange.lid"

	TCPSeqRequest  = "hopscope.tcp.seq.request"
	TCPSeqResponse = "hopscope.tcp.seq.response"

	SyscallTraceIDRequest    = "hopscope.syscall.trace_id.request"
	SyscallTraceIDResponse   = "hopscope.syscall.trace_id.response"
	SyscallThreadRequest     = "hopscope.syscall.thread.request"
	SyscallThreadResponse    = "hopscope.syscall.thread.response"
	SyscallCoroutineRequest  = "hopscope.syscall.coroutine.request"
	SyscallCoroutineResponse = "hopscope.syscall.coroutine.response"
	SyscallCapSeqRequest     = "hopscope.syscall.cap_seq.request"
	SyscallCapSeqResponse    = "hopscope.syscall.cap_seq.response"

	RequestIDRequest  = "hopscope.request_id.request"
	RequestIDResponse = "hopscope.request_id.response"

	PropagationTraceID      = "hopscope.propagation.trace_id"
	PropagationSpanID       = "hopscope.propagation.span_id"
	PropagationParentSpanID = "hopscope.propagation.parent_span_id"
	PropagationFormat       = "hopscope.propagation.format"

	LinkEvidence   = "hopscope.link.evidence"
	LinkConfidence = "hopscope.link.confidence"

	TraceProvisional = "hopscope.trace.provisional"
	HopAdded         = "hopscope.hop.added"
	HopInconsistent  = "hopscope.hop.inconsistent"
	Incomplete       = "hopscope.incomplete"

	APMParentSpanID = "hopscope.apm.parent_span_id"
)

// The exchange itself, where no convention has a name.
const (
	SessionType      = "hopscope.session.type"
	SessionRequestID = "hopscope.session.request_id"
	SessionOperation = "hopscope.session.operation"
	SessionTarget    = "hopscope.session.target"

	RequestBytes   = "hopscope.request.bytes"
	RequestEnd     = "hopscope.request.end_time"
	ResponseBytes  = "hopscope.response.bytes"
	ResponseStart  = "hopscope.response.start_time"
	ResponseStatus = "hopscope.response.status"
	ResponseCode   = "hopscope.response.code"
	ResponseResult = "hopscope.response.result"

	RPCRequestMessages  = "hopscope.rpc.request.messages"
	RPCResponseMessages = "hopscope.rpc.response.messages"
	RPCTimeout          = "hopscope.rpc.timeout"
	RPCCompression      = "hopscope.rpc.compression"
	HTTP2Error          = "hopscope.http2.error"
	HTTPUpgrade         = "hopscope.http.upgrade"
	ResponseBody        = "hopscope.response.body_time"

	HTTPForwardedFor = "hopscope.http.forwarded_for"
	DBAffectedRows   = "hopscope.db.affected_rows"

	MessagingCompression   = "hopscope.messaging.compression"
	MessagingDestinationID = "hopscope.messaging.destination.id"
	MessagingQoS           = "hopscope.messaging.qos"
	MessagingRedelivered   = "hopscope.messaging.redelivered"
	MessagingReplyTo       = "hopscope.messaging.reply_to"
	RPCSerialization       = "hopscope.rpc.serialization"

	PayloadRequest  = "hopscope.payload.request"
	PayloadResponse = "hopscope.payload.response"
)

// Values of SessionType.
const (
	TypeSession  = "session"
	TypeRequest  = "request"
	TypeResponse = "response"
)

// Of the resource.
const (
	ServiceNameSource = "hopscope.service.name_source"
)

// Network hops folded into the process span of their host, as parallel lists:
// capture point, nanoseconds after the span's start, duration in nanoseconds.
const (
	HopsPoint    = "hopscope.hops.point"
	HopsStart    = "hopscope.hops.start"
	HopsDuration = "hopscope.hops.duration"
)

// The start time before it was corrected for the clock of its host, unix
// nanoseconds.
const TimeRawStart = "hopscope.time.raw_start"
