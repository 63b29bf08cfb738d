package stream

import (
	"net/netip"
	"testing"

	"github.com/hopscope/hopscope/internal/event"
	"github.com/hopscope/hopscope/internal/l7"
)

// tableRig keeps copies of what a table gives.
type tableRig struct {
	*Table
	got   []Chunk
	asked []uint64
}

func newTableRig(cfg TableConfig) *tableRig {
	r := &tableRig{}
	cfg.Announce = func(s uint64) { r.asked = append(r.asked, s) }
	r.Table = NewTable(cfg, func(c *Chunk) {
		d := *c
		d.B = append([]byte(nil), c.B...)
		r.got = append(r.got, d)
	})
	r.put(event.Event{Head: event.Head{Kind: event.KindClock}, Clock: event.Clock{Offset: 1000}})
	return r
}

func (r *tableRig) put(e event.Event) { r.Put(&e) }

func (r *tableRig) open(sock uint64, o event.Open) {
	r.put(event.Event{Head: event.Head{Kind: event.KindOpen, Sock: sock, Pid: 7}, Open: o})
}

func (r *tableRig) data(sock, time uint64, d event.Data, b string) {
	d.Wire = max(d.Wire, uint32(len(b)))
	r.put(event.Event{Head: event.Head{Kind: event.KindData, Sock: sock, Time: time, Pid: 8, Tid: 9}, Data: d, Payload: []byte(b)})
}

func tcpOpen(role event.Role) event.Open {
	return event.Open{Local: [16]byte{10, 0, 0, 1}, Remote: [16]byte{10, 0, 0, 2}, LocalPort: 4000, RemotePort: 80, Family: event.IPv4,
		Transport: event.Stream, Role: role, Flags: event.Keyed | event.Connected, FirstSend: 111, FirstRecv: 222, Opened: 50,
		Comm: [16]byte{'c', 'u', 'r', 'l'}}
}

func TestTableStream(t *testing.T) {
	r := newTableRig(TableConfig{})
	r.open(1, tcpOpen(event.RoleClient))
	r.data(1, 60, event.Data{Pos: 5, Other: 6, Seq: 7, CapSeq: 8, Goid: 9, Dir: event.Send}, "GET")
	r.data(1, 70, event.Data{Pos: 0, Dir: event.Recv, Wire: 100, LostRecv: 2}, "200")
	r.put(event.Event{Head: event.Head{Kind: event.KindClose, Sock: 1, Time: 80}, Close: event.Close{What: event.RecvEnded, Received: 100}})
	r.put(event.Event{Head: event.Head{Kind: event.KindClose, Sock: 1, Time: 90}, Close: event.Close{What: event.Gone}})
	r.put(event.Event{Head: event.Head{Kind: event.KindClose, Sock: 1, Time: 91}, Close: event.Close{What: event.Gone}})
	if len(r.got) != 4 {
		t.Fatalf("%d chunks, want 4: %+v", len(r.got), r.got)
	}
	c := r.got[0]
	if c.Dir != FromA || c.Pos != 5 || c.Other != 6 || !c.HasOther || c.Seq != 7 || string(c.B) != "GET" || c.Wire != 3 || c.Lost ||
		c.Time != 1060 || c.Ctx.CapSeq != 8 || c.Ctx.Goid != 9 || c.Ctx.Pid != 8 || c.Ctx.Tid != 9 {
		t.Errorf("sent: %+v", c)
	}
	if c := r.got[1]; c.Dir != FromB || c.Wire != 100 || !c.Lost {
		t.Errorf("received: %+v", c)
	}
	if c := r.got[2]; !c.End || c.Dir != FromB || c.Pos != 100 {
		t.Errorf("end: %+v", c)
	}
	if c := r.got[3]; !c.Close {
		t.Errorf("close: %+v", c)
	}
	k := c.Conn
	if k.Role != RoleClient || k.RoleConfidence != 255 || k.Key.Client != 111 || k.Key.Server != 222 || !k.Key.Known || k.Opened != 1050 ||
		k.A != netip.MustParseAddrPort("10.0.0.1:4000") || k.B != netip.MustParseAddrPort("10.0.0.2:80") || k.Comm != "curl" || k.Transport != l7.TCP {
		t.Errorf("connection: %+v", k)
	}
	if n := r.Stats().LostCalls.Load(); n != 2 || r.Stats().Conns.Load() != 0 {
		t.Errorf("%d calls lost, %d connections kept", n, r.Stats().Conns.Load())
	}
}

// TestTableKeys: both ends of a connection have one key.
func TestTableKeys(t *testing.T) {
	r := newTableRig(TableConfig{})
	r.open(1, tcpOpen(event.RoleClient))
	sv := tcpOpen(event.RoleServer)
	sv.FirstSend, sv.FirstRecv = sv.FirstRecv, sv.FirstSend
	r.open(2, sv)
	r.open(3, event.Open{Family: event.Unix, Transport: event.Stream, Role: event.RoleClient})
	r.open(4, event.Open{Family: event.Unix, Transport: event.Stream, Role: event.RoleServer, PeerSock: 3})
	r.open(5, event.Open{Family: event.Unix, Transport: event.Stream, Role: event.RoleServer, PeerSock: 6, Flags: event.Midstream})
	for sock := range uint64(5) {
		r.data(sock+1, 1, event.Data{Pos: 40, Dir: event.Send}, "x")
	}
	r.data(4, 1, event.Data{Pos: 40, Dir: event.Recv}, "x")
	if a, b := r.got[0].Conn.Key, r.got[1].Conn.Key; a != b || !a.Known {
		t.Errorf("TCP: %+v, %+v", a, b)
	}
	if a, b := r.got[2].Conn.Key, r.got[3].Conn.Key; a != b || !a.Known {
		t.Errorf("unix: %+v, %+v", a, b)
	}
	if sent, received := r.got[2].Seq, r.got[5].Seq; sent != received || r.got[3].Seq == sent {
		t.Errorf("unix: byte 40 is %d where sent, %d where received", sent, received)
	}
	if r.got[4].Conn.Key.Known {
		t.Error("a unix socket older than the capture has a key, of positions that its peer does not share")
	}
}

