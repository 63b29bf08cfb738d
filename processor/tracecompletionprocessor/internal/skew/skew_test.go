package skew

import "testing"

func TestOffset(t *testing.T) {
	const ms = int64(1e6)
	e := New()
	f := func(a, b uint32, want, spread int64) {
		t.Helper()
		o, ok := e.Offset(a, b)
		if !ok || o.Nanos != want || o.Spread != spread {
			t.Errorf("offset of %d to %d: %+v %t, want %d ± %d", a, b, o, ok, want, spread)
		}
	}
	// Host 2 is 1000 ms ahead; 10 ms there, 10 ms back.
	e.Sample(1, 2, 0, 100*ms, 1010*ms, 1090*ms)
	f(1, 2, 1000*ms, 10*ms)
	f(2, 1, -1000*ms, 10*ms)
	// A slower, lopsided sample changes nothing; a faster one does.
	e.Sample(1, 2, 0, 200*ms, 1090*ms, 1100*ms)
	f(1, 2, 1000*ms, 10*ms)
	e.Sample(2, 1, 1000*ms, 1100*ms, 1*ms, 99*ms)
	f(1, 2, 1000*ms, 1*ms)
	// A server hop longer than the client's measures nothing.
	e.Sample(3, 4, 0, 10, 0, 20)
	if _, ok := e.Offset(3, 4); ok {
		t.Error("a sample of no time on the wire was taken")
	}
	// Clocks drift: after two windows the old samples are forgotten.
	e.Sample(1, 2, 70e9, 70e9+100*ms, 70e9+1020*ms, 70e9+1080*ms)
	e.Sample(1, 2, 140e9, 140e9+100*ms, 140e9+1030*ms, 140e9+1090*ms)
	f(1, 2, 1010*ms, 20*ms)
	if n := len(e.Pairs()); n != 1 {
		t.Errorf("%d pairs", n)
	}
}
