package span

import (
	"net/netip"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/internal/who"
)

// place is what all spans of a connection have in common. It is kept in
// Conn.Spans.
type place struct {
	pid   uint32
	proc  *who.Process
	role  stream.Role
	point hop.Point
	// group is which of Builder.spansOf has the spans of proc, in the batch of that
	// number. Not the list itself: a connection that says nothing more would keep
	// a whole batch alive.
	group int
	batch uint64
	// spoke: it is not the connection's first exchange; answered is when the last
	// answer was whole (packets).
	spoke    bool
	answered int64
	// attrs are the same on every span, and so are server.address and
	// server.port unless a message knows better. port is the latter alone.
	attrs, server, port shared
	// domain is what messages said last about the server; named is what became of
	// it, once it was said twice: then it will be said again.
	domain string
	named  shared
	// title is the name of the last span.
	title *named
	// facts and known: what is known of the connection, once it is.
	facts *stream.Facts
	known shared
	// protocol and speaks: what it speaks says that the same on every span, too.
	protocol *l7.Protocol
	speaks   shared
}

// ends writes attrs, and what the server is called: domain, if it says that.
func (pl *place) ends(w *writer, domain string) {
	w.all(pl.attrs)
	if domain != "" && domain == pl.domain && pl.named.kv != nil {
		w.all(pl.named)
		return
	}
	host, port := hostPort(domain)
	if host == "" {
		w.all(pl.server)
		return
	}
	list := []l7.Attr{{Key: semconv.ServerAddress, Str: host}, {Key: semconv.ServerPort, Int: portNumber(port), Kind: l7.AttrInt}}
	if list[1].Int == 0 {
		list = list[:1]
	}
	if domain == pl.domain {
		pl.named = w.make(list)
		if len(list) == 1 {
			pl.named.kv, pl.named.lengths = append(pl.named.kv, pl.port.kv...), pl.named.lengths|pl.port.lengths
		}
		w.all(pl.named)
		return
	}
	pl.domain, pl.named = strings.Clone(domain), shared{}
	w.messages(list)
	if len(list) == 1 {
		w.all(pl.port)
	}
}

// name is the name of x's span, what the protocol says, else operation and
// route; and its route.
func (pl *place) name(x *session.Exchange, n *names) (name, route string) {
	req, resp := &x.Req.Msg, &x.Resp.Msg
	op, asked := first(req.Op, resp.Op), first(req.Route, resp.Route)
	said := first(req.Name, resp.Name)
	if said != "" {
		op, asked, route = "", said, asked
	}
	if op == "" && asked == "" {
		return x.Protocol.Name, ""
	}
	m := pl.title
	if m == nil || m.op != op || m.route != asked || m.protocol != x.Protocol {
		m = n.of(x.Protocol, serverPort(x.Conn), op, asked)
		pl.title = m
	}
	if m.limited {
		n.limited.Add(1)
	}
	if said == "" {
		route = m.few
	}
	return m.name, route
}

// speaking is what is the same on all spans of the protocol.
func (pl *place) speaking(w *writer, p *l7.Protocol) shared {
	if pl.protocol != p {
		var list []l7.Attr
		if p.Name != "" {
			list = append(list, l7.Attr{Key: semconv.NetworkProtocolName, Str: p.Name})
		}
		pl.protocol, pl.speaks = p, w.make(append(list, p.Attrs...))
	}
	return pl.speaks
}

// knowing is what is known of the connection.
func (pl *place) knowing(w *writer, f *stream.Facts) shared {
	if pl.facts != f {
		pl.facts, pl.known = f, w.make(f.Attrs)
	}
	return pl.known
}

// place finds or makes what x's connection has in common.
func (b *Builder) place(x *session.Exchange) *place {
	c := x.Conn
	pid := x.Req.Ctx.Pid
	if pid == 0 {
		pid = c.Pid
	}
	pl, _ := c.Spans.(*place)
	if pl == nil || pl.role != c.Role {
		old := pl
		pl = b.newPlace(c)
		if old != nil {
			pl.spoke, pl.answered = old.spoke, old.answered
		}
		c.Spans = pl
	}
	if pl.batch == b.number && pl.pid == pid {
		return pl
	}
	k := groupKey{pid: pid}
	if c.Source == stream.Packets {
		k = groupKey{iface: c.Interface}
	} else if b.cfg.Process != nil {
		k.proc = b.cfg.Process(pid)
	}
	pl.pid, pl.proc, pl.batch = pid, k.proc, b.number
	i, ok := b.groups[k]
	if !ok {
		i = len(b.spansOf)
		b.spansOf = append(b.spansOf, b.group(c, k))
		b.groups[k] = i
	}
	pl.group = i
	return pl
}

// group adds a resource to the batch.
func (b *Builder) group(c *stream.Conn, k groupKey) ptrace.SpanSlice {
	rs := b.batch.ResourceSpans().AppendEmpty()
	rs.SetSchemaUrl(semconv.SchemaURL)
	b.resource(rs.Resource().Attributes(), c, k)
	ss := rs.ScopeSpans().AppendEmpty()
	ss.SetSchemaUrl(semconv.SchemaURL)
	ss.Scope().SetName(semconv.ScopeEBPF)
	ss.Scope().SetVersion(b.cfg.Version)
	return ss.Spans()
}

