package session

import (
	"reflect"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// TestReset: nothing of an exchange is left in the memory of the next one.
func TestReset(t *testing.T) {
	e := New(Config{Payload: 16}, func(*Exchange) {})
	half := func() Half {
		return Half{Seen: true, Pos: 1, Seq: 2, Start: 3, End: 4, Body: 5, Bytes: 6, Parts: 7,
			Ctx: stream.Ctx{Pid: 1, Goid: 2}, Last: stream.Ctx{Tid: 3},
			Msg:     l7.Message{Op: "op", Text: &e.text, Attrs: []l7.Attr{{Key: "k"}}},
			Payload: []byte("payload")}
	}
	p := &pending{
		Exchange: Exchange{Conn: &stream.Conn{}, Protocol: toy, OneWay: true, FromServer: true, Req: half(), Resp: half(),
			Incomplete: Truncated, Over: 1, Track: 1, Facts: &stream.Facts{}},
		other: 1, hasOther: true, reported: true, reqOpen: true, respOpen: true, gaveUp: true, holed: true, keyed: true, key: 1,
	}
	p.own = p
	every(t, reflect.ValueOf(p).Elem(), "kept") // with kept, release would not take it back
	e.release(p)
	if len(e.free) != 1 {
		t.Fatal("not taken back")
	}
	for _, f := range []*Half{&p.Req, &p.Resp} {
		if cap(f.Msg.Attrs) == 0 || cap(f.Payload) == 0 || len(f.Msg.Attrs)+len(f.Payload) != 0 {
			t.Error("the memory is kept, and empty")
		}
		f.Msg.Attrs, f.Msg.Text, f.Payload = nil, nil, nil
	}
	if !reflect.DeepEqual(p, &pending{}) {
		t.Errorf("left: %+v", p)
	}
	p.kept = true
	p.reset()
	if p.kept {
		t.Error("kept is left")
	}
}

// every field of v, but for those of messages, is set: a new one has to be added
// to reset and to the test.
func every(t *testing.T, v reflect.Value, but string) {
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch f := v.Field(i); {
		case name == "Exchange" || name == "Req" || name == "Resp":
			every(t, f, but)
		case name != but && f.IsZero():
			t.Errorf("%s is not set by the test", name)
		}
	}
}
