package wasmparserprocessor

import (
	"bytes"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/wasmhost"
)

// Attributes of the HTTP conventions that plugins are told.
const (
	httpMethod    = "http.request.method"
	httpStatus    = "http.response.status_code"
	httpRoute     = "http.route"
	urlPath       = "url.path"
	urlQuery      = "url.query"
	userAgent     = "user_agent.original"
	httpReferer   = "http.request.header.referer"
	tlsUsed       = "tls.established"
	protocolHTTP  = "http"
	protocolGRPC  = "grpc"
	protocolHTTP2 = "http2"

	messagingDestination  = "messaging.destination.name"
	messagingConversation = "messaging.message.conversation_id" // NATS: the subject of the answer
)

// DeepFlow's numbers of the protocols that raise custom messages.
const (
	numberDubbo    = 40
	numberNATS     = 104
	numberZMTP     = 106
	numberRocketMQ = 107
)

// number is DeepFlow's of a protocol.
func number(name, version string) uint8 {
	switch name {
	case protocolHTTP:
		if strings.HasPrefix(version, "2") {
			return 21
		}
		return 20
	case protocolHTTP2:
		return 21
	case "dubbo":
		return numberDubbo
	case protocolGRPC:
		return 41
	case "fastcgi":
		return 44
	case "triple":
		return 49
	case "mysql":
		return 60
	case "postgresql":
		return 61
	case "redis":
		return 80
	case "mongodb":
		return 81
	case "memcached":
		return 82
	case "kafka":
		return 100
	case "mqtt":
		return 101
	case "amqp":
		return 102
	case "nats":
		return numberNATS
	case "pulsar":
		return 105
	case "zmtp":
		return numberZMTP
	case "rocketmq":
		return numberRocketMQ
	case "dns":
		return 120
	case "tls":
		return 121
	}
	return 127
}

// fits tells whether the plugin is to be asked about s: no call is made for what
// does not fit.
func (m *MatchConfig) fits(s ptrace.Span, exec string) bool {
	a := s.Attributes()
	if len(m.Protocols) > 0 && !slices.Contains(m.Protocols, text(a, semconv.NetworkProtocolName)) {
		return false
	}
	if len(m.Ports) > 0 && !slices.Contains(m.Ports, serverPort(a)) {
		return false
	}
	if len(m.Processes) > 0 && !slices.Contains(m.Processes, exec) {
		return false
	}
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, text(a, httpMethod)) {
		return false
	}
	if m.PathPrefix != "" && !strings.HasPrefix(text(a, urlPath), m.PathPrefix) {
		return false
	}
	return len(m.Status) == 0 || slices.Contains(m.Status, text(a, semconv.ResponseStatus))
}

// serverPort is the port of the connection's server end, which the name of a Host
// header does not change.
func serverPort(a pcommon.Map) uint16 {
	_, server := ends(a)
	return server.Port()
}

// ends are the client's and the server's: local is the server's at s-* points.
func ends(a pcommon.Map) (client, server netip.AddrPort) {
	local, peer := end(a, semconv.NetworkLocalAddress, semconv.NetworkLocalPort), end(a, semconv.NetworkPeerAddress, semconv.NetworkPeerPort)
	if strings.HasPrefix(text(a, semconv.CapturePoint), "s") {
		return peer, local
	}
	return local, peer
}

func end(a pcommon.Map, address, port string) netip.AddrPort {
	addr, _ := netip.ParseAddr(text(a, address)) // unknown stays so: plugins are told 0.0.0.0
	n := int64(0)
	if v, ok := a.Get(port); ok {
		n = v.Int()
	}
	return netip.AddrPortFrom(addr, uint16(n))
}

func data(a pcommon.Map, key string) []byte {
	if v, ok := a.Get(key); ok && v.Type() == pcommon.ValueTypeBytes {
		return v.Bytes().AsRaw()
	}
	return nil
}

// size is the length of what data gives.
func size(a pcommon.Map, key string) int {
	if v, ok := a.Get(key); ok && v.Type() == pcommon.ValueTypeBytes {
		return v.Bytes().Len()
	}
	return 0
}

