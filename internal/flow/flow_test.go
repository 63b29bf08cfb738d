package flow

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/stream"
)

// corpus finds the captures of the reference system.
func corpus(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("HOPSCOPE_CORPUS"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "shared/corpus")); err == nil {
			return filepath.Join(dir, "shared/corpus")
		}
		dir = filepath.Dir(dir)
	}
	t.Skip("no corpus: neither HOPSCOPE_CORPUS nor ../shared/corpus is there")
	return ""
}

// play makes the records of a capture.
func play(t testing.TB, path string) (records []Record) {
	t.Helper()
	f, err := packet.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr := New(Config{}, func(r *Record) { records = append(records, *r) })
	a := stream.NewAssembler(stream.AssemblerConfig{Observe: tr.Observe, Closed: tr.Closed}, func(*stream.Chunk) {})
	var d packet.Decoder
	var fr packet.Frame
	var s packet.Segment
	for {
		err := f.Next(&fr)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		a.Tick(fr.Time)
		if d.Decode(&fr, &s) == packet.OK {
			a.Put(&s)
		}
		tr.Tick(fr.Time)
	}
	a.Flush()
	return records
}

// closes are how the flows of the reference system's captures end, by its state
// machine.
var closes = map[string]CloseType{
	"client-no-response":                           CloseConnectServerReset, // SYN, SYN-ACK, RST of the server
	"server-no-response":                           CloseConnectClientReset, // SYN, RST of the client
	"server-reset":                                 CloseRefused,
	"handshake-retrans":                            CloseTimeout, // made, then silence
	"syn-syn-ack-retrans-2":                        CloseNormal,
	"tcp-n-syn-ack":                                CloseACKTimeout,
	"rtt-rtt-2":                                    CloseNormal,
	"out-of-order":                                 CloseNormal,
	"syn-ack-ack-retrans-and-client-payload":       CloseNormal,
	"art-continues-payload-len-larger-than-1":      CloseNormal, // server's FIN, client's FIN, server's ACK
	"tcp-segment":                                  CloseTimeout,
	"client_request_timewait_and_syn_synack_count": CloseTimeout,
	"udp_normal":                                   CloseNormal,
	"udp_1_packet":                                 CloseNormal,
}

// The close types of the reference system's captures, by its state machine.
func TestCloseTypes(t *testing.T) {
	for file, want := range closes {
		t.Run(file, func(t *testing.T) {
			rs := play(t, filepath.Join(corpus(t), "deepflow/flow_generator", file+".pcap"))
			if len(rs) != 1 {
				t.Fatalf("%d records: %+v", len(rs), rs)
			}
			if r := &rs[0]; r.Close != want || !r.Last || !r.New {
				t.Errorf("%v in %v, want %v: %+v", r.Close, r.State, want, r)
			}
		})
	}
}

// Times of the reference system's captures. The expected values of the first
// are its own results; the others are differences of the packets' times.
func TestTimings(t *testing.T) {
	us := func(n int64) int64 { return n * 1000 }
	for file, want := range map[string]struct {
		rtt, client, server int64
		artServer           Timing // client's data to the server's
		artClient           Timing
		srtClient           Timing // server's data to the client's ACK
		srtServer           Timing
		cit                 Timing
		retransmits         uint32 // the client's
		syn, synack         uint32 // sent again
	}{
		"client_request_timewait_and_syn_synack_count": {rtt: us(670), client: us(193), server: us(477),
			artClient: Timing{1, us(28837), us(28837)}, cit: Timing{1, us(28837), us(28837)}},
		// The request is sent six times before it is answered. Ours counts from
		// when its bytes were first seen: the client did wait so long.
		"rtt-rtt-2": {rtt: us(25655), client: us(15512), server: us(10143), retransmits: 5, synack: 1,
			artServer: Timing{1, us(2097169), us(2097169)}, srtClient: Timing{1, us(182), us(182)}, cit: Timing{1, us(10141), us(10141)}},
		"syn-syn-ack-retrans-2": {rtt: us(541700), client: us(9100), server: us(216300), syn: 1, synack: 1},
		"handshake-retrans":     {rtt: us(2198), client: us(312), server: us(943), syn: 1, synack: 1},
		"art-continues-payload-len-larger-than-1": {rtt: us(30548), client: us(20322), server: us(10226),
			srtServer: Timing{1, us(10040), us(10040)}, artServer: Timing{1, us(30358), us(30358)},
			srtClient: Timing{1, us(20483), us(20483)}, cit: Timing{1, us(15033), us(15033)}},
		"udp_normal": {artServer: Timing{1, us(24416), us(24416)}},
	} {
		t.Run(file, func(t *testing.T) {
			rs := play(t, filepath.Join(corpus(t), "deepflow/flow_generator", file+".pcap"))
			if len(rs) != 1 {
				t.Fatalf("%d records", len(rs))
			}
			r := &rs[0]
			near := func(name string, got, want int64) {
				if d := got - want; d > 1000 || d < -1000 {
					t.Errorf("%s %v, want %v", name, time.Duration(got), time.Duration(want))
				}
			}
			timing := func(name string, got, want Timing) {
				if got.Count != want.Count {
					t.Errorf("%s: %d times, want %d (%v)", name, got.Count, want.Count, time.Duration(got.Sum))
				}
				near(name, got.Sum, want.Sum)
				near(name+" max", got.Max, want.Max)
			}
			near("connect", r.Connect, want.rtt)
			near("connect client", r.ConnectClient, want.client)
			near("connect server", r.ConnectServer, want.server)
			timing("art server", r.Side[1].ART, want.artServer)
			timing("art client", r.Side[0].ART, want.artClient)
			timing("srt client", r.Side[0].SRT, want.srtClient)
			timing("srt server", r.Side[1].SRT, want.srtServer)
			timing("cit", r.CIT, want.cit)
			if c := &r.Side[0]; c.Retransmits != want.retransmits || c.SYNRetransmits != want.syn || r.Side[1].SYNRetransmits != want.synack {
				t.Errorf("retransmits %d syn %d syn-ack %d, want %d %d %d", c.Retransmits, c.SYNRetransmits, r.Side[1].SYNRetransmits,
					want.retransmits, want.syn, want.synack)
			}
		})
	}
}

