package pinpointreceiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// forwarder passes on what agents send us to a real collector of Pinpoint, so
// that its users keep their view. Agents never wait for it, and never see its
// failures: they have their answers from us. What it asks of agents (commands)
// reaches them.
type forwarder struct {
	to       [services]*forwardTo // nil: not forwarded
	maxBytes int64
	bytes    atomic.Int64
	ctx      context.Context // of all calls
	cancel   context.CancelFunc
	mu       sync.Mutex
	closed   bool
	calls    sync.WaitGroup
}

// service is a port of Pinpoint's collector.
type service int

const (
	serviceAgent service = iota // agents, metadata, commands
	serviceStat
	serviceSpan
	services
)

func (s service) String() string { return [...]string{"agent", "stat", "span"}[s] }

func serviceOf(method string) service {
	switch {
	case strings.HasPrefix(method, "/v1.Span/"):
		return serviceSpan
	case strings.HasPrefix(method, "/v1.Stat/"):
		return serviceStat
	}
	return serviceAgent
}

// forwardTo is one endpoint of the other collector.
type forwardTo struct {
	cc    *grpc.ClientConn
	stats forwardStats
}

type forwardStats struct {
	forwarded, full, unavailable, refused atomic.Uint64
	waiting                               atomic.Int64
}

// Limits and patience.
const (
	// maxQueue is how many messages of one call wait.
	maxQueue = 1024
	// unaryWait is how long a call waits for the other collector: agents say what
	// things are called once in their life.
	unaryWait = 60 * time.Second
	// reopenMin to reopenMax is what lies between two tries to open a stream.
	reopenMin = 500 * time.Millisecond
	reopenMax = 30 * time.Second
	// drainWait is what a call that has ended is given to send what waits.
	drainWait = 5 * time.Second
)

func newForwarder(ctx context.Context, cfg *ForwardConfig, host component.Host, set component.TelemetrySettings) (*forwarder, error) {
	run, cancel := context.WithCancel(context.Background())
	f := &forwarder{maxBytes: int64(cfg.QueueBytes), ctx: run, cancel: cancel}
	for i, c := range cfg.clients() {
		if c == nil {
			continue
		}
		cc, err := c.ToClientConn(ctx, host.GetExtensions(), set, configgrpc.WithGrpcDialOption(grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{}))))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("forward::%s: %w", service(i), err), f.close())
		}
		f.to[i] = &forwardTo{cc: cc}
	}
	return f, nil
}

// close ends all calls, after a moment for what is under way.
func (f *forwarder) close() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	done := make(chan struct{})
	go func() { f.calls.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(stopWait):
	}
	f.cancel()
	<-done
	var errs []error
	for _, to := range f.to {
		if to != nil {
			errs = append(errs, to.cc.Close())
		}
	}
	return errors.Join(errs...)
}

// run runs one call, unless everything is over. It reports whether it does.
func (f *forwarder) run(call func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.calls.Go(call)
	return true
}

// relay is one call that goes on to the other collector.
type relay struct {
	f      *forwarder
	to     *forwardTo
	method string
	md     metadata.MD
	unary  bool
	queue  chan []byte
	// down takes what the other collector sends, until the agent is gone; nil:
	// nobody wants it.
	down  func([]byte) error
	mu    sync.Mutex
	ended bool
}

// relay begins to forward the call of s. Both f and what it returns may be nil.
func (f *forwarder) relay(s grpc.ServerStream, method string, unary bool, down func([]byte) error) *relay {
	if f == nil || f.to[serviceOf(method)] == nil {
		return nil
	}
	r := &relay{f: f, to: f.to[serviceOf(method)], method: method, md: forwarded(s.Context()), unary: unary, down: down, queue: make(chan []byte, queueLength(unary))}
	if !f.run(r.run) {
		return nil
	}
	return r
}

func queueLength(unary bool) int {
	if unary {
		return 1
	}
	return maxQueue
}

// forwarded are the headers of a call as they go on: all but those of the
// connection. The API key is for the other collector too.
func forwarded(ctx context.Context) metadata.MD {
	in, _ := metadata.FromIncomingContext(ctx)
	out := metadata.MD{}
	for k, v := range in {
		switch {
		case strings.HasPrefix(k, ":"), strings.HasPrefix(k, "grpc-"), k == "content-type", k == "user-agent", k == "te":
		default:
			out[k] = v
		}
	}
	return out
}

// put passes a message on, or drops it: it never waits.
func (r *relay) put(b []byte) {
	if r == nil {
		return
	}
	if r.f.bytes.Add(int64(len(b))) > r.f.maxBytes {
		r.f.bytes.Add(-int64(len(b)))
		r.to.stats.full.Add(1)
		return
	}
	r.to.stats.waiting.Add(1)
	select {
	case r.queue <- b:
	default:
		r.gone(b)
		r.to.stats.full.Add(1)
	}
}

