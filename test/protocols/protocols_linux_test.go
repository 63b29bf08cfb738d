// Package protocols counts the exchanges of real servers and clients, at both
// ends and on the wire, and wants as many as the client says there were.
package protocols

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/receiver/ebpfreceiver"
	"github.com/hopscope/hopscope/test/rig"
	"github.com/hopscope/hopscope/test/tally"
)

// places are where each exchange is seen: the client's process, the wire, the
// server's process.
var places = []string{"c-p", "local", "s-p"}

// watch counts what is said to and by the servers on these ports, on sockets and
// as packets: "c-p http GET 200 ok".
func watch(t *testing.T, ports ...int) *tally.Tally {
	t.Helper()
	return watchWith(t, nil, key, ports...)
}

// watchWith is watch with a configuration, nil for the default, and a key.
func watchWith(t *testing.T, cfg *ebpfreceiver.Config, key func(ptrace.Span) string, ports ...int) *tally.Tally {
	t.Helper()
	return tally.Count(t, key, watched(cfg, ports...))
}

// watched captures what is said on these ports, at both ends and on the wire.
func watched(cfg *ebpfreceiver.Config, ports ...int) func(*ebpfreceiver.Config) {
	return func(c *ebpfreceiver.Config) {
		if cfg != nil {
			*c = *cfg
		}
		tally.Roomy(c)
		c.Sockets.RingSize = 32 << 20 // several tests at once
		var filter []string
		for _, p := range ports {
			c.Sockets.Include.Ports = append(c.Sockets.Include.Ports, uint16(p))
			filter = append(filter, fmt.Sprintf("tcp port %d", p))
		}
		// One call of a busy connection moves many messages; the default sees the
		// first 4 KiB of it.
		c.Sockets.MaxCapture = 16 << 10
		c.Packets.Mode = "afpacket"
		c.Packets.Interfaces = []string{"lo"}
		c.Packets.RingSize = 64 << 20
		c.Packets.Filter = strings.Join(filter, " or ")
		c.Packets.Kinds = []ebpfreceiver.KindConfig{{Match: "lo", Kind: "local"}}
	}
}

func key(s ptrace.Span) string {
	k := tally.Attr(s, "hopscope.capture.point") + " " + tally.Attr(s, "network.protocol.name") + " " + s.Name()
	if sent, got := tally.Attr(s, "hopscope.rpc.request.messages"), tally.Attr(s, "hopscope.rpc.response.messages"); sent != "-" {
		k += " " + sent + "/" + got
	}
	for _, code := range []string{"http.response.status_code", "rpc.response.status_code", "db.response.status_code", "hopscope.response.code", "hopscope.response.status"} {
		if v := tally.Attr(s, code); v != "-" {
			k += " " + v
		}
	}
	return k
}

// count is what a client or the server's log says: how many spans of which key,
// without the place. A key may be several, with "|" between them.
type count map[string]int

// check wants at each place exactly the spans of want, and of each key that
// begins with one of only's, no others.
func (want count) check(t *testing.T, c *tally.Tally) {
	t.Helper()
	c.Settle()
	lost := c.Lost()
	c.Stop()
	t.Logf("spans:\n%slost: %v", c, lost)
	for _, place := range places {
		for key, n := range want {
			got := 0
			for alternative := range strings.SplitSeq(key, "|") {
				got += c.Total(place + " " + alternative)
			}
			if got != n {
				t.Errorf("%s %s: %d spans, want %d", place, key, got, n)
			}
		}
	}
}

// needs skips the test where it cannot be run. Tests mostly wait, each for
// servers of its own: several run at once.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("not root: BPF programs cannot be loaded")
	}
	if err := rig.Missing(programs...); err != nil {
		t.Skipf("%v (scripts/deps.sh test installs what is cheap)", err)
	}
}

// peers is the program of the clients, built once.
var peers = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "peers")
	out, err := exec.Command("go", "build", "-C", "peers", "-o", name, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the clients: %w\n%s", err, out)
	}
	return name, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if name, err := peers(); err == nil {
		_ = os.RemoveAll(filepath.Dir(name))
	}
	os.Exit(code)
}

func program(t *testing.T) string {
	t.Helper()
	name, err := peers()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// client runs a client, and gives what it says.
func client(t *testing.T, name, addr string, n int) (said count) {
	t.Helper()
	out, err := exec.Command(program(t), name, addr, fmt.Sprint(n)).Output()
	if err != nil {
		var e *exec.ExitError
		text := ""
		if ok := asExit(err, &e); ok {
			text = string(e.Stderr)
		}
		t.Fatalf("client: %v\n%s", err, text)
	}
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatalf("client: %v\n%s", err, out)
	}
	t.Logf("the client says %v", said)
	return said
}

func asExit(err error, e **exec.ExitError) bool { return errors.As(err, e) }