// parseCtx is what plugins are told of the connection. A response goes from the
// server.
func parseCtx(s ptrace.Span, exec string, dir wasmhost.Direction) wasmhost.ParseCtx {
	a := s.Attributes()
	c := wasmhost.ParseCtx{Transport: 6, Process: exec, Direction: dir, Payload: 1024, Source: wasmhost.SourceSyscall,
		L7:   number(text(a, semconv.NetworkProtocolName), text(a, semconv.NetworkProtocolVersion)),
		Time: uint64(s.StartTimestamp()) / 1000}
	c.Src, c.Dst = ends(a)
	if dir == wasmhost.ToClient {
		c.Src, c.Dst = c.Dst, c.Src
		c.Time = uint64(s.EndTimestamp()) / 1000
	}
	switch text(a, semconv.NetworkTransport) {
	case "udp":
		c.Transport = 17
	case "unix":
		c.Source = wasmhost.SourceUnix
	}
	if text(a, semconv.SignalSource) == semconv.SourcePacket {
		c.Source = wasmhost.SourcePacket
	} else if text(a, tlsUsed) == "true" {
		c.Source = wasmhost.SourceTLS
	}
	if id, err := strconv.ParseUint(text(a, semconv.FlowID), 16, 64); err == nil {
		c.FlowID = id
	} else if id, err := strconv.ParseUint(text(a, semconv.ExchangeLID), 16, 64); err == nil {
		c.FlowID = id
	}
	n := max(size(a, semconv.PayloadRequest), size(a, semconv.PayloadResponse), int(c.Payload))
	c.Payload = uint16(min(n, math.MaxUint16))
	return c
}

// statusOf is the span's status as plugins number it.
func statusOf(a pcommon.Map) wasmhost.Status {
	switch text(a, semconv.ResponseStatus) {
	case "ok":
		return wasmhost.StatusOK
	case "client_error":
		return wasmhost.StatusClientError
	case "server_error":
		return wasmhost.StatusServerError
	case "timeout":
		return wasmhost.StatusTimeout
	}
	return wasmhost.StatusUnknown
}

// httpMessage is the call of an HTTP hook, if the span is one of HTTP and the
// plugin has that hook.
func httpMessage(s ptrace.Span, exec string, dir wasmhost.Direction, hooks wasmhost.Hooks) (wasmhost.Hook, *wasmhost.Message, bool) {
	a := s.Attributes()
	switch text(a, semconv.NetworkProtocolName) {
	case protocolHTTP, protocolHTTP2, protocolGRPC, "triple":
	default:
		return 0, nil, false
	}
	if dir == wasmhost.ToServer {
		if !hooks.HTTPRequest {
			return 0, nil, false
		}
		path := text(a, urlPath)
		if q := text(a, urlQuery); q != "" {
			path += "?" + q
		}
		return wasmhost.OnHTTPRequest, &wasmhost.Message{Ctx: parseCtx(s, exec, dir), Payload: data(a, semconv.PayloadRequest),
			Req: &wasmhost.HTTPRequest{Path: path, Host: text(a, semconv.ServerAddress), UserAgent: text(a, userAgent), Referer: text(a, httpReferer)}}, true
	}
	v, ok := a.Get(httpStatus)
	if !hooks.HTTPResponse || !ok && len(data(a, semconv.PayloadResponse)) == 0 {
		return 0, nil, false
	}
	resp := &wasmhost.HTTPResponse{Status: statusOf(a), Endpoint: text(a, httpRoute)}
	if ok {
		resp.Code = uint16(v.Int())
	}
	return wasmhost.OnHTTPResponse, &wasmhost.Message{Ctx: parseCtx(s, exec, dir), Payload: data(a, semconv.PayloadResponse), Resp: resp}, true
}

// customMessage is the call of the hook of custom messages, for the protocols that
// DeepFlow raises it for.
func customMessage(s ptrace.Span, exec string, dir wasmhost.Direction, hooks wasmhost.Hooks) (wasmhost.Hook, *wasmhost.Message, bool) {
	if !hooks.Custom {
		return 0, nil, false
	}
	a := s.Attributes()
	key := semconv.PayloadRequest
	if dir == wasmhost.ToClient {
		key = semconv.PayloadResponse
	}
	payload := data(a, key)
	code := uint32(number(text(a, semconv.NetworkProtocolName), ""))
	if len(payload) == 0 || !hooks.CustomAll && (hooks.CustomPoint != 0 || hooks.CustomType != code) {
		return 0, nil, false
	}
	m := &wasmhost.Message{Payload: payload, Custom: &wasmhost.CustomMessage{TypeCode: code}}
	switch code {
	case numberDubbo, numberRocketMQ:
	case numberNATS:
		m.Custom.Proto = natsMessage(text(a, messagingDestination), text(a, messagingConversation), payload)
	case numberZMTP:
		m.Custom.Proto = protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), payload)
	default:
		return 0, nil, false
	}
	m.Ctx = parseCtx(s, exec, dir)
	m.Ctx.L7 = 0
	return wasmhost.OnCustomMessage, m, true
}

// natsMessage is DeepFlow's NatsMessage: what is published, without the line that
// says so.
func natsMessage(subject, reply string, b []byte) []byte {
	_, b, _ = bytes.Cut(b, []byte("\r\n"))
	b = bytes.TrimSuffix(b, []byte("\r\n"))
	m := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), subject)
	m = protowire.AppendString(protowire.AppendTag(m, 2, protowire.BytesType), reply)
	return protowire.AppendBytes(protowire.AppendTag(m, 3, protowire.BytesType), b)
}
