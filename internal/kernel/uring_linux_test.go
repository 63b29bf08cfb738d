package kernel

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/internal/event"
	testrig "github.com/hopscope/hopscope/test/rig"
)

// uring is an io_uring; without one the test is skipped with the kernel's words.
func uring(t *testing.T, flags uint32) *testrig.URing {
	t.Helper()
	runtime.LockOSThread() // with deferred work a ring belongs to one thread
	t.Cleanup(runtime.UnlockOSThread)
	r, err := testrig.NewURing(16, flags)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		t.Skipf("no io_uring here: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func memory(t *testing.T, n int) []byte {
	t.Helper()
	b, err := testrig.Bytes(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(b) })
	return b
}

// sgl lays a message header for the pieces of b into b's second half.
func sgl(b []byte, cuts ...int) (iov, msg uint64, n uint32) {
	half := len(b) / 2
	v := (*[16]unix.Iovec)(unsafe.Pointer(&b[half]))
	at := 0
	for i, c := range cuts {
		v[i] = unix.Iovec{Base: &b[at], Len: uint64(c - at)}
		at = c
	}
	m := (*unix.Msghdr)(unsafe.Pointer(&b[half+1024]))
	*m = unix.Msghdr{Iov: &v[0], Iovlen: uint64(len(cuts))}
	return testrig.Addr(b[half:]), testrig.Addr(b[half+1024:]), uint32(len(cuts))
}

// TestURing: what each operation of io_uring moves is told whole, whoever runs it
// and whenever: in the call that submits it, when bytes come, in a worker, or in
// the thread that polls the queue.
func TestURing(t *testing.T) {
	ways := []struct {
		name  string
		setup uint32
		flags uint8
		fixed bool // file
	}{
		{name: "inline"},
		{name: "deferred", setup: testrig.SetupDeferred},
		{name: "worker", flags: testrig.SQEAsync},
		{name: "poller", setup: testrig.SetupSQPoll},
		{name: "fixed file", flags: testrig.SQEFixedFile, fixed: true},
	}
	ops := []struct {
		name       string
		send, recv func(s, r *testrig.SQE, sb, rb []byte, n int)
	}{
		{"send-recv", func(s, _ *testrig.SQE, sb, _ []byte, n int) {
			s.Op, s.Addr, s.Len = testrig.OpSend, testrig.Addr(sb), uint32(n)
		},
			func(_, r *testrig.SQE, _, rb []byte, n int) {
				r.Op, r.Addr, r.Len = testrig.OpRecv, testrig.Addr(rb), uint32(n)+7
			}},
		{"write-read", func(s, _ *testrig.SQE, sb, _ []byte, n int) {
			s.Op, s.Addr, s.Len, s.Off = testrig.OpWrite, testrig.Addr(sb), uint32(n), ^uint64(0)
		}, func(_, r *testrig.SQE, _, rb []byte, n int) {
			r.Op, r.Addr, r.Len, r.Off = testrig.OpRead, testrig.Addr(rb), uint32(n)+7, ^uint64(0)
		}},
		{"sendmsg-recvmsg", func(s, _ *testrig.SQE, sb, _ []byte, n int) {
			_, msg, _ := sgl(sb, 3, 10, n)
			s.Op, s.Addr, s.Len = testrig.OpSendmsg, msg, 1
		}, func(_, r *testrig.SQE, _, rb []byte, n int) {
			_, msg, _ := sgl(rb, 5, n+7)
			r.Op, r.Addr, r.Len = testrig.OpRecvmsg, msg, 1
		}},
		{"sendmsg-recvmsg of one piece", func(s, _ *testrig.SQE, sb, _ []byte, n int) {
			_, msg, _ := sgl(sb, n)
			s.Op, s.Addr, s.Len = testrig.OpSendmsg, msg, 1
		}, func(_, r *testrig.SQE, _, rb []byte, n int) {
			_, msg, _ := sgl(rb, n+7)
			r.Op, r.Addr, r.Len = testrig.OpRecvmsg, msg, 1
		}},
		{"writev-readv", func(s, _ *testrig.SQE, sb, _ []byte, n int) {
			iov, _, k := sgl(sb, 3, 10, n)
			s.Op, s.Addr, s.Len, s.Off = testrig.OpWritev, iov, k, ^uint64(0)
		}, func(_, r *testrig.SQE, _, rb []byte, n int) {
			iov, _, k := sgl(rb, 5, n+7)
			r.Op, r.Addr, r.Len, r.Off = testrig.OpReadv, iov, k, ^uint64(0)
		}},
		{"write_fixed-read_fixed", func(s, _ *testrig.SQE, sb, _ []byte, n int) {
			s.Op, s.Addr, s.Len, s.Off = testrig.OpWriteFixed, testrig.Addr(sb), uint32(n), ^uint64(0)
		}, func(_, r *testrig.SQE, _, rb []byte, n int) {
			r.Op, r.Addr, r.Len, r.Off = testrig.OpReadFixed, testrig.Addr(rb), uint32(n)+7, ^uint64(0)
		}},
		{"send_zc-recv", func(s, _ *testrig.SQE, sb, _ []byte, n int) {
			s.Op, s.Addr, s.Len = testrig.OpSendZC, testrig.Addr(sb), uint32(n)
		},
			func(_, r *testrig.SQE, _, rb []byte, n int) {
				r.Op, r.Addr, r.Len = testrig.OpRecv, testrig.Addr(rb), uint32(n)+7
			}},
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			u := uring(t, way.setup)
			c := startRig(t, Config{Rows: []string{"btf"}})
			a, b := fdPair(t)
			t.Cleanup(func() { unix.Close(a); unix.Close(b) })
			both := memory(t, 16384)
			sb, rb := both[:8192], both[8192:]
			if err := u.RegisterBuffer(both); err != nil {
				t.Fatal(err)
			}
			fds := []int32{int32(a), int32(b)}
			if way.fixed {
				if err := u.RegisterFiles(fds...); err != nil {
					t.Fatal(err)
				}
				fds = []int32{0, 1}
			}
			at := uint64(0)
			for _, op := range ops {
				for _, waiting := range []bool{false, true} { // for bytes that are to come
					msg := fmt.Sprintf("%s %s %v %s", op.name, way.name, waiting, strings.Repeat("0123456789", 20))
					s, r := testrig.SQE{FD: fds[0], Flags: way.flags, UserData: 1}, testrig.SQE{FD: fds[1], Flags: way.flags, UserData: 2}
					clear(both)
					copy(sb, msg)
					op.send(&s, &r, sb, rb, len(msg))
					op.recv(&s, &r, sb, rb, len(msg))
					order := []testrig.SQE{s, r}
					if waiting {
						order = []testrig.SQE{r, s}
					}
					for _, q := range order {
						if err := u.Submit(q); err != nil {
							t.Fatal(err)
						}
						if waiting { // the receiver has to wait for sure
							time.Sleep(2 * time.Millisecond)
						}
					}
					for left := 2; left > 0; left-- {
						q, err := u.Wait()
						if err != nil || q.Flags&testrig.CQENotify == 0 && q.Res != int32(len(msg)) {
							t.Fatalf("%s: %+v %v", msg, q, err)
						}
						if q.Flags&testrig.CQEMore != 0 { // zero copy: later it tells that the buffer is free
							left++
						}
					}
					if string(rb[:len(msg)]) != msg {
						t.Fatalf("received %q", rb[:len(msg)])
					}
					es := c.until(msg, func(es []event.Event) bool {
						return len(moved(es, event.Send, msg)) == 1 && len(moved(es, event.Recv, msg)) == 1
					})
					for _, e := range []event.Event{moved(es, event.Send, msg)[0], moved(es, event.Recv, msg)[0]} {
						if string(e.Payload) != msg || e.Data.Pos != at || e.Data.Flags != event.URing {
							t.Errorf("want %d bytes at %d: %s", len(msg), at, describe(&e))
						}
					}
					at += uint64(len(msg))
				}
			}
			names := map[string]bool{}
			for _, e := range c.events {
				if e.Kind == event.KindOpen {
					names[string(e.Open.Comm[:])] = true
				}
			}
			if len(names) != 1 { // no worker's name
				t.Errorf("processes are called %v", names)
			}
			if n := c.c.Stats().Errors["uring"]; n != 0 {
				t.Errorf("%d calls of which the buffer was not found", n)
			}
		})
	}
}

