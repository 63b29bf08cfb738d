package packed

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/featuregate"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/inplace"
)

// single is each span of td with its resource and scope, as OTLP protobuf, sorted.
func single(t testing.TB, td ptrace.Traces) (out [][]byte) {
	t.Helper()
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				one := ptrace.NewTraces()
				r := one.ResourceSpans().AppendEmpty()
				rs.Resource().CopyTo(r.Resource())
				r.SetSchemaUrl(rs.SchemaUrl())
				c := r.ScopeSpans().AppendEmpty()
				ss.Scope().CopyTo(c.Scope())
				c.SetSchemaUrl(ss.SchemaUrl())
				s.CopyTo(c.Spans().AppendEmpty())
				b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(one)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, b)
			}
		}
	}
	slices.SortFunc(out, bytes.Compare)
	return out
}

// same wants td to be the same when it was packed: each span, with its resource
// and scope.
func same(t testing.TB, p *Packer, u *Unpacker, td ptrace.Traces) *Batch {
	t.Helper()
	want, n := single(t, td), td.SpanCount()
	b := p.Pack(td)
	if b.Len() != n {
		t.Fatalf("%d spans of %d", b.Len(), n)
	}
	calls := 0
	got := single(t, u.Unpack(&b, func(i int, _ ptrace.Span) bool {
		if i != calls {
			t.Fatalf("span %d comes as number %d", i, calls)
		}
		calls++
		return true
	}))
	if calls != n || !slices.EqualFunc(got, want, bytes.Equal) {
		for i := range want {
			if i >= len(got) || !bytes.Equal(got[i], want[i]) {
				t.Errorf("span %d of %d:\nwant %q\n got %q", i, n, want[i], got[min(i, len(got)-1)])
				break
			}
		}
		t.Fatalf("%d spans given, %d came out, want %d", calls, len(got), n)
	}
	return &b
}

// anything makes spans of everything that pdata can hold.
type anything struct{ *rand.Rand }

func (r anything) text() string {
	switch r.IntN(9) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%016x", r.Uint64())
	case 2:
		return fmt.Sprintf("%016X", r.Uint64())
	case 3:
		return fmt.Sprintf("%032x%032x", r.Uint64(), r.Uint64())
	case 4:
		if r.IntN(10) == 0 {
			return strings.Repeat("long ", r.IntN(1000)) // longer than a word may be
		}
		return "long " + strings.Repeat("and longer ", r.IntN(30))
	case 5:
		return "\xff\xfe not UTF-8 \x00"
	case 6:
		return fmt.Sprint("once ", r.Uint64())
	}
	return fmt.Sprint("again ", r.IntN([]int{20, 4000}[r.IntN(2)]))
}

func (r anything) value(v pcommon.Value, deep int) {
	switch k := r.IntN(10); {
	case k == 0:
	case k == 1:
		v.SetBool(r.IntN(2) == 0)
	case k == 2:
		v.SetInt(int64(r.Uint64()))
	case k == 3:
		v.SetInt(int64(r.IntN(300) - 100))
	case k == 4:
		v.SetDouble([]float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), r.NormFloat64()}[r.IntN(5)])
	case k == 5:
		b := v.SetEmptyBytes()
		for range r.IntN(40) {
			b.Append(byte(r.Uint32()))
		}
	case k == 6 && deep < 4:
		s := v.SetEmptySlice()
		for range r.IntN(4) {
			r.value(s.AppendEmpty(), deep+1)
		}
	case k == 7 && deep < 4:
		r.attributes(v.SetEmptyMap(), deep+1)
	default:
		v.SetStr(r.text())
	}
}

func (r anything) attributes(m pcommon.Map, deep int) {
	for range r.IntN(8) {
		key := fmt.Sprint("key.", r.IntN(40))
		if r.IntN(10) == 0 {
			key = r.text()
		}
		r.value(m.PutEmpty(key), deep)
	}
	if kvs := inplace.Slots(&m); r.IntN(10) == 0 && len(*kvs) > 1 {
		(*kvs)[1].Key = (*kvs)[0].Key // the wire can bring a key twice
	}
}

func (r anything) some(n uint32) uint32 {
	if r.IntN(3) > 0 {
		return 0
	}
	return r.Uint32N(n) + 1
}

func (r anything) id() (id pcommon.SpanID) {
	if r.IntN(4) > 0 {
		id[0], id[7] = byte(r.Uint32()), byte(r.Uint32())
	}
	return id
}

