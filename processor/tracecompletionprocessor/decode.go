package tracecompletionprocessor

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"sync"

	"github.com/cespare/xxhash/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/table"
)

// names numbers strings, so that nodes compare by a word. What is not seen for
// two turns of a generation is forgotten: numbers are never used again.
type names struct {
	mu         sync.Mutex // protects all below
	next       uint32
	young, old map[string]uint32
	hosts      map[uint32]string // back again, for telling clock offsets
}

// maxHosts bounds the hosts whose names are remembered.
const maxHosts = 4096

// maxNames bounds a generation.
const maxNames = 1 << 16

func newNames() *names { return &names{young: map[string]uint32{}, hosts: map[uint32]string{}} }

// hostName is the name of a host that host made id of. Empty: it is forgotten.
func (n *names) hostName(id uint32) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hosts[id]
}

// host is id for a host's name.
func (n *names) host(s string) uint32 {
	id := n.id(s)
	if _, ok := n.hosts[id]; !ok && id != 0 {
		if len(n.hosts) >= maxHosts {
			clear(n.hosts)
		}
		n.hosts[id] = s
	}
	return id
}

func (n *names) id(s string) uint32 {
	if s == "" {
		return 0
	}
	if v, ok := n.young[s]; ok {
		return v
	}
	v, ok := n.old[s]
	if !ok {
		n.next++
		v = n.next
	}
	if len(n.young) >= maxNames {
		n.old, n.young = n.young, map[string]uint32{}
	}
	n.young[s] = v
	return v
}

// origin is what a resource says about who saw its spans.
type origin struct {
	host, process, service uint32
}

