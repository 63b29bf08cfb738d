package session

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// talker is one end of a connection whose kernel loses calls and says so: turns
// are in its own sums, unless the role is unknown to it.
type talker struct {
	*bench
	turns   [2]uint32 // lost, not said yet
	spoke   stream.Dir
	said    uint64 // the kernel's sum
	counted bool
}

func (k *talker) call(d stream.Dir, s string, lost bool) {
	turned := k.spoke != d
	k.spoke = d
	if lost {
		if turned {
			k.turns[d]++
			if d == stream.FromA {
				k.said++
			}
		}
		k.pos[d] += uint64(len(s))
		return
	}
	k.say()
	k.send(d, s, false, true)
}

func (k *talker) say() {
	if k.turns != [2]uint32{} {
		k.e.Lost(k.conn, &stream.Lost{Turns: k.turns, At: k.pos, Counted: k.counted})
		k.turns = [2]uint32{}
	}
}

// unseen is all that counts as lost.
func (k *talker) unseen() int {
	n := int(k.e.Stats().Unseen.Load())
	if k.counted {
		n += int(k.said)
	}
	return n
}

// TestUnseen: exchanges told and counted as lost are all that there were. With
// one at a time that is exact however their sizes differ; with several at once it
// is as exact as their sizes are alike.
func TestUnseen(t *testing.T) {
	for _, c := range []struct {
		name             string
		depth, rounds    int
		spread           int // of sizes
		lose             func(round int) bool
		unknown, cut     bool
		allowed, atLeast int
	}{
		{name: "one at a time", depth: 1, rounds: 500, spread: 90, lose: func(i int) bool { return i%7 > 2 }, atLeast: 200},
		{name: "one at a time, role unknown", depth: 1, rounds: 500, spread: 90, lose: func(i int) bool { return i%7 > 2 }, unknown: true, atLeast: 200},
		{name: "eight", depth: 8, rounds: 500, lose: func(i int) bool { return i%7 > 2 }, atLeast: 1500},
		{name: "eight, role unknown", depth: 8, rounds: 500, lose: func(i int) bool { return i%7 > 2 }, unknown: true, atLeast: 1500},
		{name: "eight of different sizes", depth: 8, rounds: 500, spread: 90, lose: func(i int) bool { return i%7 > 2 }, allowed: 40, atLeast: 1500},
		{name: "first ones", depth: 8, rounds: 50, lose: func(i int) bool { return i < 20 }, atLeast: 160},
		{name: "last ones", depth: 8, rounds: 50, lose: func(i int) bool { return i >= 20 }, atLeast: 240},
		{name: "nearly all", depth: 8, rounds: 500, lose: func(i int) bool { return i != 77 }, atLeast: 3990},
		{name: "none", depth: 8, rounds: 50, lose: func(int) bool { return false }},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &talker{bench: newBench(Config{}), spoke: stream.FromB, counted: !c.unknown}
			id := 0
			for round := range c.rounds {
				var ask, answer strings.Builder
				for range c.depth {
					id++
					pad := 10
					if c.spread > 0 {
						pad += id * 31 % c.spread
					}
					fmt.Fprintf(&ask, "Q%06d%s\n", id, strings.Repeat("x", pad))
					fmt.Fprintf(&answer, "A%06d\n", id)
				}
				k.call(stream.FromA, ask.String(), c.lose(round))
				k.call(stream.FromB, answer.String(), c.lose(round))
			}
			k.say()
			spans := len(k.close())
			if off := spans + k.unseen() - id; max(off, -off) > c.allowed || k.unseen() < c.atLeast {
				t.Errorf("%d exchanges told, %d counted as lost, of %d: %+d", spans, k.unseen(), id, off)
			}
		})
	}
}

// TestUnseenCut: requests in what a call moved beyond the capture are counted as
// well, those of a body that is skipped are none.
func TestUnseenCut(t *testing.T) {
	b := newBench(Config{})
	const n, size = 100, 20
	for range 50 {
		text := strings.Repeat("Q"+strings.Repeat("x", size-2)+"\n", n)
		b.e.Put(&stream.Chunk{Conn: b.conn, Pos: b.pos[0], Wire: uint32(len(text)), B: []byte(text[:size*30+7]), Other: b.pos[1], HasOther: true})
		b.pos[0] += uint64(len(text))
		b.send(stream.FromB, "A1\n", false, true)
	}
	if spans, lost := len(b.close()), int(b.e.Stats().Unseen.Load()); spans+lost != 50*n || spans != 50*30 {
		t.Errorf("%d told, %d counted, of %d", spans, lost, 50*n)
	}
}

// TestUnseenFrames: what is cut off a body that comes in frames is no request.
func TestUnseenFrames(t *testing.T) {
	p := *toy
	p.Pairing = l7.ByStream
	e := New(Config{Protocols: []*l7.Protocol{&p}}, func(*Exchange) {})
	c := &stream.Conn{Transport: l7.TCP, Role: stream.RoleClient, RoleConfidence: 255}
	for i := range uint64(50) {
		e.Put(&stream.Chunk{Conn: c, Pos: 4096 * i, Wire: 4096, B: []byte("Q1\nQ2\n"), HasOther: true})
	}
	e.Flush()
	if n := e.Stats().Unseen.Load(); n != 0 {
		t.Errorf("%d exchanges counted as lost", n)
	}
}