func (r anything) span(s ptrace.Span) {
	s.SetTraceID(pcommon.TraceID{3: byte(r.IntN(3)), 15: 1})
	s.SetSpanID(r.id())
	s.SetParentSpanID(r.id())
	if r.IntN(4) == 0 {
		s.TraceState().FromRaw("vendor=" + r.text())
	}
	s.SetFlags(r.some(1 << 31))
	s.SetName(r.text())
	s.SetKind(ptrace.SpanKind(r.IntN(8) - 1))
	s.SetStartTimestamp(pcommon.Timestamp(r.Uint64() >> r.IntN(64)))
	s.SetEndTimestamp(pcommon.Timestamp(r.Uint64() >> r.IntN(64)))
	r.attributes(s.Attributes(), 0)
	s.SetDroppedAttributesCount(r.some(9))
	s.SetDroppedEventsCount(r.some(1 << 31))
	s.SetDroppedLinksCount(r.some(9))
	s.Status().SetCode(ptrace.StatusCode(r.IntN(5) - 1))
	if r.IntN(2) == 0 {
		s.Status().SetMessage(r.text())
	}
	for range r.IntN(3) {
		e := s.Events().AppendEmpty()
		e.SetTimestamp(pcommon.Timestamp(r.Uint64()))
		e.SetName(r.text())
		e.SetDroppedAttributesCount(r.some(9))
		r.attributes(e.Attributes(), 0)
	}
	for range r.IntN(3) {
		l := s.Links().AppendEmpty()
		l.SetTraceID(pcommon.TraceID{5: 5})
		l.SetSpanID(r.id())
		l.TraceState().FromRaw(r.text())
		l.SetFlags(r.some(1 << 31))
		l.SetDroppedAttributesCount(r.some(9))
		r.attributes(l.Attributes(), 0)
	}
}

func (r anything) traces() ptrace.Traces {
	td := ptrace.NewTraces()
	for range r.IntN(5) {
		rs := td.ResourceSpans().AppendEmpty()
		if r.IntN(3) > 0 { // one that comes again
			rs.Resource().Attributes().PutStr("service.name", fmt.Sprint("s", r.IntN(3)))
		} else {
			r.attributes(rs.Resource().Attributes(), 0)
			rs.Resource().SetDroppedAttributesCount(r.some(3))
			rs.SetSchemaUrl(r.text())
		}
		for range r.IntN(4) {
			ss := rs.ScopeSpans().AppendEmpty()
			ss.Scope().SetName(fmt.Sprint("scope", r.IntN(3)))
			if r.IntN(3) == 0 {
				ss.Scope().SetVersion(r.text())
				ss.Scope().SetDroppedAttributesCount(r.some(3))
				ss.SetSchemaUrl(r.text())
				r.attributes(ss.Scope().Attributes(), 0)
			}
			for range r.IntN(20) {
				r.span(ss.Spans().AppendEmpty())
			}
		}
	}
	return td
}

// TestLossless: whatever pdata holds is the same after it was packed, as OTLP
// says it, in dictionaries that fill and begin anew.
func TestLossless(t *testing.T) {
	r := anything{rand.New(rand.NewPCG(1, 2))}
	p, u := NewPacker(), NewUnpacker()
	if !p.use {
		t.Fatal("nothing is packed")
	}
	spans, dicts, packed := 0, 0, 0
	for d := p.dict; dicts < 2; {
		b := same(t, p, u, r.traces())
		spans += b.Len()
		if b.b != nil {
			packed++
		}
		if p.dict != d {
			d = p.dict
			dicts++
		}
	}
	if spans < 2000 || packed < 50 {
		t.Errorf("%d spans in %d packed batches with %d dictionaries", spans, packed, dicts)
	}
}

// TestLater: a batch is as it was, whatever was packed since, and what came out
// of one is changed without changing another.
func TestLater(t *testing.T) {
	r := anything{rand.New(rand.NewPCG(3, 4))}
	p, u := NewPacker(), NewUnpacker()
	var batches []Batch
	var want [][][]byte
	for range 50 {
		td := r.traces()
		want = append(want, single(t, td))
		batches = append(batches, p.Pack(td))
	}
	for round := range 2 {
		for i := range batches {
			td := u.Unpack(&batches[i], func(int, ptrace.Span) bool { return true })
			if !slices.EqualFunc(single(t, td), want[i], bytes.Equal) {
				t.Fatalf("round %d: batch %d is another one", round, i)
			}
			for _, rs := range td.ResourceSpans().All() {
				rs.Resource().Attributes().PutStr("service.name", "changed")
				for _, ss := range rs.ScopeSpans().All() {
					ss.Scope().SetName("changed")
					for _, s := range ss.Spans().All() {
						for k, v := range s.Attributes().All() {
							if v.Type() == pcommon.ValueTypeStr {
								v.SetStr("changed " + k)
							} else {
								v.SetInt(-1)
							}
						}
						for i := range 10 {
							s.Attributes().PutInt(fmt.Sprint("more.", i), 1)
						}
					}
				}
			}
		}
	}
}

