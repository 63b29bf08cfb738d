package kernel

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/internal/event"
)

// TestMute: nothing is told of a muted socket from the next look at wishes on;
// its peer is another socket.
func TestMute(t *testing.T) {
	r := startRig(t, Config{})
	a, b := fdPair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	send(t, a, "mute me")
	recv(t, b, 7)
	es := r.until("first bytes", func(es []event.Event) bool { return len(moved(es, event.Recv, "mute me")) == 1 })
	sock := moved(es, event.Send, "mute me")[0].Sock
	r.c.Mute(sock)
	for i := 0; ; i++ {
		msg := fmt.Sprintf("after %d", i)
		send(t, a, msg)
		recv(t, b, len(msg))
		es = r.until(msg, func(es []event.Event) bool { return len(moved(es, event.Recv, msg)) == 1 })
		if len(moved(es, event.Send, msg)) == 0 {
			break // kernel order: the send would have been told first
		}
		if i > 100 {
			t.Fatal("a muted socket is still told of")
		}
		time.Sleep(time.Millisecond) // the reader looks for wishes once a flush
	}
	for range 10 {
		send(t, a, "muted!")
		recv(t, b, 6)
	}
	es = r.until("the peer", func(es []event.Event) bool { return len(moved(es, event.Recv, "muted!")) == 10 })
	if n := len(moved(es, event.Send, "muted!")); n != 0 {
		t.Errorf("%d calls told after muting", n)
	}
}

// TestAnnounce: what a socket is can be asked for again.
func TestAnnounce(t *testing.T) {
	r := startRig(t, Config{})
	a, b := fdPair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	send(t, a, "one")
	es := r.until("first bytes", func(es []event.Event) bool { return len(moved(es, event.Send, "one")) == 1 })
	sock := moved(es, event.Send, "one")[0].Sock
	r.c.Announce(sock)
	r.until("told again", func(es []event.Event) bool {
		send(t, a, "x")
		n := 0
		for _, e := range es {
			if e.Kind == event.KindOpen && e.Sock == sock {
				n++
			}
		}
		return n == 2
	})
}

// TestFilterPorts: a socket outside of the filter leaves no trace.
func TestFilterPorts(t *testing.T) {
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(l)
	a, b := fdPair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	sa, err := unix.Getsockname(b)
	if err != nil {
		t.Fatal(err)
	}
	r := startRig(t, Config{Filter: Filter{Ports: []uint16{uint16(portOf(sa))}}})
	c, d := fdPair(t)
	defer unix.Close(c)
	defer unix.Close(d)
	send(t, c, "not this")
	recv(t, d, 8)
	send(t, a, "but this")
	recv(t, b, 8)
	es := r.until("let in", func(es []event.Event) bool { return len(moved(es, event.Recv, "but this")) == 1 })
	for _, e := range es {
		if e.Sock != 0 && string(e.Payload) != "but this" && e.Kind == event.KindData {
			t.Errorf("outside of the filter: %s", describe(&e))
		}
	}
}

