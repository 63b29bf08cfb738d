package devices

import (
	"context"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/test/rig"
)

// namespace is one end of the network.
type namespace struct{ rig.NetNS }

// network is two namespaces, joined by device d0 in a and d1 in b.
type network struct{ a, b namespace }

// made tells networks apart: one may still be on its way out.
var made int

// connect makes the namespaces and their devices; they go with the test.
func connect(t *testing.T, tun uint16, link int) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: network namespaces cannot be made")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("ip is not installed")
	}
	made++
	id := strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(made)
	n := &network{namespace{rig.NetNS("dev-a-" + id)}, namespace{rig.NetNS("dev-b-" + id)}}
	for _, ns := range []namespace{n.a, n.b} {
		must(t, rig.Run("ip netns add "+string(ns.NetNS)))
		t.Cleanup(func() { _ = rig.Run("ip netns del " + string(ns.NetNS)) })
		// Only what the test says shall go over the devices.
		must(t, ns.Run("sysctl -qw net.ipv6.conf.default.accept_dad=0"))
	}
	if tun == 0 {
		must(t, n.a.Run("ip link add d0 type veth peer name d1 netns "+string(n.b.NetNS)))
	} else {
		x, y := n.a.tun(t, "d0", tun, link), n.b.tun(t, "d1", tun, link)
		go forward(x, y)
		go forward(y, x)
	}
	for i, ns := range []namespace{n.a, n.b} {
		dev, host := "d"+strconv.Itoa(i), strconv.Itoa(i+1)
		must(t, ns.Run("ip link set "+dev+" up"))
		must(t, ns.Run("ip addr add 10.94.0."+host+"/24 dev "+dev))
		must(t, ns.Run("ip addr add fd94::"+host+"/64 dev "+dev+" nodad"))
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// inside runs f in a thread that is in the namespace and ends with it.
func (ns namespace) inside(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		h, err := netns.GetFromName(string(ns.NetNS))
		if err == nil {
			err = netns.Set(h)
			h.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func (ns namespace) dial(network, addr string) (net.Conn, error) {
	return ns.Dial(context.Background(), network, addr)
}

func (ns namespace) listen(addr string) (l net.Listener, err error) {
	err = ns.inside(func() (err error) { l, err = net.Listen("tcp", addr); return err })
	return l, err
}

func (ns namespace) listenPacket(addr string) (p net.PacketConn, err error) {
	err = ns.inside(func() (err error) { p, err = net.ListenPacket("udp", addr); return err })
	return p, err
}

// tun makes a device, whose link is said to be of that type.
func (ns namespace) tun(t *testing.T, name string, flags uint16, link int) (f *os.File) {
	t.Helper()
	err := ns.inside(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		ifr, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		ifr.SetUint16(flags | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
			return err
		}
		f = os.NewFile(uintptr(fd), name) // not sooner: before it is a device it has an error
		if link == 0 {
			return nil
		}
		return unix.IoctlSetInt(fd, unix.TUNSETLINK, link)
	})
	if os.IsNotExist(err) {
		t.Skip("this kernel has no tun devices")
	}
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// forward is the wire, until one end is closed.
func forward(from, to *os.File) {
	b := make([]byte, 1<<16)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		_, _ = to.Write(b[:n]) // a device that is not up yet takes nothing
	}
}
