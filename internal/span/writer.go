package span

import (
	"unsafe"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/hopscope/hopscope/internal/l7"
)

// writer writes the attributes of one span after the other.
type writer struct {
	types valueTypes
	fast  bool // in place, see pdata.go; else through the API
	m     pcommon.Map
	kv    []keyValue
	// own is where in kv the attributes begin that messages may override.
	own int
	// later are attributes that only the API can write.
	later []l7.Attr
	bins  []bin

	block   []keyValue // what kv is cut from
	strings []string
	numbers []int64
}

type bin struct {
	key string
	b   []byte
}

// Blocks are small, so that a span that somebody keeps does not keep many
// others alive: 512 slots are 20 KiB, twelve spans.
const (
	blockSlots   = 512
	blockStrings = 256
	blockNumbers = 256
)

func newWriter() writer {
	types, fast := inPlace()
	return writer{types: types, fast: fast}
}

// begin starts a span that will have at most n attributes.
func (w *writer) begin(m pcommon.Map, n int) {
	if len(w.block) < n {
		w.block = make([]keyValue, max(n, blockSlots))
	}
	w.m, w.kv, w.own = m, w.block[:0:n], 0
}

// end gives the span its attributes.
func (w *writer) end() {
	if w.fast {
		n := len(w.kv)
		w.block = w.block[n:]
		*slots(&w.m) = w.kv[:n:n]
	} else {
		w.m.EnsureCapacity(len(w.kv))
		for i := range w.kv {
			put(w.m, &w.kv[i])
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
func put(m pcommon.Map, kv *keyValue) {
	switch v := kv.value.(type) {
	case string:
		m.PutStr(kv.key, v)
	case int64:
		m.PutInt(kv.key, v)
	case bool:
		m.PutBool(kv.key, v)
	}
}

// text is s as a value.
func (w *writer) text(s string) any {
	if !w.fast {
		return s
	}
	if len(w.strings) == 0 {
		w.strings = make([]string, blockStrings)
	}
	p := &w.strings[0]
	w.strings = w.strings[1:]
	*p = s
	return boxed(w.types.str, unsafe.Pointer(p))
}

// number is n as a value.
func (w *writer) number(n int64) any {
	if !w.fast {
		return n
	}
	if len(w.numbers) == 0 {
		w.numbers = make([]int64, blockNumbers)
	}
	p := &w.numbers[0]
	w.numbers = w.numbers[1:]
	*p = n
	return boxed(w.types.num, unsafe.Pointer(p))
}

// slot is the next attribute.
func (w *writer) slot(k string) *keyValue {
	w.kv = append(w.kv, keyValue{key: k})
	return &w.kv[len(w.kv)-1]
}

func (w *writer) str(k, v string)       { w.kv = append(w.kv, keyValue{key: k, value: w.text(v)}) }
func (w *writer) int(k string, n int64) { w.kv = append(w.kv, keyValue{key: k, value: w.number(n)}) }

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
func (w *writer) all(list []keyValue) { w.kv = append(w.kv, list...) }

// make prepares attributes to be shared: values of their own, that no block
// keeps alive.
func (w *writer) make(list []l7.Attr) (out []keyValue) {
	m := pcommon.NewMap()
	for i := range list {
		a := &list[i]
		switch a.Kind {
		case l7.AttrInt:
			m.PutInt(a.Key, a.Int)
		case l7.AttrBool:
			m.PutBool(a.Key, a.Int != 0)
		case l7.AttrStr:
			m.PutStr(a.Key, a.Str)
		}
	}
	if w.fast {
		return *slots(&m)
	}
	for k, v := range m.All() {
		out = append(out, keyValue{key: k, value: v.AsRaw()})
	}
	return out
}

// messages writes what a parser found. It may be there already: a later value
// overrides an earlier one, and elements of a list come one by one.
func (w *writer) messages(list []l7.Attr) {
	for i := range list {
		a := &list[i]
		switch a.Kind {
		case l7.AttrInt:
			w.over(a.Key).value = w.number(a.Int)
		case l7.AttrBool:
			// Rare, and not worth a block of its own.
			w.over(a.Key).value = w.make(list[i : i+1])[0].value
		case l7.AttrList:
			w.later = append(w.later, *a)
		default:
			w.over(a.Key).value = w.text(a.Str)
		}
	}
}

// over is the attribute k if it is there, else a new one.
func (w *writer) over(k string) *keyValue {
	from := w.own
	if k[0] == 'c' || k[0] == 's' || k[0] == 'n' { // client., server., network.
		from = 0
	}
	for i := from; i < len(w.kv); i++ {
		if w.kv[i].key == k {
			return &w.kv[i]
		}
	}
	return w.slot(k)
}
