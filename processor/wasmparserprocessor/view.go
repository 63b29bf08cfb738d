package wasmparserprocessor

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/wasmhost"
)

// Names of what is no attribute.
const (
	keyName    = "span.name"
	keyKind    = "span.kind"
	keyStatus  = "span.status" // "ok", "error" or ""
	keyMessage = "span.status_message"
)

// maxChanges bounds what one call may set.
const maxChanges = 256

// view is the span as a plugin of our own ABI sees it. Changes are kept apart
// until the call has ended well.
type view struct {
	s       ptrace.Span
	changes []change
	// payload is what was read of it: the API copies it each time.
	payload [2][]byte
	have    [2]bool
}

// reset makes v the view of another span.
func (v *view) reset(s ptrace.Span) {
	clear(v.changes)
	*v = view{s: s, changes: v.changes[:0]}
}

type change struct {
	key   string
	value any
}

// Get reads the span, changes of this call included.
func (v *view) Get(key string) (string, bool) {
	for i := len(v.changes) - 1; i >= 0; i-- {
		if s, ok := v.changes[i].value.(string); ok && v.changes[i].key == key {
			return s, true
		}
	}
	switch key {
	case keyName:
		return v.s.Name(), true
	case keyKind:
		return strings.ToLower(v.s.Kind().String()), true
	case keyStatus:
		return strings.ToLower(v.s.Status().Code().String()), true
	case keyMessage:
		return v.s.Status().Message(), true
	}
	if a, ok := v.s.Attributes().Get(key); ok {
		return a.AsString(), true
	}
	return "", false
}

// Set notes a change.
func (v *view) Set(key string, value any) bool {
	if key == "" || key == keyKind || semconv.Capture(key) || len(v.changes) == maxChanges {
		return false
	}
	if s, isText := value.(string); strings.HasPrefix(key, "span.") {
		switch {
		case !isText:
			return false
		case key == keyStatus && s != "ok" && s != "error":
			return false
		case key != keyStatus && key != keyName && key != keyMessage:
			return false
		}
	}
	v.changes = append(v.changes, change{key, value})
	return true
}

// Payload is the head of one message.
func (v *view) Payload(d wasmhost.Direction) []byte {
	if !v.have[d] {
		name := semconv.PayloadRequest
		if d == wasmhost.ToClient {
			name = semconv.PayloadResponse
		}
		v.payload[d], v.have[d] = data(v.s.Attributes(), name), true
	}
	return v.payload[d]
}

// apply writes the changes; true: there were some.
func (v *view) apply() bool { return write(v.s, v.changes) }

func write(to ptrace.Span, changes []change) bool {
	a := to.Attributes()
	carried, other := false, false // a trace id; what goes with it
	judged := false                // it said itself whether the span is an error
	for _, c := range changes {
		s, _ := c.value.(string)
		switch c.key {
		case keyName:
			to.SetName(s)
		case keyMessage:
			to.Status().SetMessage(s)
		case keyStatus:
			judged = true
			if s == "ok" {
				to.Status().SetCode(ptrace.StatusCodeOk)
			} else {
				to.Status().SetCode(ptrace.StatusCodeError)
			}
		default:
			switch v := c.value.(type) { // the four types of attr_set
			case string:
				a.PutStr(c.key, v)
			case int64:
				a.PutInt(c.key, v)
			case float64:
				a.PutDouble(c.key, v)
			case bool:
				a.PutBool(c.key, v)
			}
			carried, other = carried || c.key == semconv.PropagationTraceID, other || c.key == semconv.PropagationSpanID || c.key == semconv.PropagationFormat
		}
	}
	if !judged {
		judge(to, changes)
	}
	if carried && !other {
		// The span id that a header carried is one of another trace.
		a.Remove(semconv.PropagationSpanID)
		a.Remove(semconv.PropagationParentSpanID)
		a.PutStr(semconv.PropagationFormat, formatCustom)
	}
	return len(changes) > 0
}

// judge makes the span an error, or none, where a plugin has said how the exchange
// ended: what the client did wrong is none of the server.
func judge(to ptrace.Span, changes []change) {
	for i := len(changes) - 1; i >= 0; i-- {
		word, ok := changes[i].value.(string)
		if changes[i].key != semconv.ResponseStatus || !ok {
			continue
		}
		switch {
		case word == "server_error" || word == statusTimeout || word == "client_error" && to.Kind() != ptrace.SpanKindServer:
			to.Status().SetCode(ptrace.StatusCodeError)
		case word == "ok" || word == "client_error":
			to.Status().SetCode(ptrace.StatusCodeUnset)
			to.Status().SetMessage("")
		}
		return
	}
}
