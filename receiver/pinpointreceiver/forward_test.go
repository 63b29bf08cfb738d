package pinpointreceiver

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/corpus"
)

// refused as a command makes a collector that refuses every call.
const refused = "refused"

// other is a collector that messages are forwarded to.
type other struct {
	srv  *grpc.Server
	addr string
	mu   sync.Mutex
	// got are messages by method, heads the headers of its calls.
	got   map[string][]string
	heads map[string][]metadata.MD
	// refuse: every call fails.
	refuse bool
	// command is sent on every command stream; echoed holds the answers to it.
	command string
}

func newOther(t *testing.T, addr, command string) *other {
	o := &other{got: map[string][]string{}, heads: map[string][]metadata.MD{}, command: command, refuse: command == refused}
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	o.addr = lis.Addr().String()
	o.srv = grpc.NewServer(grpc.ForceServerCodecV2(raw{}), grpc.UnknownServiceHandler(o.serve))
	go o.srv.Serve(lis)
	t.Cleanup(o.srv.Stop)
	return o
}

func (o *other) serve(_ any, s grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(s)
	md, _ := metadata.FromIncomingContext(s.Context())
	o.mu.Lock()
	o.heads[method] = append(o.heads[method], md)
	refuse, command := o.refuse, []byte(o.command)
	o.mu.Unlock()
	if refuse {
		return status.Error(codes.Unimplemented, "an older collector")
	}
	for {
		var b []byte
		if err := s.RecvMsg(&b); err != nil {
			if errors.Is(err, io.EOF) {
				return s.SendMsg(&empty)
			}
			return err
		}
		o.mu.Lock()
		o.got[method] = append(o.got[method], string(b))
		o.mu.Unlock()
		switch {
		case strings.HasPrefix(method, "/v1.ProfilerCommandService/HandleCommand"):
			if err := s.SendMsg(&command); err != nil {
				return err
			}
		case method == "/v1.Log/Connect":
			b = []byte("demand")
			if err := s.SendMsg(&b); err != nil {
				return err
			}
		}
	}
}

func (o *other) count(method string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.got[method])
}

// eventually waits for what happens on another connection.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func forwarding(t *testing.T, addr string) (*pinpointReceiver, func() int) {
	to := map[string]any{"endpoint": addr, "tls": map[string]any{"insecure": true}}
	r, stop := run(t, config(t, map[string]any{
		"grpc":    map[string]any{"agent": map[string]any{"endpoint": "127.0.0.1:0"}},
		"forward": map[string]any{"agent": to, "stat": to, "span": to},
	}))
	return r, func() int { return len(stop()) }
}

// TestForward: the other collector gets every message that we get, byte for byte,
// with its headers; and so do we.
func TestForward(t *testing.T) {
	file := filepath.Join(corpus.Dir(t), "01-go-batch/capture.pcap")
	want := map[string]int{}
	corpus.Sniff(t, file, func(m *calls.Message) {
		if m.Client {
			want[m.Call.Path+" "+string(m.Body)]++
		}
	})
	o := newOther(t, "127.0.0.1:0", "")
	r, stop := forwarding(t, o.addr)
	send(t, r.addrs[0], file)
	total := 0
	for _, n := range want {
		total += n
	}
	eventually(t, "all messages at the other collector", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		n := 0
		for _, l := range o.got {
			n += len(l)
		}
		return n >= total
	})
	if n := stop(); n != 197 {
		t.Errorf("%d spans here, want 197", n)
	}
	for method, list := range o.got {
		for _, b := range list {
			want[method+" "+b]--
		}
	}
	for k, n := range want {
		if n != 0 {
			method, _, _ := strings.Cut(k, " ")
			t.Errorf("%s: %d messages missing", method, n)
		}
	}
	for method, heads := range o.heads {
		for _, md := range heads {
			if len(md.Get("agentid")) != 1 || len(md.Get("starttime")) != 1 || md.Get("applicationname")[0] == "" {
				t.Errorf("%s: headers %v", method, md)
			}
		}
	}
	for i := range services {
		s := &r.forward.to[i].stats
		if s.full.Load()+s.unavailable.Load()+s.refused.Load() > 0 || s.waiting.Load() != 0 {
			t.Errorf("%s: %d full, %d unavailable, %d refused, %d wait", i, s.full.Load(), s.unavailable.Load(), s.refused.Load(), s.waiting.Load())
		}
	}
}

