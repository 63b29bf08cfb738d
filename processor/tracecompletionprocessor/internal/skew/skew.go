// Package skew estimates how far the clocks of two hosts are apart, from
// exchanges that both saw.
//
// The client's hop and the server's hop of one exchange start and end around
// the same two crossings of the wire. If both crossings take the same time, the
// middle of the client's hop and the middle of the server's hop are one moment
// (Cristian's algorithm, as NTP uses it: RFC 5905 section 8). The error is at
// most half of what the two durations differ by, so the sample with the least
// difference is the best.
package skew

// window is how long a sample counts: clocks drift, by up to 100 ppm, so 60 s
// is 6 ms at worst.
const window = int64(60e9)

// Offset is how far the second host's clock is ahead of the first one's.
type Offset struct {
	Nanos int64
	// Spread bounds the error: half of what the two hops' durations differ by.
	Spread int64
}

// Pair is an offset and the hosts it lies between.
type Pair struct {
	A, B uint32
	Offset
}

type pair struct{ a, b uint32 }

type sample struct {
	at, offset, rtt int64
}

// maxPairs bounds the pairs of hosts kept.
const maxPairs = 4096

// Estimator keeps the best sample of each pair of hosts.
type Estimator struct {
	best map[pair]*[2]sample // of this window and of the one before
}

// New makes an empty estimator.
func New() *Estimator { return &Estimator{best: map[pair]*[2]sample{}} }

// Sample takes one exchange: client and server host, start and end of the
// client's and of the server's hop, each by its own clock.
func (e *Estimator) Sample(client, server uint32, cs, ce, ss, se int64) {
	rtt := (ce - cs) - (se - ss)
	if rtt < 0 {
		return // the server's hop is longer than the client's: no measure of the wire
	}
	s := sample{at: cs, offset: ((ss - cs) + (se - ce)) / 2, rtt: rtt}
	p := pair{client, server}
	if client > server {
		p, s.offset = pair{server, client}, -s.offset
	}
	b := e.best[p]
	if b == nil {
		if len(e.best) >= maxPairs {
			clear(e.best)
		}
		e.best[p] = &[2]sample{s, s}
		return
	}
	switch {
	case s.at-b[0].at > window:
		b[1], b[0] = b[0], s
	case s.rtt <= b[0].rtt:
		s.at = b[0].at
		b[0] = s
	}
}

// Offset is how far b's clock is ahead of a's.
func (e *Estimator) Offset(a, b uint32) (Offset, bool) {
	p, sign := pair{a, b}, int64(1)
	if a > b {
		p, sign = pair{b, a}, -1
	}
	s := e.best[p]
	if s == nil {
		return Offset{}, false
	}
	best := s[0]
	if s[1].rtt < best.rtt {
		best = s[1]
	}
	return Offset{Nanos: sign * best.offset, Spread: best.rtt / 2}, true
}

// Pairs are all pairs with an offset.
func (e *Estimator) Pairs() []Pair {
	out := make([]Pair, 0, len(e.best))
	for p := range e.best {
		o, _ := e.Offset(p.a, p.b)
		out = append(out, Pair{p.a, p.b, o})
	}
	return out
}
