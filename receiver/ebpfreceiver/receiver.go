package ebpfreceiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"

	"github.com/hopscope/hopscope/internal/event"
	"github.com/hopscope/hopscope/internal/kernel"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/protocols"
	"github.com/hopscope/hopscope/internal/tap"
	"github.com/hopscope/hopscope/internal/who"
)

// capture is what the receiver needs of kernel.Capture; tests have one that
// plays recordings.
type capture interface {
	// Run gives raw records, borrowed, until ctx is over. It calls idle after
	// records, when there are no more for now.
	Run(ctx context.Context, put func(raw []byte), idle func()) error
	Mute(sock uint64)
	Announce(sock uint64)
	Raise(sock uint64)
	// Burst captures more of each call on this socket: they move many messages.
	Burst(sock uint64)
	// Count asks for records of what was counted of every connection.
	Count() error
	Hooks() []kernel.Hook
	Stats() kernel.Stats
	Close() error
}

func startCapture(c kernel.Config) (capture, error) {
	k, err := kernel.Start(c)
	if err != nil {
		return nil, err
	}
	return k, nil
}

// ebpfReceiver owns the goroutines: one that reads the ring, the clock, the one
// that hands batches on, and the workers if there are several.
type ebpfReceiver struct {
	set  receiver.Settings
	cfg  *Config
	next consumer.Traces // nil: nobody wants spans
	// logs and metrics want flow records; either may be nil.
	logs    consumer.Logs
	metrics consumer.Metrics
	gone    func() // tells the factory; may be nil
	began   sync.Once
	failed  error
	start   func(kernel.Config) (capture, error)
	known   []*l7.Protocol

	pipeline  *pipeline
	telemetry *telemetry
	capture   capture
	record    *recorder
	cancel    context.CancelFunc
	readers   sync.WaitGroup
	clock     sync.WaitGroup
	stop      sync.Once
	headroom  *headroom
}

func newReceiver(set receiver.Settings, cfg *Config, next consumer.Traces, start func(kernel.Config) (capture, error)) (*ebpfReceiver, error) {
	if next == nil {
		return nil, errors.New("no next consumer")
	}
	return &ebpfReceiver{set: set, cfg: cfg, next: next, start: start, known: protocols.All()}, nil
}

// Start begins to capture. It fails only if nothing at all can be captured.
func (r *ebpfReceiver) Start(_ context.Context, host component.Host) error {
	r.began.Do(func() { r.failed = r.begin(host) }) // once for all signals
	return r.failed
}

func (r *ebpfReceiver) begin(host component.Host) (err error) {
	if err := r.cfg.Process.check(); err != nil {
		return err
	}
	r.headroom = newHeadroom(r.cfg.MaxHeadroom, goRuntime())
	defer func() {
		if err != nil {
			r.headroom.stop()
		}
	}()
	c, err := r.sockets(host)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if r.record, err = newRecorder(r.cfg.Record); err != nil {
		return err
	}
	r.capture = c
	id := who.ReadHost(r.cfg.Process.ProcRoot)
	flows := newFlowSink(&r.cfg.Packets, id, r.set.BuildInfo.Version, r.logs, r.metrics, time.Now().UnixNano())
	r.pipeline = newPipeline(r.cfg, r.known, id, r.set.BuildInfo.Version, c, flows, r.next)
	// What is under way outlives the context of Start.
	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	if r.cfg.Packets.on() {
		if r.pipeline.packets, err = openPackets(ctx, r.cfg, r.set.Logger, r.pipeline); err != nil {
			return errors.Join(fmt.Errorf("capture of packets: %w: %s", err, packetRemedy(err, r.cfg.Packets.Mode)), r.record.Close())
		}
	}
	if err := r.interfaces(host); err != nil {
		return errors.Join(err, r.pipeline.packets.stop(), r.record.Close())
	}
	if r.telemetry, err = newTelemetry(r.set.TelemetrySettings, r.pipeline, c); err != nil {
		cancel()
		return errors.Join(err, r.pipeline.packets.stop(), r.record.Close())
	}
	r.reportHooks(host, c.Hooks())
	r.cancel = cancel
	r.pipeline.start()
	r.pipeline.packets.start(ctx, host)
	r.clock.Go(func() { r.pipeline.clock(ctx, r.headroom) })
	r.readers.Go(func() {
		put := r.pipeline.put
		if r.record != nil {
			put = r.record.wrap(put, r.set.Logger)
		}
		if err := c.Run(ctx, put, r.pipeline.idle); err != nil && ctx.Err() == nil {
			r.set.Logger.Error("capture on sockets ended", zap.Error(err))
			componentstatus.ReportStatus(host, componentstatus.NewPermanentErrorEvent(fmt.Errorf("capture on sockets ended: %w", err)))
		}
	})
	return nil
}

