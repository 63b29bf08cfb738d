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

	PinpointAgentSource = "hopscope.pinpoint.agent_source"

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

	TLSAlert = "hopscope.tls.alert"

	HTTPForwardedFor = "hopscope.http.forwarded_for"
	DBAffectedRows   = "hopscope.db.affected_rows"

	MessagingCompression   = "hopscope.messaging.compression"
	MessagingDestinationID = "hopscope.messaging.destination.id"
	MessagingOffset        = "hopscope.messaging.offset"
	MessagingQoS           = "hopscope.messaging.qos"
	MessagingRedelivered   = "hopscope.messaging.redelivered"
	MessagingReplyTo       = "hopscope.messaging.reply_to"
	RPCSerialization       = "hopscope.rpc.serialization"
	RPCServiceVersion      = "hopscope.rpc.service.version"

	PayloadRequest  = "hopscope.payload.request"
	PayloadResponse = "hopscope.payload.response"
	// Of unparsed messages: whose they are, where they lie in what that end says,
	// and the first sequence numbers of both ends.
	PayloadFlow       = "hopscope.payload.flow"
	PayloadPosition   = "hopscope.payload.position"
	PayloadConnection = "hopscope.payload.connection"
)

// What plugins say of an exchange, beside attributes of their own naming.
const (
	SessionAsync    = "hopscope.session.async"
	BizType         = "hopscope.biz.type"
	BizCode         = "hopscope.biz.code"
	BizScenario     = "hopscope.biz.scenario"
	BizResponseCode = "hopscope.biz.response_code"
	TraceIDs        = "hopscope.propagation.trace_ids"
)

// Where the time of an exchange went, as packets show it: nanoseconds.
const (
	NetConnect          = "hopscope.net.connect"
	NetClientWait       = "hopscope.net.client_wait"
	NetRequestTransfer  = "hopscope.net.request_transfer"
	NetServerWait       = "hopscope.net.server_wait"
	NetResponseTransfer = "hopscope.net.response_transfer"
)

// Values of SessionType.
const (
	TypeSession  = "session"
	TypeRequest  = "request"
	TypeResponse = "response"
)

// Flow records.
const (
	FlowStart            = "hopscope.flow.start_time"
	FlowDuration         = "hopscope.flow.duration"
	FlowNew              = "hopscope.flow.new"
	FlowClose            = "hopscope.flow.close_type"
	FlowCloseClass       = "hopscope.flow.close_class"
	FlowRoleConfidence   = "hopscope.flow.role_confidence"
	FlowPacketsClient    = "hopscope.flow.packets.client"
	FlowPacketsServer    = "hopscope.flow.packets.server"
	FlowBytesClient      = "hopscope.flow.bytes.client"
	FlowBytesServer      = "hopscope.flow.bytes.server"
	FlowPayloadClient    = "hopscope.flow.payload.client"
	FlowPayloadServer    = "hopscope.flow.payload.server"
	FlowICMPErrors       = "hopscope.flow.icmp.errors"
	FlowICMPType         = "hopscope.flow.icmp.type"
	FlowICMPCode         = "hopscope.flow.icmp.code"
	TCPFlagsClient       = "hopscope.tcp.flags.client"
	TCPFlagsServer       = "hopscope.tcp.flags.server"
	TCPRTT               = "hopscope.tcp.rtt"
	TCPRTTMin            = "hopscope.tcp.rtt_min"
	TCPConnect           = "hopscope.tcp.connect.duration"
	TCPConnectClient     = "hopscope.tcp.connect.client"
	TCPConnectServer     = "hopscope.tcp.connect.server"
	TCPConnectFailure    = "hopscope.tcp.connect.failure"
	TCPSRTClient         = "hopscope.tcp.srt.client"
	TCPSRTClientMax      = "hopscope.tcp.srt.client_max"
	TCPSRTServer         = "hopscope.tcp.srt.server"
	TCPSRTServerMax      = "hopscope.tcp.srt.server_max"
	TCPART               = "hopscope.tcp.art"
	TCPARTMax            = "hopscope.tcp.art_max"
	TCPCIT               = "hopscope.tcp.cit"
	TCPCITMax            = "hopscope.tcp.cit_max"
	TCPRetransmitsClient = "hopscope.tcp.retransmits.client"
	TCPRetransmitsServer = "hopscope.tcp.retransmits.server"
	TCPSYNRetransmits    = "hopscope.tcp.retransmits.syn"
	TCPSYNACKRetransmits = "hopscope.tcp.retransmits.syn_ack"
	TCPOutOfOrderClient  = "hopscope.tcp.out_of_order.client"
	TCPOutOfOrderServer  = "hopscope.tcp.out_of_order.server"
	TCPZeroWindowsClient = "hopscope.tcp.zero_windows.client"
	TCPZeroWindowsServer = "hopscope.tcp.zero_windows.server"
	TCPResetsClient      = "hopscope.tcp.resets.client"
	TCPResetsServer      = "hopscope.tcp.resets.server"
)

// Metrics of flows, and their attribute.
const (
	MetricConnect     = "hopscope.tcp.connect.time"
	MetricRTT         = "hopscope.tcp.rtt.time"
	MetricSRT         = "hopscope.tcp.srt.time"
	MetricART         = "hopscope.tcp.art.time"
	MetricCIT         = "hopscope.tcp.cit.time"
	MetricRetransmits = "hopscope.tcp.retransmits"
	MetricZeroWindows = "hopscope.tcp.zero_windows"
	MetricResets      = "hopscope.tcp.resets"
	MetricFailures    = "hopscope.tcp.connect.failures"
	MetricFlows       = "hopscope.flow.count"
	MetricBytes       = "hopscope.flow.io"
	MetricPackets     = "hopscope.flow.packets"
	TCPEnd            = "hopscope.tcp.end"
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
