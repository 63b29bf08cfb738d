package wire

import (
	"strings"
	"testing"
)

// FuzzDecode: no bytes make a decoder fall over, or take more than they are worth.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x0a\x10\x08\x01\x12\x0c\x0a\x02go\x10\x01\x18\x02"), true)
	f.Add([]byte("\x12\x08\x08\x01\x2a\x04\x08\x01\x10\x02"), false)
	f.Fuzz(func(t *testing.T, b []byte, batch bool) {
		_ = DecodeSpans(b, batch, func(s *Span) {
			if len(s.Events) > MaxEvents || len(s.Events) > len(b) {
				t.Fatalf("%d events of %d bytes", len(s.Events), len(b))
			}
		})
		if shape := Shape(b); shape != "" {
			n := 0
			if err := Pieces(b, shape == "/v1.Span/SendSpanBatch", func(p *Piece) {
				if n++; len(p.Raw) > len(b) || p.Events > len(b) {
					t.Fatalf("%d events in %d of %d bytes", p.Events, len(p.Raw), len(b))
				}
			}); err != nil || n == 0 {
				t.Fatalf("%s has the shape of %s and %d spans: %v", b, shape, n, err)
			}
		}
		IsStat(b)
		_, _ = DecodeMeta(b, batch)
		_, _ = DecodeException(b)
		_, _ = DecodeAgentInfo(b)
		_ = DecodeStats(b, func(*Stat) {}, func(*URIStat) {})
	})
}

func TestMalformed(t *testing.T) {
	for _, s := range []string{"\x0a", "\x0a\x05ab", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x0b\x00", "\x00\x01", "\x0a\x03\x18\x01\x00"} {
		if err := DecodeSpans([]byte(s), false, func(*Span) {}); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
	if err := DecodeSpans([]byte(strings.Repeat("\x0a\x00", 100)), true, func(*Span) {}); err != nil {
		t.Error(err)
	}
}
