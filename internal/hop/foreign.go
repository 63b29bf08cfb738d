package hop

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// ForeignTrace is the 128-bit trace id of an id that another tracer's header
// carries as text. Ids that are 128 or 64 bit numbers keep their value, so that
// the spans that tracer exports are in the same trace; other texts are hashed,
// Pinpoint's as the pinpoint receiver does, and any tool that knows the header
// can: the first half of SHA-256.
// ok is false for what is no id at all.
func ForeignTrace(format, text string) (id [16]byte, ok bool) {
	switch format {
	case "datadog": // the lower 64 bits, decimal
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return id, false
		}
		binary.BigEndian.PutUint64(id[8:], n)
		return id, n != 0
	case "xray": // 1-5759e988-bd862e3fe1be46a994272793: version, then 128 bits
		if len(text) == 35 {
			text = text[2:10] + text[11:]
		}
	case "sw8", "sw6", "custom":
		if len(text) == 36 && strings.Count(text, "-") == 4 { // a UUID
			text = strings.ReplaceAll(text, "-", "")
		}
	}
	if text == "" {
		return id, false
	}
	if format == "pinpoint" {
		sum := sha256.Sum256([]byte(text))
		copy(id[:], sum[:])
		return id, true
	}
	if len(text) <= 32 && (len(text) == 32 || numeric(format)) {
		if putHex(id[:], text) {
			return id, id != [16]byte{}
		}
		if numeric(format) {
			return id, false
		}
	}
	return hash128(text), true
}

// ForeignSpan is the 64-bit span id of one that another tracer's header carries
// as text; 0 for none.
func ForeignSpan(format, text string) Key {
	switch format {
	case "datadog":
		n, _ := strconv.ParseUint(text, 10, 64)
		return Key(n)
	case "pinpoint": // signed decimal; -1 stands for none
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n == -1 {
			return 0
		}
		return nonzero(uint64(n))
	case "sw8", "sw6", "custom":
		if text == "" {
			return 0
		}
		return nonzero(xxhash.Sum64String(text))
	}
	var b [8]byte
	if text == "" || len(text) > 16 || !putHex(b[:], text) {
		return 0
	}
	return Key(binary.BigEndian.Uint64(b[:]))
}

// ForeignCaller is the span id of the app span that sent a request with the ids
// trace and span, texts as its header had them; 0 for none. Most tracers send
// it. Pinpoint sends the callee's own id, and the id of the event that calls is
// made of that: SHA-256("N|trace|span")[:8].
func ForeignCaller(format, trace, span string) Key {
	k := ForeignSpan(format, span)
	if format != "pinpoint" || k == 0 || trace == "" {
		return k
	}
	n, _ := strconv.ParseInt(span, 10, 64) // it was a number for ForeignSpan
	b := make([]byte, 0, len(trace)+len(span)+3)
	b = append(b, "N|"...)
	b = append(b, trace...)
	b = append(b, '|')
	sum := sha256.Sum256(strconv.AppendInt(b, n, 10))
	return nonzero(binary.BigEndian.Uint64(sum[:]))
}

// numeric formats have hex numbers, sometimes without their leading zeros.
func numeric(format string) bool {
	return format == "w3c" || format == "b3" || format == "jaeger" || format == "xray"
}

// putHex writes the hex number s right-aligned into dst.
func putHex(dst []byte, s string) bool {
	var padded [32]byte
	n := 2 * len(dst)
	for i := range n {
		padded[i] = '0'
	}
	copy(padded[n-len(s):n], s)
	_, err := hex.Decode(dst, padded[:n])
	return err == nil
}

func hash128(s string) (id [16]byte) {
	var d xxhash.Digest
	d.Reset()
	d.Write([]byte{tagForeign})
	d.WriteString(s)
	binary.BigEndian.PutUint64(id[:8], d.Sum64())
	d.Write([]byte{tagForeign})
	binary.BigEndian.PutUint64(id[8:], uint64(nonzero(d.Sum64())))
	return id
}
