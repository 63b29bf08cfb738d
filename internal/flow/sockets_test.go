package flow

import (
	"net/netip"
	"slices"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/stream"
)

func socketConn(id uint64, role stream.Role) *stream.Conn {
	return &stream.Conn{ID: id, Transport: l7.TCP, A: netip.MustParseAddrPort("10.0.0.2:8080"), B: netip.MustParseAddrPort("10.0.0.1:40000"),
		Role: role, RoleConfidence: 255, Pid: 7, Comm: "nginx", Opened: 1000}
}

// TestSockets: a record has what was counted since the one before; silence gives
// none; the end says why.
func TestSockets(t *testing.T) {
	var got []Record
	s := NewSockets(0, func(r *Record) { got = append(got, *r) })
	c := socketConn(1, stream.RoleServer)
	s.Opened(c, 2000)
	if c.FlowID == 0 {
		t.Fatal("the connection has no flow")
	}
	s.Put(1, &Counters{Sent: 500, Received: 100, SegsOut: 5, SegsIn: 4, Retransmits: 1, RTT: 90e3, MinRTT: 70e3}, 60e9)
	s.Put(1, &Counters{Sent: 500, Received: 100, SegsOut: 5, SegsIn: 4, Retransmits: 1, RTT: 90e3, MinRTT: 70e3}, 120e9)
	s.Put(1, &Counters{Sent: 900, Received: 150, SegsOut: 9, SegsIn: 9, Retransmits: 3, RTT: 80e3, Error: errReset, Gone: true}, 130e9)
	s.Put(1, &Counters{Sent: 900, SegsIn: 100}, 140e9) // of nobody
	if len(got) != 2 {
		t.Fatalf("%d records", len(got))
	}
	a, b := &got[0], &got[1]
	if a.Client.String() != "10.0.0.1:40000" || a.Point != hop.ServerProcess || !a.New || a.Last || a.Close != CloseForced || a.ID != c.FlowID ||
		a.Side[1].Payload != 500 || a.Side[0].Payload != 100 || a.Side[1].Packets != 5 || a.Side[1].Retransmits != 1 || a.RTT != 90e3 || a.Start != 1000 {
		t.Errorf("first: %+v", a)
	}
	if b.New || !b.Last || b.Close != CloseClientReset || b.Since != 60e9 || b.Side[1].Payload != 400 || b.Side[0].Packets != 5 || b.Side[1].Retransmits != 2 {
		t.Errorf("last: %+v", b)
	}
	l := NewLogs("v", "", "", func(p plog.Logs, _ int) {
		m := p.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes()
		for k, want := range map[string]string{semconv.SignalSource: "ebpf", semconv.CapturePoint: "s-p", semconv.TCPRTT: "90000", semconv.ProcessExecutableName: "nginx"} {
			if v, ok := m.Get(k); !ok || v.AsString() != want {
				t.Errorf("%s is %v, want %s", k, v.AsString(), want)
			}
		}
		if _, ok := m.Get(semconv.FlowBytesClient); ok {
			t.Error("frame bytes, which no socket knows")
		}
	})
	l.Put(a)
	l.Flush()
}

// TestFacts: records say what is known of the connection, from when it is known.
func TestFacts(t *testing.T) {
	var said []string
	l := NewLogs("v", "", "", func(p plog.Logs, _ int) {
		rs := p.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
		for i := range rs.Len() {
			text := ""
			for _, k := range []string{"tls.protocol.version", "tls.established"} {
				if v, ok := rs.At(i).Attributes().Get(k); ok {
					text += " " + v.AsString()
				}
			}
			said = append(said, text)
		}
	})
	s := NewSockets(0, l.Put)
	c := socketConn(1, stream.RoleServer)
	s.Opened(c, 2000)
	s.Put(1, &Counters{SegsOut: 1}, 60e9)
	c.Facts = &stream.Facts{Attrs: []l7.Attr{{Key: "tls.protocol.version", Str: "1.2"}, {Key: "tls.established", Int: 1, Kind: l7.AttrBool}}}
	s.Learned(c)
	s.Learned(socketConn(2, stream.RoleServer)) // of nobody
	s.Put(1, &Counters{SegsOut: 2}, 120e9)
	s.Put(1, &Counters{SegsOut: 3, Gone: true}, 121e9)
	l.Flush()
	if want := []string{"", " 1.2 true", " 1.2 true"}; !slices.Equal(said, want) {
		t.Errorf("%q, want %q", said, want)
	}
}

// TestSocketEnds: why a connection ended, by the errno and the end.
func TestSocketEnds(t *testing.T) {
	for _, c := range []struct {
		errno uint16
		role  stream.Role
		want  CloseType
	}{{0, stream.RoleClient, CloseNormal}, {errReset, stream.RoleClient, CloseServerReset}, {errPipe, stream.RoleServer, CloseClientReset},
		{errTimedOut, stream.RoleServer, CloseTimeout}, {1, stream.RoleClient, CloseOther}} {
		var got CloseType
		s := NewSockets(0, func(r *Record) { got = r.Close })
		s.Opened(socketConn(1, c.role), 0)
		s.Put(1, &Counters{Gone: true, Error: c.errno}, 1)
		if got != c.want {
			t.Errorf("errno %d at %v: %v, want %v", c.errno, c.role, got, c.want)
		}
	}
}

// TestSocketsLimit: what is over the limit is counted; those that were not heard
// of for long make room.
func TestSocketsLimit(t *testing.T) {
	n := 0
	s := NewSockets(2, func(*Record) { n++ })
	for id := range uint64(3) {
		s.Opened(socketConn(id+1, stream.RoleClient), 0)
	}
	if len(s.byID) != 2 || s.Over.Load() != 1 {
		t.Errorf("%d kept, %d over", len(s.byID), s.Over.Load())
	}
	s.Put(1, &Counters{SegsIn: 1}, lostAfter)
	s.Opened(socketConn(4, stream.RoleClient), lostAfter+2)
	if s.byID[1] == nil || s.byID[2] != nil || s.byID[4] == nil || s.Over.Load() != 2 || n != 1 {
		t.Errorf("%v, %d over, %d records", s.byID, s.Over.Load(), n)
	}
}