// sockets begins capture on sockets. Without it packets alone may do.
func (r *ebpfReceiver) sockets(host component.Host) (capture, error) {
	if r.cfg.Sockets.Mode == modeOff {
		return noSockets{}, nil
	}
	kc := r.cfg.kernelConfig()
	kc.Flows = r.logs != nil || r.metrics != nil
	kc.Cgroup = r.cgroup
	c, err := r.start(kc)
	if err == nil {
		return c, nil
	}
	err = fmt.Errorf("capture on sockets: %w: %s", err, remedy(err))
	if !r.cfg.Packets.on() {
		return nil, err
	}
	r.set.Logger.Warn("capture of packets only", zap.Error(err))
	componentstatus.ReportStatus(host, componentstatus.NewRecoverableErrorEvent(err))
	return noSockets{}, nil
}

// interfaces says which of the interfaces that were asked for are not there. If
// they were all that there was to see, nothing is left.
func (r *ebpfReceiver) interfaces(host component.Host) error {
	missing := r.pipeline.packets.missing()
	if len(missing) == 0 {
		return nil
	}
	err := fmt.Errorf("packets::interfaces: no interface is called %s", strings.Join(missing, ", "))
	_, off := r.capture.(noSockets)
	if off && r.pipeline.packets.source.Stats.Ifaces.Load() == 0 && !slices.ContainsFunc(missing, func(p string) bool { return strings.ContainsAny(p, "*?[") }) {
		return fmt.Errorf("%w, and nothing else is captured: correct the names (ip link), or give a pattern (eth*) of those that may come later", err)
	}
	r.set.Logger.Warn("not captured (yet): they are from when they are there", zap.Error(err))
	componentstatus.ReportStatus(host, componentstatus.NewRecoverableErrorEvent(err))
	return nil
}

// cgroup says that a cgroup of the filter is not there, or that it has come.
func (r *ebpfReceiver) cgroup(path string, there bool) {
	if there {
		r.set.Logger.Info("a cgroup of the filter is there now", zap.String("cgroup", path))
		return
	}
	r.set.Logger.Warn("a cgroup of the filter is not there (yet): it counts from when it is",
		zap.String("cgroup", path), zap.String("remedy", "if it is not to begin later, correct sockets::include::cgroups or sockets::exclude::cgroups: paths below the cgroup2 mount"))
}

// reportHooks says once what is attached and what is blind.
func (r *ebpfReceiver) reportHooks(host component.Host, hooks []kernel.Hook) {
	var blind []error
	for _, h := range hooks {
		if h.Attached {
			r.set.Logger.Info("hook attached", zap.String("prog", h.Prog), zap.String("at", h.At))
			continue
		}
		if h.Prog == "-" { // a row of hooks that this kernel does not give; another one stands in
			r.set.Logger.Info("hooks not attached: others stand in for them", zap.String("error", h.Err))
			continue
		}
		r.set.Logger.Warn("hook not attached", zap.String("prog", h.Prog), zap.String("at", h.At), zap.String("blind", h.For), zap.String("error", h.Err))
		blind = append(blind, fmt.Errorf("not seen: %s (%s: %s)", h.For, h.At, h.Err))
	}
	if len(blind) > 0 {
		componentstatus.ReportStatus(host, componentstatus.NewRecoverableErrorEvent(errors.Join(blind...)))
	}
}

