package pinpointreceiver

import (
	"errors"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/convert"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/corpus"
	meta "github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/metadata"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/owner"
)

// TestLateProcess: connections that are older than the capture get the names that
// their processes were started with, and say where these are from.
func TestLateProcess(t *testing.T) {
	dir := filepath.Join(corpus.Dir(t), "05-mid-connection")
	// What the processes at the ends of the connections were started with.
	agents := map[string]owner.Agent{}
	for _, l := range corpus.Read(t, filepath.Join(dir, "truth.jsonl")) {
		if l.Ev == "headers" {
			agents[l.Remote] = owner.Agent{AgentID: l.Metadata["agentid"][0], Application: l.Metadata["applicationname"][0]}
		}
	}
	sink := new(consumertest.TracesSink)
	r := newReceiver(receivertest.NewNopSettings(meta.Type), config(t, map[string]any{"sniff": map[string]any{"interfaces": []string{"none-of-this-name*"}}}), sink)
	r.sniffer = &sniffer{cfg: &r.cfg.Sniff, core: r.core, log: r.set.Logger}
	r.sniffer.late.core = r.core
	asked := 0
	r.sniffer.late.find = func(local, remote netip.AddrPort) (owner.Agent, error) {
		asked++
		a, ok := agents[local.String()]
		if !ok {
			return a, owner.ErrNone
		}
		return a, nil
	}
	r.sink.Go(r.consume)
	corpus.Sniff(t, filepath.Join(dir, "capture.pcap"), r.sniffer.late.put)
	l := &r.sniffer.late
	r.core.close(0)
	r.sink.Wait()
	sources := map[string]int{}
	for _, td := range sink.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			m := rs.Resource().Attributes().AsRaw()
			app, _ := m["service.name"].(string)
			from, _ := m["hopscope.pinpoint.agent_source"].(string)
			sources[from] += rs.ScopeSpans().At(0).Spans().Len()
			if from == convert.FromProcess && app == "" {
				t.Errorf("no name: %v", m)
			}
		}
	}
	if l.byProcess.Load() == 0 || sources[convert.FromProcess] == 0 || sources[""] > 0 && l.byRoot.Load() == 0 {
		t.Errorf("%v, %d by process, %d by root, unidentified %d", sources, l.byProcess.Load(), l.byRoot.Load(), l.Unidentified.Load())
	}
	t.Logf("%d lookups; spans by source %v; unidentified %d", asked, sources, l.Unidentified.Load())
}

// TestLatePeer: a process whose other connection has headers that name its agent;
// and one of several agents, of which it may be any.
func TestLatePeer(t *testing.T) {
	span := aSpan()
	for _, several := range []bool{false, true} {
		cfg := defaultConfig()
		k := newCore(cfg, "")
		go func() {
			for range k.out {
			}
		}()
		l := late{core: k}
		peers := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:40001"), netip.MustParseAddrPort("10.0.0.1:40002")}
		l.find = func(local, _ netip.AddrPort) (owner.Agent, error) {
			if local.Port() != 50000 {
				return owner.Agent{}, errors.New("not asked for")
			}
			return owner.Agent{PID: 7, Peers: peers}, nil
		}
		conn := func(port uint16) *stream.Conn {
			return &stream.Conn{A: netip.AddrPortFrom(peers[0].Addr(), port), B: netip.MustParseAddrPort("10.0.0.9:9993"), Midstream: port == 50000}
		}
		say := func(c *stream.Conn, id string) {
			m := &calls.Message{Conn: c, Call: &calls.Call{}, Client: true, Time: int64(time.Hour), Body: span}
			if id != "" {
				m.Call.Header = calls.Header{Path: sendSpan, AgentID: id, StartTime: "1795244932506", ApplicationName: "shop"}
			}
			l.put(m)
		}
		say(conn(40001), "a-1")
		if several {
			say(conn(40002), "a-2")
		}
		late := conn(50000)
		say(late, "")
		want := uint64(1)
		if several {
			want = 0
		}
		if l.byPeer.Load() != want || (l.Unidentified.Load() == 0) == several {
			t.Errorf("several %t: %d by a peer, %d unidentified", several, l.byPeer.Load(), l.Unidentified.Load())
		}
		// Connections that are over are forgotten.
		for c := range l.conns {
			l.closed(c)
		}
		if len(l.conns) != 0 || l.unnamed.Load() != 0 {
			t.Errorf("%d connections, %d unnamed", len(l.conns), l.unnamed.Load())
		}
		k.close(0)
	}
}

// aSpan is a span message that is no root.
func aSpan() []byte {
	sub := func(b []byte, n protowire.Number, v []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
	}
	num := func(b []byte, n protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
	}
	s := sub(num(nil, 1, 1), 2, num(num(sub(nil, 1, []byte("other")), 2, 1795244932506), 3, 1))
	s = protowire.AppendFixed64(protowire.AppendTag(s, 3, protowire.Fixed64Type), 99)
	s = protowire.AppendFixed64(protowire.AppendTag(s, 4, protowire.Fixed64Type), 98)
	return sub(nil, 1, num(num(s, 5, 1795244933000), 8, 1010))
}
