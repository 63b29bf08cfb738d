package hosts

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/test/rig"
)

func inodeOf(i os.FileInfo) uint64 { return i.Sys().(*syscall.Stat_t).Ino }

// cable joins two interfaces by a program, which can hold back what goes one
// way: what netem does, where the kernel has none.
type cable struct {
	late [2]atomic.Int64 // ns, towards end, towards the router
}

// Directions of a cable.
const (
	toEnd = iota
	toRouter
)

// frame waits on a cable.
type frame struct {
	due time.Time
	b   []byte
}

// maxFrames bounds what is on a cable; beyond, frames are lost, as on a wire.
const maxFrames = 4096

func newCable(t *testing.T, ns, end rig.NetNS, name string, router rig.NetNS, routerName string) *cable {
	t.Helper()
	c := &cable{}
	do := func(format string, args ...any) {
		t.Helper()
		if err := rig.Run(fmt.Sprintf(format, args...)); err != nil {
			t.Fatal(err)
		}
	}
	do("ip netns add %s", ns)
	t.Cleanup(func() { _ = rig.Run("ip netns del " + string(ns)) })
	var fds [2]int
	for i, e := range [2]struct {
		ns   rig.NetNS
		name string
	}{{end, name}, {router, routerName}} {
		plug := fmt.Sprint("x", i)
		do("ip -n %s link add %s type veth peer name %s netns %s", e.ns, e.name, plug, ns)
		// Frames that nobody has filled the checksum into, or that are larger than
		// they may be, exist on one machine only.
		for _, line := range []string{"ethtool -K " + e.name + " tx off tso off gso off gro off"} {
			if err := e.ns.Run(line); err != nil {
				t.Fatal(err)
			}
		}
		do("ip -n %s link set %s up", ns, plug)
		fd, err := plugIn(ns, plug)
		if err != nil {
			t.Fatal(err)
		}
		fds[i] = fd
		t.Cleanup(func() { _ = unix.Shutdown(fd, unix.SHUT_RDWR); _ = unix.Close(fd) })
	}
	for dir, from := range [2]int{fds[1], fds[0]} {
		q := make(chan frame, maxFrames)
		go c.receive(from, dir, q)
		go send(fds[dir], q)
	}
	return c
}

// plugIn opens a packet socket on an interface of a namespace.
func plugIn(ns rig.NetNS, name string) (int, error) {
	type result struct {
		fd  int
		err error
	}
	out := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		fd, err := func() (int, error) {
			h, err := netns.GetFromName(string(ns))
			if err != nil {
				return 0, err
			}
			defer h.Close()
			if err := netns.Set(h); err != nil {
				return 0, err
			}
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
			if err != nil {
				return 0, err
			}
			ifr, err := unix.NewIfreq(name)
			if err == nil {
				err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr)
			}
			if err == nil {
				err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: int(ifr.Uint32())})
			}
			if err == nil {
				err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
			}
			return fd, err
		}()
		out <- result{fd, err}
	}()
	r := <-out
	return r.fd, r.err
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// receive takes frames in until the socket is closed.
func (c *cable) receive(fd, dir int, q chan<- frame) {
	defer close(q)
	b := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		f := frame{time.Now().Add(time.Duration(c.late[dir].Load())), slices.Clone(b[:n])}
		select {
		case q <- f:
		default:
		}
	}
}

func send(fd int, q <-chan frame) {
	for f := range q {
		time.Sleep(time.Until(f.due))
		_, _ = unix.Write(fd, f.b)
	}
}