// Shutdown stops capture, reports what is open, and hands it on.
func (r *ebpfReceiver) Shutdown(ctx context.Context) (err error) {
	if r.cancel == nil {
		return nil // never started
	}
	r.stop.Do(func() {
		if r.gone != nil {
			r.gone()
		}
		r.cancel()
		r.readers.Wait()
		r.clock.Wait()
		err = r.pipeline.stop(ctx)
		r.telemetry.shutdown()
		r.headroom.stop()
		err = errors.Join(err, r.capture.Close(), r.record.Close())
	})
	return err
}

// remedy is what to do about an error of Start.
func remedy(err error) string {
	switch {
	case errors.Is(err, kernel.ErrUnsupported):
		return "run this receiver on Linux, or take it out of the pipeline"
	case errors.Is(err, kernel.ErrNoTracefs):
		return "mount tracefs at /sys/kernel/tracing, or take sockets::hooks out: other hooks do without it"
	case errors.Is(err, kernel.ErrNoBTF):
		return "the kernel has to have it (CONFIG_DEBUG_INFO_BTF=y), and to show it at /sys/kernel/btf/vmlinux (in a container: mount /sys); without it capture packets (packets::mode: afpacket)"
	case errors.Is(err, fs.ErrPermission):
		return "run as root, or with the capabilities CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH (in Kubernetes: privileged, hostPID)"
	case errors.Is(err, fs.ErrNotExist):
		return "the kernel needs BTF (/sys/kernel/btf/vmlinux, CONFIG_DEBUG_INFO_BTF=y); mount /sys in a container"
	}
	return "see the receiver's README, section Requirements"
}

// packetRemedy is what to do about an error of opening packets.
func packetRemedy(err error, mode string) string {
	switch {
	case errors.Is(err, tap.ErrUnsupported):
		return "use mode: file, or run on Linux"
	case errors.Is(err, fs.ErrPermission) && mode == modeTC:
		return "run as root, or with the capabilities CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; mode: afpacket needs CAP_NET_RAW only"
	case errors.Is(err, fs.ErrPermission):
		return "run as root, or with the capability CAP_NET_RAW (CAP_SYS_ADMIN too for packets::netns)"
	case errors.Is(err, syscall.ENOMEM):
		return "lower packets::ring_size or packets::rings"
	}
	return "see the receiver's README, section Packets"
}

// recorder writes what the kernel tells to a file.
type recorder struct {
	file *os.File
	w    *event.Writer
	full bool
}

func newRecorder(c RecordConfig) (*recorder, error) {
	if c.Path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(c.Path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) // it holds payload
	if err != nil {
		return nil, fmt.Errorf("record::path: %w", err)
	}
	w, err := event.NewWriter(f, c.MaxSize)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("record::path: %w", err), f.Close())
	}
	return &recorder{file: f, w: w}, nil
}

// wrap records what put gets.
func (r *recorder) wrap(put func([]byte), log *zap.Logger) func([]byte) {
	return func(raw []byte) {
		if !r.full {
			var err error
			if r.full, err = r.w.Put(raw); err != nil {
				log.Error("recording stopped", zap.Error(err))
			} else if r.full {
				log.Info("recording stopped: record::max_size is reached")
			}
		}
		put(raw)
	}
}

// Close ends the recording. There may be none.
func (r *recorder) Close() error {
	if r == nil {
		return nil
	}
	return errors.Join(r.w.Flush(), r.file.Close())
}

var _ io.Closer = (*recorder)(nil)

// clockInterval is how finely batch::max_age is kept.
const clockInterval = 50 * time.Millisecond
