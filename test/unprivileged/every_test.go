package unprivileged

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/l7test"
	"github.com/hopscope/hopscope/internal/l7/protocols"
)

// The servers of TestEveryProtocol: the protocol of that number in the list has
// an address of its own.
const (
	servers = "10.95.1."
	client  = "10.95.0.1"
)

// said is one case of a protocol's examination, as one connection.
type said struct {
	name           string
	udp            bool
	client, server netip.AddrPort
	chunks         []l7test.Chunk
}

// all are the cases of a protocol; those that begin in the middle of a connection
// cannot be had from a real one.
func all(t *testing.T, number int, p *l7.Protocol, first uint16) (list []said) {
	t.Helper()
	dir := folder(t, p)
	cases, err := l7test.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if c.Midstream {
			continue
		}
		port := c.Port
		if port == 0 && len(p.Ports) > 0 {
			port = p.Ports[0]
		}
		if port == 0 {
			port = 7000
		}
		list = append(list, said{name: p.Name + "/" + c.Name, udp: c.UDP, chunks: c.Chunks,
			client: netip.AddrPortFrom(netip.MustParseAddr(client), first+uint16(len(list))),
			server: netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprint(servers, number)), port)})
	}
	return list
}

// folder is where the cases of p lie: in the folder of its package, whose name is
// that of the protocol, or nearly so.
func folder(t *testing.T, p *l7.Protocol) string {
	t.Helper()
	const under = "../../internal/l7/"
	for _, n := range []string{p.Name, strings.NewReplacer("_", "", "-", "", ".", "").Replace(p.Name), elsewhere[p.Name]} {
		if n == "" {
			continue
		}
		if files, _ := filepath.Glob(under + n + "/testdata/*.txt"); len(files) > 0 {
			return under + n + "/testdata"
		}
	}
	t.Fatalf("%s: its cases are not found: name its folder", p.Name)
	return ""
}

// elsewhere are the folders with other names.
var elsewhere = map[string]string{"http": "http1"}

// TestEveryProtocol: real connections that say what the cases of every protocol
// say give a user with CAP_NET_RAW alone the spans, with the ids in band, that
// the same bytes give as a file.
func TestEveryProtocol(t *testing.T) {
	able(t)
	var cases []said
	list := protocols.All()
	for i, p := range list {
		cases = append(cases, all(t, i+1, p, uint16(40000+len(cases)))...)
	}
	file := filepath.Join(t.TempDir(), "cases.pcap")
	if err := write(file, cases); err != nil {
		t.Fatal(err)
	}
	want := fromFiles(t, []string{file})

	a, b := pair(t)
	sh(t, "ip -n "+a+" addr add "+client+"/16 dev v0")
	for i := range list {
		sh(t, "ip -n "+b+" addr add "+fmt.Sprint(servers, i+1)+"/16 dev v1")
	}
	got := asUser(t, b, func() {
		for _, c := range cases {
			if err := c.speak(a, b); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
	})
	keys := maps.Clone(want)
	maps.Copy(keys, got)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if got[k] != want[k] {
			t.Errorf("%s: %d with CAP_NET_RAW, %d from a file", k, got[k], want[k])
		}
	}
	spans, ids := 0, 0
	for i, p := range list {
		at, n := fmt.Sprint(" at ", servers, i+1), 0
		for k, v := range got {
			if strings.HasSuffix(k, at) && k != "ids"+at {
				n += v
			}
		}
		if n == 0 {
			t.Errorf("%s: no span", p.Name)
		}
		t.Logf("%-12s %3d spans, %2d with ids in band", p.Name, n, got["ids"+at])
		spans, ids = spans+n, ids+got["ids"+at]
	}
	if ids == 0 {
		t.Error("no ids in band")
	}
	t.Logf("%d spans, %d with ids, of %d connections in %d protocols", spans, ids, len(cases), len(list))
}

// speak is the connection, from a to b, each end waiting until it has heard what
// the other one said.
func (c *said) speak(a, b string) error {
	if c.udp {
		return c.datagrams(a, b)
	}
	var l net.Listener
	err := inside(b, func() (err error) { l, err = net.Listen("tcp", c.server.String()); return err })
	if err != nil {
		return err
	}
	defer l.Close()
	ends := [2]net.Conn{}
	err = inside(a, func() (err error) {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(c.client), Timeout: 10 * time.Second}
		ends[l7.Client], err = d.Dial("tcp", c.server.String())
		return err
	})
	if err != nil {
		return err
	}
	defer ends[l7.Client].Close()
	if ends[l7.Server], err = l.Accept(); err != nil {
		return err
	}
	defer ends[l7.Server].Close()
	for _, e := range ends {
		_ = e.SetDeadline(time.Now().Add(20 * time.Second))
	}
	for _, ch := range c.chunks {
		done := make(chan error, 1)
		go func() {
			_, err := ends[ch.Side].Write(ch.B)
			done <- err
		}()
		if _, err := io.CopyN(io.Discard, ends[ch.Side.Other()], int64(len(ch.B))); err != nil {
			return err
		}
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

func (c *said) datagrams(a, b string) error {
	var ends [2]*net.UDPConn
	x, z := net.UDPAddrFromAddrPort(c.client), net.UDPAddrFromAddrPort(c.server)
	if err := inside(a, func() (err error) { ends[l7.Client], err = net.DialUDP("udp", x, z); return err }); err != nil {
		return err
	}
	defer ends[l7.Client].Close()
	if err := inside(b, func() (err error) { ends[l7.Server], err = net.DialUDP("udp", z, x); return err }); err != nil {
		return err
	}
	defer ends[l7.Server].Close()
	buf := make([]byte, 1<<16)
	for _, ch := range c.chunks {
		if _, err := ends[ch.Side].Write(ch.B); err != nil {
			return err
		}
		to := ends[ch.Side.Other()]
		_ = to.SetDeadline(time.Now().Add(10 * time.Second))
		if n, err := to.Read(buf); err != nil || n != len(ch.B) {
			return fmt.Errorf("%d bytes of %d arrive: %w", n, len(ch.B), err)
		}
	}
	return nil
}

// inside runs f in a thread that is in the namespace and ends with it.
func inside(ns string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		h, err := netns.GetFromName(ns)
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
