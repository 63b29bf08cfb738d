package session

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// batches is a protocol of one-byte messages: an upper-case letter asks, up to M
// in batch 1, the others in batch 2; a lower-case one answers; "!" ends batch 1, "?"
// ends batch 2.
var batches = &l7.Protocol{Name: "batches", Transport: l7.TCP,
	Detect: func(b []byte) l7.Verdict {
		if b[0] >= 'A' && b[0] <= 'Z' {
			return l7.Request
		}
		return l7.Response
	},
	New: func(*l7.Options) l7.Parser { return batchParser{} }}

type batchParser struct{}

func (batchParser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	switch c := w.B[0]; {
	case c == '!' || c == '?':
		m.Over, m.Batch = true, 1
		if c == '?' {
			m.Batch = 2
		}
		return 1, l7.ErrSkip
	case side == l7.Client:
		m.Op, m.Batch = m.Text.Copy(w.B[:1]), 1
		if c >= 'N' {
			m.Batch = 2
		}
	default:
		m.Type, m.Code = l7.TypeResponse, m.Text.Copy(w.B[:1])
	}
	return 1, nil
}

func TestOver(t *testing.T) {
	for _, c := range []struct{ asked, answered, want string }{
		{"ABC", "abc", "A-a B-b C-c "},
		{"ABCXY", "a!xy", "A-a B- C- X-x Y-y "},
		{"ABX", "!x", "A- B- X-x "},
		{"ABX", "?ab!x", "A-a B-b X-x "},
		{"AXB", "a!xb", "A-a X-x B-b "},
	} {
		got := ""
		e := New(Config{Protocols: []*l7.Protocol{batches}}, func(x *Exchange) {
			if x.Incomplete != Complete {
				t.Errorf("%s/%s: %s is %s", c.asked, c.answered, x.Req.Msg.Op, x.Incomplete)
			}
			got += x.Req.Msg.Op + "-" + x.Resp.Msg.Code + " "
		})
		conn := &stream.Conn{Transport: l7.TCP, Role: stream.RoleClient, RoleConfidence: 255}
		e.Put(&stream.Chunk{Conn: conn, Dir: stream.FromA, Wire: uint32(len(c.asked)), B: []byte(c.asked)})
		e.Put(&stream.Chunk{Conn: conn, Dir: stream.FromB, Wire: uint32(len(c.answered)), B: []byte(c.answered)})
		e.Put(&stream.Chunk{Conn: conn, Close: true})
		if got != c.want {
			t.Errorf("%s answered by %s: %s, want %s", c.asked, c.answered, got, c.want)
		}
	}
}
