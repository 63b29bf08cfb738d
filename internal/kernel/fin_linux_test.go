package kernel

import (
	"net"
	"testing"

	"github.com/hopscope/hopscope/internal/event"
)

// TestReadTakesFIN: the call that reads the last bytes also reads the FIN, if it
// asked for more; a FIN takes a sequence number and is no byte. So are nearly all
// answers of servers that close the connection read.
func TestReadTakesFIN(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(reader net.Conn)
	}{
		{"open", func(net.Conn) {}},
		{"half closed", func(reader net.Conn) {
			if err := reader.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := startRig(t, Config{})
			a, b := tcpPair(t, "127.0.0.1:0")
			defer b.Close()
			must(a.Write([]byte("the first")))
			must(b.Read(make([]byte, 9)))
			c.before(b)
			must(a.Write([]byte("the last")))
			a.Close()
			must(b.Read(make([]byte, 100)))
			if n, err := b.Read(make([]byte, 100)); n != 0 || err == nil {
				t.Fatalf("read %d bytes after the end", n)
			}
			es := r.until("the end", func(es []event.Event) bool {
				for _, e := range es {
					if e.Kind == event.KindClose && e.Close.What == event.RecvEnded && e.Close.Received > 0 {
						return true
					}
				}
				return false
			})
			for _, text := range []string{"the first", "the last"} {
				sent, got := moved(es, event.Send, text), moved(es, event.Recv, text)
				if len(sent) != 1 || len(got) != 1 {
					t.Fatalf("%q: sent %d times, received %d times", text, len(sent), len(got))
				}
				if s, g := sent[0].Data, got[0].Data; s.Pos != g.Pos || s.Seq != g.Seq {
					t.Errorf("%q: sent at %d, sequence %d; received at %d, %d", text, s.Pos, s.Seq, g.Pos, g.Seq)
				}
			}
			for _, e := range es {
				if e.Kind == event.KindClose && e.Close.What == event.RecvEnded && e.Close.Received != uint64(len("the firstthe last")) {
					t.Errorf("%d bytes received at the end", e.Close.Received)
				}
			}
		})
	}
}
