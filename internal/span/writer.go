package span

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/hopscope/hopscope/internal/l7"
)

// attr is an attribute made once and written often.
type attr = l7.Attr

func strAttr(k, v string) attr       { return attr{Key: k, Str: v} }
func intAttr(k string, n int64) attr { return attr{Key: k, Int: n, Kind: l7.AttrInt} }

// writer writes the attributes of one span.
type writer struct {
	m pcommon.Map
}

func (w *writer) begin(m pcommon.Map, n int) {
	m.EnsureCapacity(n)
	w.m = m
}

func (w *writer) end() {}

func (w *writer) str(k, v string)       { w.m.PutStr(k, v) }
func (w *writer) int(k string, n int64) { w.m.PutInt(k, n) }
func (w *writer) bool(k string, v bool) { w.m.PutBool(k, v) }
func (w *writer) bytes(k string, v []byte) {
	if len(v) > 0 {
		w.m.PutEmptyBytes(k).FromRaw(v)
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

func (w *writer) all(list []attr) {
	for i := range list {
		w.attr(&list[i])
	}
}

func (w *writer) attr(a *attr) {
	switch a.Kind {
	case l7.AttrInt:
		w.int(a.Key, a.Int)
	case l7.AttrBool:
		w.bool(a.Key, a.Int != 0)
	default:
		w.str(a.Key, a.Str)
	}
}

// messages writes what a parser found.
func (w *writer) messages(list []l7.Attr) {
	for i := range list {
		w.message(&list[i])
	}
}

// message writes an attribute that may be there already: a later one overrides
// an earlier, and elements of a list come one by one.
func (w *writer) message(a *l7.Attr) {
	if a.Kind != l7.AttrList {
		w.attr(a)
		return
	}
	v, ok := w.m.Get(a.Key)
	if !ok || v.Type() != pcommon.ValueTypeSlice {
		v = w.m.PutEmpty(a.Key)
		v.SetEmptySlice()
	}
	v.Slice().AppendEmpty().SetStr(a.Str)
}
