package cause

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// passOn plays a relay of one thread that acts in any order: requests for one of
// so many paths, passed on over a pool of connections.
func passOn(seed uint64, requests, atOnce, paths int) *world {
	r := rand.New(rand.NewPCG(seed, 4))
	w := newWorld()
	me := ctx(1, 0)
	type pair struct {
		in, out *call
		path    string
	}
	var got, sent []*pair
	for done, n := 0, 0; done < requests; {
		switch k := r.IntN(3); {
		case k == 0 && len(got)+len(sent) < atOnce:
			n++
			path := fmt.Sprintf("/orders/%d", r.IntN(paths))
			got = append(got, &pair{in: w.begin(w.conn(true), me, nil, ids{says: path}), path: path})
		case k == 1 && len(got) > 0:
			i := r.IntN(len(got))
			p := got[i]
			got = append(got[:i], got[i+1:]...)
			p.out = w.begin(w.conn(false), me, p.in, ids{says: p.path})
			sent = append(sent, p)
		case k == 2 && len(sent) > 0:
			// Some answers are read before any is passed on.
			m := 1 + r.IntN(len(sent))
			r.Shuffle(len(sent), func(i, j int) { sent[i], sent[j] = sent[j], sent[i] })
			for _, p := range sent[:m] {
				p.out.end(me, ids{says: "200"})
			}
			r.Shuffle(m, func(i, j int) { sent[i], sent[j] = sent[j], sent[i] })
			for _, p := range sent[:m] {
				p.in.end(me, ids{says: "200"})
			}
			sent = append(sent[:0], sent[m:]...)
			done += m
		}
		w.now += int64(r.IntN(100000))
		w.t.Tick(w.now)
	}
	return w
}

func TestRelay(t *testing.T) {
	for _, tt := range []struct {
		atOnce, paths int
		recall        float64
	}{{8, 1e9, 0.99}, {64, 1e9, 0.99}, {64, 1000, 0.9}, {64, 10, 0}, {8, 1, 0}} {
		w := passOn(3, 4000, tt.atOnce, tt.paths)
		right, wrong, all := w.score()
		t.Logf("%d at once, %d paths: %d of %d calls rightly linked, %d wrongly", tt.atOnce, tt.paths, right, all, wrong)
		if wrong > 0 {
			t.Errorf("%d at once, %d paths: %d of %d links are wrong", tt.atOnce, tt.paths, wrong, right+wrong)
		}
		if float64(right) < tt.recall*float64(all) {
			t.Errorf("%d at once, %d paths: %d of %d calls are linked", tt.atOnce, tt.paths, right, all)
		}
	}
}

// trustedRelay has passed on 100 requests.
func trustedRelay() *world {
	w := passOn(5, 100, 8, 1e9)
	w.t.Flush()
	return w
}

func TestRelayInDoubt(t *testing.T) {
	me := ctx(1, 0)
	x, ok, bad := ids{says: "/x"}, ids{says: "200"}, ids{says: "502"}
	finish := func(list ...*call) {
		for _, k := range list {
			k.end(me, ok)
		}
	}
	t.Run("the one that says so", func(t *testing.T) {
		w := trustedRelay()
		a, b := w.begin(w.conn(true), me, nil, x), w.begin(w.conn(true), me, nil, ids{says: "/y"})
		q, p := w.begin(w.conn(false), me, a, x), w.begin(w.conn(false), me, b, ids{says: "/y"})
		finish(q, p, b, a)
		w.want(t, q, a, SameRequest, High)
	})
	t.Run("asked twice at once", func(t *testing.T) {
		w := trustedRelay()
		a, b := w.begin(w.conn(true), me, nil, x), w.begin(w.conn(true), me, nil, x)
		p, q := w.begin(w.conn(false), me, a, x), w.begin(w.conn(false), me, b, x)
		finish(q, p, a, b)
		w.want(t, q, nil, NoEvidence, NoConfidence)
	})
	t.Run("one of two is over, a third comes", func(t *testing.T) {
		w := trustedRelay()
		a, b := w.begin(w.conn(true), me, nil, x), w.begin(w.conn(true), me, nil, x)
		finish(a)
		c := w.begin(w.conn(true), me, nil, x)
		q := w.begin(w.conn(false), me, b, x)
		p := w.begin(w.conn(false), me, c, x)
		finish(q, p, b, c)
		w.want(t, q, nil, NoEvidence, NoConfidence)
		w.want(t, p, nil, NoEvidence, NoConfidence)
	})
	t.Run("asked again after the call", func(t *testing.T) {
		w := trustedRelay()
		a := w.begin(w.conn(true), me, nil, x)
		other := w.begin(w.conn(true), me, nil, ids{says: "/y"})
		p, q := w.begin(w.conn(false), me, other, ids{says: "/y"}), w.begin(w.conn(false), me, a, x)
		b := w.begin(w.conn(true), me, nil, x)
		finish(p, q, b, a, other)
		w.want(t, q, a, SameRequest, High)
	})
	t.Run("passed on twice", func(t *testing.T) {
		w := trustedRelay()
		a, b := w.begin(w.conn(true), me, nil, x), w.begin(w.conn(true), me, nil, ids{says: "/y"})
		p, q := w.begin(w.conn(false), me, b, x), w.begin(w.conn(false), me, a, x)
		finish(p, q, b, a)
		w.want(t, p, nil, NoEvidence, NoConfidence)
		w.want(t, q, nil, NoEvidence, NoConfidence)
	})
	t.Run("another answer", func(t *testing.T) {
		w := trustedRelay()
		a, b := w.begin(w.conn(true), me, nil, x), w.begin(w.conn(true), me, nil, ids{says: "/y"})
		p, q := w.begin(w.conn(false), me, b, ids{says: "/y"}), w.begin(w.conn(false), me, a, x)
		q.end(me, bad)
		finish(p, b, a)
		w.want(t, q, nil, NoEvidence, NoConfidence)
	})
}

// An application asks for what it was asked by chance: another request's call
// says what an open request says that makes none.
func TestNoRelay(t *testing.T) {
	w := newWorld()
	me := ctx(1, 0)
	for i := range 500 {
		item := ids{says: fmt.Sprintf("/items/%d", i)}
		cached := w.begin(w.conn(true), me, nil, item)
		page := w.begin(w.conn(true), me, nil, ids{says: fmt.Sprintf("/pages/%d", i)})
		first := w.begin(w.conn(false), me, page, ids{says: fmt.Sprintf("/prices/%d", i)})
		second := w.begin(w.conn(false), me, page, item)
		second.end(me, ids{says: "200"})
		cached.end(me, ids{says: "200"})
		first.end(me, ids{says: "200"})
		page.end(me, ids{says: "200"})
		w.t.Tick(w.now)
	}
	if _, wrong, _ := w.score(); wrong > 0 {
		t.Errorf("%d links are wrong", wrong)
	}
	if n := w.t.Stats().Links[SameRequest].Load(); n > 0 {
		t.Errorf("%d calls were taken for requests passed on", n)
	}
	if p := w.t.procs[1]; !p.relay.never || p.relay.asked != nil {
		t.Error("its requests are still noted")
	}
}
