package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/test/rig"
	"github.com/hopscope/hopscope/test/tally"
)

// TestCountURing: a server of HTTP that does everything by io_uring, in every way
// that servers do; wrk asks it, and then a client that is made like it. As many
// spans at each end as there were answers, with their statuses.
func TestCountURing(t *testing.T) {
	asRoot(t)
	installed(t, "wrk")
	if r, err := rig.NewURing(4, 0); errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		t.Skipf("no io_uring here: %v", err)
	} else if err != nil {
		t.Fatal(err)
	} else if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	port, err := rig.Port()
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server, err := rig.StartIn("", []string{clientEnv + "=uring server", serverEnv + "=" + addr, countEnv + "=0"}, self)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Kill()
	if err := server.Until(10*time.Second, func() error { return rig.Listens(port) }); err != nil {
		t.Fatal(err)
	}
	c := count(t, byCode, tally.Roomy, uint16(port))
	script := t.TempDir() + "/requests.lua"
	if err := os.WriteFile(script, fmt.Appendf(nil, wrkScript, 20_000), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("wrk", "-t1", "-c", fmt.Sprint(wrkConns), "-d60s", "-s", script, "http://"+addr+"/").CombinedOutput()
	if err != nil {
		t.Fatalf("wrk: %v\n%s", err, out)
	}
	const asked = 6_000
	client(t, "uring client", addr, asked)
	c.Settle()
	t.Logf("spans:\n%slost: %v", c, c.Lost())
	c.Stop()
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	_, line, ok := strings.Cut(server.Log().String(), "answered ")
	line, _, _ = strings.Cut(line, "\n")
	answered, failed := field(line, "all="), field(line, "missing=")
	if !ok || answered < 20_000+asked || failed < asked/10 {
		t.Fatalf("the server says %q", server.Log())
	}
	for kind, slack := range map[string]int{"Server": 0, "Client": wrkConns} { // wrk leaves with answers unread
		if n := c.Total(kind); n != answered {
			t.Errorf("%d %s spans, the server answered %d", n, kind, answered)
		}
		if n := c.Total(kind + " GET 404"); n > failed || n < failed-slack {
			t.Errorf("%d %s spans with status 404, the server says %d", n, kind, failed)
		}
	}
}

// Connections take turns in how they receive and send.
const uringWays = 4

// uringReceive asks for what comes next on a connection.
func uringReceive(way int, fd int32, mem []byte, id uint64) rig.SQE {
	q := rig.SQE{FD: fd, UserData: id, Addr: rig.Addr(mem), Len: 2048}
	switch way {
	case 0:
		q.Op, q.Flags, q.Ioprio, q.Buf, q.Addr, q.Len = rig.OpRecv, rig.SQEBufferSelect, rig.RecvMultishot, uringGroup, 0, 0
	case 1:
		q.Op = rig.OpRecv
	case 2:
		q.Op, q.Addr, q.Len = rig.OpRecvmsg, uringMessage(mem, 2048, 100), 1
	default:
		q.Op, q.Off, q.Flags = rig.OpRead, ^uint64(0), rig.SQEAsync
	}
	return q
}

// uringSend sends the n bytes that lie behind the first 4096 of mem.
func uringSend(way int, fd int32, mem []byte, n int, id uint64) rig.SQE {
	q := rig.SQE{FD: fd, UserData: id, Addr: rig.Addr(mem[4096:]), Len: uint32(n)}
	switch way {
	case 0, 1:
		q.Op = rig.OpSend
	case 2:
		q.Op, q.Addr, q.Len = rig.OpSendmsg, uringMessage(mem[4096:], n, 10), 1
	default:
		q.Op, q.Off = rig.OpWrite, ^uint64(0)
	}
	return q
}

// uringMessage lays a header for n bytes in two pieces behind them.
func uringMessage(mem []byte, n, cut int) uint64 {
	v := (*[2]unix.Iovec)(unsafe.Pointer(&mem[3072]))
	v[0], v[1] = unix.Iovec{Base: &mem[0], Len: uint64(cut)}, unix.Iovec{Base: &mem[cut], Len: uint64(n - cut)}
	m := (*unix.Msghdr)(unsafe.Pointer(&mem[3200]))
	*m = unix.Msghdr{Iov: &v[0], Iovlen: 2}
	return rig.Addr(mem[3200:])
}

