package session_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/http1"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// Answers of pipelined requests of which only the heads are kept, with bodies of
// unknown length: what is paired is paired right.
func TestPipelinedHeads(t *testing.T) {
	for _, further := range []int{0, 20, 256, 2000} {
		for _, whole := range []int{1, 2, 3, 5} {
			paired := 0
			body := strings.Repeat("0123456789abcdef", 180)
			answer := "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n", len(body)) + body + "\r\n0\r\n\r\n"
			e := session.New(session.Config{Protocols: []*l7.Protocol{http1.Protocol}}, func(x *session.Exchange) {
				var n int
				if _, err := fmt.Sscanf(x.Req.Msg.Target, "/n%d", &n); err != nil {
					t.Fatal(x.Req.Msg.Target)
				}
				if x.Resp.Seen {
					paired++
					if want := uint64(n * len(answer)); x.Resp.Pos != want {
						t.Errorf("further %d whole %d: the answer of %d is at %d, not %d", further, whole, n, want, x.Resp.Pos)
					}
				}
			})
			c := &stream.Conn{Transport: l7.TCP, Role: stream.RoleServer, RoleConfidence: 255}
			var pos [2]uint64
			put := func(d stream.Dir, b string, kept int) {
				e.Put(&stream.Chunk{Conn: c, Dir: d, Pos: pos[d], Wire: uint32(len(b)), B: []byte(b)[:min(kept, len(b))], Other: pos[d^1], HasOther: true})
				pos[d] += uint64(len(b))
			}
			for i := 0; i < 40; i += 5 {
				ask := ""
				for k := range 5 {
					ask += fmt.Sprintf("POST /n%d HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", i+k)
				}
				put(stream.FromB, ask, len(ask))
				left := 4096
				for k := 0; k < 5; {
					n := min(whole, 5-k)
					k += n
					text := strings.Repeat(answer, n)
					put(stream.FromA, text, max(left, further))
					left -= min(left, len(text))
				}
			}
			e.Flush()
			if paired < 8 {
				t.Errorf("further %d whole %d: only %d paired", further, whole, paired)
			}
		}
	}
}
