package wire_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/corpus"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/wire"
)

// obj is a message as protojson has it; zero values are left out.
type obj map[string]any

func (o obj) num(k string, v int64) {
	if v != 0 {
		o[k] = float64(v)
	}
}

// long: 64-bit numbers are strings there.
func (o obj) long(k string, v int64) {
	if v != 0 {
		o[k] = fmt.Sprint(v)
	}
}

func (o obj) str(k, v string) {
	if v != "" {
		o[k] = v
	}
}

func (o obj) sub(k string, v obj) {
	if len(v) > 0 {
		o[k] = map[string]any(v)
	}
}

func transaction(t wire.TransactionID) obj {
	o := obj{}
	o.str("agentId", t.AgentID)
	o.long("agentStartTime", t.Start)
	o.long("sequence", t.Sequence)
	return o
}

func exception(o obj, e *wire.Exception) {
	if e == nil {
		return
	}
	x := obj{}
	x.num("intValue", int64(e.ID))
	if e.Has {
		x["stringValue"] = e.Message
	}
	o["exceptionInfo"] = map[string]any(x)
}

func annotations(o obj, as []wire.Annotation) {
	var list []any
	for _, a := range as {
		x, v := obj{}, obj{}
		x.num("key", int64(a.Key))
		switch a.Kind {
		case wire.String:
			v["stringValue"] = a.S[0]
		case wire.Bool:
			v["boolValue"] = a.N[0] != 0
		case wire.Int:
			v["intValue"] = float64(a.N[0])
		case wire.Long:
			v["longValue"] = fmt.Sprint(a.N[0])
		case wire.Bytes:
			v["binaryValue"] = base64.StdEncoding.EncodeToString([]byte(a.B))
		case wire.StringString:
			y := obj{}
			y.str("stringValue1", a.S[0])
			y.str("stringValue2", a.S[1])
			v["stringStringValue"] = map[string]any(y)
		case wire.IntString:
			y := obj{}
			y.num("intValue", a.N[0])
			y.str("stringValue", a.S[0])
			v["intStringValue"] = map[string]any(y)
		case wire.IntStringString:
			y := obj{}
			y.num("intValue", a.N[0])
			y.str("stringValue1", a.S[0])
			y.str("stringValue2", a.S[1])
			v["intStringStringValue"] = map[string]any(y)
		case wire.BytesStrStr:
			y := obj{}
			y.str("bytesValue", base64.StdEncoding.EncodeToString([]byte(a.B)))
			y.str("stringValue1", a.S[0])
			y.str("stringValue2", a.S[1])
			v["bytesStringStringValue"] = map[string]any(y)
		case wire.LongIntIntByte:
			y := obj{}
			y.long("longValue", a.N[0])
			y.num("intValue1", a.N[1])
			y.num("intValue2", a.N[2])
			y.num("byteValue1", a.N[3])
			y.num("byteValue2", a.N[4])
			y.str("stringValue", a.S[0])
			v["longIntIntByteByteStringValue"] = map[string]any(y)
		case wire.IntBoolIntBool:
			y := obj{}
			y.num("intValue1", a.N[0])
			y.num("intValue2", a.N[2])
			if a.N[1] != 0 {
				y["boolValue1"] = true
			}
			if a.N[3] != 0 {
				y["boolValue2"] = true
			}
			v["intBooleanIntBooleanValue"] = map[string]any(y)
		}
		x.sub("value", v)
		list = append(list, map[string]any(x))
	}
	if list != nil {
		o["annotation"] = list
	}
}

func events(o obj, es []wire.Event) {
	var list []any
	for _, e := range es {
		x := obj{}
		x.num("sequence", int64(e.Sequence))
		x.num("depth", int64(e.Depth))
		x.num("startElapsed", int64(e.StartElapsed))
		x.num("endElapsed", int64(e.EndElapsed))
		x.num("serviceType", int64(e.ServiceType))
		annotations(x, e.Annotations)
		x.num("apiId", int64(e.APIID))
		exception(x, e.Exception)
		m := obj{}
		m.long("nextSpanId", e.NextSpanID)
		m.str("endPoint", e.EndPoint)
		m.str("destinationId", e.Destination)
		if len(m) > 0 {
			x["nextEvent"] = map[string]any{"messageEvent": map[string]any(m)}
		}
		x.num("asyncEvent", int64(e.AsyncEvent))
		list = append(list, map[string]any(x))
	}
	if list != nil {
		o["spanEvent"] = list
	}
}

