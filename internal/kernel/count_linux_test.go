package kernel

import (
	"testing"

	"github.com/hopscope/hopscope/internal/event"
)

// TestCount: what the kernel has counted of both ends of a connection, when it
// is asked and when the connection ends.
func TestCount(t *testing.T) {
	for _, row := range []string{"btf", "raw_syscall"} {
		t.Run(row, func(t *testing.T) { count(t, row) })
	}
}

func count(t *testing.T, row string) {
	r := startRig(t, Config{Flows: true, Rows: []string{row}})
	iter := false
	for _, h := range r.c.Hooks() {
		if h.Prog == eachProg {
			iter = h.Attached
			t.Logf("%s at %s: attached %v %s", h.Prog, h.At, h.Attached, h.Err)
		}
	}
	a, b := tcpPair(t, "127.0.0.1:0")
	must(a.Write(make([]byte, 1000)))
	must(b.Read(make([]byte, 1000)))
	must(b.Write(make([]byte, 300)))
	must(a.Read(make([]byte, 300)))
	counted := func(gone uint8) func([]event.Event) bool {
		return func(es []event.Event) bool {
			sent, received := false, false
			for _, e := range es {
				if c := &e.TCP; e.Kind == event.KindTCP && c.Gone == gone {
					sent = sent || c.Sent == 1000 && c.Received == 300 && c.Role == event.RoleClient && c.SegsOut > 1
					received = received || c.Sent == 300 && c.Received == 1000 && c.Role == event.RoleServer && c.Srtt < 1e6
				}
			}
			return sent && received
		}
	}
	if iter {
		if err := r.c.Count(); err != nil {
			t.Fatal(err)
		}
		r.until("counters of open connections", counted(0))
	}
	a.Close()
	_, _ = b.Read(make([]byte, 1)) // the end
	b.Close()
	r.until("counters at the end", counted(1))
}
