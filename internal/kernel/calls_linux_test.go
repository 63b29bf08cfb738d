package kernel

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/internal/event"
)

// TestCalls passes one exchange through every system call that can move bytes
// on a socket, on every row that this kernel gives, and compares what was told
// with what was moved.
func TestCalls(t *testing.T) {
	needRoot(t)
	for i := range socketRows {
		name := socketRows[i].name
		t.Run(name, func(t *testing.T) {
			a, b := fdPair(t)
			t.Cleanup(func() { unix.Close(a); unix.Close(b) })
			old := strings.Repeat("before the capture ", 50)
			send(t, a, old)
			recv(t, b, len(old))
			send(t, b, "older too")
			recv(t, a, 9)
			if c, err := Start(Config{Rows: []string{name}}); err != nil {
				if !refused(err) {
					t.Fatal(err)
				}
				t.Skipf("this kernel does not give it: %v", err)
			} else {
				c.Close()
			}
			r := startRig(t, Config{Rows: []string{name}})
			streamCalls(t, r, a, b, uint64(len(old)))
			udpCalls(t, r)
			unixCalls(t, r)
		})
	}
}

func streamCalls(t *testing.T, r *rig, a, b int, at uint64) {
	steps := []struct {
		name       string
		send, recv func(data []byte) error
	}{
		{"write-read", func(d []byte) error { return just(unix.Write(a, d)) }, func(d []byte) error { return just(unix.Read(b, d)) }},
		{"sendto-recvfrom", func(d []byte) error { return unix.Sendto(a, d, 0, nil) }, func(d []byte) error {
			_, _, err := unix.Recvfrom(b, d, 0)
			return err
		}},
		{"writev-readv", func(d []byte) error { return just(unix.Writev(a, [][]byte{d[:3], d[3:5], d[5:]})) },
			func(d []byte) error { return just(unix.Readv(b, [][]byte{d[:4], d[4:]})) }},
		{"pwritev2-preadv2", func(d []byte) error { return just(unix.Pwritev2(a, [][]byte{d}, -1, 0)) },
			func(d []byte) error { return just(unix.Preadv2(b, [][]byte{d}, -1, 0)) }},
		{"sendmsg-recvmsg", func(d []byte) error { return just(unix.SendmsgBuffers(a, [][]byte{d[:7], d[7:]}, nil, nil, 0)) },
			func(d []byte) error {
				_, _, _, _, err := unix.RecvmsgBuffers(b, [][]byte{d[:1], d[1:]}, nil, 0)
				return err
			}},
	}
	for _, s := range steps {
		msg := "stream " + s.name + " 0123456789"
		if err := s.send([]byte(msg)); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		got := make([]byte, len(msg))
		if err := s.recv(got); err != nil || string(got) != msg {
			t.Fatalf("%s: %q %v", s.name, got, err)
		}
		es := r.until(s.name, func(es []event.Event) bool {
			return len(moved(es, event.Send, msg)) == 1 && len(moved(es, event.Recv, msg)) == 1
		})
		tx, rx := moved(es, event.Send, msg)[0], moved(es, event.Recv, msg)[0]
		for _, e := range []event.Event{tx, rx} {
			if string(e.Payload) != msg || int(e.Data.Wire) != len(msg) || e.Data.Pos != at || e.Data.Other != 9 ||
				e.Tid == 0 || e.Data.LostSend+e.Data.LostRecv != 0 {
				t.Errorf("%s: want %d bytes at %d: %s", s.name, len(msg), at, describe(&e))
			}
		}
		if tx.Data.Seq != rx.Data.Seq || tx.Sock == rx.Sock {
			t.Errorf("%s: both ends of one message:\n%s\n%s", s.name, describe(&tx), describe(&rx))
		}
		if tx.Data.Role != event.RoleClient || rx.Data.Role != event.RoleServer {
			t.Errorf("%s: roles %d, %d", s.name, tx.Data.Role, rx.Data.Role)
		}
		at += uint64(len(msg))
	}
	opened := map[event.Role]event.Event{}
	for _, e := range r.events {
		if e.Kind == event.KindOpen && e.Open.Transport == event.Stream {
			opened[e.Open.Role] = e
		}
	}
	cl, sv := opened[event.RoleClient].Open, opened[event.RoleServer].Open
	if want := event.Midstream | event.Keyed | event.Connected; cl.Flags != want || sv.Flags != want ||
		cl.FirstSend != sv.FirstRecv || cl.FirstRecv != sv.FirstSend || cl.FirstSend == 0 ||
		cl.LocalPort != sv.RemotePort || cl.Netns == 0 {
		t.Errorf("ends of a connection older than the capture:\n%+v\n%+v", cl, sv)
	}

	// Bytes that no buffer holds are counted; what they took is no hole.
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, _ = f.WriteString("sent from a file")
	if _, err := unix.Sendfile(a, int(f.Fd()), new(int64), 16); err != nil {
		t.Fatal(err)
	}
	recv(t, b, 16)
	es := r.until("sendfile", func(es []event.Event) bool { return len(moved(es, event.Recv, "sent from a file")) == 1 })
	rx := moved(es, event.Recv, "sent from a file")[0]
	if rx.Data.Pos != at {
		t.Errorf("sendfile: %s", describe(&rx))
	}
	var counted uint32
	for _, e := range es {
		if e.Kind == event.KindData && e.Data.Pos >= at && e.Data.Dir == event.Send && e.Data.Flags&event.NoBuffer != 0 {
			counted += e.Data.Wire
		}
	}
	if counted != 16 {
		t.Errorf("sendfile: %d bytes counted, want 16", counted)
	}
	at += 16

	// A peek moves nothing; a long message is kept as its head.
	big := bytes.Repeat([]byte("long"), 5000)
	send(t, a, string(big))
	peek := make([]byte, 10)
	if _, _, err := unix.Recvfrom(b, peek, unix.MSG_PEEK); err != nil {
		t.Fatal(err)
	}
	recv(t, b, len(big))
	es = r.until("long message", func(es []event.Event) bool {
		var n uint32
		for _, e := range moved(es, event.Recv, "") {
			if e.Data.Pos >= at {
				n += e.Data.Wire
			}
		}
		return n == uint32(len(big))
	})
	var kept, calls int
	next := at
	for _, e := range moved(es, event.Recv, "") {
		if e.Sock == rx.Sock && e.Data.Pos >= at {
			if e.Data.Pos != next {
				t.Errorf("long message: hole at %d: %s", next, describe(&e))
			}
			next += uint64(e.Data.Wire)
			kept += len(e.Payload)
			calls++
		}
	}
	if kept < DefaultMaxCapture-int(at) || kept > DefaultMaxCapture+calls*DefaultFurther {
		t.Errorf("long message: %d bytes kept in %d calls", kept, calls)
	}
}

