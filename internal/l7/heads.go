package l7

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Head is how the head of a message was read: for parsers whose heads repeat,
// byte for byte. They do where one client asks the same thing again and again
// (health checks, polls, hot pages), and always where both ends of a connection
// are captured: what one sent the other receives. Comparing is a tenth of reading.
//
// A slot of Text.Head holds the last head that repeated. What never repeats costs
// a look at a few of its bytes.
type Head struct {
	// N is the length of the head, Msg what it says, Aux what else its parser
	// wants to know.
	N   int
	Msg Message
	Aux [3]uint64

	bytes []byte
	tag   uint64 // of the head that was here last, known or not
	// After a head that was learned in vain, wait more are let pass.
	wait, left uint8
	side       Side
}

// HeadID is one head that was learned. N numbers those of a Text.
type HeadID struct{ N uint32 }

const (
	headSlots = 64
	// maxHead bounds what is learned: 64 KiB and their messages for each shard.
	maxHead = 1024
	// tagBytes are looked at to choose a slot: the target of a request, the first
	// header of an answer.
	tagBytes = 36
)

// Head is the slot for the message of side at the front of b; known tells that b
// begins with its head. Else the slot is for Learn. It is nil where b is too short.
func (t *Text) Head(side Side, b []byte) (h *Head, known bool) {
	if len(b) < tagBytes {
		return nil, false
	}
	le := binary.LittleEndian
	tag := uint64(len(b))<<1 | uint64(side)
	for i := 4; i < tagBytes; i += 8 {
		tag = bits.RotateLeft64(tag^le.Uint64(b[i:]), 29) * 0x9e3779b97f4a7c15
	}
	if t.heads == nil {
		t.heads = new([headSlots]Head)
	}
	h = &t.heads[tag>>58]
	if h.tag != tag {
		if h.left > 0 {
			h.left--
		} else {
			h.tag, h.bytes = tag, h.bytes[:0]
		}
		return nil, false
	}
	if h.N > 0 && len(h.bytes) == h.N && h.side == side && bytes.HasPrefix(b, h.bytes) {
		h.wait, h.left = 0, headKeep
		return h, true
	}
	if h.left > 0 {
		h.left--
		return nil, false
	}
	return h, false
}

// headKeep is how many other heads a slot that serves sees before it gives way.
const headKeep = 16

// Learn has the slot know a head that was read. m is as the parser left it.
func (h *Head) Learn(side Side, head []byte, m *Message, aux [3]uint64) {
	if h == nil || len(head) > maxHead {
		return
	}
	h.bytes = append(h.bytes[:0], head...)
	h.side, h.N, h.Aux = side, len(head), aux
	h.Msg.Reset()
	h.Msg.Set(m)
	m.Text.learned++
	h.Msg.Head = &HeadID{N: m.Text.learned}
	h.left = h.wait
	h.wait = h.wait<<1 | 1
}