// A minute's report, and conservation: the records of a flow add up to it.
func TestMinutes(t *testing.T) {
	var rs []Record
	tr := New(Config{}, func(r *Record) { rs = append(rs, *r) })
	a := stream.NewAssembler(stream.AssemblerConfig{Observe: tr.Observe, Closed: tr.Closed}, func(*stream.Chunk) {})
	sent := 0
	for i := range 300 {
		s := packet.Segment{Time: int64(i) * 1e9, Src: packet.Addr{Lo: 1}, Dst: packet.Addr{Lo: 2}, SrcPort: 40000, DstPort: 80,
			Proto: packet.ProtoTCP, Flags: packet.ACK, Seq: uint32(i), Len: 1, Wire: 60, Win: 1}
		if i > 100 && i < 250 {
			continue
		}
		a.Tick(s.Time)
		a.Put(&s)
		tr.Tick(s.Time)
		sent++
	}
	a.Flush()
	got := uint64(0)
	for i, r := range rs {
		got += r.Side[0].Packets
		if last := i == len(rs)-1; r.Last != last || (r.Close == CloseForced) == last || r.New != (i == 0) {
			t.Errorf("record %d: %+v", i, r)
		}
	}
	if got != uint64(sent) || len(rs) != 3 {
		t.Errorf("%d records of %d packets, sent %d", len(rs), got, sent)
	}
	if tr.stats.Flows.Load() != 0 {
		t.Error("flows left")
	}
}

func TestRetransmitOrLate(t *testing.T) {
	var q seqState
	step := func(seq, n uint32, now int64, again, late bool) {
		t.Helper()
		if a, l := q.sent(seq, n, now, 0); a != again || l != late {
			t.Errorf("%d+%d: again %v late %v", seq, n, a, l)
		}
	}
	start := uint32(0xfffffff0)
	step(start, 10, 0, false, false)
	step(start+20, 10, 0, false, false) // 10 are skipped, across the wrap
	step(start+10, 5, 1e6, false, true) // and come late
	step(start+15, 5, 1e9, true, false) // or much later
	step(start+15, 5, 2e9, true, false) // again
	step(start+30, 5, 2e9, false, false)
	step(start, 10, 2e9, true, false)
}

func TestLogs(t *testing.T) {
	n := 0
	l := NewLogs("v", "host", "id", func(b plog.Logs, k int) {
		n += k
		lr := b.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
		for k, want := range map[string]string{
			semconv.ClientAddress: "10.50.100.81", semconv.FlowClose: "fin", semconv.FlowCloseClass: "ok", semconv.TCPFlagsClient: "FSP.",
		} {
			if v, ok := lr.Attributes().Get(k); !ok || v.AsString() != want {
				t.Errorf("%s = %q, want %q", k, v.AsString(), want)
			}
		}
		if v, _ := lr.Attributes().Get(semconv.TCPConnect); v.Int() != 25655000 {
			t.Errorf("connect %d", v.Int())
		}
	})
	m := NewMetrics(1, 0)
	for _, r := range play(t, filepath.Join(corpus(t), "deepflow/flow_generator/rtt-rtt-2.pcap")) {
		l.Put(&r)
		m.Put(&r)
	}
	for _, r := range play(t, filepath.Join(corpus(t), "deepflow/flow_generator/server-reset.pcap")) {
		m.Put(&r)
	}
	l.Flush()
	if n != 1 {
		t.Errorf("%d log records", n)
	}
	// One pair is kept, the other one counted as others; the failure is there.
	out := m.Collect(1)
	found := map[string]int{}
	ms := out.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	for i := range ms.Len() {
		if ms.At(i).Type() == pmetric.MetricTypeSum {
			found[ms.At(i).Name()] = ms.At(i).Sum().DataPoints().Len()
		} else {
			found[ms.At(i).Name()] = ms.At(i).Histogram().DataPoints().Len()
		}
	}
	if m.Over != 1 || found[semconv.MetricFailures] != 1 || found[semconv.MetricFlows] != 2 || found[semconv.MetricConnect] != 2 || found[semconv.MetricART] != 1 {
		t.Errorf("over %d, points %v", m.Over, found)
	}
}

func BenchmarkObserve(b *testing.B) {
	tr := New(Config{}, func(*Record) {})
	c := &stream.Conn{Role: stream.RoleClient}
	q := packet.Segment{Proto: packet.ProtoTCP, Flags: packet.ACK | packet.PSH, Len: 100, Wire: 154, Win: 1, WinScale: -1}
	r := q
	b.ReportAllocs()
	for b.Loop() {
		q.Time += 1000
		q.Ack = r.Seq
		tr.Observe(c, stream.FromA, &q)
		q.Seq += 100
		r.Time, r.Ack = q.Time+500, q.Seq
		tr.Observe(c, stream.FromB, &r)
		r.Seq += 100
	}
}
