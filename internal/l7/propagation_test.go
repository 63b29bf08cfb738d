package l7

import "testing"

// TestPinpoint: the names that Pinpoint's agents use, in any case, as HTTP, gRPC,
// Kafka, RabbitMQ, RocketMQ, Pulsar and MQTT carry them, and those of Dubbo's
// attachments.
func TestPinpoint(t *testing.T) {
	p := DefaultPropagation()
	for _, names := range [][3]string{
		{"Pinpoint-TraceID", "Pinpoint-SpanID", "Pinpoint-pSpanID"},
		{"Pinpoint-Traceid", "Pinpoint-Spanid", "Pinpoint-Pspanid"}, // Go agents
		{"pinpoint-traceid", "pinpoint-spanid", "pinpoint-pspanid"}, // HTTP/2
		{"_DUBBO_TRASACTION_ID", "_DUBBO_SPAN_ID", "_DUBBO_PARENT_SPAN_ID"},
	} {
		var tr Trace
		var text Text
		for i, v := range []string{"shop-1^1795742668849^7", "-4447362588478153", "8490944806952461"} {
			if !p.Header(&tr, &text, []byte(names[i]), []byte(v)) {
				t.Errorf("%s: not known", names[i])
			}
		}
		if want := (Trace{Format: FormatPinpoint, TraceID: "shop-1^1795742668849^7", SpanID: "-4447362588478153", ParentSpanID: "8490944806952461"}); tr != want {
			t.Errorf("%v: %+v", names, tr)
		}
	}
	// Not sampled: no ids.
	var tr Trace
	var text Text
	if p.Header(&tr, &text, []byte("Pinpoint-Sampled"), []byte("s0")); !tr.Empty() {
		t.Errorf("%+v", tr)
	}
}
