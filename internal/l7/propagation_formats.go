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
	var f [4][]byte
	for i := range f {
		if f[i] = v; i == len(f)-1 {
			break
		}
		k := bytes.IndexByte(v, '-')
		if k < 0 {
			return false
		}
		f[i], v = v[:k], v[k+1:]
	}
	if k := bytes.IndexByte(f[3], '-'); k >= 0 {
		f[3] = f[3][:k]
	}
	if len(f[0]) != 1 {
		return false
	}
	for _, c := range f[3] {
		if c < '0' || c > '9' {
			return false
		}
	}
	trace := decoded(text, f[1], nil)
	segment := decoded(text, f[2], f[3])
	if trace == "" || segment == "" || !claim(t, format) {
		return false
	}
	t.TraceID, t.SpanID = trace, segment
	return true
}

// decoded is what v says in base64, with a dash and number behind it if there is
// one; nothing, if it is not text.
func decoded(text *Text, v, number []byte) string {
	most := base64.StdEncoding.DecodedLen(len(v))
	return text.Build(most+1+len(number), func(dst []byte) int {
		n, err := base64.StdEncoding.Decode(dst[:most], v)
		if err != nil || n == 0 || !printable(dst[:n]) {
			return 0
		}
		if number != nil {
			dst[n] = '-'
			n += 1 + copy(dst[n+1:], number)
		}
		return n
	})
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
