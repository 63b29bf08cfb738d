package convert

import (
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/wire"
)

// spanWriter writes the spans of one group.
type spanWriter struct {
	c     *Converter
	a     *Agent
	out   ptrace.SpanSlice
	trace pcommon.TraceID
	tx    string
}

// absent is what Java agents say of what they did not record.
const absent = "UNKNOWN"

func known(s string) string {
	if s == absent {
		return ""
	}
	return s
}

const ms = 1e6

// span writes a PSpan: one entry into a process.
func (w *spanWriter) span(s *wire.Span, id pcommon.SpanID, t *tree) {
	o := w.out.AppendEmpty()
	o.SetTraceID(w.trace)
	o.SetSpanID(id)
	if s.Parent != -1 {
		o.SetParentSpanID(t.ids.rule('N', s.SpanID))
		o.SetFlags(remoteParent)
	}
	during(o, s.Start, s.Elapsed)
	m := o.Attributes()
	size := 10 + 2*len(s.Annotations)
	if s.Parent != -1 {
		size += 5
	}
	m.EnsureCapacity(size)
	// Its events don't say it: their scope does.
	m.PutStr(semconv.SignalSource, semconv.SourcePinpoint)
	w.common(m, s.ServiceType)
	m.PutStr("pinpoint.transaction_id", w.tx)
	m.PutStr("pinpoint.span_id", strconv.FormatInt(s.SpanID, 10))
	if s.Parent != -1 {
		m.PutStr("pinpoint.parent_span_id", strconv.FormatInt(s.Parent, 10))
	}
	f := facts{httpServer: true}
	w.annotations(m, s.Annotations, &f)

	api := w.a.api(s.APIID)
	rpc, kind := known(s.RPC), ptrace.SpanKindInternal
	switch {
	case consumer(s.ServiceType):
		kind = ptrace.SpanKindConsumer
		m.PutStr("messaging.operation.name", "process")
		m.PutStr("messaging.operation.type", "process")
		f.name = join("process", f.topic)
	case rpc != "":
		kind = ptrace.SpanKindServer
		f.name = w.server(m, s, rpc, &f)
	case s.ServiceType >= 1000 && s.ServiceType < 2000 && s.Parent != -1:
		kind = ptrace.SpanKindServer
	}
	if f.name == "" {
		f.name = first(api.short, f.api, typeName(s.ServiceType))
	}
	o.SetName(f.name)
	o.SetKind(kind)
	if sys := messagingSystem(s.ServiceType); sys != "" {
		m.PutStr("messaging.system", sys)
	}
	address(m, known(s.EndPoint), semconv.ServerAddress, semconv.ServerPort)
	if remote := known(s.Remote); remote != "" {
		m.PutStr(semconv.ClientAddress, remote)
	}
	put(m, "pinpoint.acceptor_host", s.Acceptor)
	if s.ParentApp != "" {
		m.PutStr("pinpoint.parent.application_name", s.ParentApp)
		m.PutInt("pinpoint.parent.application_type", int64(s.ParentType))
		put(m, "pinpoint.parent.service_name", s.ParentSvc)
		o.TraceState().FromRaw(parentState(s))
	}
	if t.lost {
		m.PutBool("pinpoint.incomplete", true)
	}
	if s.Err != 0 || s.Exception != nil {
		w.failed(o, s.Exception, nil, f.status)
	}
}

// during sets the times of o, told in ms. What took less than one lasts a
// nanosecond: Jaeger takes a span that lasts nothing for one that ends before it
// begins, and warns.
func during(o ptrace.Span, start int64, elapsed int32) {
	o.SetStartTimestamp(pcommon.Timestamp(start * ms))
	o.SetEndTimestamp(pcommon.Timestamp(start*ms + max(int64(elapsed)*ms, 1)))
}

// remoteParent is has_is_remote and is_remote of OTLP's flags.
const remoteParent = 0x300

// server says what an entry point serves, and returns its name.
func (w *spanWriter) server(m pcommon.Map, s *wire.Span, rpc string, f *facts) string {
	sys := rpcSystem(s.ServiceType)
	switch {
	case sys == "" && strings.HasPrefix(rpc, "/"):
		m.PutStr("url.path", rpc)
		route := w.c.paths.Route(&w.c.text, rpc)
		m.PutStr("http.route", route)
		return join(f.method, route)
	case sys != "":
		method := strings.TrimPrefix(rpc, "/")
		if i := strings.LastIndexByte(method, ':'); sys == "dubbo" && i >= 0 {
			method = method[:i] + "/" + method[i+1:]
		}
		m.PutStr("rpc.system.name", sys)
		m.PutStr("rpc.method", method)
		return method
	}
	return first(f.method, rpc)
}