func spanJSON(s *wire.Span) map[string]any {
	o := obj{}
	o.num("version", int64(s.Version))
	o.sub("transactionId", transaction(s.ID))
	o.long("spanId", s.SpanID)
	events(o, s.Events)
	o.num("applicationServiceType", int64(s.AppType))
	if s.Chunk {
		o.str("endPoint", s.EndPoint)
		o.long("keyTime", s.KeyTime)
		if s.Async {
			a := obj{}
			a.num("asyncId", int64(s.AsyncID))
			a.num("sequence", int64(s.AsyncSeq))
			o["localAsyncId"] = map[string]any(a)
		}
		return map[string]any{"spanChunk": map[string]any(o)}
	}
	o.long("parentSpanId", s.Parent)
	o.long("startTime", s.Start)
	o.num("elapsed", int64(s.Elapsed))
	o.num("apiId", int64(s.APIID))
	o.num("serviceType", int64(s.ServiceType))
	a, p := obj{}, obj{}
	a.str("rpc", s.RPC)
	a.str("endPoint", s.EndPoint)
	a.str("remoteAddr", s.Remote)
	p.str("parentApplicationName", s.ParentApp)
	p.num("parentApplicationType", int64(s.ParentType))
	p.str("acceptorHost", s.Acceptor)
	p.str("parentServiceName", s.ParentSvc)
	a.sub("parentInfo", p)
	o.sub("acceptEvent", a)
	annotations(o, s.Annotations)
	o.num("flag", int64(s.Flag))
	o.num("err", int64(s.Err))
	exception(o, s.Exception)
	o.num("loggingTransactionInfo", int64(s.Logging))
	return map[string]any{"span": map[string]any(o)}
}

// TestCorpus: what is decoded is what the truth has, field by field.
func TestCorpus(t *testing.T) {
	dir := corpus.Dir(t)
	kinds := map[string]int{}
	for _, c := range []string{"01-go-batch", "03-node-087", "06-concurrent-large", "07-reconnect", "10-all-traffic", "11b-java-batch", "12-python-c-agent"} {
		want := map[string][]corpus.Line{}
		for _, l := range corpus.Read(t, filepath.Join(dir, c, "truth.jsonl")) {
			if l.Ev == "msg" && l.Dir == "c2s" {
				// Stack traces have no sum: their length will do.
				k := l.Path + cmp.Or(l.Sha256, fmt.Sprint(l.Len))
				want[k] = append(want[k], l)
			}
		}
		corpus.Sniff(t, filepath.Join(dir, c, "capture.pcap"), func(m *calls.Message) {
			sum := sha256.Sum256(m.Body)
			l, ok := want[m.Call.Path+hex.EncodeToString(sum[:])]
			if !ok && strings.Contains(m.Call.Path, "Exception") {
				l, ok = want[m.Call.Path+fmt.Sprint(len(m.Body))]
			}
			if !m.Client || !ok {
				return
			}
			kinds[m.Call.Path]++
			got, err := decode(m)
			if err != nil {
				t.Errorf("%s %s: %v", c, m.Call.Path, err)
			}
			if got == nil {
				return
			}
			strip(got) // a string or message that is absent and one that is empty are one to us
			var w map[string]any
			for _, x := range l {
				w = nil
				if err := json.Unmarshal(x.JSON, &w); err != nil {
					t.Fatal(err)
				}
				if strip(w); reflect.DeepEqual(got, w) {
					return
				}
			}
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(w)
			t.Fatalf("%s %s\n got %s\nwant %s", c, m.Call.Path, a, b)
		})
	}
	t.Log(kinds)
	for _, p := range []string{"/v1.Span/SendSpan", "/v1.Span/SendSpanBatch", "/v1.Metadata/RequestApiMetaData", "/v1.Metadata/RequestExceptionMetaData", "/v1.Stat/SendAgentStat", "/v1.Agent/RequestAgentInfo"} {
		if kinds[p] == 0 {
			t.Errorf("no %s was compared", p)
		}
	}
}

