package wire

// ValueKind is the type of an annotation's value.
type ValueKind uint8

// Kinds, numbered as the fields of PAnnotationValue.
const (
	None            ValueKind = 0
	String          ValueKind = 1
	Bool            ValueKind = 2
	Int             ValueKind = 3
	Long            ValueKind = 4
	Short           ValueKind = 5
	Double          ValueKind = 6
	Bytes           ValueKind = 7
	Byte            ValueKind = 8
	IntString       ValueKind = 9
	StringString    ValueKind = 10
	IntStringString ValueKind = 11
	LongIntIntByte  ValueKind = 12 // and one more byte, and a string
	IntBoolIntBool  ValueKind = 13
	BytesStrStr     ValueKind = 14
)

// Annotation is PAnnotation. Which of the values are used depends on Kind: numbers
// in the order of the fields in N, strings in S (null is "").
type Annotation struct {
	Key  int32
	Kind ValueKind
	N    [5]int64
	D    float64
	S    [2]string
	B    string
}

func (f *fields) annotation(dst []Annotation) []Annotation {
	in := f.inner()
	if len(dst) >= MaxAnnotations {
		f.notes++
		return dst
	}
	var a Annotation
	for in.next() {
		switch in.num {
		case 1:
			a.Key = in.int32()
		case 2:
			v := in.inner()
			v.value(&a)
			in.merge(&v)
		}
	}
	f.merge(&in)
	return append(dst, a)
}

func (f *fields) value(a *Annotation) {
	for f.next() {
		if f.num < uint32(String) || f.num > uint32(BytesStrStr) {
			continue
		}
		a.Kind = ValueKind(f.num)
		switch a.Kind {
		case String:
			a.S[0] = f.str()
		case Bool:
			a.N[0] = f.int64()
		case Int:
			a.N[0] = int64(f.int32())
		case Long:
			a.N[0] = f.int64()
		case Short, Byte:
			a.N[0] = int64(f.sint32())
		case Double:
			a.D = f.double()
		case Bytes:
			a.B = f.str()
		default:
			in := f.inner()
			in.composite(a)
			f.merge(&in)
		}
	}
}

// composite reads the values that are messages: numbers and strings go to their
// places in order.
func (f *fields) composite(a *Annotation) {
	first := uint32(0) // the first field that is a string
	switch a.Kind {
	case StringString:
		first = 1
	case IntString, IntStringString, BytesStrStr:
		first = 2
	case LongIntIntByte:
		first = 6
	}
	for f.next() {
		switch {
		case a.Kind == BytesStrStr && f.num == 1:
			a.B = f.str()
		case first > 0 && f.num >= first:
			if i := f.num - first; i < uint32(len(a.S)) {
				a.S[i] = f.wrapped()
			}
		case f.num <= uint32(len(a.N)):
			if a.Kind == LongIntIntByte && f.num >= 4 {
				a.N[f.num-1] = int64(f.sint32())
			} else {
				a.N[f.num-1] = int64(f.int64())
			}
		}
	}
}