// event writes a PSpanEvent: one traced call inside a process.
func (w *spanWriter) event(g *group, n *node) {
	e := n.e
	o := w.out.AppendEmpty()
	o.SetTraceID(w.trace)
	o.SetSpanID(n.id)
	o.SetParentSpanID(n.parent)
	during(o, n.start, e.EndElapsed)
	m := o.Attributes()
	m.EnsureCapacity(w.room(n))
	w.common(m, e.ServiceType)
	if n.depth == 1 { // the topmost here: its PSpan may be lost
		m.PutStr("pinpoint.transaction_id", w.tx)
	}
	m.PutInt("pinpoint.sequence", int64(e.Sequence))
	m.PutInt("pinpoint.depth", int64(n.depth))
	if n.isAsync {
		m.PutInt("pinpoint.async_id", int64(n.async))
	}
	if n.doubt || n.gap {
		m.PutBool("pinpoint.incomplete", true)
	}
	var f facts
	w.annotations(m, e.Annotations, &f)
	api := w.a.api(e.APIID)
	if e.APIID != 0 && api.full == "" {
		w.c.stats.UnknownText++
	}
	if api.full == "" && f.api != "" {
		api = named(f.api)
	}
	put(m, "code.function.name", api.function)
	if api.line > 0 {
		m.PutInt("code.line.number", int64(api.line))
	}
	o.SetKind(w.call(m, e, &f))
	if f.name == "" {
		f.name = first(api.short, typeName(e.ServiceType))
		if e.APIID != 0 && api.full == "" {
			m.PutInt("pinpoint.api_id", int64(e.APIID))
		}
	}
	o.SetName(f.name)
	if e.Exception != nil {
		w.failed(o, e.Exception, w.c.store.takeException(w.a, exceptionKey{w.tx, g.key.span, f.chain}), f.status)
	} else if f.status >= 400 {
		o.Status().SetCode(ptrace.StatusCodeError)
		m.PutStr(semconv.ErrorType, strconv.FormatInt(f.status, 10))
	}
}

// room is how many attributes an event will have, about: room for too many costs
// as much as growing.
func (w *spanWriter) room(n *node) int {
	e := n.e
	size := 4 + 2*len(e.Annotations)
	if n.depth == 1 {
		size++
	}
	if e.APIID != 0 {
		size++
	}
	if n.isAsync {
		size++
	}
	if e.EndPoint != "" {
		size += 2
	}
	if e.Destination != "" {
		size += 2
	}
	if isRemote(e.ServiceType) {
		size += 2
	}
	if e.Exception != nil {
		size += 4
	}
	return size
}

// call says what system an event calls, and returns its kind.
func (w *spanWriter) call(m pcommon.Map, e *wire.Event, f *facts) ptrace.SpanKind {
	c := classOf(e.ServiceType)
	away := isRemote(e.ServiceType)
	end, dest := known(e.EndPoint), known(e.Destination)
	if c == classRPC && hostPort(dest) {
		end = dest // the Node.js agent has its own process's address in the other
	}
	if away || c == classDatabase || c == classQueue {
		address(m, end, semconv.ServerAddress, semconv.ServerPort)
	}
	switch {
	case c == classDatabase || dbSystem(e.ServiceType) != "":
		put(m, "db.system.name", dbSystem(e.ServiceType))
		if e.ServiceType >= 2000 && e.ServiceType < 3000 { // of caches it is their type
			put(m, "db.namespace", dest)
		}
		if f.sql != nil {
			f.name = f.sql.name
		}
	case c == classQueue && (callee(e.NextSpanID) || away):
		put(m, "messaging.system", messagingSystem(e.ServiceType))
		topic := strings.TrimPrefix(first(f.topic, dest), "exchange-")
		if f.topic == "" {
			put(m, "messaging.destination.name", topic)
		}
		m.PutStr("messaging.operation.name", "send")
		m.PutStr("messaging.operation.type", "send")
		f.name = join("send", topic)
		return ptrace.SpanKindProducer
	case away:
		if sys := rpcSystem(e.ServiceType); sys != "" {
			m.PutStr("rpc.system.name", sys)
			if method := rpcMethod(f.url); method != "" {
				m.PutStr("rpc.method", method)
				f.name = method
			}
		} else if f.method != "" {
			f.name = f.method
		}
	}
	if away {
		if dest != "" {
			m.PutStr("service.peer.name", dest)
		}
		return ptrace.SpanKindClient
	}
	return ptrace.SpanKindInternal
}

// rpcMethod is pkg.Service/Method of what an agent calls the address of a call:
// that, or grpc://host:port/pkg.Service/Method.
func rpcMethod(s string) string {
	if i := strings.Index(s, "://"); i >= 0 {
		s = s[i+3:]
		if i = strings.IndexByte(s, '/'); i < 0 {
			return ""
		}
		s = s[i:]
	}
	return strings.TrimPrefix(s, "/")
}