func TestTableUDP(t *testing.T) {
	r := newTableRig(TableConfig{Idle: 100})
	r.open(1, event.Open{Family: event.IPv4, Transport: event.UDP, LocalPort: 53})
	ask := func(time uint64, port uint16, dir event.Dir) {
		r.put(event.Event{Head: event.Head{Kind: event.KindDatagram, Sock: 1, Time: time},
			Data: event.Data{Dir: dir, Wire: 4, Flags: event.HasPeer}, Peer: event.Peer{Addr: [16]byte{1, 1, 1, 1}, Port: port, Family: event.IPv4},
			Payload: []byte("dns?")})
	}
	ask(1, 1000, event.Recv)
	ask(2, 1001, event.Recv)
	ask(3, 1000, event.Send)
	if len(r.got) != 3 || r.got[0].Conn == r.got[1].Conn || r.got[0].Conn != r.got[2].Conn || r.got[0].Conn.ID == r.got[1].Conn.ID {
		t.Fatalf("pairs of ends: %+v", r.got)
	}
	if _, ok := r.Muteable(r.got[0].Conn); ok {
		t.Error("a socket that serves many may be muted for one of them")
	}
	ask(90, 1000, event.Recv)
	ask(150, 1002, event.Recv)
	r.Tick()
	closed := 0
	for _, c := range r.got {
		if c.Close {
			closed++
			if c.Conn.B.Port() != 1001 {
				t.Errorf("%v was not idle", c.Conn.B)
			}
		}
	}
	if closed != 1 || r.Stats().Idle.Load() != 1 {
		t.Errorf("%d closed", closed)
	}
}

// TestTableLimit: the one that was silent longest goes, and is closed; data of
// a socket that is not known asks for it.
func TestTableLimit(t *testing.T) {
	r := newTableRig(TableConfig{MaxConns: 3})
	for sock := range uint64(3) {
		r.open(sock, tcpOpen(event.RoleClient))
	}
	r.data(0, 2e9, event.Data{}, "still here")
	r.open(3, tcpOpen(event.RoleClient))
	if n := len(r.got); n != 2 || !r.got[1].Close || r.got[1].Conn.ID != 1 {
		t.Fatalf("%+v", r.got)
	}
	r.data(1, 2e9, event.Data{}, "who?")
	if len(r.got) != 2 || len(r.asked) != 1 || r.asked[0] != 1 || r.Stats().Unknown.Load() != 1 {
		t.Errorf("%d chunks, asked for %v", len(r.got), r.asked)
	}
	r.Flush()
	if r.Stats().Conns.Load() != 0 || len(r.got) != 5 {
		t.Errorf("%d kept, %d chunks", r.Stats().Conns.Load(), len(r.got))
	}
}

func FuzzTable(f *testing.F) {
	e := event.Event{Head: event.Head{Kind: event.KindOpen, Sock: 1}, Open: tcpOpen(event.RoleClient)}
	seed := e.Append(nil)
	e = event.Event{Head: event.Head{Kind: event.KindData, Sock: 1}, Payload: []byte("GET / HTTP/1.1")}
	seed = e.Append(seed)
	e = event.Event{Head: event.Head{Kind: event.KindClose, Sock: 1}, Close: event.Close{What: event.Gone}}
	f.Add(e.Append(seed))
	f.Fuzz(func(t *testing.T, b []byte) {
		open := map[*Conn]bool{}
		tab := NewTable(TableConfig{MaxConns: 4}, func(c *Chunk) {
			if c.Conn == nil {
				t.Fatal("a chunk of nobody")
			}
			open[c.Conn] = !c.Close
		})
		for len(b) > 0 {
			var e event.Event
			if event.Decode(b, &e) != nil {
				break
			}
			b = b[e.Size:]
			tab.Put(&e)
			if n := tab.Stats().Conns.Load(); n > 4 {
				t.Fatalf("%d connections kept", n)
			}
		}
		tab.Tick()
		tab.Flush()
		for c, is := range open {
			if is {
				t.Fatalf("%v was never closed", c)
			}
		}
	})
}

func BenchmarkTable(b *testing.B) {
	tab := NewTable(TableConfig{}, func(*Chunk) {})
	for sock := range uint64(64) {
		e := event.Event{Head: event.Head{Kind: event.KindOpen, Sock: sock}, Open: tcpOpen(event.RoleClient)}
		tab.Put(&e)
	}
	e := event.Event{Head: event.Head{Kind: event.KindData}, Payload: make([]byte, 100)}
	b.ReportAllocs()
	for b.Loop() {
		e.Sock = (e.Sock + 1) & 63
		tab.Put(&e)
	}
}
