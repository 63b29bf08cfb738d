package protocols

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/receiver/ebpfreceiver"
	"github.com/hopscope/hopscope/test/tally"
)

// TestNATS: publishing, delivery, questions with and without somebody to answer.
func TestNATS(t *testing.T) {
	needs(t, "nats-server")
	s := serve(t, "nats-server", func(port int) []string { return []string{"-a", "127.0.0.1", "-p", fmt.Sprint(port)} })
	c := watch(t, s.Port)
	said := client(t, "nats", s.Addr(), 300)
	count{
		"nats HPUB orders.new":                    said["publish"],
		"nats HMSG orders.new":                    said["deliver"],
		"nats PUB orders.ask ok":                  said["request"],
		"nats MSG orders.ask":                     said["request"],
		"nats PUB _INBOX":                         said["request"],
		"nats PUB orders.nobody 503 server_error": said["request failed"],
	}.check(t, c)
}

// TestBurst: with what is kept of a call by default, the first one that moves
// hundreds of messages is read in part; then more is asked for, of the next
// connection to that server, too.
func TestBurst(t *testing.T) {
	needs(t, "nats-server")
	s := serve(t, "nats-server", func(port int) []string { return []string{"-a", "127.0.0.1", "-p", fmt.Sprint(port)} })
	cfg := ebpfreceiver.NewFactory().CreateDefaultConfig().(*ebpfreceiver.Config)
	tally.Roomy(cfg)
	cfg.Sockets.Include.Ports = []uint16{uint16(s.Port)}
	c := tally.Count(t, key, func(to *ebpfreceiver.Config) { *to = *cfg })
	said := client(t, "nats-burst", s.Addr(), 300)
	c.Settle()
	lost := c.Lost()
	c.Stop()
	t.Logf("spans:\n%slost: %v", c, lost)
	// The server reads in pieces that grow: what is too much for it may be the
	// second time.
	for _, place := range []string{"c-p", "s-p"} {
		for _, subject := range []string{"third", "fourth", "next"} {
			if n := c.Total(place + " nats PUB " + subject); n != said[subject] {
				t.Errorf("%s: %d spans of %q, want %d", place, n, subject, said[subject])
			}
		}
	}
	if n := c.Total("c-p nats PUB first"); n == said["first"] {
		t.Error("all of the first call was kept: this test shows nothing")
	}
}

// TestKafka: as many requests of each kind as the client library had answers to.
func TestKafka(t *testing.T) {
	needs(t)
	port := peerServer(t, "kafka-server")
	c := watch(t, port)
	said := client(t, "kafka", fmt.Sprintf("127.0.0.1:%d", port), 200)
	count{
		"kafka Produce orders 0 ok":                said["Produce"] - said["Produce failed"],
		"kafka Produce 100 server_error":           said["Produce failed"],
		"kafka Fetch 0 ok|kafka Fetch orders 0 ok": said["Fetch"], // with and without news
		"kafka ApiVersions 0 ok":                   said["ApiVersions"],
		"kafka Metadata orders 0 ok":               said["Metadata"],
		"kafka ListOffsets orders 0 ok":            said["ListOffsets"],
	}.check(t, c)
}

// TestMQTT: three qualities of service, and publishing where one may not.
func TestMQTT(t *testing.T) {
	needs(t, "mosquitto", "mosquitto_pub")
	const refused = 30
	dir := t.TempDir()
	acl := file(t, dir, "acl", "topic readwrite orders/#\n")
	s := serve(t, "mosquitto", func(port int) []string {
		return []string{"-c", file(t, dir, "mosquitto.conf", fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nacl_file %s\nuser root\n", port, acl))}
	})
	c := watch(t, s.Port)
	said := client(t, "mqtt", s.Addr(), 300)
	pub := exec.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", fmt.Sprint(s.Port), "-V", "5", "-q", "1", "-t", "secret/x", "-l")
	pub.Stdin = strings.NewReader(strings.Repeat("not for you\n", refused))
	if out, err := pub.CombinedOutput(); err != nil && !strings.Contains(string(out), "Not authorized") {
		t.Fatalf("mosquitto_pub: %v\n%s", err, out)
	}
	count{
		"mqtt CONNECT 0 ok":       said["connect"] + 1,
		"mqtt SUBSCRIBE orders/#": said["subscribe"],
		// Nothing answers quality 0, on its way in or out.
		"mqtt PUBLISH orders/new unknown":        2 * said["publish 0"],
		"mqtt PUBLISH orders/new 0 ok":           2 * (said["publish 1"] + said["publish 2"]),
		"mqtt PUBLISH orders/new":                said["publish 0"] + said["publish 1"] + said["publish 2"] + said["deliver"],
		"mqtt PUBLISH secret/x 135 client_error": refused,
	}.check(t, c)
}

// TestAMQP: publishing with confirms, delivery with acknowledgements, a queue
// that is empty, and an exchange that is not there.
func TestAMQP(t *testing.T) {
	needs(t, "/usr/lib/rabbitmq/bin/rabbitmq-server", "epmd")
	s := rabbitmq(t)
	c := watch(t, s.Port)
	said := client(t, "amqp", s.Addr(), 300)
	count{
		"amqp basic.publish orders basic.ack ok":   said["publish"],
		"amqp basic.deliver orders unknown":        said["deliver"],
		"amqp basic.ack unknown":                   said["ack"],
		"amqp basic.get orders basic.get-empty ok": said["get empty"],
		"amqp basic.publish nowhere unknown":       said["publish failed"],
		"amqp channel.close 404 client_error":      said["publish failed"],
	}.check(t, c)
}
