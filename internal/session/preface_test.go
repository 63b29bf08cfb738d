package session

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/internal/stream"
)

// TestPreface: what a load balancer says before the protocol is passed over,
// wherever it is cut, and the positions behind it stay.
func TestPreface(t *testing.T) {
	binary := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + strings.Repeat("\x0a", 12)
	for _, head := range []string{
		"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", "PROXY UNKNOWN\r\n", binary, "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",
	} {
		for cut := range len(head) + 3 {
			b := newBench(Config{MaxLooks: 2})
			var at uint64
			b.e.next = func(x *Exchange) {
				at = x.Req.Pos
				b.got = append(b.got, fmt.Sprintf("Q%s A%s", x.Req.Msg.Op, x.Resp.Msg.Op))
			}
			all := head + "Q1\n"
			if cut > 0 {
				b.send(stream.FromA, all[:cut], false, true)
			}
			b.send(stream.FromA, all[cut:], false, true)
			b.send(stream.FromB, "A1\n", false, true)
			if got := b.close(); len(got) != 1 || got[0] != "Q1 A1" || at != uint64(len(head)) {
				t.Fatalf("%q cut at %d: %q at %d", head, cut, got, at)
			}
		}
	}
}

// TestNoPreface: what only begins like one is looked at as ever.
func TestNoPreface(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		more bool
	}{
		{"", 0, false}, {"P", 0, true}, {"PROXY", 0, true}, {"PROXIMA\r\n", 0, false}, {"POST / HTTP/1.1\r\n", 0, false},
		{"PROXY " + strings.Repeat("x", 101), 0, false}, {"\r", 0, true}, {"\r\n\r\nGET", 0, false},
		{"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff", 0, false}, // larger than what is kept
	} {
		if n, more := preface([]byte(c.in)); n != c.n || more != c.more {
			t.Errorf("%q: %d, %v", c.in, n, more)
		}
	}
}
