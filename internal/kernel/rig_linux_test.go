package kernel

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hopscope/hopscope/internal/event"
)

// needRoot skips with the proof that BPF can't be loaded here.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("loading BPF needs root: uid is %d", os.Geteuid())
	}
}

// rig captures this process and keeps what it saw.
type rig struct {
	t      testing.TB
	c      *Capture
	cancel context.CancelFunc
	done   chan struct{}
	ch     chan event.Event
	events []event.Event
}

func startRig(t testing.TB, cfg Config) *rig {
	t.Helper()
	needRoot(t)
	cfg.self = true
	if comm, err := os.ReadFile("/proc/self/comm"); err == nil { // the rest of the host may be busy
		cfg.Filter.Names = append(cfg.Filter.Names, strings.TrimSpace(string(comm)))
	}
	if cfg.Flush == 0 {
		cfg.Flush = time.Millisecond
	}
	c, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &rig{t: t, c: c, cancel: cancel, done: make(chan struct{}), ch: make(chan event.Event, 1<<16)}
	self := uint32(os.Getpid())
	go func() {
		defer close(r.done)
		_ = c.Run(ctx, func(raw []byte) {
			var e event.Event
			if err := event.Decode(raw, &e); err != nil {
				t.Errorf("decode %x: %v", raw, err)
				return
			}
			if e.Pid != self && e.Pid != 0 {
				return // somebody else on this machine
			}
			e.Payload = bytes.Clone(e.Payload)
			r.ch <- e
		}, func() {})
	}()
	t.Cleanup(func() {
		r.cancel()
		<-r.done
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

// until collects events until ok says that all is there.
func (r *rig) until(what string, ok func(es []event.Event) bool) []event.Event {
	r.t.Helper()
	limit := time.After(5 * time.Second)
	for !ok(r.events) {
		select {
		case e := <-r.ch:
			r.events = append(r.events, e)
		case <-limit:
			for i := range r.events {
				r.t.Log(describe(&r.events[i]))
			}
			r.t.Fatalf("%s: not seen; %+v", what, r.c.Stats())
		}
	}
	return r.events
}

// moved is the data events of a direction whose payload starts with head.
func moved(es []event.Event, dir event.Dir, head string) (out []event.Event) {
	for _, e := range es {
		if (e.Kind == event.KindData || e.Kind == event.KindDatagram) && e.Data.Dir == dir && bytes.HasPrefix(e.Payload, []byte(head)) {
			out = append(out, e)
		}
	}
	return out
}

func describe(e *event.Event) string {
	s := fmt.Sprintf("%-8s sock=%d pid=%d tid=%d", e.Kind, e.Sock, e.Pid, e.Tid)
	switch e.Kind {
	case event.KindData, event.KindDatagram:
		d := &e.Data
		s += fmt.Sprintf(" dir=%d role=%d pos=%d other=%d seq=%d wire=%d captured=%d cap_seq=%d lost=%d+%d flags=%d goid=%d %.40q",
			d.Dir, d.Role, d.Pos, d.Other, d.Seq, d.Wire, d.Captured, d.CapSeq, d.LostSend, d.LostRecv, d.Flags, d.Goid, e.Payload)
		if d.Flags&event.HasPeer != 0 {
			s += fmt.Sprintf(" peer=%v:%d", e.Peer.Addr, e.Peer.Port)
		}
	case event.KindOpen:
		o := &e.Open
		s += fmt.Sprintf(" %v:%d-%v:%d family=%d transport=%d role=%d flags=%d first=%d,%d netns=%d comm=%q peer=%d path=%q",
			o.Local, o.LocalPort, o.Remote, o.RemotePort, o.Family, o.Transport, o.Role, o.Flags, o.FirstSend, o.FirstRecv, o.Netns, o.Comm, o.PeerSock, e.Payload)
	case event.KindTCP:
		s += fmt.Sprintf(" %+v", e.TCP)
	case event.KindClose:
		s += fmt.Sprintf(" what=%d sent=%d received=%d", e.Close.What, e.Close.Sent, e.Close.Received)
	}
	return s
}
