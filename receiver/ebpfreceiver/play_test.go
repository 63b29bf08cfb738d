package ebpfreceiver

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hopscope/hopscope/internal/event"
	"github.com/hopscope/hopscope/internal/kernel"
	"github.com/hopscope/hopscope/internal/l7"
)

// lines is a protocol for tests: "ask N\n" is answered by "ok N\n" or "no N\n".
var lines = &l7.Protocol{
	Name: "lines", Transport: l7.TCP, Ports: []uint16{7000},
	Keys: l7.Keys{Op: "hopscope.session.operation", Target: "hopscope.session.target"},
	Detect: func(b []byte) l7.Verdict {
		switch {
		case bytes.HasPrefix(b, []byte("ask ")):
			return l7.Request
		case bytes.HasPrefix(b, []byte("ok ")), bytes.HasPrefix(b, []byte("no ")):
			return l7.Response
		}
		return l7.No
	},
	New: func(*l7.Options) l7.Parser { return lineParser{} },
}

type lineParser struct{}

func (lineParser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	i := bytes.IndexByte(w.B, '\n')
	if i < 0 {
		return 0, l7.ErrMore
	}
	word, rest, _ := bytes.Cut(w.B[:i], []byte(" "))
	switch {
	case side == l7.Client && string(word) == "ask":
		m.Op, m.Target = "ask", m.Text.Copy(rest)
	case side == l7.Server && string(word) == "ok":
		m.Type, m.Status = l7.TypeResponse, l7.StatusOK
	case side == l7.Server && string(word) == "no":
		m.Type, m.Status = l7.TypeResponse, l7.StatusServerError
	default:
		return 0, l7.ErrLost
	}
	return i + 1, nil
}

// player is a capture that gives the records it was made with, then waits.
type player struct {
	records [][]byte
	hooks   []kernel.Hook
	stats   kernel.Stats
	played  chan struct{} // closed when all were given
	err     error         // what Run returns after the last

	events atomic.Uint64
	closed atomic.Int32
	mu     sync.Mutex
	muted  []uint64
	raised []uint64
	bursts []uint64
}

func newPlayer(records ...[]byte) *player {
	return &player{records: records, played: make(chan struct{}), hooks: []kernel.Hook{{Prog: "hs_exec", Attached: true}}}
}

func (p *player) Run(ctx context.Context, put func([]byte), idle func()) error {
	for _, r := range p.records {
		b := bytes.Clone(r) // borrowed: it is scrambled when put returns
		put(b)
		for i := range b {
			b[i] = 0xee
		}
		p.events.Add(1)
	}
	idle()
	close(p.played)
	if p.err != nil {
		return p.err
	}
	<-ctx.Done()
	return nil
}

func (p *player) Mute(sock uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = append(p.muted, sock)
}

func (p *player) Count() error { return nil }
func (p *player) Raise(sock uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.raised = append(p.raised, sock)
}

func (p *player) Burst(sock uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bursts = append(p.bursts, sock)
}

func (p *player) Announce(uint64)      {}
func (p *player) Hooks() []kernel.Hook { return p.hooks }
func (p *player) Close() error         { p.closed.Add(1); return nil }
func (p *player) Stats() kernel.Stats {
	s := p.stats
	s.Events = p.events.Load()
	return s
}

// talk is one end of a connection, as the kernel would tell it.
type talk struct {
	out  [][]byte
	sock uint64
	pid  uint32
	pos  [2]uint64 // sent, received
	time uint64
	seq  uint32
}

func newTalk(sock uint64, pid uint32, role event.Role) *talk {
	t := &talk{sock: sock, pid: pid, time: 1000}
	o := event.Open{LocalPort: 40000, RemotePort: 7000, Family: event.IPv4, Transport: event.Stream, Role: role, Flags: event.Keyed | event.Connected,
		FirstSend: 100, FirstRecv: 900, Local: [16]byte{127, 0, 0, 1}, Remote: [16]byte{127, 0, 0, 1}, Comm: [16]byte{'c', 'o', 'm', 'm'}}
	if role == event.RoleServer {
		o.LocalPort, o.RemotePort, o.FirstSend, o.FirstRecv = 7000, 40000, 900, 100
	}
	t.add(event.Event{Head: event.Head{Kind: event.KindOpen}, Open: o})
	return t
}

func (t *talk) add(e event.Event) {
	t.time += 1000
	e.Time, e.Sock, e.Pid, e.Tid = t.time, t.sock, t.pid, t.pid
	t.out = append(t.out, e.Append(nil))
}

// data is a call that moved text.
func (t *talk) data(d event.Dir, text string) {
	t.seq++
	t.add(event.Event{Head: event.Head{Kind: event.KindData}, Payload: []byte(text), Data: event.Data{
		Dir: d, Pos: t.pos[d], Other: t.pos[d^1], Seq: uint32(t.pos[d]), Wire: uint32(len(text)), Captured: uint32(len(text)), CapSeq: t.seq}})
	t.pos[d] += uint64(len(text))
}

// asks is n exchanges of a client, every third one refused.
func (t *talk) asks(n int) {
	for i := range n {
		t.data(event.Send, fmt.Sprintf("ask %d\n", i))
		word := "ok"
		if i%3 == 2 {
			word = "no"
		}
		t.data(event.Recv, fmt.Sprintf("%s %d\n", word, i))
	}
}

func (t *talk) gone() {
	t.add(event.Event{Head: event.Head{Kind: event.KindClose}, Close: event.Close{What: event.Gone, Sent: t.pos[0], Received: t.pos[1]}})
}

// clockRecord puts events at about now: the receiver's clock is the real one,
// and requests of long ago are overdue.
func clockRecord() []byte {
	e := event.Event{Head: event.Head{Kind: event.KindClock}, Clock: event.Clock{Offset: time.Now().UnixNano()}}
	return e.Append(nil)
}
