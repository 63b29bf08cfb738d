package packed

import (
	"encoding/binary"
	"hash/maphash"
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/inplace"
)

// Packer packs batches. One goroutine at a time uses it.
type Packer struct {
	types inplace.Types
	use   bool // pdata can be read in place
	dict  *dict
	seen  seen
	b     []byte // of the batch in hand
	body  []byte // what identifies a resource or scope
	cost  int64  // of what the batch has added to the dictionary
	odd   bool   // it has something that can't be packed
	prev  word   // the key before
	trace pcommon.TraceID
	start uint64 // of the span before
	// plain: no words are used, so that equals become equal bytes.
	plain bool
}

// NewPacker makes one.
func NewPacker() *Packer {
	p := &Packer{dict: newDict(), seen: seen{seed: maphash.MakeSeed()}}
	p.types, p.use = inplace.Use()
	return p
}

// Pack takes the spans of td. Where they can't be packed td itself is kept, so
// nobody may change it any more.
func (p *Packer) Pack(td ptrace.Traces) Batch {
	if !p.use {
		return asIs(td)
	}
	if p.dict.full() {
		p.dict = newDict()
	}
	p.b, p.cost, p.odd, p.trace, p.start = p.b[:0], 0, false, pcommon.TraceID{}, 0
	n := p.runs(td)
	if p.odd {
		return asIs(td)
	}
	b := make([]byte, len(p.b))
	copy(b, p.b)
	return Batch{b: b, dict: p.dict.view, spans: n, size: int64(len(b)) + p.cost}
}

// asIs keeps td. pdata takes about twice of what protobuf does.
func asIs(td ptrace.Traces) Batch {
	return Batch{td: td, spans: td.SpanCount(), size: 2 * int64((&ptrace.ProtoMarshaler{}).TracesSize(td))}
}

func (p *Packer) runs(td ptrace.Traces) (n int) {
	for _, rs := range td.ResourceSpans().All() {
		r := -1
		for _, ss := range rs.ScopeSpans().All() {
			spans := ss.Spans()
			if spans.Len() == 0 {
				continue
			}
			if r < 0 {
				r = p.resource(rs)
			}
			p.u(uint64(r))
			p.u(uint64(p.scope(ss)))
			p.u(uint64(spans.Len()))
			for i := range spans.Len() {
				p.span(spans.At(i))
			}
			n += spans.Len()
		}
	}
	return n
}

// resource is the number of rs's.
func (p *Packer) resource(rs ptrace.ResourceSpans) int {
	res := rs.Resource()
	body := p.identify(func() {
		p.b = append(p.b, 'r')
		p.text(rs.SchemaUrl())
		p.u(uint64(res.DroppedAttributesCount()))
		p.attributes(res.Attributes())
		if inplace.Entities(&res) > 0 {
			// Which attributes are which entity's only protobuf tells.
			td := ptrace.NewTraces()
			res.CopyTo(td.ResourceSpans().AppendEmpty().Resource())
			b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
			p.odd = p.odd || err != nil
			p.b = append(p.b, b...)
		}
	})
	i, cost := p.dict.resource(body, rs)
	p.cost += cost
	return i
}

func (p *Packer) scope(ss ptrace.ScopeSpans) int {
	sc := ss.Scope()
	body := p.identify(func() {
		p.b = append(p.b, 's')
		p.text(ss.SchemaUrl())
		p.text(sc.Name())
		p.text(sc.Version())
		p.u(uint64(sc.DroppedAttributesCount()))
		p.attributes(sc.Attributes())
	})
	i, cost := p.dict.scope(body, ss)
	p.cost += cost
	return i
}

// identify is what write writes, in plain.
func (p *Packer) identify(write func()) []byte {
	p.b, p.body, p.plain = p.body[:0], p.b, true
	write()
	p.b, p.body, p.plain = p.body, p.b, false
	return p.body
}

func (p *Packer) span(s ptrace.Span) {
	trace, parent, state := s.TraceID(), s.ParentSpanID(), s.TraceState().AsRaw()
	events, links, status := s.Events(), s.Links(), s.Status()
	bits := uint64(0)
	has := func(bit uint64, yes bool) bool {
		if yes {
			bits |= bit
		}
		return yes
	}
	same := has(hasSameTrace, trace == p.trace)
	child := has(hasParent, parent != pcommon.SpanID{})
	has(hasState, state != "")
	has(hasFlags, s.Flags() != 0)
	has(hasDropped, s.DroppedAttributesCount()|s.DroppedEventsCount()|s.DroppedLinksCount() != 0)
	has(hasStatus, status.Code() != 0 || status.Message() != "")
	has(hasEvents, events.Len() > 0)
	has(hasLinks, links.Len() > 0)
	p.u(bits)
	if !same {
		p.b = append(p.b, trace[:]...)
		p.trace = trace
	}
	id := s.SpanID()
	p.b = append(p.b, id[:]...)
	if child {
		p.b = append(p.b, parent[:]...)
	}
	start := uint64(s.StartTimestamp())
	p.s(int64(start - p.start))
	p.s(int64(uint64(s.EndTimestamp()) - start))
	p.start = start
	p.s(int64(s.Kind()))
	p.text(s.Name())
	p.attributes(s.Attributes())
	if bits < hasState {
		return
	}
	if bits&hasState != 0 {
		p.text(state)
	}
	if bits&hasFlags != 0 {
		p.u(uint64(s.Flags()))
	}
	if bits&hasDropped != 0 {
		p.u(uint64(s.DroppedAttributesCount()))
		p.u(uint64(s.DroppedEventsCount()))
		p.u(uint64(s.DroppedLinksCount()))
	}
	if bits&hasStatus != 0 {
		p.s(int64(status.Code()))
		p.text(status.Message())
	}
	if bits&hasEvents != 0 {
		p.u(uint64(events.Len()))
		for _, e := range events.All() {
			p.s(int64(uint64(e.Timestamp()) - start))
			p.text(e.Name())
			p.u(uint64(e.DroppedAttributesCount()))
			p.attributes(e.Attributes())
		}
	}
	if bits&hasLinks != 0 {
		p.u(uint64(links.Len()))
		for _, l := range links.All() {
			trace, span := l.TraceID(), l.SpanID()
			p.b = append(append(p.b, trace[:]...), span[:]...)
			p.text(l.TraceState().AsRaw())
			p.u(uint64(l.Flags()))
			p.u(uint64(l.DroppedAttributesCount()))
			p.attributes(l.Attributes())
		}
	}
}

