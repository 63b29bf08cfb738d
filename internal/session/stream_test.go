package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// frames is a toy of frames, "kind stream through more": Q asks, A answers,
// O is one-way.
var frames = &l7.Protocol{
	Name: "frames", Transport: l7.TCP, Pairing: l7.ByStream,
	Detect: func(head []byte) l7.Verdict { return l7.Request },
	New:    func(*l7.Options) l7.Parser { return frameParser{} },
}

type frameParser struct{}

func (frameParser) Parse(_ l7.Side, w l7.Window, m *l7.Message) (int, error) {
	var kind string
	var more int
	if _, err := fmt.Sscanf(string(w.B[:8]), "%1s %d %d %d", &kind, &m.Stream, &m.Through, &more); err != nil {
		return 0, l7.ErrLost
	}
	m.More = more == 1
	switch kind {
	case "A":
		m.Type = l7.TypeResponse
	case "O":
		m.Type = l7.TypeOneWay
	}
	m.Op = kind
	return 8, nil
}

func playFrames(in ...string) (*Engine, *[]string) {
	var got []string
	e := New(Config{Protocols: []*l7.Protocol{frames}, Timeout: time.Second}, func(x *Exchange) {
		s := fmt.Sprintf("%s%d+%d", x.Req.Msg.Op, x.Req.Pos, x.Req.Bytes)
		if x.Resp.Seen {
			s += fmt.Sprintf(" %s%d+%d", x.Resp.Msg.Op, x.Resp.Pos, x.Resp.Bytes)
		}
		if x.FromServer {
			s += " server"
		}
		if x.Incomplete != Complete {
			s += " " + x.Incomplete.String()
		}
		got = append(got, s)
	})
	conn := &stream.Conn{Transport: l7.TCP, Role: stream.RoleClient, RoleConfidence: 255}
	var pos [2]uint64
	for i, f := range in {
		d := stream.FromA
		if f[0] == '<' {
			d = stream.FromB
		}
		e.Put(&stream.Chunk{Conn: conn, Dir: d, Pos: pos[d], Wire: 8, B: []byte(fmt.Sprintf("%-8s", f[1:])), Time: int64(i)})
		pos[d] += 8
	}
	return e, &got
}

func TestThrough(t *testing.T) {
	e, got := playFrames(">Q 1 0 0", ">Q 2 0 0", ">Q 3 0 0", ">Q 4 0 0", "<A 1 3 0", "<A 4 9 0")
	if s, want := fmt.Sprint(*got), "[Q0+8 A0+8 Q8+8 A0+8 Q16+8 A0+8 Q24+8 A8+8]"; s != want {
		t.Errorf("got %s, want %s", s, want)
	}
	e.Flush()
	if len(*got) != 4 {
		t.Errorf("afterwards: %v", *got)
	}
}

func TestOneWayContinues(t *testing.T) {
	e, got := playFrames(">O 1 0 1", ">O 2 0 1", "<O 7 0 1", ">O 1 0 1", ">O 2 0 0", ">O 7 0 0", ">O 1 0 0", ">O 1 0 0", ">O 5 0 1")
	want := "[O8+16 O0+16 server O0+24 O48+8]"
	if s := fmt.Sprint(*got); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
	e.Tick(int64(time.Hour))
	e.Flush()
	if s := fmt.Sprint((*got)[4:]); s != "[O56+8 lost_events]" {
		t.Errorf("afterwards: %s", s)
	}
}
