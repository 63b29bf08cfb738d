package span

import (
	"unsafe"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/inplace"
	"github.com/hopscope/hopscope/internal/l7"
)

// writer writes the attributes of one span after the other.
type writer struct {
	inplace.Values
	spans inplace.Spans
	fast  bool // in place; else through the API
	m     pcommon.Map
	// kv[:n] are the attributes of the span in hand; the rest of kv is for the
	// next ones.
	kv []inplace.KeyValue
	n  int
	// own is where in kv the attributes begin that messages may override.
	own int
	// lengths has a bit for each length of a key among kv[:n]: most keys of
	// messages need not be looked for.
	lengths uint64
	// outside: a message has overridden one before own.
	outside bool
	// later are attributes that only the API can write.
	later []l7.Attr
	bins  []bin

	yes *bool

	slots inplace.Pool[[]inplace.KeyValue]
}

type bin struct {
	key string
	b   []byte
}

const (
	// blockSlots is small, so that a span that somebody keeps does not keep many
	// others alive: 27 KiB, some seventeen spans. See the sizes of inplace's blocks.
	blockSlots = (27264 - 8) / 40
	// usualSlots is what a span may need; the few that need more are moved.
	usualSlots = 40
)

func newWriter() writer {
	types, fast := inplace.Use()
	w := writer{Values: inplace.NewValues(types), fast: fast, yes: new(bool)}
	*w.yes = true
	if fast {
		w.spans = inplace.NewSpans()
	}
	return w
}

// lend lets what is written come back.
func (w *writer) lend() {
	w.slots.Lend()
	w.Lend()
	w.spans.Lend()
}

// back takes back the batch that was handed on last.
func (w *writer) back() {
	w.slots.Back()
	w.kv = nil
	w.Back()
	w.spans.Back()
}

// span adds a span to list.
func (w *writer) span(list *ptrace.SpanSlice) ptrace.Span {
	if !w.fast {
		return list.AppendEmpty()
	}
	return w.spans.Add(list)
}

// begin starts a span.
func (w *writer) begin(m pcommon.Map) {
	if len(w.kv) < usualSlots {
		w.kv = w.slots.Take(func() []inplace.KeyValue { return make([]inplace.KeyValue, blockSlots) })
	}
	w.m, w.n, w.own, w.lengths, w.outside = m, 0, 0, 0, false
}

// end gives the span its attributes.
func (w *writer) end() {
	n := w.n + len(w.later) + len(w.bins) // what the API adds finds room, too
	if n > len(w.kv) {
		w.room(n - w.n)
	}
	kv := w.kv[:w.n:n]
	w.kv = w.kv[n:]
	if w.fast {
		*inplace.Slots(&w.m) = kv
	} else {
		w.m.EnsureCapacity(len(kv))
		for i := range kv {
			w.put(&kv[i])
		}
	}
	for i := range w.later {
		a := &w.later[i]
		v, ok := w.m.Get(a.Key)
		if !ok || v.Type() != pcommon.ValueTypeSlice {
			v = w.m.PutEmpty(a.Key)
			v.SetEmptySlice()
		}
		v.Slice().AppendEmpty().SetStr(a.Str)
	}
	for _, b := range w.bins {
		w.m.PutEmptyBytes(b.key).FromRaw(b.b)
	}
	w.later, w.bins = w.later[:0], w.bins[:0]
}

// put is for layouts that we do not know.
func (w *writer) put(kv *inplace.KeyValue) {
	switch kv.Type {
	case w.Types.Str:
		w.m.PutStr(kv.Key, *(*string)(kv.Data))
	case w.Types.Num:
		w.m.PutInt(kv.Key, *(*int64)(kv.Data))
	case w.Types.Truth:
		w.m.PutBool(kv.Key, *(*bool)(kv.Data))
	}
}

// slot is the next attribute, k.
func (w *writer) slot(k string) *inplace.KeyValue {
	if w.n >= len(w.kv) {
		w.room(1)
	}
	kv := &w.kv[w.n]
	w.n++
	w.lengths |= 1 << (len(k) & 63)
	kv.Key = k
	return kv
}