// common is what every span of ours says.
func (w *spanWriter) common(m pcommon.Map, typ int32) {
	m.PutInt("pinpoint.service_type.code", int64(typ))
	put(m, "pinpoint.service_type.name", typeOf(typ).name)
}

// failed marks o as an error.
func (w *spanWriter) failed(o ptrace.Span, x *wire.Exception, chain []wire.ChainLink, status int64) {
	o.Status().SetCode(ptrace.StatusCodeError)
	m := o.Attributes()
	typ := ""
	if x != nil {
		o.Status().SetMessage(x.Message)
		put(m, semconv.ExceptionMessage, x.Message)
		typ = w.a.strings[x.ID].Text
		put(m, "exception.type", typ)
	}
	if len(chain) > 0 {
		if typ == "" {
			typ = chain[0].Class
			put(m, "exception.type", typ)
		}
		m.PutStr("exception.stacktrace", stacktrace(chain))
	}
	if typ == "" && status >= 400 {
		typ = strconv.FormatInt(status, 10)
	}
	m.PutStr(semconv.ErrorType, first(typ, semconv.ErrorTypeOther))
}

// maxStacktrace bounds the text of a chain of exceptions.
const maxStacktrace = 16 << 10

func stacktrace(chain []wire.ChainLink) string {
	var b strings.Builder
	for i := range chain {
		l := &chain[i]
		if i > 0 {
			b.WriteString("Caused by: ")
		}
		b.WriteString(l.Class + ": " + l.Message + "\n")
		for _, f := range l.Stack {
			if b.Len() > maxStacktrace {
				return b.String()[:maxStacktrace]
			}
			b.WriteString("\tat " + f.Class + "." + f.Method + "(" + f.File + ":" + strconv.Itoa(int(f.Line)) + ")\n")
		}
	}
	return b.String()[:min(b.Len(), maxStacktrace)]
}

// parentState is the tracestate that Pinpoint's own OTLP receiver reads.
func parentState(s *wire.Span) string {
	clean := strings.NewReplacer(",", "_", "=", "_", ";", "_", ":", "_", " ", "_").Replace
	st := "pp=app:" + clean(s.ParentApp) + ";type:" + strconv.Itoa(int(s.ParentType))
	if s.ParentSvc != "" {
		st += ";svc:" + clean(s.ParentSvc)
	}
	return st
}

// address writes host and port of "host:port".
func address(m pcommon.Map, s, hostKey, portKey string) {
	if s == "" {
		return
	}
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i > 0 && (strings.IndexByte(s, ':') == i || s[i-1] == ']') {
		host, port = s[:i], s[i+1:]
	}
	m.PutStr(hostKey, strings.Trim(host, "[]"))
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		m.PutInt(portKey, int64(n))
	}
}

// hostPort reports whether s ends in a colon and a number.
func hostPort(s string) bool {
	i := strings.LastIndexByte(s, ':')
	_, err := strconv.ParseUint(s[i+1:], 10, 16)
	return i > 0 && err == nil
}

func put(m pcommon.Map, k, v string) {
	if v != "" {
		m.PutStr(k, v)
	}
}

func first(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}

// join is "a b", or the one of them that is there.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + " " + b
}

// typeName is a code's name.
func typeName(code int32) string {
	if name := typeOf(code).name; name != "" {
		return name
	}
	return "service type " + strconv.Itoa(int(code))
}

// apiName is what spans are called of an API's text.
type apiName struct {
	full, function, short string
	line                  int32
}

func named(text string) apiName {
	return apiName{full: text, function: function(text), short: shortAPI(text)}
}

// api is the name of the API of that number, empty if it is not known.
func (a *Agent) api(id int32) apiName {
	n, ok := a.names[id]
	if !ok {
		m, known := a.apis[id]
		if !known {
			return apiName{}
		}
		n = named(m.Text)
		n.line = m.Line
		if a.names == nil {
			a.names = map[int32]apiName{}
		}
		a.names[id] = n
	}
	return n
}

// function is the qualified name in an API's text: without arguments and line.
func function(api string) string {
	if i := strings.IndexByte(api, '('); i > 0 && !strings.ContainsAny(api[:i], " /") {
		return api[:i]
	}
	return ""
}

// shortAPI is class and method of com.foo.Bar.method(java.lang.String name);
// other texts stay.
func shortAPI(api string) string {
	name := function(api)
	if name == "" || !strings.HasSuffix(api, ")") && !strings.Contains(api, "):") {
		return api
	}
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		if j := strings.LastIndexByte(name[:i], '.'); j >= 0 {
			return name[j+1:]
		}
	}
	return name
}