const (
	uringGroup  = 3
	uringMem    = 8192 // of a connection: what it receives, what it sends
	uringAccept = 13   // IORING_OP_ACCEPT
	uringSent   = 1 << 32
)

// uringServer answers GETs until it is asked to end, then says how many it
// answered.
func uringServer(addr string, _ int) error {
	runtime.LockOSThread()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	u, err := rig.NewURing(256, rig.SetupDeferred)
	if err != nil {
		return err
	}
	g, err := u.NewGroup(uringGroup, 64, 2048)
	if err != nil {
		return err
	}
	mem := map[int32][]byte{}
	way := map[int32]int{}
	var all, missing int
	go func() { // signals are not the ring's
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, unix.SIGTERM)
		<-stop
		fmt.Printf("answered all=%d,missing=%d\n", all, missing)
		os.Exit(0)
	}()
	accept := rig.SQE{Op: uringAccept, FD: int32(f.Fd()), UserData: ^uint64(0)}
	if err := u.Submit(accept); err != nil {
		return err
	}
	for conns := 0; ; {
		c, err := u.Wait()
		if err != nil {
			return err
		}
		fd := int32(c.UserData)
		switch {
		case c.UserData == ^uint64(0):
			if c.Res < 0 {
				return fmt.Errorf("accept: %w", unix.Errno(-c.Res))
			}
			fd = c.Res
			if mem[fd] == nil {
				if mem[fd], err = rig.Bytes(uringMem); err != nil {
					return err
				}
			}
			way[fd] = conns % uringWays
			conns++
			if err := u.Submit(accept, uringReceive(way[fd], fd, mem[fd], uint64(fd))); err != nil {
				return err
			}
		case c.UserData >= uringSent: // a request at a time: receive the next one
			if c.Res > 0 && way[fd] != 0 {
				if err := u.Submit(uringReceive(way[fd], fd, mem[fd], uint64(fd))); err != nil {
					return err
				}
			}
		case c.Res <= 0:
			_ = unix.Close(int(fd))
		default:
			got := mem[fd][:c.Res]
			if way[fd] == 0 {
				got, _ = g.Taken(c)
			}
			answer := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
			if bytes.HasPrefix(got, []byte("GET /missing/")) {
				answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
				missing++
			}
			all++
			n := copy(mem[fd][4096:], answer)
			if err := u.Submit(uringSend(way[fd], fd, mem[fd], n, uint64(fd)|uringSent)); err != nil {
				return err
			}
			if way[fd] == 0 {
				g.Give(uint16(c.Flags >> 16))
			}
		}
	}
}

// uringClient has n answers by as many connections as there are ways.
func uringClient(addr string, n int) error {
	runtime.LockOSThread()
	u, err := rig.NewURing(16, 0)
	if err != nil {
		return err
	}
	g, err := u.NewGroup(uringGroup, 16, 2048)
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(addr)
	p, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	for way := range uringWays {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: p, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			return err
		}
		mem, err := rig.Bytes(uringMem)
		if err != nil {
			return err
		}
		for i := range n / uringWays {
			path := "/page/"
			if i%5 == 0 {
				path = "/missing/"
			}
			k := copy(mem[4096:], fmt.Sprintf("GET %s%d HTTP/1.1\r\nHost: uring\r\n\r\n", path, i))
			list := []rig.SQE{uringSend(way, int32(fd), mem, k, uringSent)}
			if way != 0 || i == 0 {
				list = append(list, uringReceive(way, int32(fd), mem, 1))
			}
			if err := u.Submit(list...); err != nil {
				return err
			}
			for range 2 {
				c, err := u.Wait()
				if err != nil || c.Res <= 0 {
					return fmt.Errorf("way %d, request %d: %+v %w", way, i, c, err)
				}
				if c.UserData == 1 && way == 0 {
					_, k := g.Taken(c)
					g.Give(k)
				}
			}
		}
		if err := unix.Shutdown(fd, unix.SHUT_RDWR); err != nil {
			return err
		}
		if way == 0 {
			if c, err := u.Wait(); err != nil || c.Res != 0 {
				return fmt.Errorf("end: %+v %w", c, err)
			}
		}
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	return nil
}
