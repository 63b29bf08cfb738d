package kernel

import (
	"context"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/internal/event"
)

// TestLastWords: of sockets that end, or say nothing more, while the ring is full
// it is told what they lost, and that they are gone.
func TestLastWords(t *testing.T) {
	needRoot(t)
	c, err := Start(Config{self: true, RingBytes: minRing, Filter: Filter{Names: []string{comm(t)}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if i := slices.IndexFunc(c.Hooks(), func(h Hook) bool { return h.Prog == lostProg && notPermitted(h) }); i >= 0 {
		t.Skipf("this kernel does not give it: %s: %s", lostProg, c.Hooks()[i].Err)
	}
	const n = 2000
	talk := func(a, b int) {
		for range n {
			send(t, a, "request")
			recv(t, b, 7)
			send(t, b, "answer")
			recv(t, a, 6)
		}
	}
	a, b := fdPair(t)
	open1, open2 := fdPair(t) // announced while there is room, then silent for long
	defer unix.Close(open1)
	defer unix.Close(open2)
	send(t, open1, "request")
	recv(t, open2, 7)
	send(t, open2, "answer")
	recv(t, open1, 6)
	talk(a, b)
	unix.Close(a)
	unix.Close(b)
	talk(open1, open2)
	s := c.Stats()
	lost := map[uint64][2]uint32{}
	at := map[uint64][2]uint64{}
	gone := map[uint64]bool{}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // all that there is, at once
	err = c.Run(ctx, func(raw []byte) {
		var e event.Event
		if err := event.Decode(raw, &e); err != nil {
			t.Error(err)
		}
		switch {
		case e.Kind == event.KindLost:
			if gone[e.Sock] {
				t.Errorf("socket %d: lost after it was gone", e.Sock)
			}
			lost[e.Sock], at[e.Sock] = e.Lost.Turns, e.Lost.At
			if e.Lost.Turns != e.Lost.Calls || e.Lost.Role == event.RoleUnknown {
				t.Errorf("%+v", e.Lost)
			}
		case e.Kind == event.KindClose && e.Close.What == event.Gone:
			gone[e.Sock] = true
		case e.Kind == event.KindData && gone[e.Sock]:
			t.Errorf("socket %d: bytes after it was gone", e.Sock)
		}
	}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if len(lost) != 4 || len(gone) != 2 {
		t.Fatalf("%d sockets told what they lost, want 4; %d that they are gone, want 2", len(lost), len(gone))
	}
	var sum, want uint64
	for _, l := range lost {
		sum += uint64(l[0]) + uint64(l[1])
	}
	for _, d := range s.LostCalls {
		for _, k := range d {
			want += k
		}
	}
	if sum != want {
		t.Errorf("sockets say %d calls were lost, the counters say %d", sum, want)
	}
	for sock := range lost {
		rounds := uint64(n)
		if !gone[sock] {
			rounds++
		}
		if got := at[sock]; got[0]+got[1] != rounds*13 {
			t.Errorf("socket %d: streams are at %v, want %d together", sock, got, rounds*13)
		}
	}
}
