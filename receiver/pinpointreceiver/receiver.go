package pinpointreceiver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// pinpointReceiver owns the sources and the goroutine that hands batches on.
type pinpointReceiver struct {
	set  receiver.Settings
	cfg  *Config
	next consumer.Traces  // may be nil: metrics only
	meas consumer.Metrics // may be nil
	core *core
	gone func() // tells the factory that it ended; may be nil

	sniffer *sniffer
	memory  *memory
	forward *forwarder
	tel     *telemetry
	servers []*grpc.Server
	addrs   []net.Addr
	cancel  context.CancelFunc
	sources sync.WaitGroup
	sink    sync.WaitGroup
	begin   sync.Once
	stop    sync.Once
}

func newReceiver(set receiver.Settings, cfg *Config, next consumer.Traces) *pinpointReceiver {
	return &pinpointReceiver{set: set, cfg: cfg, next: next, core: newCore(cfg, set.BuildInfo.Version)}
}

// tickEvery is how often waiting spans are looked at.
const tickEvery = 100 * time.Millisecond

// initialWindow is what every collector of Pinpoint gives a stream.
const initialWindow = 1 << 20

// measure gives metrics to next.
func (r *pinpointReceiver) measure(next consumer.Metrics) {
	r.meas = next
	r.core.conv.Metrics = func(md pmetric.Metrics) { r.core.out <- batch{md: md} }
}

// Start opens the sources, once for all pipelines.
func (r *pinpointReceiver) Start(ctx context.Context, host component.Host) (err error) {
	r.begin.Do(func() { err = r.open(ctx, host) })
	return err
}

func (r *pinpointReceiver) open(ctx context.Context, host component.Host) error {
	// What is under way outlives the context of Start.
	run, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.sink.Go(r.consume)
	var err error
	if r.memory, err = openMemory(ctx, host, r.set.ID, r.cfg.Storage, r.core, r.set.Logger); err != nil {
		return errors.Join(err, r.Shutdown(ctx))
	}
	if r.memory != nil {
		r.sources.Go(func() { r.memory.run(run) })
	}
	if r.cfg.Forward.on() {
		if r.forward, err = newForwarder(ctx, &r.cfg.Forward, host, r.set.TelemetrySettings); err != nil {
			return errors.Join(err, r.Shutdown(ctx))
		}
	}
	if err := r.listen(ctx, host); err != nil {
		return errors.Join(err, r.Shutdown(ctx))
	}
	if r.cfg.Sniff.on() {
		s, err := newSniffer(&r.cfg.Sniff, r.core, r.set.Logger)
		if err != nil {
			return errors.Join(err, r.Shutdown(ctx))
		}
		r.sniffer = s
		s.start(run, &r.sources, func(err error) {
			r.set.Logger.Error("sniffing ended", zap.Error(err))
			componentstatus.ReportStatus(host, componentstatus.NewPermanentErrorEvent(err))
		})
	}
	if r.tel, err = newTelemetry(r.set.TelemetrySettings, r); err != nil {
		return errors.Join(err, r.Shutdown(ctx))
	}
	if len(r.servers) > 0 {
		r.sources.Go(func() {
			t := time.NewTicker(tickEvery)
			defer t.Stop()
			for {
				select {
				case <-run.Done():
					return
				case now := <-t.C:
					r.core.tick(now.UnixNano())
				}
			}
		})
	}
	return nil
}

// listen opens the endpoints for agents.
func (r *pinpointReceiver) listen(ctx context.Context, host component.Host) error {
	answer := &server{core: r.core, forward: r.forward}
	for _, cfg := range r.cfg.GRPC.servers() {
		srv, err := cfg.ToServer(ctx, host.GetExtensions(), r.set.TelemetrySettings,
			configgrpc.WithGrpcServerOption(grpc.ForceServerCodecV2(raw{})),
			configgrpc.WithGrpcServerOption(grpc.UnknownServiceHandler(answer.serve)),
			configgrpc.WithGrpcServerOption(grpc.InitialWindowSize(initialWindow)),
			configgrpc.WithGrpcServerOption(grpc.InitialConnWindowSize(initialWindow)))
		if err != nil {
			return fmt.Errorf("serve %s: %w", cfg.NetAddr.Endpoint, err)
		}
		lis, err := cfg.NetAddr.Listen(ctx)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", cfg.NetAddr.Endpoint, err)
		}
		r.servers, r.addrs = append(r.servers, srv), append(r.addrs, lis.Addr())
		r.sources.Go(func() {
			if err := srv.Serve(lis); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				r.set.Logger.Error("serving agents ended", zap.Error(err))
				componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(err))
			}
		})
	}
	return nil
}

// consume hands batches on, the last ones too.
func (r *pinpointReceiver) consume() {
	ctx := context.Background()
	for b := range r.core.out {
		switch {
		case b.spans == 0:
			n := uint64(b.md.DataPointCount())
			if err := r.meas.ConsumeMetrics(ctx, b.md); err != nil {
				r.core.pointsRefused.Add(n)
				r.set.Logger.Error("the next consumer refused metrics", zap.Error(err))
				continue
			}
			r.core.pointsOut.Add(n)
		case r.next != nil:
			if err := r.next.ConsumeTraces(ctx, b.td); err != nil {
				r.core.refused.Add(uint64(b.spans))
				r.set.Logger.Error("the next consumer refused spans", zap.Int("spans", b.spans), zap.Error(err))
				continue
			}
			r.core.emitted.Add(uint64(b.spans))
		}
	}
}

// stopWait is what calls under way are given to end; agents' streams never do.
const stopWait = 500 * time.Millisecond

// Shutdown closes the sources and hands on what there is.
func (r *pinpointReceiver) Shutdown(ctx context.Context) (err error) {
	r.stop.Do(func() {
		if r.gone != nil {
			r.gone()
		}
		if r.cancel == nil {
			return // never started
		}
		for _, s := range r.servers {
			done := make(chan struct{})
			go func() { s.GracefulStop(); close(done) }()
			select {
			case <-done:
			case <-time.After(stopWait):
				s.Stop()
				<-done
			}
		}
		err = r.forward.close()
		r.cancel()
		r.sources.Wait()
		r.core.close(time.Now().UnixNano())
		r.sink.Wait()
		err = errors.Join(err, r.memory.close(ctx))
		r.tel.shutdown()
	})
	return err
}
