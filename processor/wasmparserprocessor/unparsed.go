package wasmparserprocessor

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/wasmhost"
)

// unparsed is the name of spans of chunks that no protocol knows.
const unparsed = "unparsed"

// maxLooks is how many chunks of a connection plugins are shown before it is
// given up.
const maxLooks = 8

// minLook is how much an end has to have said for a look to count: heads of binary
// protocols are no longer.
const minLook = 16

// detectWindow bounds what is kept of a connection while no plugin knows it.
const detectWindow = 2 << 10

// unparsed takes the chunk that s is. What comes of it is in b.made.
func (b *batch) unparsed(s ptrace.Span) {
	t := b.p.flows
	c, ok := chunkOf(s, b.host)
	if !ok {
		b.p.drop(dropEmpty, 1)
		return
	}
	f := t.get(c.flow, b.now)
	if f.resource == (pcommon.Resource{}) {
		f.resource, f.scope = pcommon.NewResource(), pcommon.NewInstrumentationScope()
		b.resource.CopyTo(f.resource)
		b.scope.CopyTo(f.scope)
	}
	if f.unsure && b.now.Sub(f.seen) >= t.cfg.Timeout {
		f.unsure = false
	}
	f.seen = b.now
	if b.place(f, &c) {
		b.read(f, &c)
	}
	for old := t.over(); old != nil; old = t.over() {
		b.forget(old, outcomeLimit)
	}
}

// forget removes a flow. What is open is given on as it is.
func (b *batch) forget(f *flow, how outcome) {
	if f.guest < 0 {
		b.p.drop(dropUnknown, uint64(len(f.lanes[0].marks)+len(f.lanes[1].marks)))
	}
	for _, x := range b.p.flows.remove(f) {
		b.emit(f, x, how)
	}
}

// place puts the chunk where it belongs in its lane; false: there is nothing of
// it left to read.
func (b *batch) place(f *flow, c *chunk) bool {
	t, l := b.p.flows, &f.lanes[c.dir]
	if c.whole {
		t.clear(l)
		l.started, l.skip, l.next = true, 0, c.pos
	}
	if !l.started {
		l.started, l.next = true, c.pos
		if c.pos > 0 {
			f.unsure = true // the connection is older than what is seen of it
		}
	}
	if c.pos < l.next { // seen before
		d := l.next - c.pos
		if d >= c.wire {
			return false
		}
		c.cut(d)
	}
	if gap := c.pos - l.next; gap > 0 {
		b.missing(f, l, gap)
	}
	if k := min(l.skip, c.wire); k > 0 {
		l.skip -= k
		l.next += k
		if c.cut(k); c.wire == 0 {
			return false
		}
	}
	if len(c.b) == 0 { // its head was passed over, the rest was not captured
		b.missing(f, l, c.wire)
		return false
	}
	return true
}

// cut takes n bytes off the front.
func (c *chunk) cut(n uint64) {
	c.b = c.b[min(n, uint64(len(c.b))):]
	c.pos, c.wire = c.pos+n, c.wire-n
}

// missing: the next n bytes of the lane are not there.
func (b *batch) missing(f *flow, l *lane, n uint64) {
	k := min(l.skip, n)
	l.skip -= k
	l.next += n
	if k < n {
		b.p.flows.clear(l)
		b.doubt(f)
	}
}

// doubt: what waits for an answer in order may have had it.
func (b *batch) doubt(f *flow) {
	f.unsure = true
	waiting := f.fifo
	f.fifo = nil
	b.p.flows.open -= len(waiting)
	for _, x := range waiting {
		b.emit(f, x, outcomeLost)
	}
}

// read shows the lane's bytes to the plugin that knows the flow, or looks for one.
func (b *batch) read(f *flow, c *chunk) {
	t, l := b.p.flows, &f.lanes[c.dir]
	absent := c.wire - uint64(len(c.b))
	m := mark{pos: c.first, span: ptrace.NewSpan()}
	c.span.CopyTo(m.span)
	m.span.Attributes().Remove(semconv.PayloadRequest) // the lane has it
	t.add(l, c.b, m)
	l.next += uint64(len(c.b))
	if f.guest < 0 && f.looks < maxLooks {
		if b.check(f, c, l); f.guest >= 0 {
			b.before(f, c)
		}
	}
	if f.guest < 0 {
		// What an end says first may be too short to tell what it is.
		if first := l.next - uint64(len(l.buf)); first > 0 || len(l.buf) >= detectWindow || f.looks >= maxLooks || absent > 0 {
			b.p.drop(dropUnknown, uint64(len(l.marks)))
			t.clear(l)
		}
	} else {
		b.parse(f, c, l)
	}
	if c.whole {
		t.clear(l)
		l.skip = 0
	}
	if absent > 0 {
		b.missing(f, l, absent)
	}
	if len(l.buf) > t.cfg.MaxMessage {
		b.p.drop(dropTooLong, 1)
		t.clear(l)
		b.doubt(f)
	}
}

