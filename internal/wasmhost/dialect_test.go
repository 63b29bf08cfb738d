package wasmhost

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// record puts the length before a body.
func record(body string) []byte {
	return append([]byte{byte(len(body) >> 8), byte(len(body))}, body...)
}

// lstr is a string as legacy records have it.
func lstr(s string) string { return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }

const head = "\x80\x00\x00\x05" + "\x00\x00\x00\x00" + "\x01\x00\x00\x00\x07" // lengths 5 and none, id 7

// TestDialects: each dialect, in bytes written here after the layouts.
func TestDialects(t *testing.T) {
	req := head + lstr("GET") + lstr("/e") + lstr("d") + lstr("/r")
	resp := head + "\x03\x01\xff\xff\xff\xff" + lstr("res") + lstr("exc")
	ids := "\x01" + lstr("t") + lstr("s") + lstr("p")
	attrs := "\x01" + lstr("k") + lstr("v") + lstr("k2") + lstr("")
	base := Info{ReqLen: ptr(uint32(5)), RequestID: ptr(uint32(7)), Trace: &Trace{TraceID: "t", SpanID: "s", ParentSpanID: "p"},
		Attrs: []KeyVal{{"k", "v"}, {"k2", ""}}}
	asks, answers := base, base
	asks.Req = &Request{Type: "GET", Endpoint: "/e", Domain: "d", Resource: "/r"}
	answers.Resp = &Response{Status: ptr(StatusServerError), Code: ptr(int32(-1)), Result: "res", Exception: "exc"}
	for _, c := range []struct {
		d    Dialect
		tail string
		with func(*Info)
	}{
		{L0, ids + attrs, func(*Info) {}},
		{L1, "\x81" + ids + attrs, func(i *Info) { i.IsEnd = ptr(true) }},
		{L2, "\x80" + ids + attrs + "\x09", func(i *Info) { i.IsEnd, i.BizType = ptr(false), 9 }},
		{L3, lstr("proto") + "\x00" + ids + attrs + "\x09", func(i *Info) { i.Protocol, i.BizType = "proto", 9 }},
	} {
		for dir, half := range map[Direction]string{ToServer: req, ToClient: resp} {
			want := asks
			if dir == ToClient {
				want = answers
			}
			want.Dialect = c.d
			c.with(&want)
			b := record(half + c.tail)
			got, err := Decode(append(b, b...), dir)
			if err != nil || !reflect.DeepEqual(got, []Info{want, want}) {
				t.Errorf("%v, direction %d: %v\n got %s\nwant %s", c.d, dir, err, dump(got), dump(want))
			}
			for n := 1; n < len(b); n++ {
				if got, err := Decode(b[:n], dir); err == nil {
					t.Errorf("%v cut at %d: %s", c.d, n, dump(got))
				}
			}
		}
	}
	// Without ids and attributes the layouts differ by a few zeros only.
	for tail, want := range map[string]Dialect{"\x00\x00": L0, "\x00\x00\x00": L1, "\x81\x00\x00": L1, "\x00\x00\x00\x00": L2, "\x00\x01x\x00\x00\x00\x00": L3, "\x00\x00\x00\x00\x00\x05": L3} {
		got, err := Decode(record(req+tail), ToServer)
		if err != nil || got[0].Dialect != want {
			t.Errorf("%x: %s %v, want %v", tail, dump(got), err, want)
		}
	}
	for _, b := range []string{ids + lstr("k") + lstr("v"), ids + "\x01" + lstr("k") + lstr("v")} {
		got, err := DecodeHTTPResult([]byte(b))
		want := Info{Dialect: L0, Trace: base.Trace, Attrs: base.Attrs[:1]}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("http result %x: %s %v", b, dump(got), err)
		}
	}
}

func pbBytes(b []byte, n protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func pbInt(b []byte, n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

// TestProtobuf: every field of the protobuf dialect.
func TestProtobuf(t *testing.T) {
	five := pbBytes(pbBytes(pbBytes(pbBytes(pbBytes(nil, 1, "a"), 2, "b"), 3, "c"), 4, "d"), 5, "e")
	b := []byte("PB")
	b = pbInt(pbInt(pbInt(b, 1, 10), 2, 20), 3, 30)
	b = pbBytes(b, 12, string(pbBytes(pbBytes(five, 6, "f"), 6, "g")))
	b = pbBytes(b, 13, "proto")
	b = pbInt(pbInt(pbInt(b, 21, 0), 22, 1), 23, 1)
	b = pbBytes(b, 31, string(pbBytes(pbBytes(nil, 1, "k"), 2, "v")))
	b = pbBytes(pbBytes(pbBytes(pbInt(b, 32, 4), 33, "c"), 34, "s"), 35, "r")
	b = pbInt(b, 99, 1) // of a later version
	want := Info{Dialect: PB, ReqLen: ptr(uint32(10)), RespLen: ptr(uint32(20)), RequestID: ptr(uint32(30)), Protocol: "proto",
		Trace: &Trace{"a", "b", "c", "d", "e", []string{"f", "g"}}, IsEnd: ptr(false), IsAsync: true, IsReversed: true,
		Attrs: []KeyVal{{"k", "v"}}, BizType: 4, BizCode: "c", BizScenario: "s", BizRespCode: "r"}
	for _, half := range []string{"req", "resp"} {
		full, want := b, want
		if half == "req" {
			full, want.Req = pbBytes(full, 10, string(five)), &Request{"a", "b", "c", "d", "e"}
		} else {
			r := pbInt(pbInt(nil, 1, 4), 2, uint64(1<<64-2)) // int32 -2 as protobuf writes it
			full = pbBytes(full, 11, string(pbBytes(pbBytes(pbBytes(pbBytes(r, 3, "x"), 4, "y"), 5, "t"), 6, "e")))
			want.Resp = &Response{ptr(StatusClientError), ptr(int32(-2)), "x", "y", "t", "e"}
		}
		got, err := Decode(record(string(full)), ToServer)
		if err != nil || !reflect.DeepEqual(got, []Info{want}) {
			t.Errorf("%s: %v\n got %s\nwant %s", half, err, dump(got), dump(want))
		}
	}
	for _, bad := range []string{"PB\x0a", "PB\x0a\x01a", "PB\x52\x02\x0a\x05", "PB\x68\x01", "PB\xff"} {
		if got, err := Decode(record(bad), ToServer); err == nil {
			t.Errorf("%q: %s", bad, dump(got))
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x00\x0cPB\x6a\x08survived"), false)
	f.Add(record(head+lstr("GET")+lstr("/e")+lstr("d")+lstr("/r")+"\x81\x00\x00"), false)
	f.Add(record(head+"\x03\x01\xff\xff\xff\xff"+lstr("res")+lstr("exc")+lstr("p")+"\x00\x00\x01"+lstr("k")+lstr("v")+"\x09"), true)
	f.Fuzz(func(t *testing.T, b []byte, answer bool) {
		dir := ToServer
		if answer {
			dir = ToClient
		}
		infos, err := Decode(b, dir)
		if err == nil && len(infos) == 0 || err != nil && infos != nil {
			t.Fatalf("%d records and %v", len(infos), err)
		}
		for _, i := range infos {
			if i.Dialect < L0 || i.Dialect > PB || len(i.Attrs) > maxAttrs {
				t.Fatal(dump(i))
			}
		}
		_, _ = DecodeHTTPResult(b)
	})
}