// resource says who saw the spans: a process, or an interface of the host.
func (b *Builder) resource(m pcommon.Map, c *stream.Conn, k groupKey) {
	m.EnsureCapacity(16)
	put := func(key, v string) {
		if v != "" {
			m.PutStr(key, v)
		}
	}
	switch p := k.proc; {
	case p != nil:
		for i := 0; i+1 < len(p.Extra); i += 2 {
			put(p.Extra[i], p.Extra[i+1])
		}
		put(semconv.ServiceName, p.Service)
		put(semconv.ServiceNameSource, p.Source)
		put(semconv.ServiceNamespace, p.Namespace)
		put(semconv.ServiceInstanceID, p.Instance)
		m.PutInt(semconv.ProcessPID, int64(p.PID))
		put(semconv.ProcessExecutableName, p.Executable)
		put(semconv.ProcessExecutablePath, p.Path)
		put(semconv.ProcessCommandLine, p.Command)
		put(semconv.ProcessRuntimeName, p.Runtime)
		put(semconv.ContainerID, p.Container)
		put(semconv.K8SPodUID, p.PodUID)
		put(semconv.K8SPodName, p.Pod)
		put(semconv.K8SNamespaceName, p.PodNamespace)
	case c.Source == stream.Packets:
		put(semconv.ServiceName, first(c.Interface, unknownService))
		put(semconv.ServiceNameSource, "interface")
	default: // gone before anybody could look
		put(semconv.ServiceName, first(c.Comm, unknownService))
		put(semconv.ServiceNameSource, "executable")
		put(semconv.ProcessExecutableName, c.Comm)
		if k.pid != 0 {
			m.PutInt(semconv.ProcessPID, int64(k.pid))
		}
	}
	put(semconv.HostName, b.cfg.Host.Name)
	put(semconv.HostID, b.cfg.Host.ID)
}

// unknownService is what the conventions call a service without a name.
const unknownService = "unknown_service"

func (b *Builder) newPlace(c *stream.Conn) *place {
	pl := &place{role: c.Role, point: pointOf(c)}
	list := b.list[:0]
	ends := 0 // of list, those about the server
	defer func() {
		all, n := b.w.make(list), len(list)-ends
		pl.attrs, pl.server = all.part(0, n), all.part(n, len(list))
		if n := len(list); ends > 0 && list[n-1].Key == semconv.ServerPort {
			pl.port = all.part(n-1, n)
		}
		clear(list)
		b.list = list
	}()
	str := func(k, v string) {
		if v != "" {
			list = append(list, l7.Attr{Key: k, Str: v})
		}
	}
	num := func(k string, n int64) { list = append(list, l7.Attr{Key: k, Int: n, Kind: l7.AttrInt}) }
	str(semconv.CapturePoint, pl.point.Code())
	if c.Source == stream.Packets {
		str(semconv.SignalSource, semconv.SourcePacket)
	} else {
		str(semconv.SignalSource, semconv.SourceEBPF)
	}
	str(semconv.NetworkInterfaceName, c.Interface)
	str(semconv.NetworkTransport, transport(c))
	if c.VLAN != 0 {
		num(semconv.NetworkVLANID, int64(c.VLAN))
	}
	if c.TunnelType != "" {
		str(semconv.TunnelType, c.TunnelType)
		num(semconv.TunnelID, int64(c.TunnelID))
	}
	if c.FlowID != 0 {
		str(semconv.FlowID, string(hop.Key(c.FlowID).Hex(nil)))
	}
	if !c.A.IsValid() && !c.B.IsValid() {
		return pl
	}
	a, z := known(c.A, c.B), known(c.B, c.A)
	client, server := a, z
	if d, ok := c.ClientDir(); ok && d == stream.FromB {
		client, server = server, client
	}
	local, peer := client, server
	if pl.point.OfServer() {
		local, peer = server, client
	}
	if z.Addr().Is6() { // IPv4 in an IPv6 socket is IPv4 on the wire
		str(semconv.NetworkType, "ipv6")
	} else {
		str(semconv.NetworkType, "ipv4")
	}
	serverText, clientText := server.Addr().String(), client.Addr().String()
	end := func(addr, port string, at netip.AddrPort) {
		if a := at.Addr(); a.IsValid() && !a.IsUnspecified() {
			text := clientText
			if a == server.Addr() {
				text = serverText
			}
			str(addr, text)
		}
		if at.Port() == 0 || c.Transport == 0 { // ICMP has an id there
			return
		}
		num(port, int64(at.Port()))
	}
	end(semconv.NetworkLocalAddress, semconv.NetworkLocalPort, local)
	end(semconv.NetworkPeerAddress, semconv.NetworkPeerPort, peer)
	end(semconv.ClientAddress, semconv.ClientPort, client)
	n := len(list)
	end(semconv.ServerAddress, semconv.ServerPort, server)
	ends = len(list) - n
	return pl
}

// known is the end at; a socket that is bound to no address talks to loopback
// from there.
func known(at, other netip.AddrPort) netip.AddrPort {
	if at.Addr().IsUnspecified() && other.Addr().IsLoopback() {
		return netip.AddrPortFrom(other.Addr(), at.Port())
	}
	return at
}

func transport(c *stream.Conn) string {
	switch {
	case c.Family == stream.Unix:
		return "unix"
	case c.Transport == l7.UDP:
		return "udp"
	case c.Transport == 0:
		return "icmp"
	}
	return "tcp"
}

// portNumber is s as a port, 0 if it is none.
func portNumber(s string) (n int64) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || n > 1<<16 {
			return 0
		}
		n = n*10 + int64(s[i]-'0')
	}
	if n >= 1<<16 {
		return 0
	}
	return n
}
