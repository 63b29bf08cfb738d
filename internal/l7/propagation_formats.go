package l7

import (
	"bytes"
	"encoding/base64"
)

// skywalking reads sw8 (https://skywalking.apache.org/docs/main/next/en/api/x-process-propagation-headers-v3/)
// and sw6: dash-separated, ids in base64:
//
//	sw8: 1 - traceID - segmentID - spanID - service - instance - endpoint - address
//	sw6: 1 - traceID - segmentID - spanID - ...
//
// A SkyWalking span is named by its segment and its number in it, so SpanID is
// "segment-number".
func skywalking(t *Trace, text *Text, v []byte, format string) bool {
	f := bytes.SplitN(v, []byte("-"), 5)
	if len(f) < 4 || len(f[0]) != 1 {
		return false
	}
	trace, err1 := base64.StdEncoding.DecodeString(View(f[1]))
	segment, err2 := base64.StdEncoding.DecodeString(View(f[2]))
	if err1 != nil || err2 != nil || len(trace) == 0 || len(segment) == 0 || !printable(trace) || !printable(segment) {
		return false
	}
	for _, c := range f[3] {
		if c < '0' || c > '9' {
			return false
		}
	}
	if !claim(t, format) {
		return false
	}
	t.TraceID = text.Copy(trace)
	t.SpanID = text.Join(View(segment), "-", View(f[3]))
	return true
}

// xray reads X-Amzn-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1
func xray(t *Trace, text *Text, v []byte) bool {
	var root, parent []byte
	for len(v) > 0 {
		var kv []byte
		kv, v, _ = bytes.Cut(v, []byte(";"))
		k, val, _ := bytes.Cut(bytes.TrimSpace(kv), []byte("="))
		switch {
		case bytes.EqualFold(k, []byte("root")):
			root = val
		case bytes.EqualFold(k, []byte("parent")):
			parent = val
		}
	}
	if len(root) != 35 || root[1] != '-' || root[10] != '-' || !hexID(root[2:10]) || !hexID(root[11:]) || !claim(t, FormatXRay) {
		return false
	}
	t.TraceID = text.Copy(root)
	if len(parent) == 16 && hexID(parent) {
		t.SpanID = text.Copy(parent)
	}
	return true
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}