// room makes room for n more attributes.
func (w *writer) room(n int) {
	kv := make([]inplace.KeyValue, max(blockSlots, 2*(w.n+n)))
	copy(kv, w.kv[:w.n])
	w.kv = kv
}

func (w *writer) str(k, v string)       { w.Text(w.slot(k), v) }
func (w *writer) int(k string, n int64) { w.Number(w.slot(k), n) }

// bytes goes around: only the API makes byte values.
func (w *writer) bytes(k string, v []byte) {
	if len(v) > 0 {
		w.bins = append(w.bins, bin{k, v})
	}
}

// opt leaves out what is empty.
func (w *writer) opt(k, v string) {
	if v != "" {
		w.str(k, v)
	}
}

// named leaves out what has no name, too.
func (w *writer) named(k, v string) {
	if k != "" && v != "" {
		w.str(k, v)
	}
}

// all writes attributes that were made before, and are shared.
func (w *writer) all(list shared) {
	if len(w.kv)-w.n < len(list.kv) {
		w.room(len(list.kv))
	}
	w.n += copy(w.kv[w.n:], list.kv)
	w.lengths |= list.lengths
}

// shared are attributes of several spans.
type shared struct {
	kv      []inplace.KeyValue
	lengths uint64 // as writer.lengths
}

// part is those from one up to another.
func (s shared) part(from, to int) (p shared) {
	p.kv = s.kv[from:to:to]
	for i := range p.kv {
		p.lengths |= 1 << (len(p.kv[i].Key) & 63)
	}
	return p
}

// make prepares attributes to be shared: values of their own, that no block
// keeps alive.
func (w *writer) make(list []l7.Attr) shared {
	out, lengths := make([]inplace.KeyValue, 0, len(list)), uint64(0)
	ints, strs := 0, 0
	for i := range list {
		switch list[i].Kind {
		case l7.AttrInt:
			ints++
		case l7.AttrStr:
			strs++
		}
	}
	numbers, texts := make([]int64, 0, ints), make([]string, 0, strs)
	for i := range list {
		a := &list[i]
		lengths |= 1 << (len(a.Key) & 63)
		switch a.Kind {
		case l7.AttrInt:
			numbers = append(numbers, a.Int)
			out = append(out, inplace.KeyValue{Key: a.Key, Type: w.Types.Num, Data: unsafe.Pointer(&numbers[len(numbers)-1])})
		case l7.AttrBool:
			out = append(out, inplace.KeyValue{Key: a.Key, Type: w.Types.Truth, Data: w.truth(a.Int != 0)})
		case l7.AttrStr:
			texts = append(texts, a.Str)
			out = append(out, inplace.KeyValue{Key: a.Key, Type: w.Types.Str, Data: unsafe.Pointer(&texts[len(texts)-1])})
		}
	}
	return shared{out, lengths}
}

// truth is b as a value.
func (w *writer) truth(b bool) unsafe.Pointer {
	if b {
		return unsafe.Pointer(w.yes)
	}
	return unsafe.Pointer(new(bool))
}

// messages writes what a parser found. It may be there already: a later value
// overrides an earlier one, and elements of a list come one by one.
func (w *writer) messages(list []l7.Attr) {
	for i := range list {
		a := &list[i]
		switch a.Kind {
		case l7.AttrInt:
			w.Number(w.over(a.Key), a.Int)
		case l7.AttrBool:
			kv := w.over(a.Key)
			kv.Type, kv.Data = w.Types.Truth, w.truth(a.Int != 0)
		case l7.AttrList:
			w.later = append(w.later, *a)
		default:
			w.Text(w.over(a.Key), a.Str)
		}
	}
}

// over is the attribute k if it is there, else a new one.
func (w *writer) over(k string) *inplace.KeyValue {
	if w.lengths&(1<<(len(k)&63)) == 0 {
		return w.slot(k)
	}
	from := w.own
	if k[0] == 'c' || k[0] == 's' || k[0] == 'n' { // client., server., network.
		from = 0
	}
	kv := w.kv[from:w.n]
	for i := range kv {
		if kv[i].Key == k {
			w.outside = w.outside || from+i < w.own
			return &kv[i]
		}
	}
	return w.slot(k)
}
