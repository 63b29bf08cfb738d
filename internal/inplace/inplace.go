// Package inplace reads and writes what pdata holds without its API.
//
// A span has some forty attributes. Through pdata's API each is an allocation
// and a search through those before it: 3 to 5 microseconds a span, more than
// all other stages together. So attributes are written in place: into the slice
// that a pcommon.Map holds, values in blocks, and what many spans have in common
// shared between them. Sharing is safe because pdata never writes to a value:
// setting one puts another in its place (only its optional pooling of values
// would; then this is not used).
//
// This rests on the layout of pdata's types. Use checks it, type by type and by
// use; if anything is not as expected, the API, or pdata as it is, has to do.
package inplace

import (
	"reflect"
	"unsafe"

	"go.opentelemetry.io/collector/featuregate"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// KeyValue is a twin of pdata's internal.KeyValue, whose value is an interface:
// a type, and a pointer to what is in it. Types are the program's own and not on
// the heap, so the collector of garbage need not see them.
type KeyValue struct {
	Type  uintptr // one of Types
	Data  unsafe.Pointer
	Key   string
	Index int32 // of profiles only: 0
}

// mapTwin is a twin of pcommon.Map.
type mapTwin struct {
	orig  *[]KeyValue
	state unsafe.Pointer
}

// spansTwin is a twin of ptrace.SpanSlice.
type spansTwin struct {
	orig  *[]unsafe.Pointer
	state unsafe.Pointer
}

// valueTwin is a twin of pcommon.Value. What orig points to begins a KeyValue, or is
// an element of a list.
type valueTwin struct {
	orig  *[2]uintptr
	state unsafe.Pointer
}

// resourceTwin is a twin of pcommon.Resource.
type resourceTwin struct {
	orig *struct {
		attributes []KeyValue
		entities   []unsafe.Pointer
		dropped    uint32
	}
	state unsafe.Pointer
}

// Types are the types of pdata's values, as the first word of an interface. Str is
// a string, Num an int64, Truth a bool: so are what Data points to.
type Types struct{ Str, Num, Truth uintptr }

// Slots is the slice behind m.
func Slots(m *pcommon.Map) *[]KeyValue { return (*mapTwin)(unsafe.Pointer(m)).orig }

// Value is that of attribute i of m, for what only the API reads and writes.
func Value(m *pcommon.Map, i int) pcommon.Value {
	t := (*mapTwin)(unsafe.Pointer(m))
	v := valueTwin{(*[2]uintptr)(unsafe.Pointer(&(*t.orig)[i])), t.state}
	return *(*pcommon.Value)(unsafe.Pointer(&v))
}

// Nothing reports whether v, which the API calls empty, is: it knows not all there
// is.
func Nothing(v *pcommon.Value) bool { return (*valueTwin)(unsafe.Pointer(v)).orig[0] == 0 }

// Entities is how many entities a resource says that it is made of.
func Entities(r *pcommon.Resource) int {
	return len((*resourceTwin)(unsafe.Pointer(r)).orig.entities)
}

// RemoveLast takes the last span out of list.
func RemoveLast(list *ptrace.SpanSlice) {
	orig := (*spansTwin)(unsafe.Pointer(list)).orig
	(*orig)[len(*orig)-1] = nil
	*orig = (*orig)[:len(*orig)-1]
}

// spanType is the type of what a ptrace.SpanSlice points to.
func spanType() reflect.Type {
	return reflect.TypeFor[ptrace.SpanSlice]().Field(0).Type.Elem().Elem().Elem()
}

// PoolingGate is the feature gate that makes pdata use values again.
const PoolingGate = "pdata.useProtoPooling"

// Use reports whether pdata may be read and written in place.
func Use() (types Types, ok bool) {
	featuregate.GlobalRegistry().VisitAll(func(g *featuregate.Gate) {
		ok = ok || g.ID() == PoolingGate && g.IsEnabled()
	})
	if ok || !layout() {
		return types, false
	}
	m := pcommon.NewMap()
	m.PutStr("s", "text")
	m.PutInt("n", 7)
	m.PutBool("b", true)
	s := *Slots(&m)
	if len(s) != 3 || s[0].Key != "s" || s[1].Key != "n" || s[2].Key != "b" {
		return types, false
	}
	types = Types{Str: s[0].Type, Num: s[1].Type, Truth: s[2].Type}
	return types, types.try()
}

// layout compares the twins with the originals, and what is behind the values.
func layout() bool {
	m, twin := reflect.TypeFor[pcommon.Map](), reflect.TypeFor[mapTwin]()
	spans := reflect.TypeFor[ptrace.SpanSlice]()
	if !same(spans, reflect.TypeFor[spansTwin]()) || spans.Field(0).Type.Kind() != reflect.Pointer || spans.Field(0).Type.Elem().Kind() != reflect.Slice ||
		spans.Field(0).Type.Elem().Elem().Kind() != reflect.Pointer {
		return false
	}
	if !same(m, twin) || m.Field(0).Type.Kind() != reflect.Pointer || m.Field(0).Type.Elem().Kind() != reflect.Slice {
		return false
	}
	kv := m.Field(0).Type.Elem().Elem()
	if kv.Kind() != reflect.Struct || !same(kv, reflect.TypeFor[struct {
		value any
		key   string
		index int32
	}]()) || kv.Size() != reflect.TypeFor[KeyValue]().Size() || kv.Field(1).Type.Kind() != reflect.String || kv.Field(2).Type.Kind() != reflect.Int32 {
		return false
	}
	v := kv.Field(0).Type // AnyValue: a struct of one interface without methods
	if v.Kind() != reflect.Struct || v.NumField() != 1 || v.Field(0).Type != reflect.TypeFor[any]() {
		return false
	}
	value, res := reflect.TypeFor[pcommon.Value](), reflect.TypeFor[pcommon.Resource]()
	if !same(value, reflect.TypeFor[valueTwin]()) || value.Field(0).Type != reflect.PointerTo(v) ||
		!same(res, reflect.TypeFor[resourceTwin]()) || res.Field(0).Type.Kind() != reflect.Pointer {
		return false
	}
	r := res.Field(0).Type.Elem()
	if r.Kind() != reflect.Struct || !same(r, reflect.TypeFor[resourceTwin]().Field(0).Type.Elem()) ||
		r.Field(0).Type != m.Field(0).Type.Elem() || r.Field(1).Name != "EntityRefs" || r.Field(1).Type.Kind() != reflect.Slice {
		return false
	}
	probe := pcommon.NewMap()
	probe.PutStr("s", "")
	probe.PutInt("n", 0)
	probe.PutBool("b", false)
	for i, want := range []reflect.Type{reflect.TypeFor[string](), reflect.TypeFor[int64](), reflect.TypeFor[bool]()} {
		t := reflect.TypeOf(*(*any)(unsafe.Pointer(&(*Slots(&probe))[i])))
		if t == nil || t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct || t.Elem().NumField() != 1 || t.Elem().Field(0).Type != want {
			return false
		}
	}
	return true
}

// same compares two structs by the places and sizes of their fields.
func same(a, b reflect.Type) bool {
	if a.Size() != b.Size() || a.NumField() != b.NumField() {
		return false
	}
	for i := range a.NumField() {
		if a.Field(i).Offset != b.Field(i).Offset || a.Field(i).Type.Size() != b.Field(i).Type.Size() {
			return false
		}
	}
	return true
}

// try writes in place, and asks the API what is there.
func (t Types) try() bool {
	text, n, yes := "written", int64(-5), true
	m := pcommon.NewMap()
	*Slots(&m) = []KeyValue{{Key: "a", Type: t.Str, Data: unsafe.Pointer(&text)}, {Key: "b", Type: t.Num, Data: unsafe.Pointer(&n)}, {Key: "c", Type: t.Truth, Data: unsafe.Pointer(&yes)}}
	a, ok1 := m.Get("a")
	b, ok2 := m.Get("b")
	c, ok3 := m.Get("c")
	return ok1 && ok2 && ok3 && m.Len() == 3 && a.Type() == pcommon.ValueTypeStr && a.Str() == text &&
		b.Type() == pcommon.ValueTypeInt && b.Int() == n && c.Type() == pcommon.ValueTypeBool && c.Bool()
}
