package stream

import (
	"testing"

	"github.com/hopscope/hopscope/internal/event"
)

// TestSolePeer: a datagram without a sender is from the only one that the
// socket ever sent to, and from nobody if there are several.
func TestSolePeer(t *testing.T) {
	var got []*Chunk
	tab := NewTable(TableConfig{}, func(c *Chunk) {
		d := *c
		got = append(got, &d)
	})
	put := func(e event.Event) {
		e.Sock, e.Pid = 5, 1
		tab.Put(&e)
	}
	put(event.Event{Head: event.Head{Kind: event.KindOpen}, Open: event.Open{Family: event.IPv4, Transport: event.UDP, LocalPort: 4000}})
	move := func(d event.Dir, last byte) {
		e := event.Event{Head: event.Head{Kind: event.KindDatagram}, Data: event.Data{Dir: d, Wire: 3}, Payload: []byte("abc")}
		if last != 0 {
			e.Data.Flags, e.Peer = event.HasPeer, event.Peer{Addr: [16]byte{10, 0, 0, last}, Port: 53, Family: event.IPv4}
		}
		put(e)
	}
	move(event.Recv, 0) // nobody yet
	move(event.Send, 1)
	move(event.Recv, 0)
	move(event.Send, 1)
	move(event.Recv, 0)
	if len(got) != 4 || got[1].Conn != got[0].Conn || got[1].Dir != FromB || got[3].Conn != got[0].Conn {
		t.Fatalf("%d chunks", len(got))
	}
	move(event.Send, 2)
	move(event.Recv, 0)
	move(event.Send, 1)
	move(event.Recv, 0)
	if len(got) != 6 || tab.Stats().NoPeer.Load() != 3 {
		t.Errorf("%d chunks, %d without a peer: one of several peers was guessed", len(got), tab.Stats().NoPeer.Load())
	}
}
