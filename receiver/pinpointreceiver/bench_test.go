package pinpointreceiver

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/convert"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/corpus"
)

// frames reads a capture into memory.
func frames(b *testing.B, path string) (list []packet.Frame, size int64) {
	f, err := packet.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for {
		var fr packet.Frame
		if err := f.Next(&fr); errors.Is(err, io.EOF) {
			return list, size
		} else if err != nil {
			b.Fatal(err)
		}
		fr.Data = append([]byte(nil), fr.Data...)
		list, size = append(list, fr), size+int64(len(fr.Data))
	}
}

// BenchmarkSniff is captures from packets to messages, and on to spans, per
// capture: MB/s of packets.
func BenchmarkSniff(b *testing.B) {
	dir := corpus.Dir(b)
	for _, c := range []struct{ name, file string }{
		{"large", "06-concurrent-large/capture.pcap.gz"}, {"batch", "05-mid-connection/capture.pcap"},
	} {
		list, size := frames(b, filepath.Join(dir, c.file))
		play := func(put func(*stream.Chunk)) {
			asm := stream.NewAssembler(stream.AssemblerConfig{HoleWait: calls.HoleWait, HoleSegments: calls.HoleSegments}, put)
			var d packet.Decoder
			var seg packet.Segment
			for i := range list {
				if d.Decode(&list[i], &seg) == packet.OK {
					asm.Put(&seg)
				}
				asm.Tick(list[i].Time)
			}
			asm.Flush()
		}
		b.Run(c.name+"/messages", func(b *testing.B) {
			b.SetBytes(size)
			n := 0
			for b.Loop() {
				s := calls.New([]uint16{portAgent, portStat, portSpan}, func(*calls.Message) { n++ })
				play(s.Put)
			}
			if n == 0 {
				b.Fatal("no messages")
			}
		})
		b.Run(c.name+"/spans", func(b *testing.B) {
			b.SetBytes(size)
			spans := 0
			cfg := defaultConfig()
			for b.Loop() {
				k := newCore(cfg, "")
				done := make(chan int)
				go func() {
					n := 0
					for x := range k.out {
						n += x.spans
					}
					done <- n
				}()
				l := late{core: k}
				s := calls.New(cfg.Sniff.Ports, l.put)
				play(s.Put)
				k.close(0)
				spans += <-done
			}
			if spans == 0 {
				b.Fatal("no spans")
			}
			b.ReportMetric(float64(spans)/b.Elapsed().Seconds(), "spans/s")
		})
	}
}

// BenchmarkAgents is what 10,000 agents take that have said their names, 100
// methods and 20 statements each, and of each of which a span waits.
func BenchmarkAgents(b *testing.B) {
	const agents = 10000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, after := heap(), uint64(0)
	for b.Loop() {
		cfg := defaultConfig()
		k := newCore(cfg, "")
		go func() {
			for range k.out {
			}
		}()
		fill(k, agents)
		b.StopTimer()
		after = heap()
		if n := k.store.Len(); n != agents {
			b.Fatalf("%d agents", n)
		}
		if st := k.conv.Stats(); st.WaitingSpans != agents {
			b.Fatalf("%+v", st)
		}
		k.close(0)
		b.StartTimer()
	}
	b.ReportMetric(float64(after-min(before, after))/(1<<20), "MiB")
	b.ReportMetric(float64(after-min(before, after))/agents, "B/agent")
}

// fill gives k what agents say at their start, and the first chunk of a span.
func fill(k *core, agents int) {
	text := func(b []byte, n protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
	}
	num := func(b []byte, n protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
	}
	for a := range agents {
		id := &convert.Identity{AgentID: fmt.Sprintf("agent-%05d", a), Application: fmt.Sprintf("app-%d", a%100), Start: 1795244932506, ServiceType: 1010, Protocol: "100"}
		k.put(sent, id, agentInfo, text(text(num(text(nil, 6, "3.1.0"), 5, 4711), 1, "host-"+id.AgentID), 2, "10.0.0.1"), 1)
		for i := range uint64(100) {
			k.put(sent, id, apiMeta, num(text(num(nil, 1, i+1), 2, fmt.Sprintf("com.example.shop.orders.OrderService%d.find(java.lang.String id)", i)), 3, 42), 1)
		}
		for i := range uint64(20) {
			k.put(sent, id, sqlMeta, text(num(nil, 1, i+1), 2, fmt.Sprintf("SELECT a, b, c FROM orders_%d WHERE id = ? AND state = 0#", i)), 1)
		}
		tx := num(num(text(nil, 1, id.AgentID), 2, uint64(id.Start)), 3, 1)
		event := num(num(nil, 2, 1), 5, 10000)
		chunk := protowire.AppendBytes(protowire.AppendTag(num(nil, 1, 1), 2, protowire.BytesType), tx)
		chunk = protowire.AppendFixed64(protowire.AppendTag(chunk, 3, protowire.Fixed64Type), uint64(a+1))
		chunk = protowire.AppendBytes(protowire.AppendTag(chunk, 5, protowire.BytesType), event)
		k.put(sent, id, sendSpan, protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), chunk), 1)
	}
}

// discard takes what out gives, so that nobody waits.
func discard(out <-chan batch) {
	for range out {
	}
}

// TestAgentsBounded: of more agents than may be remembered the oldest are
// forgotten, and told to be.
func TestAgentsBounded(t *testing.T) {
	cfg := defaultConfig()
	cfg.MaxAgents = 50
	k := newCore(cfg, "")
	go discard(k.out)
	fill(k, 200)
	if k.store.Len() != 50 || k.store.Evicted != 150 {
		t.Errorf("%d agents, %d forgotten", k.store.Len(), k.store.Evicted)
	}
	if h := k.store.Held(); h.APIs != 50*100 || h.SQLs != 50*20 {
		t.Errorf("%+v", h)
	}
	k.close(0)

	// The same by the bytes of their texts.
	cfg.MaxAgents, cfg.MaxTextBytes = 1000, 1<<20
	k = newCore(cfg, "")
	go discard(k.out)
	fill(k, 200)
	if h := k.store.Held(); k.store.Evicted == 0 || h.APIs == 0 || h.APIs*96 > 1<<20 {
		t.Errorf("%d forgotten, %+v", k.store.Evicted, h)
	}
	k.close(0)
}