// TestKeep: what is not kept is not there, nor a resource without spans.
func TestKeep(t *testing.T) {
	r := anything{rand.New(rand.NewPCG(5, 6))}
	p, u := NewPacker(), NewUnpacker()
	for range 100 {
		td := r.traces()
		n := td.SpanCount()
		b := p.Pack(td)
		out := u.Unpack(&b, func(i int, s ptrace.Span) bool { s.SetName(fmt.Sprint(i)); return i%3 == 0 })
		seen := 0
		for _, rs := range out.ResourceSpans().All() {
			if rs.ScopeSpans().Len() == 0 {
				t.Fatal("a resource without scopes")
			}
			for _, ss := range rs.ScopeSpans().All() {
				if ss.Spans().Len() == 0 {
					t.Fatal("a scope without spans")
				}
				for _, s := range ss.Spans().All() {
					seen++
					var i int
					if _, err := fmt.Sscan(s.Name(), &i); err != nil || i%3 != 0 {
						t.Fatalf("span %s was not to be kept", s.Name())
					}
				}
			}
		}
		if seen != (n+2)/3 {
			t.Fatalf("%d spans of %d kept", seen, n)
		}
	}
}

// TestTogether: spans of equal resources and scopes, as a gateway gets them, trace
// by trace, come out under one.
func TestTogether(t *testing.T) {
	td := ptrace.NewTraces()
	for i := range 100 {
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("service.name", fmt.Sprint("s", i%2))
		for k := range 2 {
			ss := rs.ScopeSpans().AppendEmpty()
			ss.Scope().SetName(fmt.Sprint("scope", k))
			ss.Spans().AppendEmpty().SetName(fmt.Sprint(i))
		}
	}
	b := NewPacker().Pack(td)
	out := NewUnpacker().Unpack(&b, func(int, ptrace.Span) bool { return true })
	if n := out.ResourceSpans().Len(); n != 2 || out.SpanCount() != 200 {
		t.Errorf("%d resources, %d spans", n, out.SpanCount())
	}
	for _, rs := range out.ResourceSpans().All() {
		if n := rs.ScopeSpans().Len(); n != 2 {
			t.Errorf("%d scopes", n)
		}
	}
}

// TestNotPacked: where pdata uses values again, its spans are kept as they are.
func TestNotPacked(t *testing.T) {
	if err := featuregate.GlobalRegistry().Set(inplace.PoolingGate, true); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := featuregate.GlobalRegistry().Set(inplace.PoolingGate, false); err != nil {
			t.Fatal(err)
		}
	}()
	p, u := NewPacker(), NewUnpacker()
	r := anything{rand.New(rand.NewPCG(7, 8))}
	for range 20 {
		if b := same(t, p, u, r.traces()); b.b != nil {
			t.Fatal("packed")
		}
	}
}

// FuzzPacked: spans come from anybody.
func FuzzPacked(f *testing.F) {
	r := anything{rand.New(rand.NewPCG(9, 10))}
	for range 8 {
		b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(r.traces())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	// A resource of an entity, and a value that is an index into a profile's table.
	f.Add([]byte("\x0a\x22\x0a\x14\x0a\x08\x0a\x01a\x12\x03\x0a\x01b\x1a\x08\x12\x03svc\x1a\x01a\x12\x0a\x12\x08\x2a\x01n\x4a\x03\x0a\x01k"))
	f.Add([]byte("\x0a\x10\x12\x0e\x12\x0c\x4a\x08\x0a\x02kk\x12\x02\x40\x07\x2a\x00"))
	p, u := NewPacker(), NewUnpacker()
	f.Fuzz(func(t *testing.T, b []byte) {
		td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(b)
		if err != nil {
			return
		}
		same(t, p, u, td) // words are new
		if td, err = (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(b); err != nil {
			t.Fatal(err)
		}
		same(t, p, u, td) // and known
	})
}
