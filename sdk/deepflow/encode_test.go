package deepflow

import (
	"reflect"
	"testing"

	"github.com/hopscope/hopscope/internal/wasmhost"
)

func ptr[T any](v T) *T { return &v }

// TestRecord: the host reads what the SDK writes.
func TestRecord(t *testing.T) {
	in := []*L7ProtocolInfo{
		{ReqLen: ptr(10), RespLen: ptr(20), RequestID: ptr(uint32(7)), Req: &Request{"1", "GET", "d", "/r", "/e"},
			Trace: &Trace{"t", "s", "p", "x", "c", []string{"a", "b"}}, Kv: []KeyVal{{"k", "v"}}, L7ProtocolStr: "proto",
			ProtocolMerge: true, IsEnd: true, IsAsync: true, IsReversed: true, BizType: 4, BizCode: "bc", BizScenario: "bs", BizResponseCode: "br"},
		{Resp: &Response{RespStatusClientErr, ptr(int32(-2)), "res", "exc", "type", "/e2"}, ProtocolMerge: true},
	}
	var b []byte
	for _, i := range in {
		b = i.record(b)
	}
	got, err := wasmhost.Decode(b, wasmhost.ToServer)
	want := []wasmhost.Info{
		{Dialect: wasmhost.PB, ReqLen: ptr(uint32(10)), RespLen: ptr(uint32(20)), RequestID: ptr(uint32(7)), Req: &wasmhost.Request{Version: "1", Type: "GET", Domain: "d", Resource: "/r", Endpoint: "/e"},
			Trace: &wasmhost.Trace{TraceID: "t", SpanID: "s", ParentSpanID: "p", RequestID: "x", ProxyClient: "c", TraceIDs: []string{"a", "b"}},
			Attrs: []wasmhost.KeyVal{{Key: "k", Val: "v"}}, Protocol: "proto", IsEnd: ptr(true), IsAsync: true, IsReversed: true,
			BizType: 4, BizCode: "bc", BizScenario: "bs", BizRespCode: "br"},
		{Dialect: wasmhost.PB, Resp: &wasmhost.Response{Status: ptr(wasmhost.StatusClientError), Code: ptr(int32(-2)), Exception: "exc", Result: "res", Type: "type", Endpoint: "/e2"}, IsEnd: ptr(false)},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	if b := (&L7ProtocolInfo{Kv: []KeyVal{{"k", string(make([]byte, 70_000))}}}).record([]byte("x")); string(b) != "x" {
		t.Errorf("a record that is too long left %d bytes", len(b))
	}
}
