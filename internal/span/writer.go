package span

import (
	"reflect"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/l7"
)

// writer writes the attributes of one span after the other.
type writer struct {
	types valueTypes
	fast  bool // in place, see pdata.go; else through the API
	m     pcommon.Map
	// kv[:n] are the attributes of the span in hand; the rest of kv is for the
	// next ones.
	kv []keyValue
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

	strings *[blockStrings]string
	nstr    int // used of strings
	numbers *[blockNumbers]int64
	nnum    int
	yes     *bool

	spanBlock reflect.Type // an array of spans
	spanSize  uintptr
	spans     unsafe.Pointer // what is left of a block of spans
	nspans    int
}

type bin struct {
	key string
	b   []byte
}

// Blocks are small, so that a span that somebody keeps does not keep many
// others alive: 512 slots are 20 KiB, some fourteen spans.
const (
	blockSlots   = 512
	blockStrings = 256
	blockNumbers = 256
	blockSpans   = 16
	// usualSlots is what a span may need; the few that need more are moved.
	usualSlots = 40
)

func newWriter() writer {
	w := writer{types: apiTypes, strings: new([blockStrings]string), numbers: new([blockNumbers]int64), yes: new(bool)}
	*w.yes = true
	if types, fast := inPlace(); fast {
		t := spanType()
		w.types, w.fast, w.spanBlock, w.spanSize = types, fast, reflect.ArrayOf(blockSpans, t), t.Size()
	}
	return w
}

// span adds a span to list.
func (w *writer) span(list *ptrace.SpanSlice) ptrace.Span {
	if !w.fast {
		return list.AppendEmpty()
	}
	if w.nspans == 0 {
		w.spans, w.nspans = reflect.New(w.spanBlock).UnsafePointer(), blockSpans
	}
	orig := (*spansTwin)(unsafe.Pointer(list)).orig
	*orig = append(*orig, w.spans)
	if w.nspans--; w.nspans > 0 {
		w.spans = unsafe.Add(w.spans, w.spanSize)
	} else {
		w.spans = nil
	}
	return list.At(len(*orig) - 1)
}

// begin starts a span.
func (w *writer) begin(m pcommon.Map) {
	if len(w.kv) < usualSlots {
		w.kv = make([]keyValue, blockSlots)
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
		*slots(&w.m) = kv
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
func (w *writer) put(kv *keyValue) {
	switch kv.typ {
	case w.types.str:
		w.m.PutStr(kv.key, *(*string)(kv.data))
	case w.types.num:
		w.m.PutInt(kv.key, *(*int64)(kv.data))
	case w.types.truth:
		w.m.PutBool(kv.key, *(*bool)(kv.data))
	}
}

// slot is the next attribute, k.
func (w *writer) slot(k string) *keyValue {
	if w.n >= len(w.kv) {
		w.room(1)
	}
	kv := &w.kv[w.n]
	w.n++
	w.lengths |= 1 << (len(k) & 63)
	kv.key = k
	return kv
}

// room makes room for n more attributes.
func (w *writer) room(n int) {
	kv := make([]keyValue, max(blockSlots, 2*(w.n+n)))
	copy(kv, w.kv[:w.n])
	w.kv = kv
}

func (w *writer) str(k, v string)       { w.text(w.slot(k), v) }
func (w *writer) int(k string, n int64) { w.number(w.slot(k), n) }

// text makes v the value of kv.
func (w *writer) text(kv *keyValue, v string) {
	if w.nstr == blockStrings {
		w.strings, w.nstr = new([blockStrings]string), 0
	}
	p := &w.strings[w.nstr&(blockStrings-1)]
	w.nstr++
	*p = v
	kv.typ, kv.data = w.types.str, unsafe.Pointer(p)
}

// number makes n the value of kv.
func (w *writer) number(kv *keyValue, n int64) {
	if w.nnum == blockNumbers {
		w.numbers, w.nnum = new([blockNumbers]int64), 0
	}
	p := &w.numbers[w.nnum&(blockNumbers-1)]
	w.nnum++
	*p = n
	kv.typ, kv.data = w.types.num, unsafe.Pointer(p)
}

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

// num leaves out zero.
func (w *writer) num(k string, n int64) {
	if n != 0 {
		w.int(k, n)
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
	kv      []keyValue
	lengths uint64 // as writer.lengths
}

// make prepares attributes to be shared: values of their own, that no block
// keeps alive.
func (w *writer) make(list []l7.Attr) shared {
	out, lengths := make([]keyValue, 0, len(list)), uint64(0)
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
			out = append(out, keyValue{key: a.Key, typ: w.types.num, data: unsafe.Pointer(&numbers[len(numbers)-1])})
		case l7.AttrBool:
			out = append(out, keyValue{key: a.Key, typ: w.types.truth, data: w.truth(a.Int != 0)})
		case l7.AttrStr:
			texts = append(texts, a.Str)
			out = append(out, keyValue{key: a.Key, typ: w.types.str, data: unsafe.Pointer(&texts[len(texts)-1])})
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
			w.number(w.over(a.Key), a.Int)
		case l7.AttrBool:
			kv := w.over(a.Key)
			kv.typ, kv.data = w.types.truth, w.truth(a.Int != 0)
		case l7.AttrList:
			w.later = append(w.later, *a)
		default:
			w.text(w.over(a.Key), a.Str)
		}
	}
}

// over is the attribute k if it is there, else a new one.
func (w *writer) over(k string) *keyValue {
	if w.lengths&(1<<(len(k)&63)) == 0 {
		return w.slot(k)
	}
	from := w.own
	if k[0] == 'c' || k[0] == 's' || k[0] == 'n' { // client., server., network.
		from = 0
	}
	kv := w.kv[from:w.n]
	for i := range kv {
		if kv[i].key == k {
			w.outside = w.outside || from+i < w.own
			return &kv[i]
		}
	}
	return w.slot(k)
}
