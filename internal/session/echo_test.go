package session

import (
	"fmt"
	"slices"
	"testing"

	"github.com/hopscope/hopscope/internal/stream"
)

// TestEchoes: replies find their requests, also late and crossed; what is not
// answered is over after its time, what was not asked is nobody's.
func TestEchoes(t *testing.T) {
	var got []string
	e := NewEchoes(func(x *Exchange) {
		got = append(got, fmt.Sprintf("%s %s %v %d %s", x.Req.Msg.Name, x.Req.Msg.Session, x.Resp.Seen, x.Resp.End-x.Req.Start, x.Incomplete))
	})
	a, b := &stream.Conn{}, &stream.Conn{}
	e.Put(a, false, 1, 64, 1000)
	e.Put(a, false, 2, 64, 2000)
	e.Put(b, false, 1, 64, 3000)
	e.Put(a, true, 2, 64, 4000)
	e.Put(a, true, 1, 64, 5000)
	e.Put(a, true, 1, 64, 6000) // a second answer
	e.Put(a, false, 3, 64, 3000+echoTimeout)
	e.Flush()
	want := []string{"echo 2 true 2000 ", "echo 1 true 4000 ", "echo 1 false -3000 timeout", "echo 3 false " + fmt.Sprint(-(3000 + echoTimeout)) + " truncated"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for i := range 3 * maxEchoes {
		e.Put(a, false, uint16(i), 64, 1e12)
	}
	if len(e.open) > maxEchoes {
		t.Errorf("%d open", len(e.open))
	}
}
