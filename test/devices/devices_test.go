// Package devices captures the same exchanges on interfaces with an Ethernet
// header and without one, in every way that there is to capture, and wants the
// same spans.
package devices

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/internal/cause"
	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/protocols"
	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/span"
	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/internal/tap"
)

// kinds are devices by what the kernel says of their link. Those without an
// Ethernet header are tun devices that say so: what ipip, gre, sit and ppp
// devices show to a capture is the same, packets from the network header on, and
// these can be had on any kernel.
var kinds = []struct {
	name string
	tun  uint16 // IFF_TUN or IFF_TAP; 0: a veth
	link int    // ARPHRD_; 0: as it is
}{
	{"veth", 0, 0},
	{"tap", unix.IFF_TAP, 0},
	{"tun, wireguard (none)", unix.IFF_TUN, 0},
	{"ipip", unix.IFF_TUN, unix.ARPHRD_TUNNEL},
	{"gre", unix.IFF_TUN, unix.ARPHRD_IPGRE},
	{"sit", unix.IFF_TUN, unix.ARPHRD_SIT},
	{"ppp", unix.IFF_TUN, unix.ARPHRD_PPP},
	{"rawip", unix.IFF_TUN, unix.ARPHRD_RAWIP},
}

var modes = []struct {
	name string
	mode tap.Mode
}{{"afpacket", tap.ModeSockets}, {"tcx", tap.ModeTC}, {"clsact", tap.ModeClassic}}

// TestDevices: what spans say does not depend on the device, nor on the way of
// capture, and both ends of a device see one exchange under one key.
func TestDevices(t *testing.T) {
	var want []string
	for _, k := range kinds {
		n := connect(t, k.tun, k.link)
		for _, m := range modes {
			t.Run(k.name+"/"+m.name, func(t *testing.T) {
				got := n.capture(t, m.mode)
				if want == nil {
					want = got
					t.Logf("%d spans:\n%s", len(want), strings.Join(want, "\n"))
				}
				if !slices.Equal(got, want) {
					t.Errorf("spans differ from those of a veth:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			})
		}
	}
	if len(want) != 2*(2*requests+1) {
		t.Errorf("%d spans, want %d", len(want), 2*(2*requests+1))
	}
}

// requests are made over IPv4, and again over IPv6.
const requests = 6

// capture makes the exchanges, and gives what the spans of both ends say.
func (n *network) capture(t *testing.T, mode tap.Mode) (said []string) {
	s, err := tap.Open(tap.Config{Mode: mode, NetNS: []string{n.a.Path(), n.b.Path()}, Interfaces: []string{"d?"}, Filter: "port 80 or port 53"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, s.Rings())
	spans := make([][]string, s.Rings())
	for i := range s.Rings() {
		go func() {
			done <- s.Run(ctx, i, reader(s, func(line string) { spans[i] = append(spans[i], line) }), func(int64) {})
		}()
	}
	n.talk(t)
	time.Sleep(300 * time.Millisecond) // the last block is handed over
	stop()
	for range s.Rings() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if d := s.Stats.Dropped.Load(); d > 0 {
		t.Errorf("%d packets dropped", d)
	}
	// The key of an exchange, at the end of its line, is another one each time.
	keys := map[string]int{}
	for _, list := range spans {
		for _, line := range list {
			line, key, _ := strings.Cut(line, " key ")
			if said = append(said, line); key != "" {
				keys[key]++
			}
		}
	}
	for k, n := range keys {
		if n != 2 {
			t.Errorf("key %s: seen at %d ends", k, n)
		}
	}
	if len(keys)*2 != len(said) {
		t.Errorf("%d spans have %d keys", len(said), len(keys))
	}
	slices.Sort(said)
	return said
}

// reader takes frames through the stages to spans, and says what these say.
func reader(s *tap.Source, say func(string)) func(*packet.Frame) {
	var d packet.Decoder
	var seg packet.Segment
	b := span.New(span.Config{MaxSpans: 1, Lend: true}, func(td ptrace.Traces, _ int) { say(line(td)) })
	tr := cause.NewTracker(b.Put)
	var asm *stream.Assembler
	e := session.New(session.Config{Protocols: protocols.All(), Identified: func(c *stream.Conn, _ *l7.Protocol) { asm.Settle(c) }}, tr.Put)
	asm = stream.NewAssembler(stream.AssemblerConfig{Place: func(iface, sub uint32, way packet.Way) (hop.Point, string) {
		return s.Place(iface, sub, way)
	}}, e.Put)
	return func(f *packet.Frame) {
		if d.Decode(f, &seg) == packet.OK && s.Match(&seg) {
			asm.Put(&seg)
		}
	}
}

func line(td ptrace.Traces) string {
	sp := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	var out []string
	for _, k := range []string{"hopscope.capture.point", "network.interface.name", "network.type", "network.transport", "client.address",
		"server.address", "server.port", "network.protocol.name", "hopscope.request.bytes", "hopscope.response.bytes", "http.response.status_code"} {
		if v, ok := sp.Attributes().Get(k); ok {
			out = append(out, v.AsString())
		}
	}
	key := ""
	for _, k := range []string{"hopscope.exchange.xid", "hopscope.exchange.lid"} {
		if v, ok := sp.Attributes().Get(k); ok {
			key += v.Str()
		}
	}
	return sp.Name() + " " + strings.Join(out, " ") + " key " + key
}

// talk has a client in a ask a server in b.
func (n *network) talk(t *testing.T) {
	t.Helper()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header()["Date"] = nil
		w.Header().Set("Content-Length", strconv.Itoa(2*len(body)))
		if strings.HasSuffix(r.URL.Path, "5") {
			w.WriteHeader(404)
		}
		_, _ = w.Write(append(body, body...))
	})
	for _, server := range []string{"10.94.0.2:80", "[fd94::2]:80"} {
		if err := n.ask(server, h); err != nil {
			t.Fatal(err)
		}
	}
	n.resolve(t)
}

// ask makes the requests on one connection.
func (n *network) ask(server string, h http.Handler) error {
	l, err := n.b.listen(server)
	if err != nil {
		return err
	}
	defer l.Close()
	go http.Serve(l, h)
	c, err := n.a.dial("tcp", server)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(c)
	for i := range requests {
		body := strings.Repeat("x", i*900) // also more than a packet holds
		if _, err := fmt.Fprintf(c, "POST /n%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", i, len(body), body); err != nil {
			return err
		}
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return err
		}
	}
	return nil
}

// resolve is a question for the address of a.test, and its answer.
func (n *network) resolve(t *testing.T) {
	t.Helper()
	question := "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04test\x00\x00\x01\x00\x01"
	answer := "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question[12:] + "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x01\x02\x03"
	p, err := n.b.listenPacket("10.94.0.2:53")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	go func() {
		b := make([]byte, 512)
		if _, from, err := p.ReadFrom(b); err == nil {
			_, _ = p.WriteTo([]byte(answer), from)
		}
	}()
	c, err := n.a.dial("udp", "10.94.0.2:53")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte(question)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 512)); err != nil {
		t.Fatal(err)
	}
}
