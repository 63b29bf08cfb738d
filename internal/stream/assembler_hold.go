package stream

// hold keeps a copy of what of b is new, until it can be passed on. What is
// held already stays: the first of two contents wins.
func (a *Assembler) hold(f *flow, h *half, q heldSegment, b []byte) {
	a.stats.OutOfOrder.Add(1)
	if f.held == 0 {
		a.waiting[f] = struct{}{}
	}
	from, to := q.pos, q.pos+uint64(q.wire)
	i := h.head
	for i < len(h.queue) && h.queue[i].pos+uint64(h.queue[i].wire) <= from {
		i++
	}
	overlap := false
	for from < to {
		end := to
		if i < len(h.queue) {
			r := &h.queue[i]
			if r.pos <= from { // overlaps the front: what is there wins
				overlap = true
				from = r.pos + uint64(r.wire)
				i++
				continue
			}
			end = min(to, r.pos)
		}
		k := from - q.pos
		part := b[min(k, uint64(len(b))):]
		part = part[:min(end-from, uint64(len(part)))]
		piece := heldSegment{pos: from, dep: q.dep, hasDep: q.hasDep, wire: uint32(end - from), time: q.time, b: a.copy(part)}
		h.queue = append(h.queue, heldSegment{})
		copy(h.queue[i+1:], h.queue[i:])
		h.queue[i] = piece
		i++
		f.held += cost(&piece)
		a.account(cost(&piece))
		from = end
	}
	if overlap {
		a.stats.Overlap.Add(1)
	}
	for f.held > a.cfg.MaxHeldConn || a.held > a.cfg.MaxHeld && f.held > 0 || len(h.queue)-h.head > maxHeldSegments {
		a.stats.HeldFull.Add(1)
		a.giveUp(f)
	}
}

// cost is what a held segment counts: its bytes, and what keeping it takes.
func cost(q *heldSegment) int { return len(q.b) + 64 }

func (a *Assembler) account(n int) {
	a.held += n
	a.stats.HeldBytes.Store(int64(a.held))
}

// Buffers of held segments are used again.
const (
	heldBuffer  = 2048 // holds a segment of an Ethernet
	maxFreeHeld = 1024
)

func (a *Assembler) copy(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if n := len(a.bufs); n > 0 && len(b) <= heldBuffer {
		buf := a.bufs[n-1]
		a.bufs = a.bufs[:n-1]
		return append(buf[:0], b...)
	}
	return append(make([]byte, 0, max(heldBuffer, len(b))), b...)
}

func (a *Assembler) pop(f *flow, h *half) {
	q := &h.queue[h.head]
	f.held -= cost(q)
	a.account(-cost(q))
	if cap(q.b) == heldBuffer && len(a.bufs) < maxFreeHeld {
		a.bufs = append(a.bufs, q.b)
	}
	*q = heldSegment{}
	if h.head++; h.head == len(h.queue) {
		h.queue, h.head = h.queue[:0], 0
	}
	if f.held == 0 {
		delete(a.waiting, f)
	}
}

// pump passes on what no longer has to wait.
func (a *Assembler) pump(f *flow) {
	for moved := true; moved; {
		moved = false
		for d := range f.half {
			h, o := &f.half[d], &f.half[d^1]
			for h.head < len(h.queue) {
				q := h.queue[h.head]
				if q.pos > h.next || q.hasDep && o.seen && q.dep > o.next {
					break
				}
				moved = true
				if h.ended { // held before an end that lies before it
					a.stats.Strange.Add(1)
				} else if skip := h.next - q.pos; skip >= uint64(q.wire) {
					a.stats.Duplicate.Add(1)
				} else {
					b := q.b[min(skip, uint64(len(q.b))):]
					a.pass(f, Dir(d), h.next, q.wire-uint32(skip), b, q.time, q.dep, q.hasDep)
				}
				a.pop(f, h)
			}
			if h.hasFin && !h.ended && h.head == len(h.queue) {
				a.fin(f, Dir(d), h.time)
			}
		}
	}
}

// gap finds what f waits for: bytes of direction d before target, which lie in
// nothing that is held. got: their receiver has got them. If both directions
// have a gap, it is the one that is known for longer.
func (f *flow) gap() (d Dir, target uint64, got bool) {
	found := false
	for i := range f.half {
		h, o := &f.half[i], &f.half[i^1]
		to := uint64(noGap)
		if w := h.waiting(); len(w) > 0 {
			if w[0].pos <= h.next {
				continue // waits for the other end's
			}
			to = w[0].pos
		}
		// Not further than what the other end waits for: it spoke in between.
		if w := o.waiting(); len(w) > 0 && w[0].hasDep && w[0].dep > h.next {
			to = min(to, w[0].dep)
		}
		if to == noGap {
			continue
		}
		g := h.proven > h.next
		if g {
			to = min(to, h.proven)
		}
		if !found || (g && (!got || h.provenBy < f.half[d].provenBy)) {
			d, target, got, found = Dir(i), to, g, true
		}
	}
	if !found {
		return 0, 0, true // two ends that wait for each other
	}
	return d, target, got
}

const noGap = 1<<64 - 1

// overdue gives gaps up that were waited for long enough: since it is known
// that they were received, or, where it is not, since what follows was seen.
func (a *Assembler) overdue(f *flow, now int64) {
	for f.held > 0 {
		f.prove(now)
		d, target, got := f.gap()
		h := &f.half[d]
		switch {
		case target <= h.next: // no gap at all
		case got && (f.seen-h.provenBy >= a.cfg.HoleSegments || now-h.provenAt >= int64(a.cfg.HoleWait)):
		case !got && now-f.oldest() >= int64(a.cfg.LossWait):
		default:
			return
		}
		a.giveUp(f)
	}
}

// prove renews what is known of the other end once all before it is passed on.
func (f *flow) prove(now int64) {
	for i := range f.half {
		if h := &f.half[i]; h.acked > h.next && h.proven <= h.next {
			h.proven, h.provenBy, h.provenAt = h.acked, f.seen, now
		}
	}
}

// oldest is when the first of what is held was seen.
func (f *flow) oldest() int64 {
	t := int64(1<<63 - 1)
	for i := range f.half {
		if w := f.half[i].waiting(); len(w) > 0 {
			t = min(t, w[0].time)
		}
	}
	return t
}

// giveUp gives the first gap of f up, so that something moves.
func (a *Assembler) giveUp(f *flow) {
	d, target, _ := f.gap()
	h := &f.half[d]
	if target <= h.next {
		// Each end's held bytes came after the other's: one was sent again, and
		// only that was seen. The one seen first goes first.
		x, y := f.half[0].waiting(), f.half[1].waiting()
		switch {
		case len(x) == 0:
			y[0].hasDep = false
		case len(y) == 0 || x[0].time <= y[0].time:
			x[0].hasDep = false
		default:
			y[0].hasDep = false
		}
		a.pump(f)
		return
	}
	a.stats.Holes.Add(1)
	a.stats.HoleBytes.Add(target - h.next)
	h.next = target
	o := &f.half[d^1]
	if w := h.waiting(); len(w) == 0 || w[0].pos > target || w[0].hasDep && o.seen && w[0].dep > o.next {
		// Nothing follows at once that would show the jump: say it, so that the
		// answer to what is missing is not taken for another's. It has no time of its
		// own: what comes behind it may have been seen before the other end's last.
		c := &a.chunk
		*c = Chunk{Conn: &f.conn, Dir: d, Pos: target, Seq: h.base + uint32(target), Time: h.time}
		a.next(c)
	}
	a.pump(f)
}
