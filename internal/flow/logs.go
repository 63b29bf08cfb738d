package flow

import (
	"net/netip"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/semconv"
)

// Logs makes log records of flow records, in batches. One goroutine owns it.
type Logs struct {
	Host, HostID, Version string
	// Max is how many records a batch has before it is handed on.
	Max     int
	next    func(plog.Logs, int)
	batch   plog.Logs
	records plog.LogRecordSlice
	n       int
	since   int64
}

// NewLogs makes a batcher that hands batches to next.
func NewLogs(version, host, hostID string, next func(plog.Logs, int)) *Logs {
	l := &Logs{Host: host, HostID: hostID, Version: version, Max: 1024, next: next}
	l.begin()
	return l
}

func (l *Logs) begin() {
	l.batch, l.n = plog.NewLogs(), 0
	rl := l.batch.ResourceLogs().AppendEmpty()
	rl.SetSchemaUrl(semconv.SchemaURL)
	m := rl.Resource().Attributes()
	if l.Host != "" {
		m.PutStr(semconv.HostName, l.Host)
	}
	if l.HostID != "" {
		m.PutStr(semconv.HostID, l.HostID)
	}
	sl := rl.ScopeLogs().AppendEmpty()
	sl.SetSchemaUrl(semconv.SchemaURL)
	sl.Scope().SetName(semconv.ScopeEBPF)
	sl.Scope().SetVersion(l.Version)
	l.records = sl.LogRecords()
}

// Flush hands the batch on.
func (l *Logs) Flush() {
	if l.n == 0 {
		return
	}
	b, n := l.batch, l.n
	l.begin()
	l.next(b, n)
}

// Tick hands the batch on if it is older than a second at now.
func (l *Logs) Tick(now int64) {
	if l.n > 0 && now-l.since > 1e9 {
		l.Flush()
	}
}

// Put makes the log record of r.
func (l *Logs) Put(r *Record) {
	if l.n == 0 {
		l.since = r.End
	}
	lr := l.records.AppendEmpty()
	lr.SetTimestamp(pcommon.Timestamp(r.End))
	lr.SetObservedTimestamp(pcommon.Timestamp(r.End))
	lr.SetSeverityNumber(plog.SeverityNumberInfo)
	if c := r.Close.Class(); c == "client" || c == "server" {
		lr.SetSeverityNumber(plog.SeverityNumberWarn)
	}
	lr.SetEventName("flow")
	lr.Body().SetStr("flow")
	r.attributes(lr.Attributes())
	if l.n++; l.n >= l.Max {
		l.Flush()
	}
}

