package cause

import "testing"

// reachable counts the records that the tracker keeps, whatever way it gets there.
func (t *Tracker) reachable() int {
	seen := map[*record]bool{}
	var todo []*record
	see := func(list ...*record) {
		for _, r := range list {
			if r != nil && !seen[r] {
				seen[r] = true
				todo = append(todo, r)
			}
		}
	}
	for _, a := range t.tasks {
		see(a.last, a.of, a.serves)
		see(a.open...)
		see(a.handed...)
		for _, u := range a.queue {
			see(u.r)
		}
		p := a.proc
		see(p.open...)
		see(p.plain.waiting...)
		see(p.mixed.waiting...)
		see(p.order.waiting...)
		see(p.relay.waiting...)
		for _, b := range p.births {
			see(b.in, b.about.r)
		}
		for _, r := range p.wanted {
			see(r)
		}
		for _, o := range p.relay.asked {
			see(o.r)
		}
	}
	see(t.held...)
	for len(todo) > 0 {
		r := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		see(r.cause, r.before, r.prev, r.after, r.root, r.call, r.same)
		see(r.deps...)
		see(r.few[:]...)
	}
	return len(seen)
}

// TestNothingIsKept: of what is over, what the tracker keeps does not grow with
// how long it runs.
func TestNothingIsKept(t *testing.T) {
	for name, play := range map[string]func(requests int) *world{
		"loop":                  func(n int) *world { return loop(2, n, 8, 3, 100) },
		"loop, few connections": func(n int) *world { return loop(2, n, 64, 3, 8) },
		"in turn":               func(n int) *world { return batches(inTurn, n, 16, 2) },
		"by kind":               func(n int) *world { return batches(byKind, n, 16, 1) },
		"scrambled":             func(n int) *world { return batches(scrambled, n, 16, 2) },
		"relay":                 func(n int) *world { return passOn(2, n, 16, 1e9) },
	} {
		kept := func(n int) int {
			w := play(n)
			w.t.Flush()
			return w.t.reachable()
		}
		short, long := kept(500), kept(8000)
		t.Logf("%s: %d records kept of 500 requests, %d of 8000", name, short, long)
		if long > 2*short+100 {
			t.Errorf("%s: %d records are kept of 500 requests, %d of 8000", name, short, long)
		}
	}
}
