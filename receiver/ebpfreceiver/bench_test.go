package ebpfreceiver

import (
	"encoding/binary"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/event"
	"github.com/hopscope/hopscope/internal/l7/protocols"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/span"
	"github.com/hopscope/hopscope/internal/who"
)

const (
	benchRequest = "GET /orders/4711?x=1 HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\r\n"
	benchAnswer  = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 11:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 17\r\nConnection: keep-alive\r\n\r\nhello from nginx\n"
)

// benchEnds are both ends of 16 connections, and the four events of an exchange
// on each, in the order that the kernel tells them.
func benchEnds() (opens [][]byte, rounds [][]byte) {
	for i := range 16 {
		client, server := newTalk(uint64(2*i+1), 100, event.RoleClient), newTalk(uint64(2*i+2), 200, event.RoleServer)
		opens = append(opens, client.out[0], server.out[0])
		client.data(event.Send, benchRequest)
		server.data(event.Recv, benchRequest)
		server.data(event.Send, benchAnswer)
		client.data(event.Recv, benchAnswer)
		rounds = append(rounds, client.out[1], server.out[1], server.out[2], client.out[2])
	}
	return opens, rounds
}

// BenchmarkExchange is what user space does for one HTTP request with both ends
// captured: four events in, two spans out.
func BenchmarkExchange(b *testing.B) {
	spans := 0
	s := newShard(shardConfig{
		session: session.Config{Protocols: protocols.All()},
		span:    span.Config{Host: who.Host{ID: "h"}},
		who:     who.Config{Proc: b.TempDir()},
		mute:    func(uint64) { b.Fatal("a connection is muted") },
		raise:   func(uint64) { b.Fatal("HTTP/1 takes turns") },
		emit:    func(_ ptrace.Traces, n int) { spans += n },
	})
	s.put(clockRecord())
	opens, rounds := benchEnds()
	for _, o := range opens {
		s.put(o)
	}
	le := binary.LittleEndian
	const pos, other, seq = event.HeadSize, event.HeadSize + 8, event.HeadSize + 24
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		at := n % 16 * 4
		for k, raw := range rounds[at : at+4] {
			s.put(raw)
			// The next round's bytes follow these.
			mine, its := uint64(len(benchRequest)), uint64(len(benchAnswer))
			if k >= 2 {
				mine, its = its, mine
			}
			le.PutUint64(raw[pos:], le.Uint64(raw[pos:])+mine)
			le.PutUint64(raw[other:], le.Uint64(raw[other:])+its)
			le.PutUint32(raw[seq:], le.Uint32(raw[seq:])+uint32(mine))
		}
		n++
	}
	s.idle()
	s.flush()
	if spans != 2*n {
		b.Fatalf("%d spans of %d exchanges", spans, n)
	}
}