// TestURingMultishot: one request that receives for ever, into buffers that the
// kernel takes from a ring; and sends that are linked.
func TestURingMultishot(t *testing.T) {
	u := uring(t, 0)
	g, err := u.NewGroup(7, 4, 512)
	if err != nil {
		t.Skipf("no rings of buffers here: %v", err)
	}
	c := startRig(t, Config{Rows: []string{"btf"}})
	a, b := fdPair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	mem := memory(t, 8192)
	if err := u.Submit(testrig.SQE{Op: testrig.OpRecv, FD: int32(b), Flags: testrig.SQEBufferSelect, Ioprio: testrig.RecvMultishot, Buf: 7, UserData: 1}); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		// Of one length, so that what was there before cannot be told by it.
		msg := fmt.Sprintf("multishot %02d", i)
		send(t, a, msg)
		q, err := u.Wait()
		if err != nil || q.Flags&testrig.CQEMore == 0 || q.Flags&testrig.CQEBuffer == 0 {
			t.Fatalf("%s: %+v %v", msg, q, err)
		}
		got, n := g.Taken(q)
		if string(got) != msg {
			t.Fatalf("%s: received %q", msg, got)
		}
		clear(got)
		g.Give(n)
		c.until(msg, func(es []event.Event) bool { return len(moved(es, event.Send, msg)) == 1 })
	}
	es := c.until("all", func(es []event.Event) bool {
		n := 0
		for _, e := range es {
			if e.Kind == event.KindData && e.Data.Dir == event.Recv {
				n++
			}
		}
		return n == 20
	})
	// The test may have cleared a buffer only after it was told: all are whole.
	for i := range 20 {
		if msg := fmt.Sprintf("multishot %02d", i); len(moved(es, event.Recv, msg)) != 1 {
			t.Errorf("%s: received %d times", msg, len(moved(es, event.Recv, msg)))
		}
	}

	var link []testrig.SQE
	for i := range 3 {
		msg := fmt.Sprintf("linked %d", i)
		copy(mem[100*i:], msg)
		link = append(link, testrig.SQE{Op: testrig.OpSend, FD: int32(b), Flags: testrig.SQELink, Addr: testrig.Addr(mem[100*i:]), Len: uint32(len(msg)), UserData: 9})
	}
	link[2].Flags = 0
	if err := u.Submit(link...); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if q, err := u.Wait(); err != nil || q.Res != 8 || q.UserData != 9 {
			t.Fatalf("%+v %v", q, err)
		}
	}
	c.until("linked sends", func(es []event.Event) bool {
		return len(moved(es, event.Send, "linked 0")) == 1 && len(moved(es, event.Send, "linked 1")) == 1 && len(moved(es, event.Send, "linked 2")) == 1
	})
	if n := c.c.Stats().Errors["uring"]; n != 0 {
		t.Errorf("%d calls of which the buffer was not found", n)
	}
}
