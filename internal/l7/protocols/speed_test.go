package protocols

import (
	"os"
	"syscall"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
)

// BenchmarkParsers plays the cases of each protocol to its parser, without the
// engine. share is the time taken of the time allowed: 150 ns a message and 1 ns
// a byte. With HOPSCOPE_BENCH_CASES set each case has a line of its own.
func BenchmarkParsers(b *testing.B) {
	for _, p := range All() {
		tapes := l7test.Tapes(b, p)
		if len(tapes) == 0 {
			b.Errorf("%s: no case to play", p.Name)
		}
		if os.Getenv("HOPSCOPE_BENCH_CASES") == "" {
			b.Run(p.Name, func(b *testing.B) { play(b, tapes) })
			continue
		}
		for i, t := range tapes {
			b.Run(p.Name+"/"+t.Name, func(b *testing.B) { play(b, tapes[i:i+1]) })
		}
	}
}

func play(b *testing.B, tapes []*l7test.Tape) {
	o, m := l7.DefaultOptions(), l7.Message{Text: &l7.Text{}}
	var players []*l7test.Player
	messages, bytes, bound := 0, 0, 0
	for _, t := range tapes {
		p := l7test.NewPlayer(t, o, &m)
		players = append(players, p)
		messages, bytes, bound = messages+p.Messages, bytes+p.Bytes, bound+p.Bound()
	}
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	before := cpu()
	for b.Loop() {
		for _, p := range players {
			p.Play(&m)
		}
	}
	ns := float64(cpu()-before) / float64(b.N)
	b.ReportMetric(ns/float64(messages), "cpu-ns/msg")
	b.ReportMetric(ns/float64(bound), "share")
}

// cpu is the time that this process has computed, in nanoseconds: what others
// do on the machine does not count.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// TestAllocations: no parser allocates more than twice for a message.
func TestAllocations(t *testing.T) {
	o, m := l7.DefaultOptions(), l7.Message{Text: &l7.Text{}}
	for _, p := range All() {
		for _, tape := range l7test.Tapes(t, p) {
			player := l7test.NewPlayer(tape, o, &m)
			if n := testing.AllocsPerRun(20, func() { player.Play(&m) }); n > float64(2*player.Messages) {
				t.Errorf("%s/%s: %.0f allocations for %d messages", p.Name, tape.Name, n, player.Messages)
			}
		}
	}
}
