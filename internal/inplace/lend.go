package inplace

import "reflect"

// Pool has blocks of memory for readers who only borrow what is made of them:
// blocks are written again for the next batch, while they are still in the CPU's
// cache. Of what a span costs, fresh memory is a third, which a reader who keeps
// nothing need not pay. A pool that does not lend only makes blocks.
type Pool[T any] struct {
	lends      bool
	used, free []T // of the batch in hand, and of earlier ones
}

// Lend lets blocks come back.
func (p *Pool[T]) Lend() { p.lends = true }

// Take is a block that came back, as it was left, or a fresh one.
func (p *Pool[T]) Take(fresh func() T) (b T) {
	if !p.lends {
		return fresh()
	}
	if n := len(p.free); n > 0 {
		b = p.free[n-1]
		p.free = p.free[:n-1]
	} else {
		b = fresh()
	}
	p.used = append(p.used, b)
	return b
}

// Back says that nobody reads any block any more.
func (p *Pool[T]) Back() {
	p.free = append(p.free, p.used...)
	clear(p.used)
	p.used = p.used[:0]
}

// Lend lets values come back.
func (b *Values) Lend() {
	b.lentStrings.Lend()
	b.lentNumbers.Lend()
}

// Back says that nobody reads the values made so far any more.
func (b *Values) Back() {
	b.lentStrings.Back()
	b.lentNumbers.Back()
	b.nstr, b.nnum = blockStrings, blockNumbers
}

// Lend lets spans come back.
func (b *Spans) Lend() { b.lent.Lend() }

// Back says that nobody reads the spans made so far any more.
func (b *Spans) Back() {
	for _, block := range b.lent.used { // what the next one does not set must be empty
		reflect.NewAt(b.block, block).Elem().SetZero()
	}
	b.lent.Back()
	b.next, b.n = nil, 0
}
