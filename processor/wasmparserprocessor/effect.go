package wasmparserprocessor

import (
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/wasmhost"
)

// formatCustom is the propagation format of ids that a plugin found.
const formatCustom = "custom"

// apply writes what a plugin says of the span; true: it said something.
func apply(s ptrace.Span, infos []wasmhost.Info) bool {
	a := s.Attributes()
	for i := range infos {
		n := &infos[i]
		if n.Req != nil {
			request(a, n.Req)
		}
		if n.Resp != nil {
			response(s, n.Resp)
		}
		if n.Trace != nil {
			trace(a, n.Trace)
		}
		opt(a, semconv.NetworkProtocolName, n.Protocol)
		putSize(a, semconv.RequestBytes, n.ReqLen)
		putSize(a, semconv.ResponseBytes, n.RespLen)
		if n.RequestID != nil {
			a.PutStr(semconv.SessionRequestID, strconv.FormatUint(uint64(*n.RequestID), 10))
		}
		if n.IsAsync {
			a.PutBool(semconv.SessionAsync, true)
		}
		if n.IsReversed {
			swap(a, semconv.ClientAddress, semconv.ServerAddress)
			swap(a, semconv.ClientPort, semconv.ServerPort)
		}
		if n.BizType != 0 {
			a.PutInt(semconv.BizType, int64(n.BizType))
		}
		opt(a, semconv.BizCode, n.BizCode)
		opt(a, semconv.BizScenario, n.BizScenario)
		opt(a, semconv.BizResponseCode, n.BizRespCode)
		for _, kv := range n.Attrs {
			if kv.Key != "" && !semconv.Capture(kv.Key) {
				a.PutStr(kv.Key, kv.Val)
			}
		}
	}
	return len(infos) > 0
}

func request(a pcommon.Map, q *wasmhost.Request) {
	http := isHTTP(a)
	opt(a, semconv.NetworkProtocolVersion, q.Version)
	opt(a, semconv.ServerAddress, q.Domain)
	if !http {
		opt(a, semconv.SessionOperation, q.Type)
		opt(a, semconv.SessionTarget, first(q.Endpoint, q.Resource))
		return
	}
	opt(a, httpMethod, q.Type)
	opt(a, urlPath, q.Resource)
	if e := q.Endpoint; e != "" {
		if !strings.HasPrefix(e, "/") {
			e = "/" + e
		}
		a.PutStr(httpRoute, e)
	}
}

func response(s ptrace.Span, r *wasmhost.Response) {
	a := s.Attributes()
	if r.Code != nil {
		if isHTTP(a) {
			a.PutInt(httpStatus, int64(*r.Code))
		} else {
			a.PutStr(semconv.ResponseCode, strconv.Itoa(int(*r.Code)))
		}
	}
	if r.Status != nil {
		status(s, *r.Status, r)
	}
	opt(a, semconv.ExceptionMessage, r.Exception)
	opt(a, semconv.ResponseResult, r.Result)
	if r.Endpoint != "" && isHTTP(a) {
		a.PutStr(httpRoute, r.Endpoint)
	}
	opt(a, semconv.SessionOperation, r.Type)
}

// status is an error of the span by the rules of its own exchanges: what the
// client did wrong is none of the server.
func status(s ptrace.Span, st wasmhost.Status, r *wasmhost.Response) {
	word, failed := "unknown", false
	switch st {
	case wasmhost.StatusOK:
		word = "ok"
	case wasmhost.StatusTimeout:
		word, failed = "timeout", true
	case wasmhost.StatusServerError:
		word, failed = "server_error", true
	case wasmhost.StatusClientError:
		word, failed = "client_error", s.Kind() != ptrace.SpanKindServer
	}
	a := s.Attributes()
	a.PutStr(semconv.ResponseStatus, word)
	if !failed {
		s.Status().SetCode(ptrace.StatusCodeUnset)
		s.Status().SetMessage("")
		a.Remove(semconv.ErrorType)
		return
	}
	s.Status().SetCode(ptrace.StatusCodeError)
	s.Status().SetMessage(r.Exception)
	typ := word
	if r.Code != nil {
		typ = strconv.Itoa(int(*r.Code))
	}
	a.PutStr(semconv.ErrorType, typ)
}

// trace: ids by a plugin go before those that were found; tracecompletion joins
// by them.
func trace(a pcommon.Map, t *wasmhost.Trace) {
	if t.TraceID != "" {
		a.PutStr(semconv.PropagationTraceID, t.TraceID)
		a.PutStr(semconv.PropagationFormat, formatCustom)
		// The span id that a header carried is one of another trace.
		a.Remove(semconv.PropagationSpanID)
		a.Remove(semconv.PropagationParentSpanID)
	}
	opt(a, semconv.PropagationSpanID, t.SpanID)
	opt(a, semconv.PropagationParentSpanID, t.ParentSpanID)
	opt(a, semconv.RequestIDRequest, t.RequestID)
	opt(a, semconv.HTTPForwardedFor, t.ProxyClient)
	if len(t.TraceIDs) > 0 {
		list := a.PutEmptySlice(semconv.TraceIDs)
		for _, id := range t.TraceIDs {
			list.AppendEmpty().SetStr(id)
		}
	}
}

func isHTTP(a pcommon.Map) bool {
	switch text(a, semconv.NetworkProtocolName) {
	case protocolHTTP, protocolHTTP2:
		return true
	}
	return false
}

func opt(a pcommon.Map, key, v string) {
	if v != "" {
		a.PutStr(key, v)
	}
}

func putSize(a pcommon.Map, key string, n *uint32) {
	if n != nil {
		a.PutInt(key, int64(*n))
	}
}

func swap(a pcommon.Map, x, y string) {
	v, w := pcommon.NewValueEmpty(), pcommon.NewValueEmpty()
	if p, ok := a.Get(x); ok {
		p.CopyTo(v)
	}
	if p, ok := a.Get(y); ok {
		p.CopyTo(w)
	}
	w.CopyTo(a.PutEmpty(x))
	v.CopyTo(a.PutEmpty(y))
}
