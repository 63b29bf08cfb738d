package pinpointreceiver

// Methods of Pinpoint's collector.
const (
	agentInfo        = "/v1.Agent/RequestAgentInfo"
	pingSession      = "/v1.Agent/PingSession"
	apiMeta          = "/v1.Metadata/RequestApiMetaData"
	sqlMeta          = "/v1.Metadata/RequestSqlMetaData"
	sqlUIDMeta       = "/v1.Metadata/RequestSqlUidMetaData"
	stringMeta       = "/v1.Metadata/RequestStringMetaData"
	exceptionMeta    = "/v1.Metadata/RequestExceptionMetaData"
	handleCommand    = "/v1.ProfilerCommandService/HandleCommand"
	handleCommandV2  = "/v1.ProfilerCommandService/HandleCommandV2"
	commandEcho      = "/v1.ProfilerCommandService/CommandEcho"
	commandDump      = "/v1.ProfilerCommandService/CommandActiveThreadDump"
	commandLightDump = "/v1.ProfilerCommandService/CommandActiveThreadLightDump"
	commandCount     = "/v1.ProfilerCommandService/CommandStreamActiveThreadCount"
	sendStat         = "/v1.Stat/SendAgentStat"
	sendSpan         = "/v1.Span/SendSpan"
	sendSpanBatch    = "/v1.Span/SendSpanBatch"
)

// kinds are what messages of a method are counted as.
var kinds = map[string]string{
	agentInfo: "agent_info", pingSession: "ping", apiMeta: "api", sqlMeta: "sql", sqlUIDMeta: "sql_uid", stringMeta: "string",
	exceptionMeta: "exception", handleCommand: "command", handleCommandV2: "command", commandEcho: "command", commandDump: "command",
	commandLightDump: "command", commandCount: "command", sendStat: "stat", sendSpan: "span", sendSpanBatch: "span_batch",
}

// kind of a method; those of the wire may be anybody's.
func kind(method string) string {
	if k, ok := kinds[method]; ok {
		return k
	}
	return "other"
}

// silent are methods whose messages say nothing of spans or measurements.
var silent = map[string]bool{
	pingSession: true, handleCommand: true, handleCommandV2: true, commandEcho: true, commandDump: true, commandLightDump: true, commandCount: true,
}