// statJSON has URI statistics; of the others only that they can be read.
func statJSON(b []byte) (map[string]any, error) {
	var list []any
	hist := func(h wire.Histogram) obj {
		o := obj{}
		o.long("total", h.Total)
		o.long("max", h.Max)
		var n []any
		for _, x := range h.Buckets {
			n = append(n, float64(x))
		}
		if n != nil {
			o["histogram"] = n
		}
		return o
	}
	err := wire.DecodeStats(b, func(*wire.Stat) {}, func(u *wire.URIStat) {
		o := obj{}
		o.str("uri", u.URI)
		o.long("timestamp", u.Time)
		o.sub("totalHistogram", hist(u.Total))
		o.sub("failedHistogram", hist(u.Failed))
		list = append(list, map[string]any(o))
	})
	if list == nil {
		return nil, err
	}
	return map[string]any{"agentUriStat": map[string]any{"eachUriStat": list}}, err
}

func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			strip(x)
			if y, ok := x.(map[string]any); x == "" || ok && len(y) == 0 {
				delete(v, k)
			}
		}
	case []any:
		for _, x := range v {
			strip(x)
		}
	}
}

func decode(m *calls.Message) (map[string]any, error) {
	switch m.Call.Path {
	case "/v1.Span/SendSpan":
		var got map[string]any
		return got, wire.DecodeSpans(m.Body, false, func(s *wire.Span) { got = spanJSON(s) })
	case "/v1.Span/SendSpanBatch":
		var list []any
		err := wire.DecodeSpans(m.Body, true, func(s *wire.Span) { list = append(list, spanJSON(s)) })
		return map[string]any{"span": list}, err
	case "/v1.Metadata/RequestApiMetaData":
		a, err := wire.DecodeMeta(m.Body, false)
		o := obj{}
		o.num("apiId", int64(a.ID))
		o.str("apiInfo", a.Text)
		o.num("line", int64(a.Line))
		o.num("type", int64(a.Type))
		o.str("location", a.Location)
		return map[string]any(o), err
	case "/v1.Metadata/RequestSqlMetaData", "/v1.Metadata/RequestStringMetaData":
		a, err := wire.DecodeMeta(m.Body, false)
		o := obj{}
		id, text := "sqlId", "sql"
		if strings.Contains(m.Call.Path, "String") {
			id, text = "stringId", "stringValue"
		}
		o.num(id, int64(a.ID))
		o.str(text, a.Text)
		return map[string]any(o), err
	case "/v1.Metadata/RequestExceptionMetaData":
		e, err := wire.DecodeException(m.Body)
		o := obj{}
		var list []any
		for _, l := range e.Exceptions {
			x := obj{}
			x.str("exceptionClassName", l.Class)
			x.str("exceptionMessage", l.Message)
			x.long("startTime", l.Start)
			x.long("exceptionId", l.ChainID)
			x.num("exceptionDepth", int64(l.Depth))
			var stack []any
			for _, f := range l.Stack {
				y := obj{}
				y.str("className", f.Class)
				y.str("fileName", f.File)
				y.num("lineNumber", int64(f.Line))
				y.str("methodName", f.Method)
				stack = append(stack, map[string]any(y))
			}
			if stack != nil {
				x["stackTraceElement"] = stack
			}
			list = append(list, map[string]any(x))
		}
		if list != nil {
			o["exceptions"] = list
		}
		o.sub("transactionId", transaction(e.ID))
		o.long("spanId", e.SpanID)
		o.str("uriTemplate", e.URI)
		return map[string]any(o), err
	case "/v1.Stat/SendAgentStat":
		return statJSON(m.Body)
	case "/v1.Agent/RequestAgentInfo":
		_, err := wire.DecodeAgentInfo(m.Body)
		return nil, err
	}
	return nil, nil
}