func udpCalls(t *testing.T, r *rig) {
	for _, addr := range []string{"127.0.0.1", "::1"} {
		sv, svAddr := udpSocket(t, addr)
		cl, clAddr := udpSocket(t, addr)
		msg := "datagram to " + addr
		if err := unix.Sendto(cl, []byte(msg), 0, svAddr); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		n, from, err := unix.Recvfrom(sv, buf, 0)
		if err != nil || string(buf[:n]) != msg {
			t.Fatalf("%q %v", buf[:n], err)
		}
		_ = from
		es := r.until(msg, func(es []event.Event) bool {
			return len(moved(es, event.Send, msg)) == 1 && len(moved(es, event.Recv, msg)) == 1
		})
		tx, rx := moved(es, event.Send, msg)[0], moved(es, event.Recv, msg)[0]
		if tx.Kind != event.KindDatagram || tx.Data.Flags&event.HasPeer == 0 || int(tx.Peer.Port) != portOf(svAddr) {
			t.Errorf("peer of a send: %s", describe(&tx))
		}
		if rx.Data.Flags&event.HasPeer == 0 || int(rx.Peer.Port) != portOf(clAddr) {
			t.Errorf("peer of a receive: %s", describe(&rx))
		}
		if r.c.cfg.Rows[0] == "raw_syscall" || addr != "127.0.0.1" {
			continue
		}
		var want []string
		for round := range 3 { // the second and third reuse the vectors
			var msgs []string
			for i := range 3 {
				msgs = append(msgs, fmt.Sprintf("mmsg round %d message %d%s", round, i, strings.Repeat("x", i)))
			}
			want = append(want, msgs...)
			mmsg(t, cl, svAddr, msgs)
		}
		es = r.until("sendmmsg, recvmmsg", func(es []event.Event) bool {
			return len(moved(es, event.Send, "mmsg")) == len(want)
		})
		for i, e := range moved(es, event.Send, "mmsg") {
			if string(e.Payload) != want[i] {
				t.Errorf("sendmmsg %d: want %q: %s", i, want[i], describe(&e))
			}
		}
		mmrecv(t, sv, 5)
		mmrecv(t, sv, 5) // four are left
		es = r.until("recvmmsg", func(es []event.Event) bool { return len(moved(es, event.Recv, "mmsg")) == len(want) })
		for i, e := range moved(es, event.Recv, "mmsg") {
			if string(e.Payload) != want[i] || int(e.Peer.Port) != portOf(clAddr) {
				t.Errorf("recvmmsg %d: want %q: %s", i, want[i], describe(&e))
			}
		}
	}
}

