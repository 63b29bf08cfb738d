package packed

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/inplace"
)

// Unpacker makes spans of batches. One goroutine at a time uses it.
type Unpacker struct {
	values  inplace.Values
	spans   inplace.Spans
	slots   []inplace.KeyValue // what is left of a block
	chars   []byte             // a block of text; what it has is not changed
	yes, no *bool

	b     []byte // of the batch in hand
	at    int    // read of it: a slice of the rest would be a pointer written at every step
	dict  view
	trace pcommon.TraceID
	start uint64
}

// Blocks are small, so that who keeps a span does not keep many.
const (
	blockSlots = 512
	blockChars = 4096
	// spareSlots is room for attributes that are added to a span.
	spareSlots = 4
)

// NewUnpacker makes one.
func NewUnpacker() *Unpacker {
	u := &Unpacker{yes: new(bool), no: new(bool)}
	*u.yes = true
	if types, ok := inplace.Use(); ok {
		u.values, u.spans = inplace.NewValues(types), inplace.NewSpans()
	}
	return u
}

// Unpack makes b pdata again. It gives each span, by its number in the order in
// which they were packed, to keep, which may change it, and says whether it
// stays. What has one resource and scope is put together.
func (u *Unpacker) Unpack(b *Batch, keep func(i int, span ptrace.Span) bool) ptrace.Traces {
	td := b.td
	if b.b == nil {
		i := 0
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				ss.Spans().RemoveIf(func(span ptrace.Span) bool {
					i++
					return !keep(i-1, span)
				})
			}
		}
		prune(td)
		return td
	}
	u.b, u.at, u.dict, u.trace, u.start = b.b, 0, b.dict, pcommon.TraceID{}, 0
	td = ptrace.NewTraces()
	at := places{td: td, dict: &u.dict, resources: map[int]ptrace.ResourceSpans{}, scopes: map[[2]int]ptrace.SpanSlice{}}
	for i := 0; u.at < len(u.b); {
		r, s := int(u.u()), int(u.u())
		list, first := at.list(r, s), i
		for n := int(u.u()); i < first+n; i++ {
			span := u.spans.Add(&list)
			u.span(span)
			if !keep(i, span) {
				inplace.RemoveLast(&list)
			}
		}
	}
	prune(td)
	u.b, u.dict = nil, view{}
	return td
}

// prune takes out what has no spans.
func prune(td ptrace.Traces) {
	td.ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool {
		rs.ScopeSpans().RemoveIf(func(ss ptrace.ScopeSpans) bool { return ss.Spans().Len() == 0 })
		return rs.ScopeSpans().Len() == 0
	})
}

// places are where spans of a resource and scope go.
type places struct {
	td        ptrace.Traces
	dict      *view
	resources map[int]ptrace.ResourceSpans
	scopes    map[[2]int]ptrace.SpanSlice
}

func (p *places) list(r, s int) ptrace.SpanSlice {
	list, ok := p.scopes[[2]int{r, s}]
	if ok {
		return list
	}
	rs, ok := p.resources[r]
	if !ok {
		rs = p.td.ResourceSpans().AppendEmpty()
		from := &p.dict.resources[r]
		from.CopyTo(rs.Resource())
		rs.SetSchemaUrl(from.url)
		p.resources[r] = rs
	}
	ss := rs.ScopeSpans().AppendEmpty()
	from := &p.dict.scopes[s]
	from.CopyTo(ss.Scope())
	ss.SetSchemaUrl(from.url)
	p.scopes[[2]int{r, s}] = ss.Spans()
	return ss.Spans()
}

func (u *Unpacker) span(s ptrace.Span) {
	bits := u.u()
	if bits&hasSameTrace == 0 {
		u.at += copy(u.trace[:], u.b[u.at:])
	}
	s.SetTraceID(u.trace)
	s.SetSpanID(u.spanID())
	if bits&hasParent != 0 {
		s.SetParentSpanID(u.spanID())
	}
	u.start += uint64(u.s())
	s.SetStartTimestamp(pcommon.Timestamp(u.start))
	s.SetEndTimestamp(pcommon.Timestamp(u.start + uint64(u.s())))
	s.SetKind(ptrace.SpanKind(u.s()))
	s.SetName(u.text())
	u.attributes(s.Attributes(), spareSlots)
	if bits < hasState {
		return
	}
	if bits&hasState != 0 {
		s.TraceState().FromRaw(u.text())
	}
	if bits&hasFlags != 0 {
		s.SetFlags(uint32(u.u()))
	}
	if bits&hasDropped != 0 {
		s.SetDroppedAttributesCount(uint32(u.u()))
		s.SetDroppedEventsCount(uint32(u.u()))
		s.SetDroppedLinksCount(uint32(u.u()))
	}
	if bits&hasStatus != 0 {
		s.Status().SetCode(ptrace.StatusCode(u.s()))
		s.Status().SetMessage(u.text())
	}
	if bits&hasEvents != 0 {
		n := int(u.u())
		events := s.Events()
		events.EnsureCapacity(n)
		for range n {
			e := events.AppendEmpty()
			e.SetTimestamp(pcommon.Timestamp(u.start + uint64(u.s())))
			e.SetName(u.text())
			e.SetDroppedAttributesCount(uint32(u.u()))
			u.attributes(e.Attributes(), 0)
		}
	}
	if bits&hasLinks != 0 {
		n := int(u.u())
		links := s.Links()
		links.EnsureCapacity(n + 1)
		for range n {
			l := links.AppendEmpty()
			var trace pcommon.TraceID
			u.at += copy(trace[:], u.b[u.at:])
			l.SetTraceID(trace)
			l.SetSpanID(u.spanID())
			l.TraceState().FromRaw(u.text())
			l.SetFlags(uint32(u.u()))
			l.SetDroppedAttributesCount(uint32(u.u()))
			u.attributes(l.Attributes(), 0)
		}
	}
}

