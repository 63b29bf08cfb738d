package inplace

import (
	"reflect"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Blocks are small, so that a span that somebody keeps does not keep many
// others alive.
const (
	blockStrings = 256
	blockNumbers = 256
	blockSpans   = 16
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
	p := &b.strings[b.nstr&(blockStrings-1)]
	b.nstr++
	*p = v
	kv.Type, kv.Data = b.Types.Str, unsafe.Pointer(p)
}

// Number makes n the value of kv.
func (b *Values) Number(kv *KeyValue, n int64) {
	if b.nnum == blockNumbers {
		b.numbers, b.nnum = b.lentNumbers.Take(func() *[blockNumbers]int64 { return new([blockNumbers]int64) }), 0
	}
	p := &b.numbers[b.nnum&(blockNumbers-1)]
	b.nnum++
	*p = n
	kv.Type, kv.Data = b.Types.Num, unsafe.Pointer(p)
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