// before reads what the other end has said while nobody knew what it was.
func (b *batch) before(f *flow, c *chunk) {
	l := &f.lanes[c.dir^1]
	if len(l.marks) == 0 {
		return
	}
	first, _ := chunkOf(l.marks[len(l.marks)-1].span, b.host)
	first.pos = l.next - uint64(len(l.buf))
	b.parse(f, &first, l)
}

// parse shows what the lane has to the plugin that knows the flow.
func (b *batch) parse(f *flow, c *chunk, l *lane) {
	t := b.p.flows
	switch {
	case b.held[f.guest].l == nil: // put aside, or its new version can't be asked
		b.p.drop(dropAside, 1)
		t.clear(l)
		b.doubt(f)
	case b.held[f.guest].l.plugin.Hooks.Check:
		b.parts(f, c, l)
	default:
		b.infos(f, c, l)
		t.clear(l)
	}
}

// check asks the plugins whether they know what the flow says.
func (b *batch) check(f *flow, c *chunk, l *lane) {
	look := 1
	if l.next < minLook { // so few bytes of a connection tell nothing, however they come
		look = 0
	}
	for i, g := range b.p.guests {
		h := b.held[i].l
		if h == nil {
			look = 0 // put aside: it may know this when it is back
			continue
		}
		if !h.plugin.Hooks.Payload || !g.cfg.Match.fits(c.span, b.exec) {
			continue
		}
		v := &partView{view: view{s: c.span}, payload: l.buf, dir: c.dir}
		m := &wasmhost.Message{Ctx: parseCtx(c.span, b.exec, c.dir), Payload: l.buf, Span: v, State: f.state}
		m.Ctx.L7 = 0
		if !b.call(i, f.key.id, wasmhost.CheckPayload, m) || m.Number == 0 {
			continue
		}
		f.guest, f.number, f.name = i, m.Number, m.Name
		if n, ok := v.set(semconv.NetworkProtocolName).(string); ok {
			f.name = n
		}
		// A request is what the client says.
		f.flip = m.DirSaid && m.Dir != c.dir
		return
	}
	f.looks += look
}

// sent is who sent c, as the plugin sees it.
func (f *flow) sent(c *chunk) wasmhost.Direction {
	if f.flip {
		return c.dir ^ 1
	}
	return c.dir
}

// infos asks one of DeepFlow's plugins, which sees each chunk alone.
func (b *batch) infos(f *flow, c *chunk, l *lane) {
	dir := f.sent(c)
	m := &wasmhost.Message{Ctx: parseCtx(c.span, b.exec, dir), Payload: l.buf}
	m.Ctx.L7 = f.number
	if !b.call(f.guest, f.key.id, wasmhost.ParsePayload, m) {
		b.doubt(f)
		return
	}
	if len(m.Infos) == 0 {
		b.p.drop(dropUnknown, 1)
	}
	for i := 0; i < len(m.Infos); {
		id, kind := about(&m.Infos[i], dir)
		end := i + 1
		for end < len(m.Infos) && m.Infos[i].IsEnd != nil { // parts of one message
			if id2, kind2 := about(&m.Infos[end], dir); id2 != id || kind2 != kind {
				break
			}
			end++
		}
		infos := m.Infos[i:end]
		s := message(l.at(c.pos), c.pos, c.span.EndTimestamp(), b.host)
		b.pair(f, s, kind, id, infos[len(infos)-1].IsEnd, func(to ptrace.Span) {
			apply(to, infos)
			named(to, f.name)
		})
		i = end
	}
}

// about is the request id of what a plugin found, and what it is to its exchange.
func about(n *wasmhost.Info, dir wasmhost.Direction) (id string, kind wasmhost.PartKind) {
	if n.RequestID != nil {
		id = number32(*n.RequestID)
	}
	if n.Resp != nil || n.Req == nil && dir == wasmhost.ToClient {
		return id, wasmhost.PartResponse
	}
	return id, wasmhost.PartRequest
}

