package packet

// Limits of putting fragments together.
const (
	// maxFragmented is how many datagrams may be incomplete at once.
	maxFragmented = 1024
	// maxFragmentBytes is what all of them may hold together.
	maxFragmentBytes = 8 << 20
	// maxDatagram is the longest IP datagram there is.
	maxDatagram = 65535
	// fragmentTimeout is Linux's ipfrag_time.
	fragmentTimeout = 30e9
)

type fragKey struct {
	src, dst   Addr
	id, tunnel uint32
	proto      uint8
	v6         bool
}

// fragments puts datagrams together.
type fragments struct {
	byKey map[fragKey]*datagram
	bytes int
	oldest,
	newest *datagram
	free  *datagram
	whole []byte // the last one that got whole: borrowed by its segment
}

// datagram is one that is not whole yet. Its buffer and ranges are kept for the
// next one.
type datagram struct {
	key          fragKey
	time         int64
	buf          []byte
	have         []span // sorted, disjoint, not adjacent
	total        int    // -1 until the last fragment is seen
	cut          int    // first byte that the capture did not keep, or -1
	older, newer *datagram
}

type span struct{ from, to int }

// add takes one fragment: b of n bytes at offset. It returns the datagram when
// that made it whole, as far as it was captured.
func (f *fragments) add(st *Stats, k fragKey, now int64, offset int, more bool, b []byte, n int) ([]byte, bool) {
	if n <= 0 || offset+n > maxDatagram || (more && n%8 != 0) {
		return nil, false
	}
	for f.oldest != nil && now-f.oldest.time > fragmentTimeout {
		st.FragmentsExpired.Add(1)
		f.remove(f.oldest)
	}
	g := f.byKey[k]
	if g == nil {
		if len(f.byKey) >= maxFragmented {
			st.FragmentsFull.Add(1)
			f.remove(f.oldest)
		}
		g = f.open(k, now)
	}
	if !more {
		if g.total >= 0 && g.total != offset+n {
			f.remove(g)
			return nil, false
		}
		g.total = offset + n
	}
	if len(b) < n && (g.cut < 0 || offset+len(b) < g.cut) {
		g.cut = offset + len(b)
	}
	if need := offset + n; need > len(g.buf) {
		f.bytes += need - len(g.buf)
		g.grow(need)
	}
	if g.place(offset, b, n) {
		st.FragmentsOverlap.Add(1)
	}
	if len(g.have) == 1 && g.have[0].from == 0 && g.have[0].to == g.total {
		end := g.total
		if g.cut >= 0 {
			end = g.cut
		}
		f.whole = append(f.whole[:0], g.buf[:end]...)
		f.remove(g)
		st.Reassembled.Add(1)
		return f.whole, true
	}
	for f.bytes > maxFragmentBytes && f.oldest != nil {
		st.FragmentsFull.Add(1)
		f.remove(f.oldest)
	}
	return nil, false
}

func (g *datagram) grow(n int) {
	if cap(g.buf) < n {
		b := make([]byte, n, max(n, 2*cap(g.buf), 2048))
		copy(b, g.buf)
		g.buf = b
		return
	}
	old := len(g.buf)
	g.buf = g.buf[:n]
	clear(g.buf[old:])
}

// place copies what of b is new; first wins. It reports whether any was not.
func (g *datagram) place(offset int, b []byte, n int) (overlap bool) {
	from, to := offset, offset+n
	at := from
	for _, h := range g.have {
		if h.to <= at {
			continue
		}
		if h.from >= to {
			break
		}
		overlap = true
		if h.from > at {
			g.copy(at, h.from, offset, b)
		}
		at = h.to
	}
	if at < to {
		g.copy(at, to, offset, b)
	}
	// Merge [from, to) into have.
	i := 0
	for i < len(g.have) && g.have[i].to < from {
		i++
	}
	j := i
	for j < len(g.have) && g.have[j].from <= to {
		from, to = min(from, g.have[j].from), max(to, g.have[j].to)
		j++
	}
	if i == j {
		g.have = append(g.have, span{})
		copy(g.have[i+1:], g.have[i:])
		g.have[i] = span{from, to}
	} else {
		g.have[i] = span{from, to}
		g.have = append(g.have[:i+1], g.have[j:]...)
	}
	return overlap
}

func (g *datagram) copy(from, to, offset int, b []byte) {
	if lo, hi := from-offset, min(to-offset, len(b)); lo < hi {
		copy(g.buf[from:], b[lo:hi])
	}
}

func (f *fragments) open(k fragKey, now int64) *datagram {
	if f.byKey == nil {
		f.byKey = map[fragKey]*datagram{}
	}
	g := f.free
	if g != nil {
		f.free = g.older
	} else {
		g = &datagram{}
	}
	*g = datagram{key: k, time: now, buf: g.buf[:0], have: g.have[:0], total: -1, cut: -1, older: f.newest}
	if f.newest != nil {
		f.newest.newer = g
	} else {
		f.oldest = g
	}
	f.newest = g
	f.byKey[k] = g
	return g
}

func (f *fragments) remove(g *datagram) {
	delete(f.byKey, g.key)
	if g.older != nil {
		g.older.newer = g.newer
	} else {
		f.oldest = g.newer
	}
	if g.newer != nil {
		g.newer.older = g.older
	} else {
		f.newest = g.older
	}
	f.bytes -= len(g.buf)
	if cap(g.buf) > 16<<10 {
		g.buf = nil
	}
	g.newer, g.older = nil, f.free
	f.free = g
}
