package mongodb

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// Types of BSON elements (https://bsonspec.org/spec.html) that are looked into.
const (
	tDouble = 0x01
	tString = 0x02
	tDoc    = 0x03
	tArray  = 0x04
	tBool   = 0x08
	tInt32  = 0x10
	tInt64  = 0x12
)

// minDoc is the length of an empty document: its length and a zero.
const minDoc = 5

// elements walks the elements of a document, which may be cut anywhere.
type elements struct {
	b  []byte
	at int // where the next one begins
	// cut: what b holds ends before the document does.
	cut bool
}

// element is one of them. val is the value alone: of a string what it says, of
// a document its elements.
type element struct {
	typ  byte
	cut  bool // val is only the beginning
	name []byte
	val  []byte
}

// document opens the document at the front of b, and says how long it is. 0: it
// is none.
func document(b []byte) (elements, int) {
	if len(b) < 4 {
		return elements{cut: true}, 0
	}
	n := int(int32(binary.LittleEndian.Uint32(b)))
	if n < minDoc || n > maxMessage {
		return elements{cut: true}, 0
	}
	if n > len(b) {
		return elements{b: b[4:], cut: true}, n
	}
	return elements{b: b[4 : n-1]}, n
}

// next is the next element; ok is false at the end, where the document is cut
// inside a name or a scalar, and where it is malformed.
func (e *elements) next() (x element, ok bool) {
	b := e.b[e.at:]
	if len(b) < 2 {
		e.at = len(e.b)
		return x, false
	}
	x.typ = b[0]
	// Most names are short: eight bytes are one look for where it ends.
	i := -1
	if len(b) > 8 {
		const ones, tops = 0x0101010101010101, 0x8080808080808080
		w := binary.LittleEndian.Uint64(b[1:])
		if hit := (w - ones) & ^w & tops; hit != 0 {
			i = bits.TrailingZeros64(hit) / 8
		}
	}
	if i < 0 {
		i = bytes.IndexByte(b[1:], 0)
	}
	if i < 0 {
		e.at = len(e.b)
		return x, false
	}
	x.name = b[1 : 1+i : len(b)] // no further than what is looked at
	at := e.at + 2 + i
	b = b[2+i:]
	n, head := 0, 0 // of the value: length, and what comes before its content
	tail := 0       // and after
	switch x.typ {
	case tDouble, 0x09, 0x11, tInt64:
		n = 8
	case tString, 0x0d, 0x0e:
		n, head, tail = sized(b, 4), 4, 1
	case tDoc, tArray:
		n, head, tail = sized(b, 0), 4, 1
	case 0x05:
		n, head = sized(b, 5), 5
	case 0x06, 0x0a, 0x7f, 0xff:
	case 0x07:
		n = 12
	case tBool:
		n = 1
	case 0x0b:
		j := bytes.IndexByte(b, 0)
		if j >= 0 {
			if k := bytes.IndexByte(b[j+1:], 0); k >= 0 {
				n = j + k + 2
			}
		}
		if n == 0 {
			n = -1
		}
	case 0x0c:
		n, head = sized(b, 16), 4
	case 0x0f:
		n = sized(b, 0)
	case tInt32:
		n = 4
	case 0x13:
		n = 16
	default:
		n = -1
	}
	if n < 0 || n < head+tail {
		e.at = len(e.b)
		return x, false
	}
	if n > len(b) {
		e.at = len(e.b)
		x.cut = true
		if x.typ != tDoc && x.typ != tArray || len(b) < head {
			return x, false
		}
		x.val = b[head:]
		return x, true
	}
	x.val, e.at = b[head:n-tail], at+n
	return x, true
}

// sized is the length of a value that starts with an int32, which leaves extra
// bytes out, or -1.
func sized(b []byte, extra int) int {
	if len(b) < 4 {
		return math.MaxInt32
	}
	n := int(int32(binary.LittleEndian.Uint32(b)))
	if n < 0 || n > maxMessage {
		return -1
	}
	return n + extra
}

// elements of a value that is a document or an array.
func (x *element) elements() elements { return elements{b: x.val, cut: x.cut} }

// str is the value if it is text.
func (x *element) str() []byte {
	if x.typ == tString && !x.cut {
		return x.val
	}
	return nil
}

// number is the value if it is a number, which commands write in three types.
func (x *element) number() (int64, bool) {
	switch {
	case x.cut:
	case x.typ == tInt32:
		return int64(int32(binary.LittleEndian.Uint32(x.val))), true
	case x.typ == tInt64:
		return int64(binary.LittleEndian.Uint64(x.val)), true
	case x.typ == tDouble:
		f := math.Float64frombits(binary.LittleEndian.Uint64(x.val))
		if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return int64(f), true
		}
	case x.typ == tBool:
		return int64(x.val[0]), true
	}
	return 0, false
}