func (n *names) origin(res pcommon.Resource) origin {
	var host, hostID, service, instance string
	var pid int64
	for k, v := range res.Attributes().All() {
		switch k {
		case semconv.HostName:
			host = v.Str()
		case semconv.HostID:
			hostID = v.Str()
		case semconv.ServiceName:
			service = v.Str()
		case semconv.ServiceInstanceID:
			instance = v.Str()
		case semconv.ProcessPID:
			pid = v.Int()
		}
	}
	if host == "" {
		host = hostID
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	o := origin{host: n.host(host), service: n.id(service)}
	switch {
	case host != "" && pid != 0:
		o.process = n.id(host + "\x00" + strconv.FormatInt(pid, 10))
	case instance != "":
		o.process = n.id("\x00" + instance)
	}
	return o
}

// read fills node with what span says. judged is whether whoever made the span has
// looked for what caused it.
func read(n *table.Node, span ptrace.Span, o origin, judged bool) {
	n.Judged = judged
	var rare table.Rare
	var carriedSpan hop.Key
	n.Trace = table.TraceID(span.TraceID())
	n.Span = hop.Key(be64(span.SpanID()))
	n.Parent = hop.Key(be64(span.ParentSpanID()))
	n.Start, n.End = int64(span.StartTimestamp()), int64(span.EndTimestamp())
	n.Host, n.Process, n.Service = o.host, o.process, o.service
	switch span.Kind() {
	case ptrace.SpanKindServer, ptrace.SpanKindConsumer:
		n.Server = true
	case ptrace.SpanKindClient, ptrace.SpanKindProducer:
		n.Client = true
	}
	var traceID, spanID, format, evidence string
	var system, port string
	var remote string
	var remotePort int64
	for k, v := range span.Attributes().All() {
		switch k {
		case semconv.CapturePoint:
			n.Point, _ = hop.Parse(v.Str())
		case semconv.ExchangeXID:
			n.XID = key(v.Str())
		case semconv.NetworkTransport:
			n.UDP = v.Str() == "udp"
		case semconv.ExchangeLID:
			n.LID = key(v.Str())
		case semconv.PropagationTraceID:
			traceID = v.Str()
		case semconv.PropagationSpanID:
			spanID = v.Str()
		case semconv.PropagationFormat:
			format = v.Str()
		case semconv.RequestIDRequest:
			rare.RequestID = xxhash.Sum64String(v.Str())
		case semconv.RequestIDResponse:
			rare.ResponseID = xxhash.Sum64String(v.Str())
		case semconv.SyscallTraceIDRequest:
			rare.SyscallRequest = uint64(v.Int())
		case semconv.SyscallTraceIDResponse:
			rare.SyscallResponse = uint64(v.Int())
		case semconv.TraceProvisional:
			n.Provisional = v.Bool()
		case semconv.APMParentSpanID:
			rare.Original = key(v.Str())
			n.Rooted = rare.Original == 0
		case semconv.HopInconsistent:
			n.Inconsistent = v.Bool()
		case semconv.LinkEvidence:
			evidence = v.Str()
		case semconv.PinpointSpanID:
			rare.Own = hop.ForeignSpan(formatPinpoint, v.Str())
		case "db.system.name", "rpc.system.name", "messaging.system":
			system = v.Str()
		case "messaging.operation.type":
			n.Received = v.Str() == "receive" || v.Str() == "process"
		case "db.system", "rpc.system":
			if system == "" {
				system = v.Str()
			}
		case "http.request.method", "http.method":
			if system == "" {
				system = "http"
			}
		case semconv.NetworkPeerAddress, "net.sock.peer.addr":
			remote = v.Str()
		case "net.sock.peer.port":
			remotePort = number(v)
		case semconv.ServerPort, semconv.NetworkPeerPort, "net.peer.port":
			if k == semconv.NetworkPeerPort {
				remotePort = number(v)
			}
			if p := number(v); p != 0 && (port == "" || k == semconv.ServerPort) {
				port = k
				n.PeerPort = uint16(p)
			}
		}
	}
	if n.Point == hop.ServerProcess || n.App() && n.Server {
		n.PeerPort = 0
		n.Remote = endpoint(remote, remotePort)
	}
	if system != "" {
		n.System = xxhash.Sum64String(system)
	}
	if format != "" {
		if id, ok := hop.ForeignTrace(format, traceID); ok {
			carriedSpan = hop.ForeignSpan(format, spanID)
			if id != [16]byte{} {
				n.Carried = &table.Carried{Trace: table.TraceID(id), Span: carriedSpan}
				if n.Carried.Own = format == formatPinpoint; n.Carried.Own {
					n.Carried.Caller = hop.ForeignCaller(format, traceID, spanID)
				}
			}
		}
	}
	if judged {
		rare.RequestID, rare.ResponseID, rare.SyscallRequest, rare.SyscallResponse = 0, 0, 0, 0
	}
	if rare != (table.Rare{}) {
		r := rare // the other one stays on the stack
		n.Rare = &r
	}
	n.Linked = evidence != "" && evidence != table.ByPropagation.String() && n.Parent != 0 && n.Parent != carriedSpan
}

// formatPinpoint is the one format that carries the callee's own span id.
const formatPinpoint = "pinpoint"

// endpoint hashes an address, however it is written, and a port. 0: not both.
func endpoint(addr string, port int64) uint64 {
	a, err := netip.ParseAddr(addr)
	if err != nil || port <= 0 {
		return 0
	}
	var b [18]byte
	b16 := a.As16() // IPv4 mapped into IPv6 is the same address
	copy(b[:], b16[:])
	b[16], b[17] = byte(port>>8), byte(port)
	return xxhash.Sum64(b[:]) | 1
}

func number(v pcommon.Value) int64 {
	if v.Type() == pcommon.ValueTypeInt {
		return v.Int()
	}
	n, _ := strconv.ParseUint(v.AsString(), 10, 16)
	return int64(n)
}

// key reads 16 hex digits; anything else is no key.
func key(s string) hop.Key {
	if len(s) != 16 {
		return 0
	}
	var b [8]byte
	if _, err := hex.Decode(b[:], []byte(s)); err != nil {
		return 0
	}
	return hop.Key(be64(b))
}

func be64(b [8]byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}
