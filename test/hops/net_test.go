package hops

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The network: client ─ c0 r0 ─ router ─ r1 s0 ─ server. The router translates
// both addresses: what the client calls 10.91.1.1:80 is 10.91.2.2:8080, and the
// server sees the router's address.
type network struct{ client, router, server string }

const (
	front = "10.91.1.1:80"
	back  = "10.91.2.2:8080"
)

func run(t *testing.T, line string) {
	t.Helper()
	w := strings.Fields(line)
	if out, err := exec.Command(w[0], w[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}

// build makes the namespaces; they go with the test.
func build(t *testing.T) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: network namespaces cannot be made")
	}
	for _, p := range []string{"ip", "iptables", "ethtool"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
	id := strconv.Itoa(os.Getpid())
	n := &network{"hops-c-" + id, "hops-r-" + id, "hops-s-" + id}
	for _, ns := range []string{n.client, n.router, n.server} {
		run(t, "ip netns add "+ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
		run(t, "ip -n "+ns+" link set lo up")
	}
	for _, l := range [][5]string{{n.client, "c0", n.router, "r0", "1"}, {n.server, "s0", n.router, "r1", "2"}} {
		run(t, "ip -n "+l[0]+" link add "+l[1]+" type veth peer name "+l[3]+" netns "+l[2])
		run(t, "ip -n "+l[0]+" addr add 10.91."+l[4]+".2/24 dev "+l[1])
		run(t, "ip -n "+l[2]+" addr add 10.91."+l[4]+".1/24 dev "+l[3])
		run(t, "ip -n "+l[0]+" link set "+l[1]+" up")
		run(t, "ip -n "+l[2]+" link set "+l[3]+" up")
		run(t, "ip -n "+l[0]+" route add default via 10.91."+l[4]+".1")
	}
	in := "ip netns exec " + n.router + " "
	run(t, in+"sysctl -qw net.ipv4.ip_forward=1")
	run(t, in+"iptables -t nat -A PREROUTING -i r0 -p tcp --dport 80 -j DNAT --to-destination "+back)
	run(t, in+"iptables -t nat -A POSTROUTING -o r1 -j MASQUERADE")
	return n
}

func (n *network) each(t *testing.T, format string) {
	for _, l := range [][2]string{{n.client, "c0"}, {n.router, "r0"}, {n.router, "r1"}, {n.server, "s0"}} {
		run(t, "ip netns exec "+l[0]+" "+fmt.Sprintf(format, l[1]))
	}
}

// lose has the router drop 10 % of the packets of either direction, between its
// two interfaces.
func (n *network) lose(t *testing.T) {
	run(t, "ip netns exec "+n.router+" iptables -A FORWARD -m statistic --mode random --probability 0.1 -j DROP")
}

// helper starts this test's binary in another role, in a namespace.
func helper(t *testing.T, ns string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("ip", "netns", "exec", ns, self)
	c.Env = append(os.Environ(), "HOPS_ROLE="+strings.Join(args, " "))
	return c
}

// TestMain is also the client and the server: they must be other processes than
// the receiver, which never captures its own.
func TestMain(m *testing.M) {
	role := strings.Fields(os.Getenv("HOPS_ROLE"))
	if len(role) == 0 {
		os.Exit(m.Run())
	}
	var err error
	switch role[0] {
	case "server":
		err = serve()
	case "client":
		n, _ := strconv.Atoi(role[3])
		err = ask(role[1], role[2], n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role[0], err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve answers with some kilobytes, until standard input is closed.
func serve() error {
	l, err := net.Listen("tcp", back)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	body := strings.Repeat("0123456789abcdef", 180)
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, body)
	}))
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// ask makes n requests on one connection. How: plain, pipelined by five, or each
// written in three pieces.
func ask(tag, how string, n int) error {
	c, err := net.DialTimeout("tcp", front, 30*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	in := bufio.NewReader(c)
	batch := 1
	if how == "pipelined" {
		batch = 5
	}
	for i := 0; i < n; i += batch {
		text := ""
		for k := range batch {
			body := strings.Repeat("x", 100*((i+k)%9))
			text += fmt.Sprintf("POST /%s/%s/n%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", tag, how, i+k, len(body), body)
		}
		if how == "split" {
			third := len(text) / 3
			for _, part := range []string{text[:third], text[third : 2*third], text[2*third:]} {
				if _, err := io.WriteString(c, part); err != nil {
					return err
				}
				time.Sleep(2 * time.Millisecond)
			}
		} else if _, err := io.WriteString(c, text); err != nil {
			return err
		}
		for range batch {
			r, err := http.ReadResponse(in, nil)
			if err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return err
			}
		}
	}
	return nil
}