// maxDepth bounds what is shown of nested documents: an aggregation with a
// lookup and its own pipeline has eight levels.
const maxDepth = 10

// writer writes a command as extended JSON. Values are ?, unless keep says that
// they may be shown; what the driver adds for the session is left out. What
// does not fit is cut: then the text ends in the middle.
type writer struct {
	n, limit int
	keep     bool
	full     bool
	// names: the value that comes next is a collection's name, which may be
	// shown.
	names bool
	b     []byte // at least limit
}

// add appends s if all of it fits.
func (t *writer) add(s string) {
	if t.full || t.n+len(s) > t.limit {
		t.full = true
		return
	}
	t.n += copy(t.b[t.n:], s)
}

// put appends c, if it fits.
func (t *writer) put(c byte) {
	if t.full || t.n >= t.limit {
		t.full = true
		return
	}
	t.b[t.n] = c
	t.n++
}

// key appends the name of a field, after a comma unless it is the first.
func (t *writer) key(name []byte, first bool) {
	if t.full || t.n+len(name)+4 > t.limit {
		t.full = true
		return
	}
	if !first {
		t.b[t.n] = ','
		t.n++
	}
	to := t.b[t.n:]
	to[0] = '"'
	if len(name) <= 8 && cap(name) >= 8 && len(to) > 8 {
		// Most names: what is written behind it is written over.
		binary.LittleEndian.PutUint64(to[1:], binary.LittleEndian.Uint64(name[:8]))
	} else {
		copy(to[1:], name)
	}
	to = to[1+len(name):]
	to[0], to[1] = '"', ':'
	t.n += len(name) + 3
}

func (t *writer) object(e elements, depth int) {
	t.put('{')
	first := true
	for !t.full {
		x, ok := e.next()
		if !ok {
			break
		}
		if depth == 0 && session(x.name) {
			continue
		}
		t.key(x.name, first)
		first = false
		t.value(&x, depth)
	}
	t.close('}', e)
}

// close ends what was opened for e, if all of that was there.
func (t *writer) close(c byte, e elements) {
	if e.cut {
		t.full = true
	}
	t.put(c)
}

func (t *writer) value(x *element, depth int) {
	switch {
	case x.typ != tDoc && x.typ != tArray && !t.keep && !t.names:
		if t.full || t.n+3 > t.limit {
			t.full = true
			return
		}
		t.b[t.n], t.b[t.n+1], t.b[t.n+2] = '"', '?', '"'
		t.n += 3
		return
	case (x.typ == tDoc || x.typ == tArray) && depth+1 >= maxDepth:
		t.add(`"..."`)
	case x.typ == tDoc:
		t.object(x.elements(), depth+1)
	case x.typ == tArray:
		t.array(x.elements(), depth+1)
	case t.keep:
		t.literal(x)
	case t.names && x.typ == tString:
		t.add(`"`)
		t.add(l7.View(x.val))
		t.add(`"`)
	default:
		t.add(`"?"`)
	}
	t.names = false
}

// array shows stages and documents, and one ? for any number of values: the
// text of a query must not depend on how many it was asked for.
func (t *writer) array(e elements, depth int) {
	t.put('[')
	first, scalar := true, false
	for !t.full {
		x, ok := e.next()
		if !ok {
			break
		}
		if x.typ != tDoc && x.typ != tArray && !t.keep {
			if scalar {
				continue
			}
			scalar = true
		}
		if !first {
			t.put(',')
		}
		first = false
		t.value(&x, depth)
	}
	t.close(']', e)
}

func (t *writer) literal(x *element) {
	switch {
	case x.typ == tString:
		var q [256]byte
		t.add(l7.View(strconv.AppendQuote(q[:0], l7.View(x.val[:min(len(x.val), 200)]))))
	case x.typ == tBool:
		if x.val[0] != 0 {
			t.add("true")
		} else {
			t.add("false")
		}
	case x.typ == tDouble:
		var q [32]byte
		t.add(l7.View(strconv.AppendFloat(q[:0], math.Float64frombits(binary.LittleEndian.Uint64(x.val)), 'g', -1, 64)))
	default:
		if n, ok := x.number(); ok {
			var q [24]byte
			t.add(l7.View(strconv.AppendInt(q[:0], n, 10)))
			return
		}
		t.add(`"?"`)
	}
}

// session reports whether a top-level field of a command is the driver's:
// sessions, causal consistency, routing.
func session(name []byte) bool {
	if len(name) == 0 || name[0] != '$' && name[0] != 'l' && name[0] != 't' && name[0] != 'a' && name[0] != 's' {
		return false
	}
	switch string(name) {
	case "lsid", "$clusterTime", "$db", "$readPreference", "txnNumber", "apiVersion", "signature":
		return true
	}
	return name[0] == '$' && string(name) != "$query" && string(name) != "$orderby"
}