func (r *Record) attributes(m pcommon.Map) {
	m.EnsureCapacity(64)
	str := func(k, v string) {
		if v != "" {
			m.PutStr(k, v)
		}
	}
	num := func(k string, v int64) {
		if v != 0 {
			m.PutInt(k, v)
		}
	}
	str(semconv.FlowID, string(hop.Key(r.ID).Hex(nil)))
	str(semconv.CapturePoint, r.Point.Code())
	if r.Process {
		str(semconv.SignalSource, semconv.SourceEBPF)
		num(semconv.ProcessPID, int64(r.PID))
		str(semconv.ProcessExecutableName, r.Comm)
	} else {
		str(semconv.SignalSource, semconv.SourcePacket)
	}
	str(semconv.NetworkInterfaceName, r.Interface)
	str(semconv.NetworkTransport, transport(r.Proto))
	if r.V6 {
		str(semconv.NetworkType, "ipv6")
	} else {
		str(semconv.NetworkType, "ipv4")
	}
	end := func(addr, port string, at netip.AddrPort) {
		str(addr, at.Addr().String())
		m.PutInt(port, int64(at.Port()))
	}
	end(semconv.ClientAddress, semconv.ClientPort, r.Client)
	end(semconv.ServerAddress, semconv.ServerPort, r.Server)
	num(semconv.NetworkVLANID, int64(r.VLAN))
	if r.TunnelType != "" {
		str(semconv.TunnelType, r.TunnelType)
		m.PutInt(semconv.TunnelID, int64(r.TunnelID))
	}
	m.PutInt(semconv.FlowStart, r.Start)
	m.PutInt(semconv.FlowDuration, r.End-r.Start)
	m.PutBool(semconv.FlowNew, r.New)
	str(semconv.FlowClose, r.Close.String())
	str(semconv.FlowCloseClass, r.Close.Class())
	m.PutInt(semconv.FlowRoleConfidence, int64(r.Sure))
	c, s := &r.Side[0], &r.Side[1]
	m.PutInt(semconv.FlowPacketsClient, int64(c.Packets))
	m.PutInt(semconv.FlowPacketsServer, int64(s.Packets))
	if !r.Process {
		m.PutInt(semconv.FlowBytesClient, int64(c.Bytes))
		m.PutInt(semconv.FlowBytesServer, int64(s.Bytes))
	}
	m.PutInt(semconv.FlowPayloadClient, int64(c.Payload))
	m.PutInt(semconv.FlowPayloadServer, int64(s.Payload))
	if r.ICMPErrors > 0 {
		m.PutInt(semconv.FlowICMPErrors, int64(r.ICMPErrors))
		m.PutInt(semconv.FlowICMPType, int64(r.ICMPType))
		m.PutInt(semconv.FlowICMPCode, int64(r.ICMPCode))
	}
	if r.Facts != nil {
		for i := range r.Facts.Attrs {
			switch a := &r.Facts.Attrs[i]; a.Kind {
			case l7.AttrInt:
				m.PutInt(a.Key, a.Int)
			case l7.AttrBool:
				m.PutBool(a.Key, a.Int != 0)
			default:
				m.PutStr(a.Key, a.Str)
			}
		}
	}
	num(semconv.TCPART, s.ART.Mean())
	num(semconv.TCPARTMax, s.ART.Max)
	if r.Proto != packet.ProtoTCP {
		return
	}
	str(semconv.TCPFlagsClient, flagString(c.Flags))
	str(semconv.TCPFlagsServer, flagString(s.Flags))
	num(semconv.TCPRTT, r.RTT)
	num(semconv.TCPRTTMin, r.MinRTT)
	num(semconv.TCPConnect, r.Connect)
	num(semconv.TCPConnectClient, r.ConnectClient)
	num(semconv.TCPConnectServer, r.ConnectServer)
	num(semconv.TCPSRTClient, c.SRT.Mean())
	num(semconv.TCPSRTClientMax, c.SRT.Max)
	num(semconv.TCPSRTServer, s.SRT.Mean())
	num(semconv.TCPSRTServerMax, s.SRT.Max)
	num(semconv.TCPCIT, r.CIT.Mean())
	num(semconv.TCPCITMax, r.CIT.Max)
	num(semconv.TCPRetransmitsClient, int64(c.Retransmits))
	num(semconv.TCPRetransmitsServer, int64(s.Retransmits))
	num(semconv.TCPSYNRetransmits, int64(c.SYNRetransmits))
	num(semconv.TCPSYNACKRetransmits, int64(s.SYNRetransmits))
	num(semconv.TCPOutOfOrderClient, int64(c.OutOfOrder))
	num(semconv.TCPOutOfOrderServer, int64(s.OutOfOrder))
	num(semconv.TCPZeroWindowsClient, int64(c.ZeroWindows))
	num(semconv.TCPZeroWindowsServer, int64(s.ZeroWindows))
	num(semconv.TCPResetsClient, int64(c.Resets))
	num(semconv.TCPResetsServer, int64(s.Resets))
	if r.Last && r.Close.Connecting() {
		str(semconv.TCPConnectFailure, r.Close.String())
	}
}

func transport(proto uint8) string {
	switch proto {
	case packet.ProtoTCP:
		return "tcp"
	case packet.ProtoUDP:
		return "udp"
	}
	return "icmp"
}

// flagString is as tcpdump has it.
func flagString(flags uint8) string {
	var b [6]byte
	n := 0
	for i, c := range [...]byte{'F', 'S', 'R', 'P', '.', 'U'} {
		if flags&(1<<i) != 0 {
			b[n] = c
			n++
		}
	}
	return string(b[:n])
}
