package owner

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestFind: a connection between two ends of this process, both of which it has.
func TestFind(t *testing.T) {
	if _, err := os.Stat("/proc/self/net/tcp"); err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	c, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	local, remote := c.LocalAddr().(*net.TCPAddr).AddrPort(), c.RemoteAddr().(*net.TCPAddr).AddrPort()
	a, err := Find("/proc", local, remote)
	if err != nil || a.PID != os.Getpid() {
		t.Fatalf("%+v, %v", a, err)
	}
	if age := time.Since(time.UnixMilli(a.Started)); age < -2*time.Second || age > time.Hour {
		t.Errorf("started %s ago", age)
	}
	found := false
	for _, p := range a.Peers {
		found = found || p == remote
		if p == local {
			t.Error("the connection itself is among the others")
		}
	}
	if !found {
		t.Errorf("%s is not among %v", remote, a.Peers)
	}
	if _, err := Find("/proc", local, netip.MustParseAddrPort("192.0.2.1:9")); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
}

// TestAgent: names from a command line and an environment, and nothing else.
func TestAgent(t *testing.T) {
	proc := t.TempDir()
	dir := filepath.Join(proc, "42")
	for name, text := range map[string]string{
		"cmdline": "java\x00-javaagent:pp.jar\x00-Dpinpoint.agentId=a-1\x00-Dpinpoint.applicationName=shop\x00-Dpassword=secret\x00",
		"environ": "HOME=/\x00PINPOINT_AGENT_ID=other\x00PINPOINT_AGENT_NAME=first shop\x00",
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if a := agent(proc, 42, nil, ""); a.AgentID != "a-1" || a.Application != "shop" || a.AgentName != "first shop" || a.PID != 42 {
		t.Errorf("%+v", a)
	}
	if a := agent(proc, 43, nil, ""); a.AgentID != "" || a.Application != "" {
		t.Errorf("%+v", a)
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"0100007F:2703":                         "127.0.0.1:9987",
		"00000000000000000000000001000000:0050": "[::1]:80",
		"0000000000000000FFFF00000100007F:0050": "127.0.0.1:80",
	} {
		if a, ok := address(in); !ok || a.String() != want {
			t.Errorf("%s: %s, want %s", in, a, want)
		}
	}
	for _, bad := range []string{"", "x:1", "0100007F", "010000:1", "0100007F:11111"} {
		if a, ok := address(bad); ok {
			t.Errorf("%q: %s", bad, a)
		}
	}
}
