package session

import (
	"slices"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// faulty is toy with faults: messages "Qboom" make the parser panic, a first byte
// '!' the detection.
var faulty = func() *l7.Protocol {
	p := *toy
	p.Detect = func(head []byte) l7.Verdict {
		if len(head) > 0 && head[0] == '!' {
			panic("detect")
		}
		return toy.Detect(head)
	}
	p.New = func(*l7.Options) l7.Parser { return faultyParser{} }
	return &p
}()

type faultyParser struct{ toyParser }

func (p faultyParser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	n, err := p.toyParser.Parse(side, w, m)
	if m.Op == "boom" {
		panic("parse")
	}
	return n, err
}

// TestContain: a fault costs the connection that it was at, and no other.
func TestContain(t *testing.T) {
	muted := map[*stream.Conn]int{}
	good := newBench(Config{})
	good.e = New(Config{Protocols: []*l7.Protocol{faulty}, Contain: true, Mute: func(c *stream.Conn) { muted[c]++ }}, func(x *Exchange) {
		good.got = append(good.got, x.Req.Msg.Op+"-"+x.Resp.Msg.Op)
	})
	other := func() *bench { b := newBench(Config{}); b.e = good.e; return b }
	parse, detect := other(), other()

	good.send(stream.FromA, "Q1\n", false, false)
	parse.send(stream.FromA, "Q7\nQboom\nQ8\n", false, false)
	parse.send(stream.FromB, "A7\n", false, true)
	detect.send(stream.FromA, "!\n", false, false)
	good.send(stream.FromB, "A1\n", false, true)

	if want := []string{"1-1"}; !slices.Equal(good.got, want) {
		t.Errorf("exchanges %q, want %q", good.got, want)
	}
	if n := good.e.Stats().PerProto[0].Panics.Load(); n != 2 {
		t.Errorf("%d panics counted, want 2", n)
	}
	if muted[parse.conn] != 1 || muted[good.conn] != 0 {
		t.Errorf("muted %v", muted)
	}
	// What was asked before the fault is still told, as never answered.
	parse.close()
	if want := []string{"1-1", "7-"}; !slices.Equal(good.got, want) {
		t.Errorf("at the end: exchanges %q, want %q", good.got, want)
	}
}

// TestPanicsGoUp: without Contain nobody hides a fault from the fuzzers.
func TestPanicsGoUp(t *testing.T) {
	b := newBench(Config{})
	b.e = New(Config{Protocols: []*l7.Protocol{faulty}}, func(*Exchange) {})
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	b.send(stream.FromA, "Qboom\n", false, false)
}
