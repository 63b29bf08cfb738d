package inplace

import (
	"reflect"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Blocks are small, so that a span that somebody keeps does not keep many
// others alive. They fill sizes that the runtime has
// (internal/runtime/gc/sizeclasses.go), of which many fit into what it takes from
// its heap at a time; those with pointers have a word of the runtime's in front.
const (
	blockStrings = (6144 - 8) / 16
	blockNumbers = 6144 / 8
	blockSpans   = (3072 - 8) / 200
)

// Values makes values, in blocks.
type Values struct {
	Types   Types
	strings *[blockStrings]string
	nstr    int // used of strings
	numbers *[blockNumbers]int64
	nnum    int

	lentStrings Pool[*[blockStrings]string]
	lentNumbers Pool[*[blockNumbers]int64]
}

// apiTypes stand for the types of values where they are written through the API.
var apiTypes = Types{Str: 1, Num: 2, Truth: 3}

// NewValues makes values of types; of types that are none of pdata's if types is
// zero.
func NewValues(types Types) Values {
	if types == (Types{}) {
		types = apiTypes
	}
	return Values{Types: types, nstr: blockStrings, nnum: blockNumbers}
}

// Text makes v the value of kv.
func (b *Values) Text(kv *KeyValue, v string) {
	if b.nstr == blockStrings {
		b.strings, b.nstr = b.lentStrings.Take(func() *[blockStrings]string { return new([blockStrings]string) }), 0
	}
	p := &b.strings[b.nstr]
	b.nstr++
	*p = v
	kv.Type, kv.Data = b.Types.Str, unsafe.Pointer(p)
}

// Number makes n the value of kv.
func (b *Values) Number(kv *KeyValue, n int64) {
	if b.nnum == blockNumbers {
		b.numbers, b.nnum = b.lentNumbers.Take(func() *[blockNumbers]int64 { return new([blockNumbers]int64) }), 0
	}
	p := &b.numbers[b.nnum]
	b.nnum++
	*p = n
	kv.Type, kv.Data = b.Types.Num, unsafe.Pointer(p)
}

// Numbers makes each of list, which is short, the value of the one in kv that
// stands where it stands.
func (b *Values) Numbers(kv []KeyValue, list []int64) {
	if b.nnum+len(list) > blockNumbers {
		b.numbers, b.nnum = b.lentNumbers.Take(func() *[blockNumbers]int64 { return new([blockNumbers]int64) }), 0
	}
	values := b.numbers[b.nnum:]
	values = values[:copy(values, list)]
	b.nnum += len(values)
	for i := range min(len(values), len(kv)) {
		kv[i].Type, kv[i].Data = b.Types.Num, unsafe.Pointer(&values[i])
	}
}

// Spans makes spans, in blocks.
type Spans struct {
	block reflect.Type // an array of spans
	size  uintptr
	next  unsafe.Pointer // what is left of a block
	n     int
	lent  Pool[unsafe.Pointer]
}

// NewSpans is for where Use says yes.
func NewSpans() Spans {
	t := spanType()
	return Spans{block: reflect.ArrayOf(blockSpans, t), size: t.Size()}
}

// Add adds a span to list.
func (b *Spans) Add(list *ptrace.SpanSlice) ptrace.Span {
	if b.n == 0 {
		b.next, b.n = b.lent.Take(func() unsafe.Pointer { return reflect.New(b.block).UnsafePointer() }), blockSpans
	}
	orig := (*spansTwin)(unsafe.Pointer(list)).orig
	*orig = append(*orig, b.next)
	if b.n--; b.n > 0 {
		b.next = unsafe.Add(b.next, b.size)
	} else {
		b.next = nil
	}
	return list.At(len(*orig) - 1)
}
