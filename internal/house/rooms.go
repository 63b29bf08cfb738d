package house

// rooms is docs/house.md section 1 as a table: stages import only what lies
// before them in the flow of data.
func rooms() []Room {
	const (
		cause    = "internal/cause"
		event    = "internal/event"
		h2       = "internal/h2"
		hop      = "internal/hop"
		inplace  = "internal/inplace"
		kernel   = "internal/kernel"
		l7       = "internal/l7"
		l7Each   = "internal/l7/*"
		sqltext  = "internal/l7/sqltext"
		list     = "internal/l7/protocols"
		packet   = "internal/packet"
		semconv  = "internal/semconv"
		session  = "internal/session"
		span     = "internal/span"
		stream   = "internal/stream"
		wasmhost = "internal/wasmhost"
		who      = "internal/who"
	)
	return []Room{
		{Path: event},
		{Path: kernel, Doors: []string{event}},
		{Path: packet},
		{Path: h2},
		{Path: stream, Doors: []string{event, packet, hop, l7}},
		{Path: l7},
		{Path: list, Doors: []string{l7, l7Each}},
		{Path: "internal/l7/l7test", Doors: []string{l7, stream, session, list}},
		{Path: "internal/l7/http1", Doors: []string{l7, "internal/l7/httpsem"}},
		{Path: "internal/l7/http2", Doors: []string{l7, h2, "internal/l7/httpsem"}},
		{Path: l7Each, Doors: []string{l7, sqltext}},
		{Path: session, Doors: []string{stream, l7}},
		{Path: cause, Doors: []string{event, session, stream, hop, l7}},
		{Path: who},
		{Path: hop},
		{Path: semconv},
		{Path: "internal/tap", Doors: []string{packet, hop, kernel}},
		{Path: "internal/flow", Doors: []string{packet, stream, hop, l7, semconv}},
		{Path: inplace},
		{Path: span, Doors: []string{cause, session, stream, l7, who, hop, semconv, inplace}},
		{Path: wasmhost + "/**"},
		{Path: "internal/house"},

		{Path: "receiver/ebpfreceiver/**", Doors: []string{"internal/*", list}},
		{Path: "receiver/pinpointreceiver/**", Doors: []string{hop, semconv, packet, "internal/tap", stream, l7, h2, "internal/l7/sqltext"}},
		{Path: "processor/wasmparserprocessor/**", Doors: []string{wasmhost, semconv, hop}},
		{Path: "processor/tracecompletionprocessor/**", Doors: []string{hop, semconv, inplace}},
		{Path: "exporter/tracestoreexporter/**", Doors: []string{hop, semconv}},

		{Path: "cmd/*", Doors: []string{"internal/*", list, "receiver/ebpfreceiver", "receiver/ebpfreceiver/*", "processor/wasmparserprocessor"}},
		{Path: "sdk/**"},
		{Path: "examples/plugins/*", Doors: []string{"sdk", "sdk/*"}},
		{Path: "scripts/**"},
		{Path: "test/**", Doors: []string{"internal/**", "receiver/*", "processor/*", "exporter/*"}},
	}
}