// attributes writes a map. Strings, numbers and truths, nearly all there is, are
// read in place.
func (p *Packer) attributes(m pcommon.Map) {
	kvs := *inplace.Slots(&m)
	p.u(uint64(len(kvs)))
	before := p.prev
	p.prev = 0
	for i := range kvs {
		kv := &kvs[i]
		w := p.key(kv.Key)
		switch kv.Type {
		case p.types.Str:
			p.known(w, *(*string)(kv.Data))
		case p.types.Num:
			p.b = append(p.b, isInt)
			p.s(*(*int64)(kv.Data))
		case p.types.Truth:
			p.truth(*(*bool)(kv.Data))
		default:
			p.value(inplace.Value(&m, i))
		}
		if kv.Index != 0 {
			p.odd = true
		}
	}
	p.prev = before
}

// key writes a key, by its word if it has one. 0: it has none.
func (p *Packer) key(k string) word {
	if p.plain {
		p.b = append(p.b, 0)
		p.text(k)
		return 0
	}
	w := p.dict.next[p.prev]
	if w == 0 || p.dict.words[w] != k {
		var ok bool
		if w, ok = p.dict.index[k]; !ok {
			var cost int64
			w, cost = p.dict.add(k)
			p.cost += cost
		}
		p.dict.next[p.prev] = w
	}
	p.prev = w
	p.u(uint64(w))
	if w == 0 {
		p.text(k)
	}
	return w
}

// known writes the value of a key, which is likely the one that it had last.
func (p *Packer) known(key word, s string) {
	if key == 0 {
		p.text(s)
		return
	}
	if last := p.dict.last[key]; last != 0 && p.dict.words[last] == s {
		p.word(last)
		return
	}
	if w := p.text(s); w != 0 {
		p.dict.last[key] = w
	}
}

// text writes a string, and says which word it is.
func (p *Packer) text(s string) word {
	if n := hexLen(s); n > 0 {
		p.b = append(p.b, isHex)
		p.u(uint64(n))
		p.b = appendHex(p.b, s)
		return 0
	}
	if !p.plain && s != "" {
		w, ok := p.dict.index[s]
		if !ok && p.seen.again(s) {
			var cost int64
			w, cost = p.dict.add(s)
			p.cost += cost
		}
		if w != 0 {
			p.word(w)
			return w
		}
	}
	p.b = append(p.b, isText)
	p.u(uint64(len(s)))
	p.b = append(p.b, s...)
	return 0
}

func (p *Packer) word(w word) {
	if w < 256-isWords {
		p.b = append(p.b, isWords+byte(w))
		return
	}
	p.b = append(p.b, isWord)
	p.u(uint64(w))
}

func (p *Packer) truth(yes bool) {
	if yes {
		p.b = append(p.b, isTrue)
	} else {
		p.b = append(p.b, isFalse)
	}
}

// value writes any value, through the API.
func (p *Packer) value(v pcommon.Value) {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		p.text(v.Str())
	case pcommon.ValueTypeInt:
		p.b = append(p.b, isInt)
		p.s(v.Int())
	case pcommon.ValueTypeBool:
		p.truth(v.Bool())
	case pcommon.ValueTypeDouble:
		p.b = append(p.b, isDouble)
		p.b = binary.LittleEndian.AppendUint64(p.b, math.Float64bits(v.Double()))
	case pcommon.ValueTypeBytes:
		p.b = append(p.b, isBytes)
		b := v.Bytes()
		p.u(uint64(b.Len()))
		for i := range b.Len() {
			p.b = append(p.b, b.At(i))
		}
	case pcommon.ValueTypeSlice:
		p.b = append(p.b, isSlice)
		list := v.Slice()
		p.u(uint64(list.Len()))
		for _, e := range list.All() {
			p.value(e)
		}
	case pcommon.ValueTypeMap:
		p.b = append(p.b, isMap)
		p.attributes(v.Map())
	default:
		p.b = append(p.b, isNothing)
		p.odd = p.odd || !inplace.Nothing(&v)
	}
}

// u writes an unsigned number.
func (p *Packer) u(v uint64) {
	if v < 0x80 {
		p.b = append(p.b, byte(v))
		return
	}
	p.b = binary.AppendUvarint(p.b, v)
}

// s writes a signed one.
func (p *Packer) s(v int64) { p.u(uint64(v)<<1 ^ uint64(v>>63)) }
