package protocols

import (
	"fmt"
	"os"
	"testing"

	"github.com/hopscope/hopscope/receiver/ebpfreceiver"
)

// TestZooKeeper: nodes made, read and deleted; a tenth of those read are not
// there.
func TestZooKeeper(t *testing.T) {
	needs(t, "java")
	if _, err := os.Stat(zookeeperJar); err != nil {
		t.Skipf("%v (Debian: zookeeper)", err)
	}
	s := zookeeper(t)
	c := watch(t, s.Port)
	said := client(t, "zookeeper", s.Addr(), 200)
	count{
		"zookeeper create /orders- ok":                   said["create"],
		"zookeeper getData /{id} ok":                     said["getData"],
		"zookeeper getData /missing NONODE client_error": said["getData failed"],
		"zookeeper delete /{id} ok":                      said["delete"],
	}.check(t, c)
}

// TestUnknown: a protocol that nobody knows is given up after a few looks, in the
// kernel too, and nothing is made up of it.
func TestUnknown(t *testing.T) {
	needs(t)
	port := peerServer(t, "own-server")
	c := watch(t, port)
	const frames, calls = 10_000, 4 * 10_000 // each frame and its answer, at both ends
	client(t, "own", fmt.Sprintf("127.0.0.1:%d", port), frames)
	c.Settle()
	received := c.Metric("received")["sockets"]
	t.Logf("%d calls, %d events from the kernel", calls, received)
	if received > calls/2 {
		t.Errorf("the kernel told %d events of %d calls: it was not asked to be quiet", received, calls)
	}
	count{"": 0}.check(t, c)
}

// TestForced: a protocol bound to a port is the only one that is looked for, and
// one kept off a process is not.
func TestForced(t *testing.T) {
	needs(t, "memcached")
	s := serve(t, "memcached", func(port int) []string {
		return []string{"-u", "root", "-l", "127.0.0.1", "-p", fmt.Sprint(port), "-U", "0"}
	})
	for name, protocols := range map[string]map[string]ebpfreceiver.ProtocolConfig{
		"another":  {"redis": {Enabled: true, Ports: []uint16{uint16(s.Port)}}},
		"port off": {"memcached": {Enabled: true, ExcludePorts: []uint16{uint16(s.Port)}}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := ebpfreceiver.NewFactory().CreateDefaultConfig().(*ebpfreceiver.Config)
			cfg.Protocols = protocols
			c := watchWith(t, cfg, key, s.Port)
			client(t, "memcached", s.Addr(), 20)
			count{"": 0}.check(t, c)
		})
	}
	t.Run("process off", func(t *testing.T) {
		cfg := ebpfreceiver.NewFactory().CreateDefaultConfig().(*ebpfreceiver.Config)
		cfg.Protocols = map[string]ebpfreceiver.ProtocolConfig{"memcached": {Enabled: true, ExcludeProcesses: []string{"peers"}}}
		c := watchWith(t, cfg, key, s.Port)
		said := client(t, "memcached", s.Addr(), 20)
		c.Settle()
		c.Stop()
		if n, m := c.Total("s-p memcached set"), c.Total("c-p"); n != said["set"] || m != 0 {
			t.Errorf("%d spans of the server, %d of the client; want %d and none\n%s", n, m, said["set"], c)
		}
	})
}
