package semconv

// Names of the `pinpoint.` namespace, which is Pinpoint's own: what spans of its
// agents say that no convention has a name for.
const (
	// PinpointSpanID is the spanId of a span as text, which callers name in the
	// headers of a request.
	PinpointSpanID = "pinpoint.span_id"
)