// TestLoss: with a ring that is full, what is told and what is counted is what
// was done, by direction and role, and each socket says what it lacks.
func TestLoss(t *testing.T) {
	needRoot(t)
	c, err := Start(Config{self: true, RingBytes: minRing, Filter: Filter{Names: []string{comm(t)}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, b := fdPair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	const n = 2000 // nobody reads the ring: about 64 KiB are told
	for range n {
		send(t, a, "request")
		recv(t, b, 7)
		send(t, b, "answer")
		recv(t, a, 6)
	}
	told := map[[2]uint8]uint64{}
	var lost [2]uint64
	take := func(raw []byte) {
		var e event.Event
		if event.Decode(raw[:recordSize(raw)], &e) == nil && e.Kind == event.KindData {
			told[[2]uint8{uint8(e.Data.Dir), uint8(e.Data.Role)}]++
			lost[0] += uint64(e.Data.LostSend)
			lost[1] += uint64(e.Data.LostRecv)
		}
	}
	c.ring.drain(take)
	s := c.Stats()
	for _, role := range []event.Role{event.RoleClient, event.RoleServer} {
		for _, dir := range []event.Dir{event.Send, event.Recv} {
			got := told[[2]uint8{uint8(dir), uint8(role)}]
			if got+s.LostCalls[dir][role] != n || s.LostCalls[dir][role] == 0 {
				t.Errorf("role %d dir %d: %d told + %d counted as lost, want %d", role, dir, got, s.LostCalls[dir][role], n)
			}
			if s.LostTurns[dir][role] != s.LostCalls[dir][role] {
				t.Errorf("role %d dir %d: %d turns lost of %d calls, each was one", role, dir, s.LostTurns[dir][role], s.LostCalls[dir][role])
			}
		}
	}
	if lost != [2]uint64{} {
		t.Errorf("%v told as lost before anything was", lost)
	}
	// The next call on each socket says what was lost before it.
	send(t, a, "request")
	recv(t, b, 7)
	c.ring.drain(take)
	want := uint64(0)
	for _, d := range s.LostCalls {
		for _, k := range d {
			want += k
		}
	}
	if lost[0]+lost[1] != want {
		t.Errorf("sockets say %d were lost, the counters say %d", lost[0]+lost[1], want)
	}
}

func comm(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// TestKill: kill -9 leaves no program in the kernel.
func TestKill(t *testing.T) {
	needRoot(t)
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestBareReader$", "-test.v")
	cmd.Env = append(os.Environ(), "HOPSCOPE_BARE_READER=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ids := ""
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if _, s, ok := strings.Cut(sc.Text(), "programs "); ok {
			ids = s
			break
		}
	}
	loaded := func() (n int) {
		for _, f := range strings.Fields(ids) {
			var id uint32
			_, _ = fmt.Sscan(f, &id)
			if p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id)); err == nil {
				p.Close()
				n++
			}
		}
		return n
	}
	if n := loaded(); n < 4 {
		t.Errorf("%d programs are loaded of %q", n, ids)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	// The kernel frees them after a grace period.
	for deadline := time.Now().Add(5 * time.Second); loaded() > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d programs are left of %s", loaded(), ids)
		}
	}
}

// TestRaise: every call on a raised socket is kept to the full, and a long
// one-way run that is not raised is told in a few records without a hole.
func TestRaise(t *testing.T) {
	r := startRig(t, Config{})
	a, b := fdPair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	const size, calls = 8192, 400
	chunk := strings.Repeat("bulk", size/4)
	for range calls {
		send(t, a, chunk)
		recv(t, b, size)
	}
	send(t, b, "thanks")
	recv(t, a, 6)
	es := r.until("the end", func(es []event.Event) bool { return len(moved(es, event.Recv, "thanks")) == 1 })
	tx := moved(es, event.Recv, "thanks")[0].Sock
	var next uint64
	records, kept := 0, 0
	for _, e := range moved(es, event.Send, "") {
		if e.Sock != tx {
			continue
		}
		if e.Data.Pos != next {
			t.Errorf("hole at %d: %s", next, describe(&e))
		}
		next = e.Data.Pos + uint64(e.Data.Wire)
		records++
		kept += len(e.Payload)
	}
	if next != calls*size || records > 120 || kept > 40<<10 {
		t.Errorf("%d bytes in %d records with %d bytes kept", next, records, kept)
	}
	r.c.Raise(tx)
	r.until("raised", func([]event.Event) bool {
		send(t, a, chunk)
		recv(t, b, size)
		time.Sleep(time.Millisecond)
		for _, e := range moved(r.events, event.Send, "bulk") {
			if e.Sock == tx && e.Data.Pos > calls*size+3*size && len(e.Payload) == DefaultMaxCapture {
				return true
			}
		}
		select {
		case e := <-r.ch:
			r.events = append(r.events, e)
		default:
		}
		return false
	})
}

// TestBurst: of a call on a socket that moves many messages more is kept, of one
// with several buffers half of that, and nothing is lost for its size.
func TestBurst(t *testing.T) {
	r := startRig(t, Config{})
	a, b := fdPair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	send(t, a, "many")
	tx := moved(r.until("first bytes", func(es []event.Event) bool { return len(moved(es, event.Send, "many")) == 1 }), event.Send, "many")[0].Sock
	r.c.Burst(tx)
	long := strings.Repeat("many", 10<<10)
	pieces := [][]byte{[]byte(long[:8]), []byte(long[8:])}
	kept := map[int]bool{}
	r.until("bursts", func([]event.Event) bool {
		send(t, a, long)
		if _, err := unix.Writev(a, pieces); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < 2*len(long); {
			k, err := unix.Read(b, make([]byte, 2*len(long)))
			if err != nil {
				t.Fatal(err)
			}
			n += k
		}
		time.Sleep(time.Millisecond)
		for _, e := range moved(r.events, event.Send, "many") {
			if e.Data.LostSend != 0 {
				t.Fatalf("lost: %s", describe(&e))
			}
			kept[len(e.Payload)] = true
		}
		select {
		case e := <-r.ch:
			r.events = append(r.events, e)
		default:
		}
		return kept[DefaultMaxBurst] && kept[DefaultMaxBurst/2-1]
	})
}
