package kernel

import (
	"github.com/hopscope/hopscope/internal/event"
	"net"
	"testing"
)

func TestLoad(t *testing.T) {
	for i := range socketRows {
		r := &socketRows[i]
		t.Run(r.name, func(t *testing.T) {
			c, err := Start(Config{Rows: []string{r.name}})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for _, h := range c.Hooks() {
				t.Logf("%-20s %-35s attached=%v %s", h.Prog, h.At, h.Attached, h.Err)
			}
		})
	}
}

func TestTCP(t *testing.T) {
	r := startRig(t, Config{})
	a, b := tcpPair(t, "127.0.0.1:0")
	must(a.Write([]byte("ping one")))
	must(b.Read(make([]byte, 100)))
	must(b.Write([]byte("pong one")))
	must(a.Read(make([]byte, 100)))
	a.Close()
	b.Read(make([]byte, 1))
	b.Close()
	es := r.until("exchange", func(es []event.Event) bool {
		n := 0
		for _, e := range es {
			if e.Kind == event.KindClose && e.Close.What == event.Gone {
				n++
			}
		}
		return n == 2
	})
	for _, e := range es {
		t.Log(describe(&e))
	}
}
func must(n int, err error) {
	if err != nil {
		panic(err)
	}
}

func tcpPair(t *testing.T, addr string) (a, b net.Conn) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}
