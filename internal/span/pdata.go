package span

import (
	"reflect"
	"unsafe"

	"go.opentelemetry.io/collector/featuregate"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// A span has some forty attributes. Through pdata's API each is an allocation
// and a search through those before it: 3 to 5 microseconds a span, more than
// all other stages together. So attributes are written in place: into the slice
// that a pcommon.Map holds, values in blocks, and what all spans of a connection
// have in common shared between them. Sharing is safe because pdata never
// writes to a value: setting one puts another in its place (only its optional
// pooling of values would; then this is not used).
//
// This rests on the layout of pdata's types. inPlace checks it when a builder is
// made, type by type and by use; if anything is not as expected, the API is used.

// keyValue is a twin of pdata's internal.KeyValue.
type keyValue struct {
	value any // *AnyValue_StringValue, *AnyValue_IntValue, ...
	key   string
	//lint:ignore U1000 it is part of the layout
	index int32
}

// mapTwin is a twin of pcommon.Map.
type mapTwin struct {
	orig  *[]keyValue
	state unsafe.Pointer
}

// eface is what an interface value is made of.
type eface struct {
	typ  uintptr
	data unsafe.Pointer
}

// valueTypes are the types of pdata's values, as the first word of an interface.
type valueTypes struct{ str, num uintptr }

// slots is the slice behind m.
func slots(m *pcommon.Map) *[]keyValue { return (*mapTwin)(unsafe.Pointer(m)).orig }

// boxed is an interface value of that type, with what p points to.
func boxed(typ uintptr, p unsafe.Pointer) (v any) {
	*(*eface)(unsafe.Pointer(&v)) = eface{typ, p}
	return v
}

// poolingGate is the feature gate that makes pdata use values again.
const poolingGate = "pdata.useProtoPooling"

// inPlace reports whether attributes may be written in place.
func inPlace() (types valueTypes, ok bool) {
	featuregate.GlobalRegistry().VisitAll(func(g *featuregate.Gate) {
		ok = ok || g.ID() == poolingGate && g.IsEnabled()
	})
	if ok || !layout() {
		return types, false
	}
	m := pcommon.NewMap()
	m.PutStr("s", "text")
	m.PutInt("n", 7)
	s := *slots(&m)
	if len(s) != 2 || s[0].key != "s" || s[1].key != "n" {
		return types, false
	}
	types.str = (*eface)(unsafe.Pointer(&s[0].value)).typ
	types.num = (*eface)(unsafe.Pointer(&s[1].value)).typ
	return types, types.try()
}

// layout compares the twins with the originals, and what is behind the values.
func layout() bool {
	m, twin := reflect.TypeFor[pcommon.Map](), reflect.TypeFor[mapTwin]()
	if !same(m, twin) || m.Field(0).Type.Kind() != reflect.Pointer || m.Field(0).Type.Elem().Kind() != reflect.Slice {
		return false
	}
	kv := m.Field(0).Type.Elem().Elem()
	if kv.Kind() != reflect.Struct || !same(kv, reflect.TypeFor[keyValue]()) || kv.Field(1).Type.Kind() != reflect.String || kv.Field(2).Type.Kind() != reflect.Int32 {
		return false
	}
	v := kv.Field(0).Type // AnyValue: a struct of one interface without methods
	if v.Kind() != reflect.Struct || v.NumField() != 1 || v.Field(0).Type != reflect.TypeFor[any]() {
		return false
	}
	probe := pcommon.NewMap()
	probe.PutStr("s", "")
	probe.PutInt("n", 0)
	for i, want := range []reflect.Type{reflect.TypeFor[string](), reflect.TypeFor[int64]()} {
		t := reflect.TypeOf((*slots(&probe))[i].value)
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
func (t valueTypes) try() bool {
	text, n := "written", int64(-5)
	m := pcommon.NewMap()
	*slots(&m) = []keyValue{{key: "a", value: boxed(t.str, unsafe.Pointer(&text))}, {key: "b", value: boxed(t.num, unsafe.Pointer(&n))}}
	a, ok1 := m.Get("a")
	b, ok2 := m.Get("b")
	return ok1 && ok2 && m.Len() == 2 && a.Type() == pcommon.ValueTypeStr && a.Str() == text && b.Type() == pcommon.ValueTypeInt && b.Int() == n
}
