package l7

import (
	"encoding/binary"
	"math/bits"
	"strconv"
)

// word is a text that came more than once, and the route that was made of it.
type word struct {
	text  string
	route string
	paths *Paths // what made route; nil: none was made yet
	tag   uint64 // of the text that was here last, known or not
	// After a word that was learned in vain, wait more are let pass.
	wait, left uint8
}

const (
	wordSlots = 256
	// maxWord bounds what is kept: 64 KiB of text for each Text, and as much of
	// routes.
	maxWord = 256
)

// Word is Copy of what comes again and again: a topic, a method, a client's
// name. From the third time on it is the string that was handed out the second
// time, while no other takes its place. What never comes again costs a look more
// than Copy.
func (t *Text) Word(b []byte) string {
	if w := t.word(b); w != nil {
		return w.text
	}
	return t.Copy(b)
}

// Routed is the Word of a path or a topic, and its Route, which is not made anew
// for each.
func (t *Text) Routed(p *Paths, b []byte) (path, route string) {
	w := t.word(b)
	if w == nil {
		path = t.Copy(b)
		return path, p.Route(t, path)
	}
	if w.paths != p || p == nil {
		// A string of its own: a word does not keep the chunk of a route alive.
		route = p.Route(t, w.text)
		w.paths = p
		if w.route = w.text; route != w.text {
			w.route = string([]byte(route))
		}
	}
	return w.text, w.route
}

// word is the slot of b if it is known, or becomes known now; else nil.
func (t *Text) word(b []byte) *word {
	n := len(b)
	if n == 0 || n > maxWord {
		return nil
	}
	le := binary.LittleEndian
	tag := uint64(n)
	switch {
	case n >= 16:
		tag ^= le.Uint64(b) ^ bits.RotateLeft64(le.Uint64(b[n/2-4:]), 21) ^ bits.RotateLeft64(le.Uint64(b[n-8:]), 43)
	case n >= 8:
		tag ^= le.Uint64(b) ^ bits.RotateLeft64(le.Uint64(b[n-8:]), 43)
	case n >= 4:
		tag ^= uint64(le.Uint32(b))<<8 ^ uint64(le.Uint32(b[n-4:]))<<32
	default:
		tag ^= uint64(b[0])<<8 ^ uint64(b[n/2])<<16 ^ uint64(b[n-1])<<24
	}
	tag *= 0x9e3779b97f4a7c15
	if t.words == nil {
		t.words = new([wordSlots]word)
	}
	w := &t.words[tag>>56]
	if w.text == string(b) {
		w.wait, w.left = 0, wordKeep
		return w
	}
	switch {
	case w.left > 0:
		w.left--
		return nil
	case w.tag != tag:
		w.tag = tag
		return nil
	}
	w.text, w.route, w.paths = string(b), "", nil
	w.left = w.wait
	w.wait = w.wait<<1 | 1
	return w
}

// wordKeep is how many other texts a slot that serves sees before it gives way.
const wordKeep = 16

// Uint is v in decimal.
func (t *Text) Uint(v uint64) string {
	if v < 100 {
		return strconv.FormatUint(v, 10) // a constant
	}
	n := 3
	for p := uint64(1000); v >= p && n < 20; p *= 10 {
		n++
	}
	d := t.take(n)
	for i := n - 1; i >= 0; i-- {
		d[i] = byte('0' + v%10)
		v /= 10
	}
	return View(d)
}