// TestForwardFails: a collector that is away, or refuses, changes nothing for the
// agent or for us; what it did not get is counted.
func TestForwardFails(t *testing.T) {
	file := filepath.Join(corpus.Dir(t), "01-go-batch/capture.pcap")
	for name, broken := range map[string]func(t *testing.T) string{
		"away": func(t *testing.T) string {
			lis, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer lis.Close()
			return lis.Addr().String()
		},
		"silent": func(t *testing.T) string { // takes connections and says nothing
			lis, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { lis.Close() })
			return lis.Addr().String()
		},
		"refuses": func(t *testing.T) string {
			return newOther(t, "127.0.0.1:0", refused).addr
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, stop := forwarding(t, broken(t))
			began := time.Now()
			send(t, r.addrs[0], file)
			took := time.Since(began)
			if n := stop(); n != 197 {
				t.Errorf("%d spans here, want 197", n)
			}
			lost, waiting, bytes := uint64(0), int64(0), r.forward.bytes.Load()
			for i := range services {
				s := &r.forward.to[i].stats
				lost += s.full.Load() + s.unavailable.Load() + s.refused.Load()
				waiting += s.waiting.Load()
				if s.forwarded.Load() > 0 && name != "refuses" {
					t.Errorf("%d messages forwarded to nobody", s.forwarded.Load())
				}
			}
			if lost == 0 || waiting != 0 || bytes != 0 {
				t.Errorf("%d lost, %d still wait with %d bytes", lost, waiting, bytes)
			}
			if took > 10*time.Second {
				t.Errorf("the agent was kept for %s", took)
			}
		})
	}
}

// TestForwardReturns: a collector that is restarted gets what comes after that on
// streams that agents had opened before, and the agents' command streams.
func TestForwardReturns(t *testing.T) {
	o := newOther(t, "127.0.0.1:0", "do this")
	r, stop := forwarding(t, o.addr)
	defer stop()
	cc, err := grpc.NewClient(r.addrs[0].String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(t.Context(), metadata.Pairs("agentid", "a", "starttime", "1", "apikey", "k")), time.Minute)
	defer cancel()
	open := func(method string) grpc.ClientStream {
		s, err := cc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	say := func(s grpc.ClientStream, text string) {
		b := []byte(text)
		if err := s.SendMsg(&b); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(s grpc.ClientStream, want string) {
		t.Helper()
		var b []byte
		if err := s.RecvMsg(&b); err != nil || string(b) != want {
			t.Fatalf("%q, %v, want %q", b, err, want)
		}
	}
	spans, commands, ping := open(sendSpan), open(handleCommand), open(pingSession)
	say(spans, "one")
	say(commands, "hello")
	hear(commands, "do this")
	say(ping, "")
	hear(ping, "")
	eventually(t, "the first message", func() bool { return o.count(sendSpan) == 1 })
	o.mu.Lock()
	if k := o.heads[sendSpan][0].Get("apikey"); len(k) != 1 || k[0] != "k" {
		t.Errorf("the key that the other collector wants: %v", k)
	}
	o.mu.Unlock()
	o.srv.Stop()
	say(spans, "two") // lost, or kept
	o2 := newOther(t, o.addr, "do that")
	hear(commands, "do that") // after the hello was said again
	eventually(t, "messages after the restart", func() bool {
		say(spans, "more")
		return o2.count(sendSpan) > 0
	})
	// What we have no answer to, the other collector has.
	log := open("/v1.Log/Connect")
	say(log, "x")
	hear(log, "demand")
	log.CloseSend()
	o2.mu.Lock()
	defer o2.mu.Unlock()
	if len(o2.got[handleCommand]) != 1 || o2.got[handleCommand][0] != "hello" {
		t.Errorf("command stream began with %q", o2.got[handleCommand])
	}
}
