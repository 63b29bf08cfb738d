package calls_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
)

// TestHostile: input that is made to take memory takes little of it, is counted,
// and does not keep the next connection from being read.
func TestHostile(t *testing.T) {
	frame := func(typ http2.FrameType, flags http2.Flags, id uint32, payload []byte) []byte {
		b := make([]byte, 9, 9+len(payload))
		b[0], b[1], b[2], b[3], b[4] = byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload)), byte(typ), byte(flags)
		binary.BigEndian.PutUint32(b[5:], id)
		return append(b, payload...)
	}
	literal := func(name, value string) []byte {
		var b bytes.Buffer
		hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: name, Value: value})
		return b.Bytes()
	}
	big := bytes.Repeat([]byte{'x'}, 16000)
	for _, c := range []struct {
		name  string
		bytes func(i int) []byte // the ith piece; nil ends it
		told  func(s *calls.Stats) uint64
	}{
		{"a header block that does not end", func(i int) []byte {
			typ := http2.FrameContinuation
			if i == 0 {
				typ = http2.FrameHeaders
			}
			if i == 1100 {
				return frame(typ, http2.FlagContinuationEndHeaders, 1, literal("a", "b"))
			}
			return frame(typ, 0, 1, literal(fmt.Sprint("h", i), string(big[:8000])))
		}, func(s *calls.Stats) uint64 { return s.Headers.Load() }},
		{"one index that stands for a long value, again and again", func(i int) []byte {
			b := literal("a", string(big[:3000]))
			return frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, uint32(2*i+1), append(b, bytes.Repeat([]byte{0xbe}, 12000)...))
		}, func(s *calls.Stats) uint64 { return s.Headers.Load() }},
		{"a table as large as the encoder likes", func(i int) []byte {
			b := []byte{0x3f, 0xe1, 0xff, 0xff, 0x7f} // dynamic table size update: 256 MiB
			for j := range 5 {
				b = append(b, literal(fmt.Sprint("n", i, "-", j), string(big[:3000]))...)
			}
			return frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, uint32(2*i+1), b)
		}, func(s *calls.Stats) uint64 { return s.Calls.Load() }},
		{"messages that claim 4 GiB", func(i int) []byte {
			return frame(http2.FrameData, 0, uint32(2*i+1), append([]byte{0, 0xff, 0xff, 0xff, 0xff}, big...))
		}, func(s *calls.Stats) uint64 { return s.Oversize.Load() + s.Blind.Load() }},
		{"calls that never end", func(i int) []byte {
			b := frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, uint32(2*i+1), literal(":path", "/v1.Span/SendSpan"))
			return append(b, frame(http2.FrameData, 0, uint32(2*i+1), append([]byte{0, 0, 0x30, 0, 0}, big[:2000]...))...)
		}, func(s *calls.Stats) uint64 { return s.Streams.Load() }},
		{"compressed nothing", func(i int) []byte {
			b := frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, uint32(2*i+1), append(literal(":path", "/v1.Span/SendSpan"), literal("grpc-encoding", "gzip")...))
			return append(b, frame(http2.FrameData, 0, uint32(2*i+1), []byte("\x01\x00\x00\x00\x04\x1f\x8b\x08\x00"))...)
		}, func(s *calls.Stats) uint64 { return s.Corrupt.Load() }},
		{"control frames with all they can hold", func(i int) []byte {
			return frame(http2.FrameGoAway, 0, 0, big)
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := calls.New([]uint16{9993}, func(*calls.Message) {})
			k := conn()
			pos := uint64(0)
			put := func(b []byte) {
				s.Put(&stream.Chunk{Conn: k, Dir: stream.FromA, Pos: pos, Wire: uint32(len(b)), B: b})
				pos += uint64(len(b))
			}
			heap := func() int64 {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc)
			}
			before := heap()
			put([]byte(http2.ClientPreface))
			for i := range 1101 {
				put(c.bytes(i))
			}
			// 1024 calls of 2 KB, or a table of 64 KiB, are what may stay.
			if n := heap() - before; n > 16<<20 {
				t.Errorf("%d MiB stay", n>>20)
			}
			if c.told != nil && c.told(s.Stats()) == 0 {
				t.Errorf("nothing is told of it")
			}
			got := 0
			s2 := calls.New([]uint16{9993}, func(*calls.Message) { got++ })
			k, pos = conn(), 0
			b := conversation()
			s2.Put(&stream.Chunk{Conn: k, Dir: stream.FromA, Wire: uint32(len(b)), B: b})
			if got != 3 {
				t.Errorf("%d messages of another connection", got)
			}
			runtime.KeepAlive(s)
		})
	}
}
