package pinpointreceiver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"

	meta "github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/metadata"
)

// TestSecrets: an API key, and what an agent tells of its command line and
// libraries, are nowhere but with the collector that they are forwarded to:
// neither in spans, metrics, our own metrics, logs, nor in the storage.
func TestSecrets(t *testing.T) {
	const key, secret = "key-7f3a91", "-Dpassword=hunter2"
	host := &disk{m: map[string][]byte{}}
	o := newOther(t, "127.0.0.1:0", "")
	to := map[string]any{"endpoint": o.addr, "tls": map[string]any{"insecure": true}}
	cfg := config(t, map[string]any{"grpc": map[string]any{"agent": map[string]any{"endpoint": "127.0.0.1:0"}}, "forward": map[string]any{"agent": to, "span": to, "stat": to}})
	id := component.MustNewID("disk")
	cfg.Storage = &id
	tel := componenttest.NewTelemetry()
	defer tel.Shutdown(context.Background())
	logs, lines := observer.New(zap.DebugLevel)
	set := receivertest.NewNopSettings(meta.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	set.Logger = zap.New(logs)
	spans, points := new(consumertest.TracesSink), new(consumertest.MetricsSink)
	r := newReceiver(set, cfg, spans)
	r.measure(points)
	if err := r.Start(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	cc, err := grpc.NewClient(r.addrs[0].String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	ctx := metadata.NewOutgoingContext(t.Context(), metadata.Pairs("agentid", "a", "applicationname", "shop", "starttime", "1795244932506", "protocol.version", "400",
		"servicename", "tenant", "apikey", key))
	sub := func(b []byte, n protowire.Number, v []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
	}
	num := func(b []byte, n protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
	}
	call := func(method string, b []byte) {
		var answer []byte
		if err := cc.Invoke(ctx, method, &b, &answer); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
	}
	call(agentInfo, sub(sub(nil, 1, []byte("host-1")), 10, sub(sub(nil, 1, []byte("Tomcat")), 2, []byte(secret))))
	call(apiMeta, sub(num(nil, 1, 7), 2, []byte("shop.Orders.find(int id)")))
	span := sub(num(nil, 1, 1), 2, num(num(nil, 2, 1795244932506), 3, 1))
	span = protowire.AppendFixed64(protowire.AppendTag(span, 3, protowire.Fixed64Type), 99)
	span = protowire.AppendFixed64(protowire.AppendTag(span, 4, protowire.Fixed64Type), ^uint64(0))
	span = num(num(num(span, 5, 1795244933000), 7, 7), 8, 1010)
	span = sub(span, 10, sub(num(nil, 1, 45), 2, sub(nil, 1, []byte("session="+secret))))
	call(sendSpanBatch, sub(nil, 1, sub(nil, 1, span)))
	eventually(t, "the span at the other collector", func() bool { return o.count(sendSpanBatch) == 1 })
	var own metricdata.ResourceMetrics
	if err := tel.Reader.Collect(t.Context(), &own); err != nil {
		t.Fatal(err)
	}
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}

	if spans.SpanCount() != 1 {
		t.Fatalf("%d spans", spans.SpanCount())
	}
	var all strings.Builder
	for _, td := range spans.AllTraces() {
		b, _ := (&ptrace.JSONMarshaler{}).MarshalTraces(td)
		all.Write(b)
	}
	for _, md := range points.AllMetrics() {
		b, _ := (&pmetric.JSONMarshaler{}).MarshalMetrics(md)
		all.Write(b)
	}
	for k, v := range host.m {
		all.WriteString(k)
		all.Write(v)
	}
	for _, l := range lines.All() {
		b, _ := json.Marshal(l.ContextMap())
		all.WriteString(l.Message)
		all.Write(b)
	}
	fmt.Fprintf(&all, "%+v", own)
	text := all.String()
	for _, want := range []string{"host-1", "shop.Orders.find", "tenant"} { // it was looked at
		if !strings.Contains(text, want) {
			t.Errorf("%q is nowhere", want)
		}
	}
	for _, bad := range []string{key, "hunter2"} {
		if i := strings.Index(text, bad); i >= 0 {
			t.Errorf("%q left: ...%s", bad, text[max(i-200, 0):i+len(bad)])
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if k := o.heads[sendSpanBatch][0].Get("apikey"); len(k) != 1 || k[0] != key {
		t.Errorf("the other collector, which wants the key, has %v", k)
	}
	if !bytes.Contains([]byte(o.got[agentInfo][0]), []byte("hunter2")) {
		t.Error("what is forwarded is not what was sent")
	}
}
