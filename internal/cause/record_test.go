package cause

import "testing"

// TestRecordsAreUsedAgain: a server that calls nobody needs a record or two; one
// that is the cause of another exchange is not used again.
func TestRecordsAreUsedAgain(t *testing.T) {
	w := newWorld()
	c := w.conn(true)
	for range 100 {
		w.begin(c, ctx(1, 0), nil, ids{}).end(ctx(1, 0), ids{})
	}
	if n := len(w.t.free); n == 0 || n > 2 {
		t.Fatalf("%d records free after requests one by one", n)
	}
	a := w.begin(c, ctx(1, 0), nil, ids{})
	q := w.begin(w.conn(false), ctx(1, 0), a, ids{})
	cause := a.x.Track.(*record)
	if q.x.Track.(*record).cause != cause {
		t.Fatal("the call is not linked")
	}
	q.end(ctx(1, 0), ids{})
	a.end(ctx(1, 0), ids{})
	for range 100 {
		w.begin(c, ctx(1, 0), nil, ids{}).end(ctx(1, 0), ids{})
	}
	for _, r := range w.t.free {
		if r == cause || r.shared || r.done || r.read != 0 || r.conn != nil {
			t.Errorf("free, though it may be needed: %+v", r)
		}
	}
}