// end says that the agent has no more. Nothing is sent to it after that.
func (r *relay) end() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	close(r.queue)
}

// command gives the agent what the other collector sent.
func (r *relay) command(b []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return io.EOF
	}
	return r.down(b)
}

// gone takes a message out of the count of those that wait.
func (r *relay) gone(b []byte) {
	r.f.bytes.Add(-int64(len(b)))
	r.to.stats.waiting.Add(-1)
}

// sent counts what became of a message.
func (r *relay) sent(b []byte, err error) {
	r.gone(b)
	switch c := status.Code(err); {
	case err == nil:
		r.to.stats.forwarded.Add(1)
	case errors.Is(err, io.EOF), c == codes.Unavailable, c == codes.DeadlineExceeded, c == codes.Canceled:
		r.to.stats.unavailable.Add(1)
	default:
		r.to.stats.refused.Add(1)
	}
}

func (r *relay) run() {
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(r.f.ctx, r.md))
	defer cancel()
	if r.unary {
		b, ok := <-r.queue
		if !ok {
			return
		}
		r.sent(b, r.invoke(ctx, b))
		return
	}
	r.stream(ctx, cancel)
	for { // what is left when everything ends
		select {
		case b, ok := <-r.queue:
			if !ok {
				return
			}
			r.sent(b, context.Canceled)
		default:
			return
		}
	}
}

// invoke makes a call, again if the connection breaks meanwhile.
func (r *relay) invoke(ctx context.Context, b []byte) (err error) {
	ctx, cancel := context.WithTimeout(ctx, unaryWait)
	defer cancel()
	for wait := reopenMin; ; wait = min(2*wait, reopenMax) {
		var answer []byte
		if err = r.to.cc.Invoke(ctx, r.method, &b, &answer, grpc.WaitForReady(true)); status.Code(err) != codes.Unavailable || !pause(ctx, wait) {
			return err
		}
	}
}

// pause reports whether the time has passed before ctx was over.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// stream keeps a stream open as long as the agent does: it is opened anew when
// the other collector ends it, with the first message of those that begin with
// one that says who speaks.
func (r *relay) stream(ctx context.Context, cancel func()) {
	var hello []byte
	wait := reopenMin
	for ctx.Err() == nil {
		began := time.Now()
		done := r.session(ctx, cancel, &hello)
		if done {
			return
		}
		if time.Since(began) > reopenMax {
			wait = reopenMin
		}
		if !pause(ctx, wait) {
			return
		}
		wait = min(2*wait, reopenMax)
	}
}

// session is one opening of the stream. It reports whether the agent is done.
func (r *relay) session(ctx context.Context, cancel func(), hello *[]byte) (done bool) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	s, err := r.to.cc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, r.method, grpc.WaitForReady(true))
	if err != nil {
		return false
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			var b []byte
			if s.RecvMsg(&b) != nil {
				return
			}
			if r.down != nil && r.command(b) != nil {
				return
			}
		}
	}()
	defer func() { end(); <-over }()
	if *hello != nil && s.SendMsg(hello) != nil {
		return false
	}
	for {
		select {
		case <-over:
			return false
		case b, ok := <-r.queue:
			if !ok {
				_ = s.CloseSend()
				select {
				case <-over:
				case <-time.After(drainWait):
				case <-ctx.Done():
				}
				return true
			}
			err := s.SendMsg(&b)
			r.sent(b, err)
			if err != nil {
				return false
			}
			if *hello == nil && (r.method == handleCommand || r.method == handleCommandV2) {
				*hello = b
			}
		case <-ctx.Done():
			return true
		}
	}
}

// proxy passes a call on that only the other collector can answer.
func (f *forwarder) proxy(s grpc.ServerStream, method string) error {
	to := f.to[serviceOf(method)]
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(s.Context(), forwarded(s.Context())))
	defer cancel()
	up, err := to.cc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return err
	}
	go func() {
		for {
			var b []byte
			err := s.RecvMsg(&b)
			if errors.Is(err, io.EOF) {
				_ = up.CloseSend()
				return
			}
			if err != nil || up.SendMsg(&b) != nil {
				cancel()
				return
			}
			to.stats.forwarded.Add(1)
		}
	}()
	for {
		var b []byte
		switch err := up.RecvMsg(&b); {
		case errors.Is(err, io.EOF):
			s.SetTrailer(up.Trailer())
			return nil
		case err != nil:
			return err
		}
		if err := s.SendMsg(&b); err != nil {
			return err
		}
	}
}
