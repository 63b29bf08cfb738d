package hop

import (
	"encoding/hex"
	"testing"
)

func TestForeign(t *testing.T) {
	for _, c := range []struct{ format, trace, wantTrace, span, wantSpan string }{
		{"w3c", "4bf92f3577b34da6a3ce929d0e0e4736", "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "00f067aa0ba902b7"},
		{"b3", "a3ce929d0e0e4736", "0000000000000000a3ce929d0e0e4736", "00F067AA0BA902B7", "00f067aa0ba902b7"},
		{"jaeger", "abc", "00000000000000000000000000000abc", "1", "0000000000000001"},
		{"xray", "1-5759e988-bd862e3fe1be46a994272793", "5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8", "53995c3f42cd8ad8"},
		{"datadog", "258", "00000000000000000000000000000102", "255", "00000000000000ff"},
		{"sw8", "de5980b8-fce3-4a37-aab9-b4ac3af7eedd", "de5980b8fce34a37aab9b4ac3af7eedd", "", ""},
		{"custom", "4bf92f3577b34da6a3ce929d0e0e4736", "4bf92f3577b34da6a3ce929d0e0e4736", "", ""},
		{"pinpoint", "", "", "-1", ""},
		{"pinpoint", "", "", "-2", "fffffffffffffffe"},
		{"pinpoint", "go-front-1^1795244932506^2", "ead513c2ad1591f3593e7ad5f46281dc", "0", "0000000000000001"},
		{"w3c", "00000000000000000000000000000000", "", "0000000000000000", ""},
		{"w3c", "nothex", "", "nothex", ""},
		{"datadog", "x", "", "x", ""},
	} {
		id, ok := ForeignTrace(c.format, c.trace)
		got := ""
		if ok {
			got = hex.EncodeToString(id[:])
		}
		if got != c.wantTrace {
			t.Errorf("%s: trace %q: got %q, want %q", c.format, c.trace, got, c.wantTrace)
		}
		got = ""
		if k := ForeignSpan(c.format, c.span); k != 0 {
			got = string(k.Hex(nil))
		}
		if got != c.wantSpan {
			t.Errorf("%s: span %q: got %q, want %q", c.format, c.span, got, c.wantSpan)
		}
	}
	a, ok := ForeignTrace("pinpoint", "agent^1700000000000^1")
	b, _ := ForeignTrace("pinpoint", "agent^1700000000000^2")
	if !ok || a == b || a == [16]byte{} {
		t.Errorf("pinpoint transaction ids: %x, %x", a, b)
	}
	if k := ForeignCaller("pinpoint", "go-front-1^1795244932506^2", "8433734173727356949"); string(k.Hex(nil)) != "2c7ffd1a20d060e7" {
		t.Errorf("the event that calls: %s", k.Hex(nil))
	}
	if k := ForeignCaller("pinpoint", "go-front-1^1795244932506^2", "-1"); k != 0 {
		t.Errorf("nobody calls: %s", k.Hex(nil))
	}
	if k := ForeignCaller("w3c", "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"); string(k.Hex(nil)) != "00f067aa0ba902b7" {
		t.Errorf("w3c: %s", k.Hex(nil))
	}
	if ForeignSpan("sw8", "segment-1") == ForeignSpan("sw8", "segment-2") {
		t.Error("two spans of one SkyWalking segment have one id")
	}
}

// FuzzForeign: ids come from headers, which anybody may write.
func FuzzForeign(f *testing.F) {
	for _, format := range []string{"w3c", "b3", "jaeger", "sw8", "sw6", "pinpoint", "xray", "datadog", "custom", ""} {
		f.Add(format, "4bf92f3577b34da6a3ce929d0e0e4736")
		f.Add(format, "1-5759e988-bd862e3fe1be46a994272793")
		f.Add(format, "-1")
	}
	f.Fuzz(func(t *testing.T, format, text string) {
		id, ok := ForeignTrace(format, text)
		if ok && id == [16]byte{} {
			t.Errorf("%s %q: an id of zeros", format, text)
		}
		again, _ := ForeignTrace(format, text)
		span := ForeignSpan(format, text)
		if again != id || span != ForeignSpan(format, text) {
			t.Errorf("%s %q: two answers", format, text)
		}
	})
}
