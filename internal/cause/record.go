package cause

// maxFree bounds the records kept for use again: beyond a burst the memory goes
// back.
const maxFree = 4096

// record is an empty record.
func (t *Tracker) record() *record {
	n := len(t.free)
	if n == 0 {
		return &record{}
	}
	r := t.free[n-1]
	t.free = t.free[:n-1]
	return r
}

// over: the exchange of r was passed on.
func (t *Tracker) over(r *record) {
	r.done = true
	t.reuse(r)
}

// unread: a task points to r no longer.
func (t *Tracker) unread(r *record) {
	if r != nil {
		r.read--
		t.reuse(r)
	}
}

// reuse takes r back if nobody points to it. Of shared ones nobody knows: those
// are the garbage collector's.
func (t *Tracker) reuse(r *record) {
	if r.done && r.read == 0 && !r.shared && len(t.free) < maxFree {
		*r = record{}
		t.free = append(t.free, r)
	}
}