func unixCalls(t *testing.T, r *rig) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	send(t, fds[0], "over unix")
	recv(t, fds[1], 9)
	es := r.until("unix", func(es []event.Event) bool {
		return len(moved(es, event.Send, "over unix")) == 1 && len(moved(es, event.Recv, "over unix")) == 1
	})
	if e := moved(es, event.Recv, "over unix")[0]; e.Data.Pos != 0 {
		t.Errorf("unix: %s", describe(&e))
	}
}

func just(_ int, err error) error { return err }

func send(t *testing.T, fd int, s string) {
	t.Helper()
	for len(s) > 0 {
		n, err := unix.Write(fd, []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		s = s[n:]
	}
}

func recv(t *testing.T, fd, n int) {
	t.Helper()
	buf := make([]byte, n)
	for got := 0; got < n; {
		k, err := unix.Read(fd, buf[got:])
		if err != nil || k == 0 {
			t.Fatal(k, err)
		}
		got += k
	}
}

func udpSocket(t *testing.T, addr string) (int, unix.Sockaddr) {
	t.Helper()
	var sa unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	domain := unix.AF_INET
	if addr == "::1" {
		sa, domain = &unix.SockaddrInet6{Addr: [16]byte{15: 1}}, unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, sa); err != nil {
		t.Fatal(err)
	}
	if sa, err = unix.Getsockname(fd); err != nil {
		t.Fatal(err)
	}
	return fd, sa
}

func portOf(sa unix.Sockaddr) int {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return a.Port
	case *unix.SockaddrInet6:
		return a.Port
	}
	return 0
}

// mmsghdr is struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   uint32
}

// mmsg sends msgs in one call; its vector is the same in every call.
func mmsg(t *testing.T, fd int, to unix.Sockaddr, msgs []string) {
	t.Helper()
	var name unix.RawSockaddrInet4
	name.Family = unix.AF_INET
	name.Addr = to.(*unix.SockaddrInet4).Addr
	port := (*[2]byte)(unsafe.Pointer(&name.Port))
	port[0], port[1] = byte(portOf(to)>>8), byte(portOf(to))
	vec := make([]mmsghdr, len(msgs))
	iov := make([]unix.Iovec, len(msgs))
	bufs := make([][]byte, len(msgs))
	for i, m := range msgs {
		bufs[i] = []byte(m)
		iov[i].Base = &bufs[i][0]
		iov[i].SetLen(len(m))
		vec[i].hdr.Name, vec[i].hdr.Namelen = (*byte)(unsafe.Pointer(&name)), unix.SizeofSockaddrInet4
		vec[i].hdr.Iov = &iov[i]
		vec[i].hdr.SetIovlen(1)
	}
	n, _, e := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&vec[0])), uintptr(len(vec)), 0, 0, 0)
	if e != 0 || int(n) != len(msgs) {
		t.Fatalf("sendmmsg: %d %v", n, e)
	}
}

func mmrecv(t *testing.T, fd, want int) {
	t.Helper()
	vec := make([]mmsghdr, want)
	iov := make([]unix.Iovec, want)
	names := make([]unix.RawSockaddrInet6, want)
	bufs := make([][]byte, want)
	for i := range vec {
		bufs[i] = make([]byte, 64)
		iov[i].Base = &bufs[i][0]
		iov[i].SetLen(64)
		vec[i].hdr.Name, vec[i].hdr.Namelen = (*byte)(unsafe.Pointer(&names[i])), unix.SizeofSockaddrInet6
		vec[i].hdr.Iov = &iov[i]
		vec[i].hdr.SetIovlen(1)
	}
	_, _, e := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&vec[0])), uintptr(want), unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		t.Fatalf("recvmmsg: %v", e)
	}
}