// attributes fills an empty map, and leaves room for more.
func (u *Unpacker) attributes(m pcommon.Map, spare int) {
	n := int(u.u())
	if n == 0 {
		return
	}
	if len(u.slots) < n+spare {
		u.slots = make([]inplace.KeyValue, max(blockSlots, n+spare))
	}
	kvs := u.slots[: n : n+spare]
	u.slots = u.slots[n+spare:]
	*inplace.Slots(&m) = kvs
	for i := range kvs {
		kv := &kvs[i]
		if w := u.u(); w != 0 {
			kv.Key = u.dict.words[w]
		} else {
			kv.Key = u.text()
		}
		switch tag := u.b[u.at]; {
		case tag >= isWords:
			u.at++
			u.word(kv, word(tag-isWords))
		case tag == isInt:
			u.at++
			u.values.Number(kv, u.s())
		case tag == isTrue:
			u.at++
			kv.Type, kv.Data = u.values.Types.Truth, unsafe.Pointer(u.yes)
		case tag == isFalse:
			u.at++
			kv.Type, kv.Data = u.values.Types.Truth, unsafe.Pointer(u.no)
		case tag == isWord:
			u.at++
			u.word(kv, word(u.u()))
		case tag == isText, tag == isHex:
			u.values.Text(kv, u.text())
		default:
			u.value(inplace.Value(&m, i))
		}
	}
}

// word makes w the value of kv: the dictionary's own, which nobody changes.
func (u *Unpacker) word(kv *inplace.KeyValue, w word) {
	kv.Type, kv.Data = u.values.Types.Str, unsafe.Pointer(&u.dict.words[w])
}

// value reads any value, through the API.
func (u *Unpacker) value(v pcommon.Value) {
	tag := u.b[u.at]
	if tag < isText {
		u.at++
	}
	switch tag {
	case isNothing:
	case isFalse, isTrue:
		v.SetBool(tag == isTrue)
	case isInt:
		v.SetInt(u.s())
	case isDouble:
		v.SetDouble(math.Float64frombits(binary.LittleEndian.Uint64(u.b[u.at:])))
		u.at += 8
	case isBytes:
		v.SetEmptyBytes().FromRaw(u.take(int(u.u())))
	case isSlice:
		list := v.SetEmptySlice()
		n := int(u.u())
		list.EnsureCapacity(n)
		for range n {
			u.value(list.AppendEmpty())
		}
	case isMap:
		u.attributes(v.SetEmptyMap(), 0)
	default:
		v.SetStr(u.text())
	}
}

// text reads a string.
func (u *Unpacker) text() string {
	tag := u.b[u.at]
	u.at++
	if tag >= isWords {
		return u.dict.words[tag-isWords]
	}
	n := int(u.u())
	switch tag {
	case isWord:
		return u.dict.words[n]
	case isText:
		return u.keep(n, u.take(n), false)
	}
	return u.keep(2*n, u.take(n), true)
}

// take is the next n bytes.
func (u *Unpacker) take(n int) []byte {
	u.at += n
	return u.b[u.at-n : u.at]
}

// keep makes n characters of b in a block: a string of its own for each would
// take longer, and the batch's bytes would all be kept by one.
func (u *Unpacker) keep(n int, b []byte, digits bool) string {
	if n == 0 {
		return ""
	}
	if n > blockChars/4 {
		return string(b) // longer than digits are
	}
	if n > cap(u.chars)-len(u.chars) {
		u.chars = make([]byte, 0, blockChars)
	}
	at := len(u.chars)
	if digits {
		u.chars = hex.AppendEncode(u.chars, b)
	} else {
		u.chars = append(u.chars, b...)
	}
	return unsafe.String(&u.chars[at], n)
}

func (u *Unpacker) spanID() (id pcommon.SpanID) {
	u.at += copy(id[:], u.b[u.at:])
	return id
}

// u reads an unsigned number.
func (u *Unpacker) u() uint64 {
	if v := u.b[u.at]; v < 0x80 {
		u.at++
		return uint64(v)
	}
	return u.long()
}

func (u *Unpacker) long() uint64 {
	v, n := binary.Uvarint(u.b[u.at:])
	u.at += n
	return v
}

// s reads a signed one.
func (u *Unpacker) s() int64 {
	v := u.u()
	return int64(v>>1) ^ -int64(v&1)
}
