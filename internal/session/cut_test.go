package session

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// sized is toy whose messages "QL..." are 100 bytes long, however few are shown.
var sized = func() *l7.Protocol {
	p := *toy
	p.New = func(*l7.Options) l7.Parser { return sizedParser{} }
	return &p
}()

type sizedParser struct{ toyParser }

func (p sizedParser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	if len(w.B) > 1 && w.B[1] == 'L' {
		m.Op = "L"
		return 100, nil
	}
	return p.toyParser.Parse(side, w, m)
}

// TestCut: a call of which messages may lie in what was not captured is counted,
// one whose tail is known to be the rest of a message is not.
func TestCut(t *testing.T) {
	f := func(b string, wire uint32, want uint64) {
		t.Helper()
		e := New(Config{Protocols: []*l7.Protocol{sized}}, func(*Exchange) {})
		c := &stream.Conn{Transport: l7.TCP, Role: stream.RoleClient, RoleConfidence: 255}
		e.Put(&stream.Chunk{Conn: c, B: []byte(b), Wire: wire, Time: 1})
		if got := e.Stats().Cut.Load(); got != want {
			t.Errorf("%q of %d bytes: %d, want %d", b, wire, got, want)
		}
	}
	f("Q1\nQ2\n", 6, 0)
	f("Q1\nQ2\n", 60, 1)
	f("Q1\nQLong", 103, 0)
	f("Q1\nQLong", 104, 1)
}

// TestBurst: a connection is told of, once, if it moves many messages in a call
// that was cut; one long message is not many.
func TestBurst(t *testing.T) {
	f := func(b string, wire uint32, want int) {
		t.Helper()
		told := 0
		e := New(Config{Protocols: []*l7.Protocol{sized}, Burst: func(*stream.Conn) { told++ }}, func(*Exchange) {})
		c := &stream.Conn{Transport: l7.TCP, Role: stream.RoleClient, RoleConfidence: 255}
		for i := range uint64(3) {
			e.Put(&stream.Chunk{Conn: c, B: []byte(b), Pos: i * uint64(wire), Wire: wire, Time: 1})
		}
		if told != want {
			t.Errorf("%q of %d bytes: told %d times, want %d", b, wire, told, want)
		}
	}
	f("Q1\nQ2\nQ3\nQ4\n", 60, 1)
	f("Q1\nQ2\nQ3\nQ4\n", 12, 0)
	f("Q1\nQ2\nQ3\n", 60, 0)
	f("Q1\nQ2\nQ3\nQ4\nQLong", 12+100, 0)
}
