package l7

import "unsafe"

// textChunk is how much Text takes from the heap at a time: a typical exchange
// keeps 100 to 200 bytes of text, so one allocation serves twenty of them, and
// a string that lives long pins no more than this.
const textChunk = 4 << 10

// Text turns bytes that are about to be overwritten into strings, without an
// allocation for each. What it has handed out never changes. The zero value is
// ready; a Text belongs to one goroutine.
type Text struct {
	chunk []byte
	at    int              // where the free part of chunk begins
	heads *[headSlots]Head // see Head; nil until the first is asked for
	// learned counts those that were learned.
	learned uint32
	scratch *[ScratchLen]byte // see Scratch
	words   *[wordSlots]word  // see Word; nil until the first is asked for
}

// ScratchLen is the length of Text.Scratch.
const ScratchLen = 1 << 10

// Scratch is room to put a text together before it is copied, which need not be
// emptied for each. It is the caller's until Scratch is asked for again.
func (t *Text) Scratch() *[ScratchLen]byte {
	if t.scratch == nil {
		t.scratch = new([ScratchLen]byte)
	}
	return t.scratch
}

// Copy is string(b).
func (t *Text) Copy(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	d := t.take(len(b))
	copy(d, b)
	return unsafe.String(&d[0], len(d))
}

// Join is the concatenation of parts.
func (t *Text) Join(parts ...string) string {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n == 0 {
		return ""
	}
	d := t.take(n)
	n = 0
	for _, p := range parts {
		n += copy(d[n:], p)
	}
	return unsafe.String(&d[0], len(d))
}

// Build hands out up to n bytes for f to fill; f returns how many it used.
// What f leaves goes back, unless f took from t itself.
func (t *Text) Build(n int, f func(dst []byte) int) string {
	if n <= 0 {
		f(nil)
		return ""
	}
	if n > textChunk/4 {
		d := make([]byte, n)
		if n = f(d); n <= 0 {
			return ""
		}
		return unsafe.String(&d[0], n)
	}
	if n > len(t.chunk)-t.at {
		t.chunk, t.at = make([]byte, textChunk), 0
	}
	had, at := t.chunk, t.at
	t.at += n
	used := f(had[at : at+n : at+n])
	if t.at == at+n && &t.chunk[0] == &had[0] {
		t.at = at + max(used, 0)
	}
	if used <= 0 {
		return ""
	}
	return unsafe.String(&had[at], used)
}

func (t *Text) take(n int) []byte {
	if n > textChunk/4 {
		return make([]byte, n)
	}
	at := t.at
	if n > len(t.chunk)-at {
		t.chunk, at = make([]byte, textChunk), 0
	}
	t.at = at + n
	return t.chunk[at : at+n : at+n]
}

// View is b as a string without a copy: for a look-up or a comparison inside
// one call. It must not outlive the call.
func View(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