// parts asks a plugin of our own ABI, which sees what the end has said since its
// last whole message.
func (b *batch) parts(f *flow, c *chunk, l *lane) {
	t := b.p.flows
	start := l.next - uint64(len(l.buf))
	v := &partView{view: view{s: c.span}, payload: l.buf, dir: c.dir}
	m := &wasmhost.Message{Ctx: wasmhost.ParseCtx{Direction: c.dir}, Span: v, State: f.state}
	if !b.call(f.guest, f.key.id, wasmhost.ParsePayload, m) {
		t.clear(l)
		b.doubt(f)
		return
	}
	if m.StateSet {
		f.state = m.State
	}
	if !m.Stop { // not what it knows
		b.p.drop(dropUnknown, 1)
		t.clear(l)
		b.doubt(f)
		return
	}
	at := start
	for i := range v.parts {
		p := &v.parts[i]
		s := message(l.at(at), at, c.span.EndTimestamp(), b.host)
		size := semconv.RequestBytes
		if p.kind == wasmhost.PartResponse {
			size = semconv.ResponseBytes
		}
		s.Attributes().PutInt(size, int64(p.length))
		at += uint64(p.length)
		b.pair(f, s, p.kind, p.id, nil, func(to ptrace.Span) {
			write(to, p.changes)
			named(to, f.name)
		})
	}
	t.took(l, at-start)
}

// named gives the span of a message its protocol and, if the plugin did not, its
// name.
func named(s ptrace.Span, protocol string) {
	a := s.Attributes()
	if protocol != "" && text(a, semconv.NetworkProtocolName) == "" {
		a.PutStr(semconv.NetworkProtocolName, protocol)
	}
	if s.Name() != unparsed {
		return
	}
	switch op, target := text(a, semconv.SessionOperation), text(a, semconv.SessionTarget); {
	case op != "" && target != "":
		s.SetName(op + " " + target)
	default:
		s.SetName(first(op, target, text(a, semconv.NetworkProtocolName), protocol, "custom"))
	}
}

// part is a message that a plugin found.
type part struct {
	kind    wasmhost.PartKind
	length  uint32
	id      string
	changes []change
}

// maxParts bounds the messages of one call.
const maxParts = 4096

// partView is the bytes of one end as a plugin of our own ABI sees them.
type partView struct {
	view
	payload []byte
	dir     wasmhost.Direction
	parts   []part
}

// Payload is what the end said since its last whole message; of the other end
// there is nothing.
func (v *partView) Payload(d wasmhost.Direction) []byte {
	if d != v.dir {
		return nil
	}
	return v.payload
}

// Found notes a message. What is set from now on is said of it.
func (v *partView) Found(kind wasmhost.PartKind, length uint32, id string) bool {
	if length == 0 || len(v.parts) == maxParts {
		return false
	}
	if n := len(v.parts); n > 0 {
		v.parts[n-1].changes = v.changes
	}
	v.changes = nil
	v.parts = append(v.parts, part{kind: kind, length: length, id: id})
	return true
}

// Set notes what is said of the last message found, or of the flow.
func (v *partView) Set(key string, value any) bool {
	ok := v.view.Set(key, value)
	if n := len(v.parts); n > 0 {
		v.parts[n-1].changes = v.changes
	}
	return ok
}

// set is the value of a change.
func (v *partView) set(key string) any {
	for i := len(v.changes) - 1; i >= 0; i-- {
		if v.changes[i].key == key {
			return v.changes[i].value
		}
	}
	return nil
}

// expire gives up what waits for too long, and forgets flows that are silent.
func (p *parser) expire(now time.Time) ptrace.Traces {
	b := batch{p: p, now: now, made: ptrace.NewTraces()}
	t := p.flows
	t.mu.Lock()
	defer t.mu.Unlock()
	var gone []*flow
	for e := t.order.Front(); e != nil; e = e.Next() {
		f := e.Value.(*flow)
		b.late(f)
		if now.Sub(f.seen) > 5*t.cfg.Timeout && len(f.fifo)+len(f.byID) == 0 {
			gone = append(gone, f)
		}
	}
	for _, f := range gone {
		b.forget(f, outcomeEnd)
	}
	return b.made
}

// end gives all that is open, as it is.
func (p *parser) end() ptrace.Traces {
	b := batch{p: p, made: ptrace.NewTraces()}
	t := p.flows
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.order.Len() > 0 {
		b.forget(t.order.Front().Value.(*flow), outcomeEnd)
	}
	return b.made
}
